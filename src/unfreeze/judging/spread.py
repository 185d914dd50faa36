"""How far a run's mean over images varies from seed to seed, of which each run shows little itself.

    mean[run, seed] = run + common[seed] + own[run, seed]

What a seed does to all runs alike (it draws the same training images, in the same order) cancels in
a difference between runs on the same seeds; what it does to one run does not. The common part is a
median over runs, so that an unstable run does not move it; what it leaves is each run's own.

Two or three seeds say little about a variance: it therefore borrows from the study's other runs, as
in the moderated t of Smyth 2004 (https://doi.org/10.2202/1544-6115.1027). A study has too few runs
to tell how alike their variances are, so the weight of the others is fixed (BORROWED), to what 65
runs of this project's studies show (1.3 to 3.8 degrees of freedom); but it falls for a run that
varies more than chance explains, as in the robust moderated t of Phipson et al. 2016
(https://doi.org/10.1214/16-AOAS920). A run with one seed borrows its variance whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special  # scipy.stats would take a second to import

BORROWED = 1.0, 3.0  # degrees of freedom that the study's other runs count for, least and most
COMMON = 2.0  # degrees of freedom for a common part that is as large as a run's own
_ROUNDS = 20


@dataclass(frozen=True)
class Deviation:
    """Of a mean over images, from one seed to another.

    Attributes:
        variance: with that of the N images that it is a mean over, which the seed changes singly.
        degrees: of freedom of that variance.
        rest: what of the variance those single images make up, as the variance of a mean over N.
    """

    variance: float
    degrees: float
    rest: float = 0.0


@dataclass(frozen=True)
class Spread:
    """Over seeds, of runs that were tested on the same images.

    Attributes:
        own: {run: what a seed does to it}, without the runs of which nothing is known.
        common: what a seed does to all runs alike; None where nothing is known.
        alike: whether the runs' variances are one and the same number, as of two runs.
    """

    own: Mapping[str, Deviation]
    common: Deviation | None
    alike: bool = False


def estimated(values: Mapping[str, np.ndarray], seeds: Mapping[str, Sequence[int]]) -> Spread:
    """From what every run gave each image.

    Args:
        values: {run: (R, N)}, N alike. seeds: {run: R of them}.
    """
    several = [run for run in values if len(seeds[run]) > 1]
    if len(several) < 2:
        return Spread({run: _alone(values[run]) for run in several}, None)
    columns = {seed: place for place, seed in enumerate(
        dict.fromkeys(seed for run in several for seed in seeds[run]))}
    images = len(values[several[0]][0])
    cube = np.full((len(several), len(columns), images), np.nan)
    for row, run in enumerate(several):
        cube[row, [columns[seed] for seed in seeds[run]]] = values[run]
    cube = cube[:, (~np.isnan(cube[:, :, 0])).sum(axis=0) > 1]  # alone, own and common are one
    counts = (~np.isnan(cube[:, :, 0])).sum(axis=1)
    cube, several = cube[counts > 1], [run for run, n in zip(several, counts, strict=True) if n > 1]
    if len(several) < 2:
        return Spread({run: _alone(values[run]) for run in several}, None)
    return _crossed(cube, several, list(values))


def _alone(values: np.ndarray) -> Deviation:
    """Own and common in one, of a run that no other shares seeds with."""
    return Deviation(float(values.mean(axis=1).var(ddof=1)), len(values) - 1, _rest(values))


def _rest(values: np.ndarray) -> float:
    seeds, images = values.shape
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    return float((rest**2).sum() / (seeds - 1) / max(images - 1, 1) / images)


def _crossed(cube: np.ndarray, several: list[str], names: list[str]) -> Spread:
    """From (K, S, N) of K runs that have at least two of S seeds each, NaN where they have not."""
    means = cube.mean(axis=2)
    has = ~np.isnan(means)
    company, counts = has.sum(axis=0), has.sum(axis=1)
    common = np.zeros(means.shape[1])
    for _ in range(_ROUNDS):  # once is enough where all runs have all seeds
        level = np.nanmean(means - common, axis=1, keepdims=True)
        common = np.nanmedian(means - level, axis=0)
    kept = 1 - 1 / company  # of a variance, once the mean of so many runs is taken away
    residual = means - common
    residual = (residual - np.nanmean(residual, axis=1, keepdims=True)) / np.sqrt(kept)
    own = np.nansum(residual**2, axis=1) / (counts - 1)
    degrees = counts - 1
    total = float(degrees.sum() - (len(common) - 1))
    typical = _typical(own, degrees)

    singly = cube - np.nanmean(cube, axis=0)
    singly = (singly - np.nanmean(singly, axis=1, keepdims=True)) / np.sqrt(kept)[:, None]
    rest = np.nansum(np.nanvar(singly, axis=2), axis=1) / (counts - 1) / cube.shape[2]

    deviations = {}
    for row, run in enumerate(several):
        borrowed = _borrowed(own[row], degrees[row], typical)
        deviations[run] = Deviation(
            float((borrowed * typical + degrees[row] * own[row]) / (borrowed + degrees[row])),
            float(min(borrowed + degrees[row], max(total, 1))), float(rest[row]))
    unknown = Deviation(typical, float(min(BORROWED[1], max(total, 1))), float(np.median(rest)))
    of_common = len(common) - 1
    left = max(float(common.var(ddof=1)) - typical / np.median(company), 0.0)
    return Spread(
        {run: deviations.get(run, unknown) for run in names},
        Deviation((COMMON * typical + of_common * left) / (COMMON + of_common), COMMON + of_common),
        alike=len(several) == 2)


def _typical(variances: np.ndarray, degrees: np.ndarray) -> float:
    """Their median, so that one unstable run does not drown the others, over the median that they
    would have by chance were the true variance 1; their mean where most are 0."""
    shapes = degrees / 2  # of gamma distributions
    variance = np.median(variances / (special.gammaincinv(shapes, 0.5) / shapes))
    return float(variance or np.average(variances, weights=degrees))


def _borrowed(variance: float, degrees: int, typical: float) -> float:
    """Degrees of freedom that the study's other runs count for beside one variance: the most where
    it is below the median that chance gives, were the true one typical, and above it less, in
    proportion to the p-value of that (an F test)."""
    least, most = BORROWED
    if not typical:
        return least if variance else most
    p = special.fdtrc(degrees, most, variance / typical)
    return round(float(np.clip(2 * p * most, least, most)), 1)  # few distributions to compute
