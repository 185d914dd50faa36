"""`unfreeze race`: docs/race.md."""

import argparse
import math
from contextlib import suppress
from pathlib import Path

HELP = "train more seeds where they decide something"
DESCRIPTION = """\
Train the runs of a study with 2, 4, 8 and 16 seeds, each time only those about which something
is still open. What is spent where is written to params.yaml; interrupted, the same command goes
on. docs/race.md has more."""
EXAMPLE = """\
examples:
  unfreeze race --minutes 30
  unfreeze race studies/flowers --until decided"""
ORDER = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", nargs="?", default=".",
                        help="its folder or name (default: this folder)")
    until = parser.add_mutually_exclusive_group(required=True)
    until.add_argument("--minutes", type=_minutes, help="begin no look that would take longer")
    until.add_argument("--until", choices=["decided"], help="however long it takes")
    parser.add_argument("--again", action="store_true",
                        help="from the start, with fresh seeds: where claims, runs or knobs "
                             "changed")


def run(arguments: argparse.Namespace) -> None:
    from unfreeze.racing import race  # here: --help needs nothing of it
    from unfreeze.using import studies

    study = studies.find(arguments.study) or Path(arguments.study)
    race.run(study, arguments.minutes, arguments.again)


def _minutes(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not allowed; it must be a number above 0")
