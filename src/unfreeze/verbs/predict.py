"""`unfreeze predict`: docs/use-the-model.md."""

import argparse
from pathlib import Path

HELP = "name the class of pictures, by a trained model of a study"
DESCRIPTION = """\
Name the class of pictures with the run that a study recommends, or with another of its runs. They
are prepared as those that it was trained on, and nothing is sent anywhere. The table goes to
standard output, all else to standard error; the exit status is 1 where a picture could not be
read. Where folders are named as the classes, it is scored too. docs/use-the-model.md has more."""
EXAMPLE = """\
examples:
  unfreeze predict flowers photos
  unfreeze predict flowers photos.zip more/one.jpg --to named.csv --sheet named.html
  unfreeze predict . lora photos --top 3 --format jsonl"""
ORDER = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="+", metavar="[STUDY] [RUN] PATH",
                        help="a study's folder or name (default: this folder); a run of it "
                             "(default: the recommended one); pictures, and folders and archives "
                             "of pictures")
    parser.add_argument("--seed", type=int, help="this seed's model alone (default: all models, "
                                                 "whose probabilities are averaged)")
    parser.add_argument("--top", type=int, default=1, metavar="K",
                        help="the K likeliest classes of each (default: 1)")
    parser.add_argument("--format", choices=["csv", "jsonl"], default="csv",
                        help="of the table: CSV or lines of JSON (default: csv)")
    parser.add_argument("--to", type=Path, metavar="FILE", help="write the table to this file")
    parser.add_argument("--sheet", type=Path, metavar="FILE.html",
                        help="show the pictures on a page too, the least certain first")


def run(arguments: argparse.Namespace) -> None:
    from unfreeze.using import writing

    writing.write(arguments.words, arguments.seed, arguments.top, arguments.format, arguments.to,
                  arguments.sheet)
