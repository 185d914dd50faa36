"""The catalogue: one file a dataset, found by its name. The files import no torch.

A dataset's file offers:

    CLASSES            class names, in label order
    TRAIN, TEST        number of images of each split
    MEAN, STD          of the training images, per RGB channel, in 0..1
    DIGEST             `arrays.digest` of the whole
    LICENCE, CITATION, URL
    ASSET              where the bytes come from
    read(source)       a source that `sources.obtain` found -> arrays.Arrays; raises UserError when
                       the bytes are wrong

What depends on this folder: config.py (facts) and the stage fetch-data (read).
"""

import importlib
import pkgutil
from types import ModuleType

from unfreeze.errors import UserError, nearest


def dataset(name: str) -> ModuleType:
    """The module of a dataset.

    Raises:
        UserError: no such dataset.
    """
    known = sorted(entry.name for entry in pkgutil.iter_modules(__path__))
    if name not in known:
        raise UserError(f"{name!r} is no dataset{nearest(name, known)}; "
                        f"allowed: {', '.join(known)}")
    return importlib.import_module(f"{__name__}.{name}")
