"""recipes/ and _made/runs/ of two runs -> _made/compared/PAIR.csv. Usage: compare.py PAIR FIRST
SECOND"""

import sys

import _source  # noqa: F401
import _utf8  # noqa: F401
from unfreeze import files, places
from unfreeze.comparing import compare, similarity
from unfreeze.stage import run_stage
from unfreeze.training import devices


def main() -> None:
    pair, first, second = sys.argv[1:]
    rows = compare.compare(first, second, devices.pick())
    files.write_csv(places.COMPARED / f"{pair}.csv", similarity.HEADER, rows)


if __name__ == "__main__":
    run_stage(main)
