"""Training ahead: what stages that come later would train one after another is trained side by
side, into the scratch folder, where they find it. It decides no result, only when it is there.

    trials.py, replicates.py   what choices and runs will ask for
    needed.py      the stages that DVC is about to run
    task.py        a replicate to be trained
    training.py    a replicate trained by itself
    workers.py     the tasks given to an engine, if there is one
    engine.py      what an engine is, and what it tells
    pool.py        the engine of this machine's processes
    preloaded.py   what these have in common
    slots.py       how many of them at a time, and on which devices
    on_ray.py      the engine of Ray
    assets.py      what a replicate reads and the code, as they travel
    remote.py      on another machine, before the code is there
    node.py        on a node of a cluster, when it is
    attempt.py     a replicate trained for another process
    display.py     what one sees of it
"""
