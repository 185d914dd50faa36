"""`unfreeze mend`: what keeps `dvc` from going on."""

import argparse
import subprocess
from pathlib import Path

HELP = "mend what keeps dvc from going on"
DESCRIPTION = """\
Look at dvc.lock of the study in this folder. DVC writes it in place: killed while it does so, it
leaves half of it, and can then read nothing. The last whole one takes its place, and `dvc repro`
goes on from there; nothing is trained again. Where photos or a checkpoint of your own are gone, it
says which, and takes away the links to them (_made/watched/), past which DVC does not look. That
git's index is locked, it says. `make repro` does all this first."""
EXAMPLE = """\
examples:
  unfreeze mend
  unfreeze mend --bytes

DVC trusts its cache, and looks at outputs when their times have changed. With --bytes each file of
both is read and compared with its digest. What a bad disk has damaged is taken away, and `dvc
repro` fetches or makes it anew: outputs are deleted, files of the cache go to its folder damaged/,
since they may be the only copy of what `dvc add` has put there."""
ORDER = 90


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bytes", action="store_true",
                        help="read DVC's cache and all outputs too")


def run(arguments: argparse.Namespace) -> None:
    from unfreeze import mending
    from unfreeze.errors import UserError

    mending.check_git()
    for mended in (mending.mend_list, mending.mend_lock):
        if done := mended():
            print(done)
    for done in mending.mend_links():
        print(done)
    mending.check_index()
    if not arguments.bytes:
        return
    try:
        asked = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError("dvc: no such command, and it says where its cache is; activate the "
                        "environment that it is installed in, and repeat the command") from None
    if asked.returncode:
        raise UserError(f"`dvc cache dir` says: {asked.stderr.strip()}")
    cache = Path(asked.stdout.strip())
    moved = mending.mend_cache(cache)
    deleted = mending.mend_outputs(Path("."), cache)
    for file, aside in moved.items():
        print(f"{file}: was damaged, is now {aside}")
    for file in deleted:
        print(f"{file}: was damaged, deleted")
    wrong = len(moved) + len(deleted)
    print(f"{wrong} damaged files" + ("; `dvc repro` fetches or makes them anew" if wrong else
                                           ""))
