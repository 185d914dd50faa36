"""Comes before what a stage imports.

Puts this tree's own src/ first on the path: an experiment in a temporary copy of the project, or a
clone beside another, must run its own code and not what happens to be installed.
"""

import gc
import multiprocessing
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from unfreeze import supervision  # noqa: E402

_script = Path(sys.argv[0])
# And not where a stage is imported, nor in processes that work for one.
if _script.resolve().parent == ROOT / "stages" and multiprocessing.parent_process() is None:
    supervision.begin(" ".join([_script.name, *sys.argv[1:]]))
# Importing torch makes a million objects, all of which stay: to look for garbage among them again
# and again is a sixth of its time. `run_stage` looks, from then on.
gc.disable()
