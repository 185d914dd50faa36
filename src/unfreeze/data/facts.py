"""What is known of a dataset before anything is fetched."""

import hashlib
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from unfreeze import files, places
from unfreeze.data import catalogue, own, photos
from unfreeze.data.acquire import cards
from unfreeze.data.photos.archive import is_tar
from unfreeze.data.photos.names import shown
from unfreeze.data.photos.table import file_of
from unfreeze.errors import Fault, UserError
from unfreeze.params.plan import ImageSource

TENFOLD = 10  # times as many images of a class as of another, from which on accuracy misleads
_SAMPLE = 30  # photos whose sizes are looked at


@dataclass(frozen=True)
class Facts:
    """A dataset, as far as it is known.

    Attributes:
        name: of its folder.
        source: where its images come from.
        classes, train, test: how many; None when it is to be fetched first.
        smallest: training images of the smallest class, or a number that it cannot exceed.
        largest: of the largest, which is called `commonest`; of images of one's own.
        side: pixels of the shorter side of a photo in the middle; of images of one's own.
        mean, std: of the training images, per RGB channel, in 0..1; None: found when decoding.
    """

    name: str
    source: ImageSource
    classes: int | None = None
    train: int | None = None
    test: int | None = None
    smallest: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    largest: int | None = None
    commonest: str = ""
    side: int | None = None


def facts_of(dataset: str, skip_broken: bool) -> Facts:
    """The facts of what the knob `dataset` names. Folders and archives are read.

    Args:
        skip_broken: the knob, which means nothing to a dataset of the catalogue.

    Raises:
        Fault: there is no such dataset, or its images cannot be used.
    """
    try:
        if not own.is_own(dataset):
            return _of_catalogue(dataset)
        return (_of_address if own.is_url(dataset) else _of_path)(dataset, skip_broken)
    except UserError as error:
        raise Fault("dataset", str(error)) from None


def unread(dataset: str) -> Facts:
    """As `facts_of`, of a dataset whose images need not be here: of one's own nothing is known.

    Raises:
        Fault: there is no such dataset.
    """
    if own.is_own(dataset):
        return Facts(dataset, ImageSource("photos", path=dataset))
    return facts_of(dataset, skip_broken=False)


def _of_catalogue(name: str) -> Facts:
    if source := _source_of(name):
        raise Fault("dataset", f"{name!r} is the name of a folder in {places.DATA}; say where its "
                               f"images are: {source}")
    known = catalogue.dataset(name)
    return Facts(name, ImageSource(known.KIND), known.COUNT, known.TRAIN, known.TEST,
                 known.TRAIN // known.COUNT, known.MEAN, known.STD)


def _source_of(name: str) -> str:
    """Where the images are whose folder has that name, which stages give it; "" where there is
    none, or it is one of the catalogue."""
    if not name.startswith("own-") or "/" in name:
        return ""
    try:
        return files.read_json(places.DATA / name / "card.json")["source"]
    except UserError:
        return ""


def _of_address(url: str, skip_broken: bool) -> Facts:
    file = own.url_file(url)
    text = url + skip_broken * " skip_broken"  # what is in there is not known yet
    name = own.folder_name(file, hashlib.sha256(text.encode()).hexdigest())
    return Facts(name, ImageSource("photos", url=url, skip_broken=skip_broken))


def _of_path(dataset: str, skip_broken: bool) -> Facts:
    path, file = Path(dataset), file_of(dataset)
    own.check_place(file)
    own.check_tracked(file)
    if not os.access(file, os.R_OK):
        at_home = dataset.startswith("~") and (
            f"; ~ is known to a shell only: write {os.path.expanduser(dataset)}")
        raise UserError(f"{dataset!r} is no folder or archive that can be read here; allowed: a "
                        "folder of images with a sub-folder a class, an archive of such a folder "
                        f"({', '.join(own.SUFFIXES)}), its address, a table of labels "
                        f"({', '.join(own.TABLES)}), or a dataset of the catalogue"
                        f"{at_home or places.remedy_in_a_copy(dataset)}")
    collection, _, digest = own.settled(path, skip_broken)
    counts = Counter((photo.split, photo.label) for photo in collection.photos)
    train, test = ([counts[split, label] for label in range(len(collection.classes))]
                   for split in ("train", "test"))
    _warn_of_depth(dataset, collection)
    _warn_of_capitals(dataset, collection)
    source = ImageSource("photos", path=str(path), digest=digest, skip_broken=skip_broken)
    return Facts(own.folder_name(file.resolve().name, digest), source, len(collection.classes),
                 sum(train), sum(test), min(train), largest=max(train),
                 commonest=collection.classes[train.index(max(train))],
                 side=_shorter_side(path, collection))


def _shorter_side(path: Path, collection: photos.Collection) -> int | None:
    """Of a photo in the middle of some; None where all would have to be read for that."""
    if is_tar(path):
        return None
    members = [photo.member for photo in collection.photos]
    sizes = cards.sizes(path, members[::max(1, len(members) // _SAMPLE)])
    return round(median(map(min, sizes)))


def _warn_of_depth(dataset: str, collection: photos.Collection) -> None:
    """A line on standard error where inner folders may be meant as classes and are not taken so."""
    below = photos.below_classes(collection)
    if below:
        print(f"warning: {shown(dataset)}: photos lie in folders within others, such as "
              f"{shown(below[0])}; the outer ones are taken for the classes: "
              f"{', '.join(map(shown, collection.classes[:10]))}"
              f"{', ...' * (len(collection.classes) > 10)}", file=sys.stderr, flush=True)


def _warn_of_capitals(dataset: str, collection: photos.Collection) -> None:
    """A line on standard error for classes that differ in nothing else."""
    for one, other in photos.alike(collection.classes, str.casefold):
        print(f"warning: {shown(dataset)}: the classes {shown(one)} and {shown(other)} differ in "
              "their capitals alone; if they are one, put them together", file=sys.stderr,
              flush=True)
