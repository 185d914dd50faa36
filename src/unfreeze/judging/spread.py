"""How far a run's mean over images varies from seed to seed, of which each run shows little itself.

    mean[run, seed] = run + common[seed] + own[run, seed]

What a seed does to all runs alike (it draws the same training images, in the same order) cancels in
a difference between runs on the same seeds; what it does to one run does not. The common part is a
median over runs, so that an unstable run does not move it; what it leaves is each run's own.

Two or three seeds say little about a variance: it therefore borrows from the study's other runs, as
in the moderated t of Smyth 2004 (https://doi.org/10.2202/1544-6115.1027). There, variances have a
scaled inverse chi-squared distribution: a typical one, and degrees of freedom that say how alike
they are. Here neither is a number that is estimated, which so few runs cannot do: draws are over
the posterior of both (Gelman et al., Bayesian Data Analysis, 3rd edition, section 5.3), so that
where one run is seen to be unstable, all are believed less. A run with one seed borrows its
variance whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from zlib import crc32

import numpy as np
from scipy import special  # scipy.stats would take a second to import

# Degrees of freedom that say how alike variances are, and how likely they are beforehand: 65 runs
# of this project's studies showed 1.3 to 3.8, and none was needed in one.
DEGREES = {1.0: 4.0, 2.0: 2.0, 4.0: 1.0, 8.0: 0.5, 16.0: 0.25}
COMMON = 2.0  # degrees of freedom for a common part that is as large as a run's own
_SCALES = np.geomspace(1e-3, 1e3, 91)  # of the mean variance, all as likely beforehand
_ROUNDS = 20
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Own:
    """What is seen of a run's own deviation from seed to seed.

    Attributes:
        variance: with that of the N images of each mean, which a seed changes singly.
        degrees: of freedom; 0 where the run has one seed.
        rest: what of the variance those single images make up.
    """

    variance: float
    degrees: int
    rest: float


@dataclass(frozen=True, eq=False)
class Typical:
    """What is known of the variances of all runs, as C cases and how likely each is.

    Attributes:
        variance, degrees: (C,) of a scaled inverse chi-squared distribution.
        weight: (C,), of sum 1.
    """

    variance: np.ndarray
    degrees: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, eq=False)
class Spread:
    """Over seeds, of runs that were tested on the same images.

    Attributes:
        own: {run: what is seen of it}, without the runs of which nothing is known.
        typical: what all runs together tell.
        common: variance of what a seed does to all runs alike, and its degrees of freedom; None
            where nothing is known.
        alike: whether the runs' variances are one and the same number, as of two runs.
    """

    own: Mapping[str, Own]
    typical: Typical
    common: tuple[float, float] | None
    alike: bool = False

    def own_deviation(self, run: str, size: int) -> "Deviation":
        """Of one seed of a run, in so many draws, the b-th of every run from the same case."""
        own, typical = self.own[run], self.typical
        degrees = typical.degrees + own.degrees
        squares = typical.degrees * typical.variance + own.degrees * own.variance
        cases = np.searchsorted(np.cumsum(typical.weight), uniform(size, "case")[1])
        cases = np.minimum(cases, len(typical.weight) - 1)
        share = uniform(size, "alike" if self.alike else f"run {run}")[1]
        variances = np.empty(size)
        for each in np.unique(degrees):
            drawn = degrees[cases] == each
            variances[drawn] = squares[cases[drawn]] / _chi_squared(size, each)(share[drawn])
        return _deviation(float(typical.weight @ (squares / degrees)),
                          float(1 / (typical.weight @ (1 / degrees))), variances, f"run {run}",
                          own.rest, borrowed=bool(typical.degrees.any()) and not self.alike)

    def common_deviation(self, seed: int, size: int) -> "Deviation":
        """Of what a seed does to all runs alike, in so many draws."""
        variance, degrees = self.common
        variances = variance * degrees / _chi_squared(size, degrees)(uniform(size, "common")[1])
        return _deviation(variance, degrees, variances, f"seed {seed}")


@dataclass(frozen=True, eq=False)
class Deviation:
    """Of a mean over images, from one seed to another, without what those images do.

    Attributes:
        variance: as expected. degrees: of freedom, a harmonic mean, since the few decide the tails.
        rest: variance that its images add, and that a mean over seeds has among its images' too.
        draws: (B,), each with a variance that is drawn too. joint: (B,), all with the expected one.
        borrowed: whether other runs tell about the variance.
    """

    variance: float
    degrees: float
    rest: float
    draws: np.ndarray
    joint: np.ndarray
    borrowed: bool = False


def _deviation(variance: float, degrees: float, variances: np.ndarray, key: str,
               rest: float = 0.0, borrowed: bool = False) -> Deviation:
    """From (B,) draws of the variance, with what images do."""
    normal = _normal(len(variances), key)
    left = max(variance - rest, 0.0)
    return Deviation(left, degrees, rest, normal * np.sqrt(np.maximum(variances - rest, 0.0)),
                     normal * np.sqrt(left), borrowed)


@cache
def _normal(size: int, key: str) -> np.ndarray:
    return special.ndtri(uniform(size, key)[0])


@cache
def uniform(size: int, key: str) -> np.ndarray:
    """(2, size) from 0 to 1, independent of those of another key: the points of a Fibonacci
    lattice, which is even in the square, in an order of the key's own (a Latin hypercube: McKay et
    al. 1979)."""
    order = np.random.default_rng(crc32(key.encode())).permutation(size)
    points = order + 0.5
    return np.stack([points / size, points * _GOLDEN % 1])


@cache
def _chi_squared(size: int, degrees: float):
    """Its quantiles, (n,) -> (n,), from a table, since the draws are many."""
    logs = np.linspace(special.logit(0.1 / size), special.logit(1 - 0.1 / size), 2_000)
    quantiles = np.log(2 * special.gammaincinv(degrees / 2, special.expit(logs)))
    return lambda share: np.exp(np.interp(special.logit(share), logs, quantiles))


def estimated(values: Mapping[str, np.ndarray], seeds: Mapping[str, Sequence[int]]) -> Spread:
    """From what every run gave each image.

    Args:
        values: {run: (R, N)}, N alike. seeds: {run: R of them}.
    """
    columns = list(dict.fromkeys(seed for run in values for seed in seeds[run]))
    has = np.array([[seed in seeds[run] for seed in columns] for run in values], bool)
    has = has.reshape(len(values), len(columns))
    while True:  # a seed that one run has alone tells nothing, nor does a run with one that is left
        shared = has.sum(axis=0) > 1
        enough = (has & shared).sum(axis=1) > 1
        if (has == has & shared & enough[:, None]).all():
            break
        has = has & shared & enough[:, None]
    crossed = [run for run, some in zip(values, has.any(axis=1), strict=True) if some]
    if not crossed:
        return Spread({run: _alone(each) for run, each in values.items() if len(each) > 1},
                      Typical(np.zeros(1), np.zeros(1), np.ones(1)), None)
    has = has[has.any(axis=1)][:, has.any(axis=0)]
    columns = [seed for seed, one in zip(columns, shared, strict=True) if one]
    cube = np.full((*has.shape, values[crossed[0]].shape[1]), np.nan)
    for row, run in enumerate(crossed):
        cube[row, has[row]] = [values[run][seeds[run].index(seed)]
                               for seed, one in zip(columns, has[row], strict=True) if one]
    return _crossed(cube, crossed, list(values))


def _alone(values: np.ndarray) -> Own:
    """Own and common in one, of a run that no other shares seeds with."""
    seeds, images = values.shape
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    return Own(float(values.mean(axis=1).var(ddof=1)), seeds - 1,
               float((rest**2).sum() / (seeds - 1) / max(images - 1, 1) / images))


def _crossed(cube: np.ndarray, several: list[str], names: list[str]) -> Spread:
    """From (K, S, N) of K runs that have at least two of S seeds each, NaN where they have not."""
    means = cube.mean(axis=2)
    has = ~np.isnan(means)
    company, degrees = has.sum(axis=0), has.sum(axis=1) - 1
    common = np.zeros(means.shape[1])
    for _ in range(1 if has.all() else _ROUNDS):
        level = np.nanmean(means - common, axis=1, keepdims=True)
        common = np.nanmedian(means - level, axis=0)
    kept = 1 - 1 / company  # of a variance, once the mean of so many runs is taken away
    residual = means - common
    residual = (residual - np.nanmean(residual, axis=1, keepdims=True)) / np.sqrt(kept)
    variances = np.nansum(residual**2, axis=1) / degrees

    singly = cube - np.nanmean(cube, axis=0)
    singly = (singly - np.nanmean(singly, axis=1, keepdims=True)) / np.sqrt(kept)[:, None]
    singly = np.where(has[:, :, None], singly, 0.0).var(axis=2).sum(axis=1)
    rest = singly / degrees / cube.shape[2]

    own = {run: Own(float(variances[row]), int(degrees[row]), float(rest[row]))
           for row, run in enumerate(several)}
    typical = _typical(variances, degrees)
    a_run_s = float(typical.weight @ typical.variance)
    unseen = Own(0.0, 0, float(np.median(rest)))
    left = max(float(common.var(ddof=1)) - a_run_s / np.median(company), 0.0)
    free = COMMON + len(common) - 1
    return Spread({run: own.get(run, unseen) for run in names}, typical,
                  ((COMMON * a_run_s + (free - COMMON) * left) / free, free),
                  alike=len(several) == 2)


def _typical(variances: np.ndarray, degrees: np.ndarray) -> Typical:
    """The posterior of what K runs have in common. Each of their variances has an F distribution
    times the typical one."""
    mean = variances.mean()
    if not mean:
        return Typical(np.zeros(1), np.ones(1), np.ones(1))
    typical, free = (each.ravel() for each in np.meshgrid(mean * _SCALES, list(DEGREES)))
    logs = np.log([DEGREES[each] for each in free])
    independent = 1 - 1 / len(variances)  # the K residuals of a seed have a mean of 0
    for variance, own in zip(np.maximum(variances, 1e-6 * mean), degrees, strict=True):
        ratio = own * variance / typical
        logs += independent * (
            special.gammaln((own + free) / 2) - special.gammaln(free / 2)
            + own / 2 * np.log(ratio / free) - (own + free) / 2 * np.log1p(ratio / free))
    weight = np.exp(logs - logs.max())
    return Typical(typical, free, weight / weight.sum())
