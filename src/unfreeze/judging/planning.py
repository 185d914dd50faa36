"""How many seeds, or test images, a difference takes to be shown; and which one a study could show.

A two-sided test at a level finds a difference in 80 of 100 studies (POWER) where it is as large as
Student's quantile of that level and the normal one of the power together, in standard errors. The
variance over seeds is known badly from a few of them: the seeds needed come as the range that its
quartiles give.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from unfreeze.judging.statistics import Effect

POWER = 0.8
MOST = 100  # seeds, or times as many images: more than anybody would spend
QUARTILES = 0.25, 0.75


@dataclass(frozen=True)
class Range:
    """Of a number that is needed.

    Attributes:
        low: where the variance over seeds is at its lower quartile, high: at its upper one; None
            where no number up to MOST would do.
    """

    low: int | None
    high: int | None


def smallest(effect: Effect, level: float) -> float:
    """The difference that a test at `level` finds in 80 of 100 studies such as this one."""
    return float(_reach(level, effect.image_variance, effect.seed_variance, effect.degrees))


def seeds_needed(effect: Effect, difference: float, level: float) -> Range | None:
    """Seeds, more than now, with which a test at `level` would find so large a difference in 80 of
    100 studies; None where no number up to MOST would do, or what seeds do is unknown."""
    if effect.here:
        return None
    low, high = (_seeds(effect, difference, level, share) for share in QUARTILES)
    return Range(low, high) if low else None


def _seeds(effect: Effect, difference: float, level: float, quartile: float) -> int | None:
    """With the variance over seeds at a quartile of what is known of it (chi-squared)."""
    scale = 1.0
    if effect.seed_variance:
        scale = effect.degrees / (2 * special.gammaincinv(effect.degrees / 2, 1 - quartile))
    seeds = np.arange(effect.seeds + 1, MOST + 1)
    over = effect.seeds / seeds
    reach = _reach(level, effect.image_variance - effect.rest_variance * (1 - over),
                   scale * effect.seed_variance * over, effect.degrees + seeds - effect.seeds)
    enough = seeds[reach <= abs(difference)]
    return int(enough[0]) if len(enough) else None


def images_needed(effect: Effect, difference: float, level: float) -> int | None:
    """The same for test images; None where no number up to MOST times theirs would do."""
    times = np.geomspace(1, MOST, 400)[1:]
    reach = _reach(level, effect.image_variance / times, effect.seed_variance, effect.degrees)
    enough = times[reach <= abs(difference)]
    return int(np.ceil(enough[0] * effect.images)) if len(enough) else None


def with_images(effect: Effect, times: float) -> Effect:
    """As it would probably be with so many times the test images."""
    return replace(effect, image_variance=effect.image_variance / times,
                   rest_variance=effect.rest_variance / times)


def _reach(level: float, image_variance, seed_variance, degrees) -> np.ndarray:
    """By Welch and Satterthwaite's degrees of freedom; of arrays, element by element."""
    variance = image_variance + seed_variance
    with np.errstate(divide="ignore", invalid="ignore"):
        joint = np.where(np.asarray(seed_variance) > 0,
                         np.square(variance) * degrees / np.square(seed_variance), 1e6)
    return (special.stdtrit(np.minimum(joint, 1e6), 1 - level / 2)
            + special.ndtri(POWER)) * np.sqrt(variance)
