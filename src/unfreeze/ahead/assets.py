"""What a replicate reads, as it travels to a machine that does not see it: files by their digest,
in pieces; and the code.

A file's place is its path in the study's folder, _made/data/NAME/train_images.npy, say.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unfreeze import files, places
from unfreeze.data.reading import arrays, decoded
from unfreeze.models import weights
from unfreeze.recipe import Recipe

PIECE = 64 << 20  # bytes


@dataclass(frozen=True)
class Asset:
    """A file that a replicate reads.

    Attributes:
        path: in the study's folder. size: bytes. digest: SHA-256.
    """

    path: Path
    size: int
    digest: str


class Assets:
    """The assets of recipes of the study in the working folder, each file read once."""

    def __init__(self) -> None:
        self._known: dict[Path, Asset] = {}

    def of(self, recipe: Recipe, seed: int) -> list[Asset]:
        """Those of a replicate.

        Raises:
            OSError: a file cannot be read.
        """
        return [self._asset(path) for path in paths(recipe, seed)]

    def _asset(self, path: Path) -> Asset:
        if path not in self._known:
            self._known[path] = Asset(path, path.stat().st_size, files.file_digest(path))
        return self._known[path]


def paths(recipe: Recipe, seed: int) -> list[Path]:
    """The files that training a replicate reads."""
    dataset, folder = recipe.dataset, places.DATA / recipe.dataset.name
    found = [places.SUBSETS / recipe.seeds[seed].file, folder / "card.json"]
    if dataset.decoded:
        photos = places.DECODED / dataset.decoded
        found += [folder / f"{split}_labels.npy" for split in decoded.SPLITS]
        found += [decoded.card_file(photos)]
        found += [decoded.file(photos, split) for split in dataset.decoded_digests
                  if recipe.tested or split != "test"]
    else:
        found += arrays.paths(folder)
    if recipe.weights:
        found.append(weights.path(places.WEIGHTS, recipe.weights.name))
    return found


def pieces(path: Path) -> Iterator[bytes]:
    """The content of a file, PIECE bytes each but the last."""
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            yield piece


def code(root: Path) -> tuple[bytes, str]:
    """The code of this version as a zip archive, and its digest.

    Args:
        root: the folder with src/ and stages/.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for part in ("src", "stages") for path in (root / part).rglob("*")
                           if path.is_file() and "__pycache__" not in path.parts):
            name = zipfile.ZipInfo(path.relative_to(root).as_posix())  # of no date
            archive.writestr(name, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return content.getvalue(), hashlib.sha256(content.getvalue()).hexdigest()
