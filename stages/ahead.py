"""What later stages will train, side by side into the scratch folder: of searches (trials, from
_made/pinned/) or of runs (replicates, from recipes/). -> _made/ahead/trials or replicates, which
say nothing. Usage: ahead.py trials|replicates"""

import os
import sys

import _utf8  # noqa: F401
from _source import ROOT  # noqa: F401
from unfreeze import files, places
from unfreeze.ahead import replicates, trials
from unfreeze.stage import run_stage

WORK = {"trials": trials.train, "replicates": replicates.train}


def main() -> None:
    (what,) = sys.argv[1:]
    try:
        WORK[what]()
    except KeyboardInterrupt:
        print("error: interrupted; run the same command again, what is finished is kept",
              file=sys.stderr, flush=True)
        os._exit(1)  # at once: taking apart all that is imported here, Ray too, would take seconds
    files.write_text(places.AHEAD / what, "These are in the scratch folder, or need not be.\n")


if __name__ == "__main__":
    run_stage(main)
