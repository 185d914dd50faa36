"""Where the photos of a dataset are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from unfreeze import files
from unfreeze.data import own
from unfreeze.data.acquire import layout
from unfreeze.data.catalogue import dataset
from unfreeze.data.photos import Photo
from unfreeze.data.reading import arrays
from unfreeze.data.reading.decoded import SPLITS
from unfreeze.params.plan import ImageSource

Found = Mapping[str, tuple[Path, Sequence[Photo]]]  # {split: (folder or archive, photos in it)}


def find(folder: Path, source: ImageSource) -> Found:
    """The photos of each split, in the order of the labels.

    Args:
        folder: of the dataset, named as it.

    Raises:
        UserError: those of one's own are not those that plan saw.
    """
    return _own(folder, source) if source.own else _of_catalogue(folder)


def _own(folder: Path, source: ImageSource) -> Found:
    path = own.path_of(source, folder)
    collection, _, digest = own.settled(path, source.skip_broken)
    if digest != arrays.read_card(folder)["digest"]:
        raise own.changed(path)
    return {split: (path, [photo for photo in collection.photos if photo.split == split])
            for split in SPLITS}


def _of_catalogue(folder: Path) -> Found:
    paths = layout.paths(dataset(folder.name), folder)
    index = files.read_csv(folder / "index.csv")
    found = {}
    for split in SPLITS:
        rows = [row for row in index if row["split"] == split]
        (archive,) = {row["archive"] for row in rows}
        found[split] = paths[archive], [
            Photo(split, int(row["label"]), row["member"], row["sha256"]) for row in rows]
    return found
