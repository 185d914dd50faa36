"""Puts this tree's own src/ first on the path: an experiment in a temporary copy of the project,
or a clone beside another, must run its own code and not what happens to be installed."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
