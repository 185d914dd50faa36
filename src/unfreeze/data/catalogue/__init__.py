"""The catalogue: one file a dataset, found by its name. The files import no torch.

A dataset's file offers these facts:

    KIND               "arrays": small images of one size, kept as arrays in its folder;
                       "photos": images of many sizes, kept in the official files
    COUNT              number of classes
    CLASSES            their names, in label order; None where the official files carry the names
                       (they are read from there, and are on the card)
    TRAIN, TEST        number of images of each split, the official one
    SIZES              sizes of the images, as text
    MEAN, STD          of the training images, per RGB channel, in 0..1; None where none are
                       published (they are on the card)
    LICENCE, CITATION, URL
    ASSETS             where the bytes come from, each an `assets.Asset` with its MD5

and, for arrays (one asset):

    DIGEST             `arrays.digest` of the whole; None where it is not pinned
    read(source)       a source that `sources.obtain` found -> arrays.Arrays; raises UserError when
                       the bytes are wrong

or, for photos:

    index(paths)      {official file: where it lies} -> layout.Index: the class names, and split,
                       label, official file and member of each image; raises UserError,
                       ValueError, LookupError or TypeError where they are not the official ones
    FOLDER             only where the official files cannot be fetched: a folder in the folder of
                       UNFREEZE_MIRROR that is read in place (ASSETS is empty)

`layout.fetch(facts, folder)` brings a photo dataset's official files and gives their index,
`layout.paths` says where the files lie. Both take the facts as an argument: a test passes others.
"""

import importlib
import pkgutil
from types import ModuleType

from unfreeze import places
from unfreeze.errors import UserError, nearest


def names() -> list[str]:
    """All datasets of the catalogue, sorted."""
    return sorted(entry.name for entry in pkgutil.iter_modules(__path__))


def dataset(name: str) -> ModuleType:
    """The module of a dataset.

    Raises:
        UserError: no such dataset.
    """
    known = names()
    if name not in known:
        raise UserError(f"{name!r} is no dataset{nearest(name, known)}; allowed: "
                        f"{', '.join(known)}, or the path or address of images of your own"
                        f"{places.remedy_in_a_copy(name)}")
    return importlib.import_module(f"{__name__}.{name}")
