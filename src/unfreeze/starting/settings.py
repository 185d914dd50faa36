"""What fits some images: how large they are seen, how long is trained, what is chosen by and how
often all is repeated, by the time that there is.

Two things are taken from BiT's HyperRule (Kolesnikov et al., Big Transfer, ECCV 2020, section 3.3):
training is measured in steps, which grow with the number of images by classes of size and not in
proportion, and small images are shown larger than they are. Its steps have 512 images; ours are
smaller, for few images and little memory.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from unfreeze.data.facts import TENFOLD
from unfreeze.starting.look import Look

# {images from which on: steps}, of the HyperRule's small, medium and large sets
_STEPS = {0: 500, 20_000: 10_000, 500_000: 20_000}
_EPOCHS = 5, 30  # at least, for the features to adapt; at most, beyond which small sets gain little
_LARGER = 2  # times that small images are shown at most: 32 pixels as 64
_MULTIPLE = 32  # of the side: what every model of convolutions and most others take
_LEAST_VALIDATION = 200  # images, to choose by them once; with fewer all take turns (folds)
_MANY = 10_000  # images, of which a tenth is enough to choose by
HEAD_EPOCHS = 20  # of what is trained on features that are computed once


@dataclass(frozen=True)
class Setting:
    """What a study does with the images.

    Attributes:
        fraction: of the training images.
        image_size: side in pixels.
        epochs, batch_size: of training.
        validation: share that is held out. folds: 1, or parts that take turns in being held out.
        rates: candidates of the learning rate. seeds: trained models of each run.
        score: by which runs are compared.
    """

    fraction: float
    image_size: int
    epochs: int
    batch_size: int
    validation: float
    folds: int
    rates: int
    seeds: int
    score: str


# From little to all that pays: (share of the wanted epochs, largest side in pixels, folds, rates,
# seeds). Each takes about twice the time of the one before.
_RUNGS = ((0.13, 96, 3, 3, 3), (0.25, 96, 3, 4, 3), (0.5, 96, 5, 4, 3), (0.5, 128, 5, 4, 3),
          (1.0, 160, 5, 4, 3), (1.0, 224, 5, 4, 3), (1.0, 224, 5, 4, 5))
_FRACTIONS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
_LEAST_OF_A_CLASS = 100  # images, below which a fraction is not taken


@dataclass(frozen=True)
class Sides:
    """Sides in pixels of the images that a model takes.

    Attributes:
        made_for: of its weights. least: that it can work on. multiple: of what they must be one.
    """

    made_for: int
    least: int = 1
    multiple: int = 1

    def fitting(self, side: int) -> int:
        """The nearest that is allowed, not above what the weights were made for if possible."""
        if _MULTIPLE % self.multiple:
            return max(1, min(side, self.made_for) // self.multiple) * self.multiple
        return max(min(side, self.made_for), _MULTIPLE * math.ceil(self.least / _MULTIPLE))


def choose(look: Look, sides: Sides, seconds: Callable[[Setting], float],
           limit: float) -> Setting:
    """The most that the time allows: of all images where that is possible at all, and then of the
    rungs. Where nothing keeps it, the least there is.

    Args:
        seconds: how long a setting takes. limit: that it may take.
    """
    tried = None
    for setting in settings(look, sides):
        tried = setting
        if seconds(setting) <= limit:
            break
    return tried


def settings(look: Look, sides: Sides) -> Iterator[Setting]:
    """All that may be chosen, the better ones first."""
    smallest = min(look.train)
    for fraction in _FRACTIONS:
        if fraction == 1 or fraction * smallest >= _LEAST_OF_A_CLASS:
            for rung in reversed(_RUNGS):
                yield _setting(look, sides, fraction, *rung)


def _setting(look: Look, sides: Sides, fraction: float, share: float, side: int, folds: int,
             rates: int, seeds: int) -> Setting:
    images = round(fraction * sum(look.train))
    batch = 16 if images < 500 else 32 if images < 2000 else 64
    validation = 0.2 if images < _MANY else 0.1
    by_folds = validation * images < _LEAST_VALIDATION
    return Setting(
        fraction=fraction,
        image_size=sides.fitting(min(side, seen_at(look, sides))),
        epochs=max(3, round(share * wanted_epochs(images, batch))),
        batch_size=batch, validation=validation,
        folds=min(folds, look.groups) if by_folds else 1, rates=rates, seeds=seeds,
        score="balanced_accuracy" if max(look.train) >= TENFOLD * min(look.train) else "accuracy")


def seen_at(look: Look, sides: Sides) -> int:
    """Side in pixels at which they are best seen: as the weights were made for, or less where the
    images have less."""
    if look.side is None:
        return sides.made_for
    larger = _MULTIPLE * math.ceil(_LARGER * look.side / _MULTIPLE)
    return sides.fitting(max(2 * _MULTIPLE, larger))


def wanted_epochs(images: int, batch: int) -> int:
    """By the HyperRule's steps, of which one has `batch` images here."""
    steps = next(steps for least, steps in reversed(_STEPS.items()) if images >= least)
    fewest, most = _EPOCHS
    return min(most, max(fewest, round(steps * batch / images)))


def differences(less: Setting, more: Setting) -> list[str]:
    """What one setting does beyond another, in words."""
    found = []
    if more.fraction > less.fraction:
        found.append(f"{more.fraction:.3g} of the training images instead of "
                     f"{less.fraction:.3g}".replace("1 of the", "all"))
    for key, words in (("image_size", "{} pixels instead of {}"), ("epochs", "{} epochs instead of "
                       "{}"), ("folds", "{} folds instead of {}"), ("rates", "{} learning rates "
                       "instead of {}"), ("seeds", "{} seeds instead of {}")):
        after, before = getattr(more, key), getattr(less, key)
        if after > before:
            found.append(words.format(after, before))
    return found

