"""The images and labels of a dataset, whichever way they are kept."""

from functools import partial
from pathlib import Path

import numpy as np

from unfreeze import files, places
from unfreeze.data.reading import arrays, checked, decoded
from unfreeze.data.reading.row_file import RowFile
from unfreeze.errors import UserError
from unfreeze.recipe import PinnedDataset

Stored = np.ndarray | RowFile  # (N, H, W, 3) uint8: arrays, or decoded photos


def open_pinned(dataset: PinnedDataset, data: Path = places.DATA, photos: Path = places.DECODED
                ) -> dict[str, tuple[Stored, np.ndarray]]:
    """The images and labels of a recipe's dataset, read from disk only when used; that they are
    the bytes that the recipe names is checked, once for each time the files change.

    Args:
        data, photos: the folders of datasets and of decoded photos.

    Returns:
        {split: (images, (N,) int64 labels)}; of photos only the splits that the recipe names.

    Raises:
        UserError: something is missing, or is not what the recipe names.
    """
    folder = data / dataset.name
    card = arrays.read_card(folder)
    if card["digest"] != dataset.digest:
        raise UserError(f"{folder}: is not the dataset that the recipe names (digest "
                        f"{dataset.digest[:12]}...); run `dvc repro`")
    if not dataset.decoded:
        stored = arrays.load(folder)
        checked.check(arrays.paths(folder), dataset.digest, lambda: arrays.digest(stored))
        return {"train": (stored.train_images, stored.train_labels),
                "test": (stored.test_images, stored.test_labels)}
    labels = arrays.load_labels(folder)
    _check_labels(folder, card, labels)
    images = decoded.open_splits(photos / dataset.decoded, dataset.decoded_digests)
    for split, digest in dataset.decoded_digests.items():
        file = decoded.file(photos / dataset.decoded, split)
        checked.check([file], digest, partial(files.file_digest, file))
    return {split: (images[split], labels[split]) for split in images}


def _check_labels(folder: Path, card: dict, labels: dict[str, np.ndarray]) -> None:
    """Labels of photos have no digest of their own, but were counted when they were written."""
    for split, counts in card.get("counts", {}).items():
        known = labels[split].clip(-1, len(counts)) + 1
        if np.bincount(known, minlength=len(counts) + 2).tolist() != [0, *counts, 0]:
            raise UserError(f"{folder}: {split}_labels.npy is not what card.json counts, so one of "
                            "them is damaged; delete that folder and run `dvc repro`, which makes "
                            "it anew")


def images_of(dataset: str, photos: str, root: Path = Path(".")) -> dict[str, Stored]:
    """{split: images} of all splits of a dataset that are there, to be shown.

    Args:
        dataset: name of its folder. photos: that of its decoded photos; "" for stored arrays.
        root: the study's folder.
    """
    if not photos:
        stored = arrays.load(root / places.DATA / dataset)
        return {"train": stored.train_images, "test": stored.test_images}
    folder = root / places.DECODED / photos
    return decoded.open_splits(folder, decoded.read_card(folder).digests)
