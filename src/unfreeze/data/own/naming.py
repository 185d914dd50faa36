"""What `dataset:` means where it is no name of the catalogue, and how its folder is called."""

import os
import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from unfreeze.data import catalogue
from unfreeze.data.photos import table
from unfreeze.errors import UserError

TABLES = (".csv", ".tsv", ".parquet")
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")


def is_own(dataset: str) -> bool:
    """Whether a dataset is meant to be the user's and not of the catalogue."""
    if dataset in catalogue.names():
        return False
    return (is_url(dataset) or "/" in dataset or dataset.lower().endswith(SUFFIXES + TABLES)
            or table.is_table(dataset)
            or (dataset != "" and (os.path.exists(dataset) or os.path.exists(f"{dataset}.dvc"))))


def is_url(dataset: str) -> bool:
    return re.match(r"https?://", dataset) is not None


def url_file(url: str) -> str:
    """Name of the archive at an address.

    Raises:
        UserError: it is no address, or not one of an archive.
    """
    try:
        file = PurePosixPath(unquote(urlsplit(url).path)).name
    except ValueError as error:
        raise UserError(f"{url!r} is no address ({error}); allowed: such as "
                        "https://example.org/photos.zip") from None
    if not file.lower().endswith(SUFFIXES):
        raise UserError(f"{url!r} is no address of an archive; allowed: {', '.join(SUFFIXES)}")
    return file


def kept_name(url: str) -> str:
    """Name under which an archive from an address is kept: its suffix says how it is packed."""
    file = url_file(url).lower()
    return "archive" + max((suffix for suffix in SUFFIXES if file.endswith(suffix)), key=len)


def folder_name(file: str, digest: str) -> str:
    """Name of the dataset's folder; the start of the digest keeps versions apart.

    Args:
        file: name of the folder, archive or table.
    """
    for suffix in sorted(SUFFIXES + TABLES, key=len, reverse=True):
        if file.lower().endswith(suffix):
            file = file[:-len(suffix)]
            break
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", file).strip("-")[:40]
    return f"own-{plain or 'images'}-{digest[:12]}"
