"""Where images of the user's own lie. They are read there, and never changed."""

import hashlib
from pathlib import Path

from unfreeze import environment
from unfreeze.data.own import naming
from unfreeze.errors import UserError
from unfreeze.params.plan import ImageSource

_OF_THE_SYSTEM = ("/proc", "/sys", "/dev", "/run")  # which read without end, or do something
_MEMORY = "/dev/shm"


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


def check_place(path: Path) -> None:
    """May a folder or archive at this path be read to its end? Whether it is there is not asked.

    Raises:
        UserError: it is a pipe or a device, belongs to the system, or holds the project itself.
    """
    place = path.resolve()
    if path.exists() and not path.is_dir() and not path.is_file():
        raise UserError(f"{path}: neither a folder nor a file, but a pipe, a socket or a device; "
                        "allowed: a folder of images, or an archive of one")
    inside = any(place.is_relative_to(folder) for folder in _OF_THE_SYSTEM)
    if inside and not place.is_relative_to(_MEMORY):
        raise UserError(f"{path}: belongs to the system and holds no images; name the folder of "
                        "the images")
    if Path.cwd().is_relative_to(place):
        raise UserError(f"{path}: holds this project itself ({Path.cwd()}); name the folder of the "
                        "images alone")
