"""Photos decoded once at the size that models see: what the stage decode does.

    finding.py      where the photos of a dataset are
    writing.py      photos -> an array, by several processes
    statistics.py   mean and deviation of the training images

Only what was made here is ever deleted, a file at a time: a folder without the card of decoded
photos is not ours, and nor is a file of another name in one with it.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from unfreeze import environment, files
from unfreeze.data.decoding.finding import Found, find
from unfreeze.data.decoding.statistics import mean_and_std
from unfreeze.data.decoding.writing import write_photos
from unfreeze.data.reading import decoded
from unfreeze.data.reading.decoded import SPLITS, Card
from unfreeze.errors import UserError
from unfreeze.params.plan import Decoded
from unfreeze.recipe import Preprocessing

__all__ = ["find", "mean_and_std", "remove_unwanted", "update", "write_photos"]


def remove_unwanted(parent: Path, wanted: Collection[str]) -> None:
    """Delete the decoded photos that no run needs any more; DVC's cache keeps them.

    Args:
        parent: the folder of all decoded photos. wanted: names of folders in it.
    """
    for folder in parent.iterdir():
        if folder.name not in wanted and decoded.card_file(folder).is_file():
            with suppress(UserError):  # the card of something else
                decoded.read_card(folder)
                _remove(folder, SPLITS)
                decoded.card_file(folder).unlink()
                with suppress(OSError):  # something else lies there too
                    folder.rmdir()


def update(folder: Path, wanted: Decoded, dataset_digest: str, find: Callable[[], Found]) -> None:
    """Decode the splits that are wanted and not there yet.

    Args:
        folder: the one for these photos.
        dataset_digest: of the dataset's card.
        find: says where its photos are; called only where some are to be decoded.

    Raises:
        UserError: photos are missing, broken or changed.
    """
    card = Card(wanted.dataset, dataset_digest, wanted.image_size, wanted.resize,
                wanted.interpolation)
    there = _whole(folder, card)
    kept = {split: digest for split, digest in there.items() if split in wanted.splits}
    missing = [split for split in wanted.splits if split not in kept]
    if not missing and kept == there:
        print(f"{folder.name}: already there, digest checked")
        return
    # From here on the folder is ours, and says of no split that it is whole.
    decoded.write_card(folder, card)
    _remove(folder, set(SPLITS) - set(kept))
    found = find() if missing else {}
    for split in missing:
        kept[split] = _decode(*found[split], card, decoded.file(folder, split))
    if missing:
        counts = ", ".join(f"{len(found[split][1])} {split}" for split in missing)
        print(f"{folder.name}: {counts} images decoded")
    mean, std = mean_and_std(decoded.file(folder, "train")) if "train" in kept else (None, None)
    digests = {split: kept[split] for split in wanted.splits}
    decoded.write_card(folder, replace(card, digests=digests, mean=mean, std=std))


def _whole(folder: Path, expected: Card) -> dict[str, str]:
    """{split: digest} of what is decoded already and is what it should be."""
    try:
        card = decoded.read_card(folder)
    except UserError:
        return {}
    if card.dataset_digest != expected.dataset_digest:
        return {}
    return {split: digest for split, digest in card.digests.items()
            if decoded.file(folder, split).is_file()
            and files.file_digest(decoded.file(folder, split)) == digest}


def _decode(path: Path, photos: list, card: Card, out: Path) -> str:
    """SHA-256 of the file that the photos are decoded into."""
    preprocessing = Preprocessing(card.image_size, card.resize, card.interpolation, (), ())
    write_photos(path, photos, preprocessing, out, environment.workers())
    return files.file_digest(out)


def _remove(folder: Path, splits: Collection[str]) -> None:
    for split in splits:
        file = decoded.file(folder, split)
        file.unlink(missing_ok=True)
        for part in folder.glob(f".{file.name}.*.part"):  # of a process that was killed
            part.unlink()
