"""The photos of a dataset, decoded once at the size that a model sees, as training reads them.

    _made/decoded/NAME/train_images.npy   (N, S, S, 3) uint8, RGB, in the order of train_labels.npy
                       test_images.npy    (M, S, S, 3) uint8
                       card.json          a `Card`
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from unfreeze import files
from unfreeze.data.reading.row_file import RowFile, missing
from unfreeze.errors import UserError
from unfreeze.plain import from_plain, to_plain

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Card:
    """What lies in a folder of decoded photos.

    Attributes:
        dataset: name of its folder. dataset_digest: of its card, when the photos were decoded.
        image_size, resize, interpolation: as of recipe.Preprocessing.
        digests: {split: SHA-256 of its file}, of the splits that are whole.
        mean, std: of the training images, per channel, in 0..1; None without them.
    """

    dataset: str
    dataset_digest: str
    image_size: int
    resize: int | str
    interpolation: str
    digests: Mapping[str, str] = field(default_factory=dict)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def folder_name(dataset: str, image_size: int, resize: int | str, interpolation: str) -> str:
    """Name of the folder of a dataset's decoded photos."""
    return f"{dataset}-{resize}-{interpolation}-{image_size}"


def file(folder: Path, split: str) -> Path:
    """Where the images of a split lie."""
    return folder / f"{split}_images.npy"


def card_file(folder: Path) -> Path:
    return folder / "card.json"


def write_card(folder: Path, card: Card) -> None:
    files.write_json(card_file(folder), to_plain(card))


def read_card(folder: Path) -> Card:
    """The card of decoded photos.

    Raises:
        UserError: there is none, or none of this version.
    """
    try:
        card = from_plain(Card, files.read_json(card_file(folder)))
        return replace(card, digests=files.Content(card.digests, card_file(folder)))
    except (UserError, TypeError):
        raise missing(folder) from None


def open_splits(folder: Path, digests: Mapping[str, str]) -> dict[str, RowFile]:
    """{split: its images} of these splits.

    Args:
        digests: {split: SHA-256 that its file must have}.

    Raises:
        UserError: they are not there, or not these.
    """
    card = read_card(folder)
    for split, digest in digests.items():
        if card.digests.get(split) != digest:
            raise UserError(f"{folder}: is not the dataset that the recipe names (digest "
                            f"{digest[:12]}...); run `dvc repro`")
    return {split: RowFile(file(folder, split)) for split in digests}
