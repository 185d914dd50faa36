"""Where symbolic links among photos may lead, besides to other photos of their folder.

DVC makes such links itself (cache.type symlink, its advice for large data): what they lead to is
called by its MD5, in a cache. Other places count when the user names them, in UNFREEZE_LINKS.
"""

import os
import re

from unfreeze import environment

_IN_DVCS_CACHE = re.compile(r".*/[0-9a-f]{2}/[0-9a-f]{30}", re.DOTALL)


def may_lead_to(target: str) -> bool:
    """Whether a link may lead to this absolute path, in which there are no links any more."""
    return _IN_DVCS_CACHE.fullmatch(target) is not None or any(
        target.startswith(os.path.join(os.path.realpath(folder), ""))
        for folder in environment.link_folders())
