"""`unfreeze mend`: what a killed `dvc` or a bad disk has left broken."""

import argparse
import subprocess
from pathlib import Path

HELP = "mend what a killed dvc left half written"
DESCRIPTION = """\
Look at dvc.lock of the study in this folder. DVC writes it in place: killed while it does so, it
leaves half of it, and can then read nothing. The last whole one takes its place, and `dvc repro`
goes on from there; nothing is trained again. `make repro` does this first."""
EXAMPLE = """\
examples:
  unfreeze mend
  unfreeze mend --cache

DVC trusts its cache. With --cache each file in it is read and compared with its digest, which is
its name; what was damaged is deleted, and `dvc repro` makes it anew."""
ORDER = 90


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", action="store_true", help="look through DVC's cache too")


def run(arguments: argparse.Namespace) -> None:
    from unfreeze import mending
    from unfreeze.errors import UserError

    done = mending.mend_lock()
    if done:
        print(done)
    if not arguments.cache:
        return
    asked = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise UserError(f"`dvc cache dir` says: {asked.stderr.strip()}")
    wrong = mending.mend_cache(Path(asked.stdout.strip()))
    for file in wrong:
        print(f"{file}: was damaged, deleted")
    print(f"{len(wrong)} damaged files in DVC's cache" + (
        "; `dvc checkout` says what is missing now, and `dvc repro` makes it anew" if wrong else
        ""))
