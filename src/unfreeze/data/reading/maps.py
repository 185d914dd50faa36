"""The photos of a dataset, decoded once at the size that a model sees, as training reads them.

    arrays/KEY/train_images.npy   (N, S, S, 3) uint8, RGB, in the order of train_labels.npy
               test_images.npy    (M, S, S, 3) uint8
               map.json           {"dataset_digest", "digests": {split: SHA-256 of its file},
                                  "mean", "std" of the training images, per channel, in 0..1}

What depends on it: the stages decode (to make it) and pin; to read it, training/, reporting/ and
the stage show-data.
"""

import os
from pathlib import Path

import numpy as np

from unfreeze import files, places
from unfreeze.data.reading import arrays
from unfreeze.errors import UserError

SPLITS = ("train", "test")


class Rows:
    """The rows of a .npy file, read when they are asked for.

    Reading, unlike a memory map, leaves no pages in the process: its memory does not grow with the
    file, and what fits into the machine's memory is read from there all the same.

    Attributes:
        shape: (N, ...) of the whole array, uint8.

    Raises:
        UserError: the file is missing, or no such array.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            whole = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise _missing(path) from None
        if whole.dtype != np.uint8 or not whole.flags.c_contiguous:
            raise UserError(f"{path}: is no array of bytes in C order; run `dvc repro`")
        self.shape, self._offset = whole.shape, whole.offset
        self._file = os.open(path, os.O_RDONLY)

    def __len__(self) -> int:
        return self.shape[0]

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """(n, ...) uint8: copies of the rows with these (n,) indices.

        Raises:
            UserError: the file has become shorter.
        """
        found = np.empty((len(rows), *self.shape[1:]), np.uint8)
        size = found[:1].nbytes
        for row, place in zip(found, np.asarray(rows).tolist(), strict=True):
            if os.preadv(self._file, [row], self._offset + place * size) != size:
                raise _missing(self._path)
        return found


def key(dataset: str, size: int, resize: int | None, interpolation: str) -> str:
    """Name of the map of a dataset's photos.

    Args:
        size, resize, interpolation: as of `batches.Images`.
    """
    return f"{dataset}-{resize or 'square'}-{interpolation}-{size}"


def file(folder: Path, split: str) -> Path:
    """Where the images of a split lie."""
    return folder / f"{split}_images.npy"


def read_card(folder: Path) -> dict:
    """map.json of a map.

    Raises:
        UserError: there is none.
    """
    try:
        return files.read_json(folder / "map.json")
    except (FileNotFoundError, ValueError):
        raise _missing(folder) from None


def open_dataset(dataset: dict, data: Path, maps: Path) -> dict[str, tuple]:
    """The images and labels of a recipe's dataset, read from disk only when used.

    Args:
        dataset: of a recipe: {"name", "digest"}, and with photos {"map": {"name", "digests":
            {split: SHA-256 of its file}}}.
        data, maps: the folders data/ and arrays/.

    Returns:
        {split: (images, labels)}: (N, H, W, 3) uint8, an array or `Rows`, and (N,) int64. Of photos
        only the splits that the recipe names.

    Raises:
        UserError: something is missing, or is not what the recipe names.
    """
    folder = data / dataset["name"]
    _check(folder, arrays.read_card(folder)["digest"], dataset["digest"])
    if "map" not in dataset:
        found = arrays.load(folder)
        return {"train": (found.train_images, found.train_labels),
                "test": (found.test_images, found.test_labels)}
    labels = arrays.load_labels(folder)
    place = maps / dataset["map"]["name"]
    found = read_card(place)["digests"]
    for split, digest in dataset["map"]["digests"].items():
        _check(place, found.get(split, "none"), digest)
    return {split: (Rows(file(place, split)), labels[split])
            for split in dataset["map"]["digests"]}


def images(settled: dict, root: Path) -> dict[str, np.ndarray | Rows]:
    """{split: images} of a settled run's dataset, as `open_dataset` gives them, of all splits that
    are there. Photos are as the run's model sees them.

    Args:
        settled: of plan/runs.yaml: "dataset" and "map" are read.
        root: the study's folder, with data/ and arrays/.
    """
    if settled["map"] is None:
        found = arrays.load(root / places.DATA / settled["dataset"])
        return {"train": found.train_images, "test": found.test_images}
    folder = root / places.DECODED / settled["map"]
    return {split: Rows(file(folder, split)) for split in read_card(folder)["digests"]}


def _check(folder: Path, found: str, expected: str) -> None:
    if found != expected:
        raise UserError(f"{folder}: is not the dataset that the recipe names (digest "
                        f"{expected[:12]}...); run `dvc repro`")


def _missing(path: Path) -> UserError:
    return UserError(f"{path}: missing or damaged; run `dvc repro`, which decodes the photos (or "
                     "`dvc checkout`, which restores them)")
