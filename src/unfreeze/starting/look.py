"""One look at the images of a study that is to be: what is there, and whether anything can be
learnt from it."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from unfreeze.data import catalogue, own, photos
from unfreeze.data.acquire import cards
from unfreeze.data.facts import Facts, facts_of
from unfreeze.data.photos import folders, table
from unfreeze.data.photos.names import is_utf8, shown
from unfreeze.errors import Fault, UserError, nearest
from unfreeze.fetching import sources
from unfreeze.words import count

LEAST_TRAINING, LEAST_TEST = 2, 1  # images of a class: folds leave one of two to train on
SAMPLE = 200  # photos whose sizes are looked at


@dataclass(frozen=True)
class Look:
    """What there is.

    Attributes:
        images: as `dataset:` names them, from the working folder.
        title: what a person calls them. own: whether they are the user's.
        facts: as plan knows them.
        names: of the classes, for the user's own.
        train, test: images of each class, in the order of `names`; of a catalogue's dataset as if
            its classes were of one size.
        side: pixels of the shorter side of a photo in the middle; None: not known yet.
        size: in words, such as "512 x 384 pixels".
        split: how train and test came about.
        notes: what should be known of them, each a line.
        groups: of training images that are trained on or held out together; an image of no group
            is one of its own.
    """

    images: str
    title: str
    own: bool
    facts: Facts
    names: tuple[str, ...]
    train: tuple[int, ...]
    test: tuple[int, ...]
    side: int | None
    size: str
    split: str
    notes: tuple[str, ...]
    groups: int


def look_at(images: str, skip_broken: bool = False) -> Look:
    """Read them once.

    Args:
        images: a folder, an archive, a table of labels, an address, or a dataset of the catalogue.
        skip_broken: whether files that are no sound images are left out.

    Raises:
        UserError: there are none, or nothing can be learnt from them.
    """
    try:
        if own.is_url(images):
            return _of_address(images, skip_broken)
        if images in catalogue.names():
            return _of_catalogue(images)
        _check_path(images)
        # That it is one's own shows in the path, also where it has no slash.
        path = images if own.is_own(images) else f"./{images}"
        return _of_own(path, Path(path), skip_broken, facts_of(path, skip_broken))
    except UserError as error:
        text = error.problem if isinstance(error, Fault) else str(error)
        # Here it is an option, and not yet a line of params.yaml.
        raise UserError(text.replace("set skip_broken: true", "give --skip-broken")) from None


def _check_path(images: str) -> None:
    if not is_utf8(os.path.abspath(images)):
        raise UserError(f"{shown(os.path.abspath(images))}: is a name that is not UTF-8, which "
                        "params.yaml cannot hold; rename the folder or the file")
    path = table.file_of(images)
    if images.startswith("~") and not path.exists():
        raise UserError(f"{images}: no such path; ~ is only known to a shell, and not within "
                        f"quotes: write {os.path.expanduser(images)}")
    if not path.exists() and not Path(f"{path}.dvc").exists():
        raise UserError(f"{shown(images)}: no such folder or file here, and no dataset of the "
                        f"catalogue{nearest(images, catalogue.names())}, which has "
                        f"{', '.join(catalogue.names())}; wanted is a folder with a "
                        "sub-folder a class, a .zip or .tar of one, or a table of labels")
    split = folders.split_of(path.resolve().name)
    if path.is_dir() and split:
        beside = sorted(each.name for each in path.resolve().parent.iterdir()
                        if each.is_dir() and folders.split_of(each.name) not in ("", split))
        if beside:
            raise UserError(f"{shown(images)}: is one split of several ({', '.join(beside)} "
                            f"{'lies' if len(beside) == 1 else 'lie'} beside it); name the folder "
                            f"that holds them: {path.resolve().parent}")


def _of_address(url: str, skip_broken: bool) -> Look:
    known = facts_of(url, skip_broken)
    file = own.download_path(url)  # where the study will look for it too
    if not file.is_file():
        sources.download(url, file)
    collection, _, _ = own.settled(file, skip_broken)
    train, test = _counts(collection)
    return _of_own(url, file, skip_broken, Facts(
        known.name, known.source, len(train), sum(train), sum(test), min(train)))


def _of_catalogue(name: str) -> Look:
    known, module = facts_of(name, False), catalogue.dataset(name)
    small = module.KIND == "arrays"
    names = module.CLASSES or tuple(f"class {number}" for number in range(known.classes))
    train, test = ([total // known.classes] * known.classes for total in (known.train, known.test))
    return Look(name, name, False, known, tuple(names), tuple(train), tuple(test),
                min(map(int, module.SIZES.split(" x "))) if small else None,
                f"{module.SIZES} pixels" if small else module.SIZES, "the official splits", (),
                sum(train))


def _of_own(images: str, path: Path, skip_broken: bool, known: Facts) -> Look:
    collection, split, _ = own.settled(path, skip_broken)
    train, test = _counts(collection)
    _check_enough(images, collection.classes, train, test)
    groups = _training_groups(images, collection)
    sizes = cards.sizes(path, _some([photo.member for photo in collection.photos]))
    width, height = (round(median(side)) for side in zip(*sizes, strict=True))
    return Look(images, known.source.title, True, known, collection.classes, train, test,
                round(median(map(min, sizes))), f"{width} x {height} pixels", split,
                tuple(_notes(collection, sizes)), groups)


def _counts(collection: photos.Collection) -> tuple[tuple[int, ...], tuple[int, ...]]:
    counts = Counter((photo.split, photo.label) for photo in collection.photos)
    train, test = (tuple(counts[split, label] for label in range(len(collection.classes)))
                   for split in ("train", "test"))
    return train, test


def _check_enough(images: str, names: Sequence[str], train: Sequence[int],
                  test: Sequence[int]) -> None:
    for where, counts, least in (("training", train, LEAST_TRAINING), ("test", test, LEAST_TEST)):
        short = [shown(name) for name, number in zip(names, counts, strict=True)
                 if number < least]
        if short:
            raise UserError(
                f"{shown(images)}: has fewer than {count(least, f'{where} image')} of "
                f"{', '.join(short[:10])}{', ...' * (len(short) > 10)}; the least that works are "
                f"{LEAST_TRAINING} training images and {LEAST_TEST} test image a class (3 photos "
                "where none are set aside for testing), and below 10 to train on hardly anything "
                "can be learnt")


def _training_groups(images: str, collection: photos.Collection) -> int:
    """How many there are.

    Raises:
        UserError: a class has one alone, which cannot be held out.
    """
    groups = {(photo.group or f"\0{photo.member}", photo.label) for photo in collection.photos
              if photo.split == "train"}
    of_class = Counter(label for _, label in groups)
    short = [shown(name) for label, name in enumerate(collection.classes) if of_class[label] < 2]
    if short:
        raise UserError(
            f"{shown(images)}: has one group alone to train on of {', '.join(short[:10])}"
            f"{', ...' * (len(short) > 10)}; groups stay together, so two of each class are "
            "needed beside those that it is tested on: one to train on and one to choose by")
    return len({group for group, _ in groups})


def _some(members: Sequence[str]) -> list[str]:
    step = max(1, len(members) // SAMPLE)
    return list(members[::step])


def _notes(collection: photos.Collection, sizes: Sequence[tuple[int, int]]):
    for found, words in ((photos.duplicates(collection), "test image(s) that are training images "
                          "too, byte for byte"),
                         (photos.contradictory(collection), "image(s) that are in two classes"),
                         (photos.repeated(collection), "copies within the training images")):
        if found:
            yield (f"{len(found)} {words}, such as {shown(found[0][0].member)} and "
                   f"{shown(found[0][1].member)}")
    if collection.problems:
        yield f"{count(len(collection.problems), 'file')} left out that cannot be used"
    smallest, largest = (min(sizes, key=min), max(sizes, key=min))
    if min(largest) > 4 * min(smallest):
        yield (f"sizes from {smallest[0]} x {smallest[1]} to {largest[0]} x {largest[1]} pixels: "
               "all are brought to one")
