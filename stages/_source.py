"""Comes before what a stage imports.

Puts this tree's own src/ first on the path: an experiment in a temporary copy of the project, or a
clone beside another, must run its own code and not what happens to be installed.
"""

import gc
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import __main__  # noqa: E402
from unfreeze import supervision  # noqa: E402

_script = Path(getattr(__main__, "__file__", None) or "")
if _script.resolve().parent == ROOT / "stages":  # and not in processes that work for a stage
    supervision.begin(" ".join([_script.name, *sys.argv[1:]]))
# Importing torch makes a million objects, all of which stay: to look for garbage among them again
# and again is a sixth of its time. `run_stage` looks, from then on.
gc.disable()
