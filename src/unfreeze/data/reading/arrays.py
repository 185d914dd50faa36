"""The form in which datasets are kept: a folder with labels, a card, and, where all images have one
small size, the images.

    _made/data/NAME/train_labels.npy   (N,) int64
                    test_labels.npy    (M,) int64
                    card.json          classes, counts, sizes, digest, licence, citation
                    train_images.npy   (N, H, W, 3) uint8, RGB; photos have these decoded
                    test_images.npy    (M, H, W, 3) uint8
"""

import hashlib
import io
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from unfreeze import files
from unfreeze.errors import UserError


@dataclass(frozen=True)
class Arrays:
    """A dataset in memory (or mapped): images (N, H, W, 3) uint8, labels (N,) int64."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def digest(arrays: Arrays) -> str:
    """SHA-256 over names, shapes, types and bytes of the four arrays: a dataset's identity."""
    total = hashlib.sha256()
    for field in fields(Arrays):
        array = getattr(arrays, field.name)
        total.update(f"{field.name} {array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def save(folder: Path, arrays: Arrays, card: dict) -> None:
    """Write the whole folder, or nothing."""
    with files.whole_folder(folder) as new:
        for field in fields(Arrays):
            content = io.BytesIO()
            np.save(content, getattr(arrays, field.name), allow_pickle=False)
            files.write_bytes(new / f"{field.name}.npy", content.getbuffer())
        files.write_json(new / "card.json", card)


def paths(folder: Path) -> list[Path]:
    """The files of the four arrays."""
    return [folder / f"{field.name}.npy" for field in fields(Arrays)]


def load(folder: Path) -> Arrays:
    """Map a dataset; images are read from disk only when used.

    Raises:
        UserError: the folder is missing or incomplete.
    """
    return Arrays(**{field.name: _load(folder, field.name) for field in fields(Arrays)})


def load_labels(folder: Path) -> dict[str, np.ndarray]:
    """{"train", "test": (N,) int64 labels} of a dataset of any kind.

    Raises:
        UserError: the folder is missing or incomplete.
    """
    return {split: _load(folder, f"{split}_labels") for split in ("train", "test")}


def _load(folder: Path, name: str) -> np.ndarray:
    try:
        return np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise UserError(f"{folder}: missing or incomplete; run `dvc repro`, which fetches it "
                        "(or `dvc checkout`, which restores it)") from None


def read_card(folder: Path) -> dict:
    """The card of a dataset.

    Raises:
        UserError: there is none.
    """
    try:
        card = files.read_json(folder / "card.json")
        if "digest" in card:
            return card
    except UserError:
        pass
    raise UserError(f"{folder}/card.json: missing or unreadable; run `dvc repro`, which "
                        "fetches the dataset")
