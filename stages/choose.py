"""_made/pinned/RUN.yaml -> recipes/RUN.yaml, choices/RUN.yaml and _made/searched/RUN.json and .npz:
the candidate that is best on validation images. Usage: choose.py RUN"""

import sys

import _utf8  # noqa: F401
from _source import ROOT  # noqa: F401
from unfreeze.choosing import choice, pinned
from unfreeze.stage import run_stage


def main() -> None:
    (run,) = sys.argv[1:]
    candidates = pinned.read(pinned.path(run))
    chosen = search(run, candidates) if candidates.searched else choice.without_search(candidates)
    choice.write(run, chosen)
    print(choice.say(run, chosen.searched))


def search(run: str, candidates: pinned.Pinned) -> choice.Choice:
    from unfreeze.choosing import finding  # here, since others need none of what it imports

    return choice.choose(candidates, finding.find(run, candidates))


if __name__ == "__main__":
    run_stage(main)
