"""How long the runs of a plan take on this machine.

    work.py     what there is to do: images, by what sets their speed
    speed.py    how fast the engine does it, measured for a moment on random images
"""
