"""The command `unfreeze`: its verbs are the files of verbs/, and `unfreeze VERB --help` shows what
each takes, with an example."""

import argparse
from typing import NoReturn

from unfreeze import supervision, verbs
from unfreeze.errors import UserError, in_a_terminal
from unfreeze.stage import run_stage


def main() -> None:
    """Entry point. It does not return."""
    supervision.begin("unfreeze")
    run_stage(_run)


def _run() -> None:
    arguments = parser().parse_args()
    try:
        arguments.run(arguments)
    except KeyboardInterrupt:
        raise UserError("interrupted, with nothing half-written; run the same command again"
                        ) from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, where argparse would print all options before it."""
        self.exit(2, f"error: {in_a_terminal(message)}; `{self.prog} --help` shows what there is\n")


def parser() -> argparse.ArgumentParser:
    """Of the whole command; what it parses has `run`, which takes it."""
    whole = _Parser(
        "unfreeze", description="Which fine-tuning strategy is best for my images and my budget?")
    chosen = whole.add_subparsers(required=True, metavar="VERB")
    for name, verb in verbs.all_of_them().items():
        one = chosen.add_parser(
            name, help=verb.HELP, description=verb.DESCRIPTION, epilog=verb.EXAMPLE,
            formatter_class=argparse.RawDescriptionHelpFormatter)
        verb.add_arguments(one)
        one.set_defaults(run=verb.run)
    return whole


if __name__ == "__main__":
    main()
