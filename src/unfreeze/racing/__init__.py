"""Seeds where they decide: fixed looks at the results, after each of which only those runs get more
seeds about which something is still open.

    race.py      the loop: a look is written to params.yaml, `dvc repro` trains it, it is judged
    deciding.py  what the next look is for
    written.py   the section `race` of params.yaml (params/race.py reads it)
"""
