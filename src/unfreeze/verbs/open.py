"""`unfreeze open`."""

import argparse

HELP = "show the report of a study in the browser"
DESCRIPTION = """\
Open the report of a study in the system's browser, and print where it lies. Where there is no
display it is only printed."""
EXAMPLE = """\
example:
  unfreeze open flowers"""
ORDER = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", nargs="?", default=".",
                        help="its folder or name (default: this folder)")


def run(arguments: argparse.Namespace) -> None:
    from unfreeze.using import opening, studies

    opening.open_report(studies.found(arguments.study))
