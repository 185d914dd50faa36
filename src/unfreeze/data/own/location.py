"""Where images of the user's own lie. They are read there, and never changed."""

import hashlib
from pathlib import Path

from unfreeze import environment
from unfreeze.data.own import naming
from unfreeze.params.plan import ImageSource


def path_of(source: ImageSource, folder: Path) -> Path:
    """The folder or archive.

    Args:
        source: one's own. folder: of the dataset, where an archive from an address is kept.
    """
    return Path(source.path) if source.path else folder / naming.kept_name(source.url)


def download_path(url: str) -> Path:
    """Where an archive lies while it comes; another address is another file."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return environment.scratch() / "downloads" / f"{digest}-{naming.kept_name(url)}"
