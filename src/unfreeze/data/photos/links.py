"""Where symbolic links among photos may lead, besides to other photos of their folder.

DVC makes such links itself (cache.type symlink, its advice for large data): what they lead to is
called by its MD5, in a cache. Other places count when the user names them, in UNFREEZE_LINKS; links
to folders are gone through only where they lead into one of these.
"""

import os
import re
from collections.abc import Iterator

from unfreeze import environment

_IN_DVCS_CACHE = re.compile(r".*/[0-9a-f]{2}/[0-9a-f]{30}", re.DOTALL)


def may_lead_to(target: str) -> bool:
    """Whether a link may lead to this absolute path, in which there are no links any more."""
    return _IN_DVCS_CACHE.fullmatch(target) is not None or _is_named(target)


def walk(path: str) -> Iterator[tuple[str, bool]]:
    """(file or folder, whether it is a folder to go through) of all that lies in a folder and in
    those within, in no certain order. A link to a folder that is not to be gone through counts as a
    file.

    Raises:
        OSError: a folder cannot be read.
    """
    waiting = [(path, frozenset({os.path.realpath(path)}))]
    while waiting:
        folder, above = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                within = above
                through = entry.is_dir(follow_symlinks=False)
                if entry.is_symlink() and os.path.isdir(entry.path):  # not where it leads to itself
                    target = os.path.realpath(entry.path)
                    through = _is_named(target) and target not in above  # else it has no end
                    within = above | {target}
                yield entry.path, through
                if through:
                    waiting.append((entry.path, within))


def linked_folders(path: str) -> Iterator[str]:
    """Where the links to folders lead that are gone through."""
    for inner, through in walk(path):
        if through and os.path.islink(inner):
            yield os.path.realpath(inner)


def _is_named(target: str) -> bool:
    return any(os.path.join(target, "").startswith(os.path.join(os.path.realpath(folder), ""))
               for folder in environment.link_folders())
