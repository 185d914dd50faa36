"""The command `unfreeze`.

    unfreeze race [STUDY] --minutes 30
    unfreeze race [STUDY] --until decided
"""

import argparse
import math
from contextlib import suppress
from pathlib import Path

from unfreeze.stage import run_stage


def main() -> None:
    """Entry point. It does not return."""
    run_stage(_run)


def _run() -> None:
    arguments = _parser().parse_args()
    arguments.run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "unfreeze", description="Which fine-tuning strategy is best for my images and my budget?")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    race = verbs.add_parser(
        "race", help="train more seeds where they decide something",
        description="Train the runs of a study with 2, 4, 8 and 16 seeds, each time only those "
                    "about which something is still open. What is spent where is written to "
                    "params.yaml; interrupted, the same command goes on. docs/race.md has more.")
    race.add_argument("study", nargs="?", type=Path, default=Path("."),
                      help="its folder (default: this one)")
    until = race.add_mutually_exclusive_group(required=True)
    until.add_argument("--minutes", type=_minutes, help="begin no look that would take longer")
    until.add_argument("--until", choices=["decided"], help="however long it takes")
    race.add_argument("--again", action="store_true",
                      help="from the start, with fresh seeds: where claims, runs or knobs changed")
    race.set_defaults(run=_race)
    return parser


def _race(arguments: argparse.Namespace) -> None:
    from unfreeze.racing import race  # here: --help needs nothing of it

    race.run(arguments.study, arguments.minutes, arguments.again)


def _minutes(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not allowed; it must be a number above 0")


if __name__ == "__main__":
    main()
