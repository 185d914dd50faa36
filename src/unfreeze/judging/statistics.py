"""How certain a score, or a difference between runs, is. NumPy and SciPy, seeded.

Everything is a contrast: a matrix (R, N) for R seeds and N test images, holding the scores that a
run gave each image, or the difference between two runs, or any sum of runs times coefficients. Its
mean is the effect. Images and seeds are both samples:

    value[s, i] = effect + image_i + seed_s + rest_si

Images are resampled (the bootstrap: Efron & Tibshirani 1993, bias-corrected and accelerated, BCa,
chapter 14.3), all seeds and all runs with the same images, so that runs are compared in pairs.
Seeds are too few to be resampled: a resample of n values has (n - 1) / n of their variance, of two
seeds half. Their part is drawn instead and added to each resample: normal, with a variance that is
itself drawn from what R seeds say about it (chi-squared), so that alone it would be Student's t.
Two or three seeds say little; a variance therefore borrows from the study's other runs, as in the
moderated t of Smyth 2004 (https://doi.org/10.2202/1544-6115.1027). A study has too few runs to tell
how alike their variances are, so the weight of the others is fixed (BORROWED); but it falls for a
run that varies more than chance explains, as in the robust moderated t of Phipson et al. 2016
(https://doi.org/10.1214/16-AOAS920). tests/test_statistics.py prints how often 95 % intervals hold
the truth in simulated studies: 96 to 97 % where runs are alike, 83 to 94 % for a run that is five
times less stable than the rest. With one seed there is no such part: the effect is that of these
trained models, over test images alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
from scipy import special  # scipy.stats would take a second to import

CONFIDENCE = 0.95
RESAMPLES = 9_999
BORROWED = 1, 6  # degrees of freedom that the study's other runs count for, at least and at most
POWER = 0.8
MOST = 100  # seeds, or times as many images: more than anybody would spend
_GOLDEN = (5**0.5 - 1) / 2
_BLOCK = 16  # columns
_DIGITS = 9  # after the point, of resampled means
_CHUNK = 2**22  # resampled images at a time, which bounds memory


@dataclass(frozen=True)
class Prior:
    """What other contrasts of a study say about the variance of a seed's mean.

    Attributes:
        variance: their typical one, for a contrast whose squared coefficients sum to 1.
        most: degrees of freedom that the study has in all, which no contrast can exceed.
    """

    variance: float
    most: int

    def scaled(self, squares: float) -> "Prior":
        """For a contrast whose squared coefficients sum to `squares`."""
        return Prior(self.variance * squares, self.most)


@dataclass(frozen=True)
class Contrast:
    """What an effect is estimated from.

    Attributes:
        values: (R, N), float.
        prior: of its variance over seeds; None: it stands alone.
        bounds: the lowest and the highest that the mean can be, perhaps infinite; None: not
            bounded. They cut the interval, and where all images agree it comes from them.
        paired_hits: whether the values are differences of two runs' hits and misses, which one seed
            alone gives to McNemar's test.
    """

    values: np.ndarray
    prior: Prior | None = None
    bounds: tuple[float, float] | None = None
    paired_hits: bool = False


@dataclass(frozen=True)
class Effect:
    """An estimated effect.

    Attributes:
        mean, low, high: the effect and its 95 % interval.
        p_above, p_below: one-sided p-values, of the hypotheses that it is not above, not below 0.
        seeds, images: R and N.
        image_variance, seed_variance: the two parts of the mean's variance; more images shrink the
            first, more seeds the second.
        rest_variance: what of image_variance more seeds shrink too; 0 with one seed, unknown.
    """

    mean: float
    low: float
    high: float
    p_above: float
    p_below: float
    seeds: int
    images: int
    image_variance: float
    seed_variance: float
    rest_variance: float = 0.0


def effects(contrasts: Sequence[Contrast], resamples: int = RESAMPLES) -> list[Effect]:
    """Estimate every contrast. What one gives does not depend on which others are there."""
    estimated: dict[int, Effect] = {}  # by index of contrasts
    for images in {contrast.values.shape[1] for contrast in contrasts}:
        alike = [index for index, contrast in enumerate(contrasts)
                 if contrast.values.shape[1] == images]
        columns = [contrasts[index].values.mean(axis=0) for index in alike]
        deviations = _resampled_means(
            np.stack([column - column.mean() for column in columns], axis=1), resamples)
        for column, index in enumerate(alike):
            estimated[index] = _effect(contrasts[index], deviations[:, column])
    return [estimated[index] for index in range(len(contrasts))]


def _resampled_means(columns: np.ndarray, resamples: int) -> np.ndarray:
    """(B, M): means of M columns of N values over B samples of N images with replacement, the same
    samples for every column and every call."""
    images, wanted = columns.shape
    # Products of one shape only: with another the last digits of a column could be others.
    columns = np.pad(columns, ((0, 0), (0, -wanted % _BLOCK)))
    random = np.random.default_rng([images, resamples])
    rows = max(1, _CHUNK // images)
    means = np.empty((resamples, columns.shape[1]))
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = random.integers(0, images, (count, images), dtype=np.int32)
        drawn += np.arange(count, dtype=np.int32)[:, None] * images
        weights = np.bincount(drawn.ravel(), minlength=count * images).reshape(count, images)
        weights = weights.astype(np.float64)
        for block in range(0, means.shape[1], _BLOCK):
            means[start:start + count, block:block + _BLOCK] = (
                weights @ columns[:, block:block + _BLOCK])
    # The last digits of a product depend on how many threads share it; rounded, ties are ties.
    return np.round(means[:, :wanted] / images, _DIGITS)


def _effect(contrast: Contrast, deviations: np.ndarray) -> Effect:
    """One effect from resampled deviations from its mean, (B,)."""
    values = contrast.values
    seeds, images = values.shape
    per_image = values.mean(axis=0)
    mean = float(per_image.mean())
    image_variance = float(per_image.var(ddof=1) / images) if images > 1 else 0.0
    variance, degrees, shared = _over_seeds(values, contrast.prior)
    seed_variance = max(variance - shared, 0.0) / seeds
    if not image_variance + seed_variance:
        return _without_variance(mean, seeds, images, contrast.bounds)

    if seeds > 1:
        deviations = deviations + _seed_deviations(
            len(deviations), variance, degrees, shared) / np.sqrt(seeds)
    deviations = np.sort(deviations)
    # BCa: z0, how far the median is off, and a, the acceleration, of the images' skewness; the
    # part of the seeds is symmetric.
    z0 = special.ndtri(_share_below(deviations, 0.0))
    influence = (per_image - mean) / images
    acceleration = float(
        (influence**3).sum() / (6 * (image_variance + seed_variance) ** 1.5))
    tail = (1 - CONFIDENCE) / 2
    low, high = (mean + float(np.quantile(deviations, _bca(level, z0, acceleration)))
                 for level in (tail, 1 - tail))
    if contrast.bounds:
        low, high = np.clip((low, high), *contrast.bounds).tolist()
    no_effect = -round(mean, _DIGITS)
    if contrast.paired_hits and seeds == 1:
        above, below = _mcnemar(int((values > 0).sum()), int((values < 0).sum()))
    else:
        above = _inverted(_share_below(deviations, no_effect), z0, acceleration)
        below = _inverted(1 - _share_below(deviations, no_effect), -z0, -acceleration)
    return Effect(mean, low, high, above, below, seeds, images, image_variance, seed_variance,
                  min(shared / seeds, image_variance))


def _over_seeds(values: np.ndarray, prior: Prior | None) -> tuple[float, float, float]:
    """The variance of a seed's mean, its degrees of freedom, and what of it is the rest's (its
    variance over N), which the variance over images holds already."""
    seeds, images = values.shape
    if seeds == 1:
        return 0.0, 0, 0.0
    variance, degrees = float(values.mean(axis=1).var(ddof=1)), seeds - 1
    if prior:
        borrowed = _borrowed(variance, degrees, prior.variance)
        variance = (borrowed * prior.variance + degrees * variance) / (borrowed + degrees)
        degrees = min(borrowed + degrees, max(prior.most, degrees))
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    return variance, degrees, float((rest**2).sum() / (seeds - 1) / max(images - 1, 1) / images)


def _borrowed(variance: float, degrees: int, typical: float) -> float:
    """Degrees of freedom that the study's other runs count for beside one variance: the most where
    it is below the median that chance gives, were the true one typical, and above it less, in
    proportion to the p-value of that (an F test)."""
    least, most = BORROWED
    if not typical:
        return least if variance else most
    p = special.fdtrc(degrees, most, variance / typical)
    return round(float(np.clip(2 * p * most, least, most)), 1)  # few distributions to compute


def _seed_deviations(size: int, variance: float, degrees: float, shared: float) -> np.ndarray:
    """(size,) draws of how far a seed's mean lies from the mean of all seeds."""
    normal, inverse = _seed_distribution(size, degrees)
    return normal * np.sqrt(np.maximum(variance * inverse - shared, 0.0))


@cache
def _seed_distribution(size: int, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """(size,) standard normal values, and values of degrees / chi-squared."""
    # The points of a Fibonacci lattice in the unit square: the distributions, not a sample.
    points = np.arange(size) + 0.5
    normal, chi_squared = points / size, points * _GOLDEN % 1
    return special.ndtri(normal), degrees / (2 * special.gammaincinv(degrees / 2, chi_squared))


def _without_variance(mean: float, seeds: int, images: int,
                      bounds: tuple[float, float] | None) -> Effect:
    """Where all N images agree, another value has a share of at most 1 - tail^(1/N) (Clopper and
    Pearson 1934, for 0 of N; about 3.7/N)."""
    tail = (1 - CONFIDENCE) / 2
    low, high = (
        mean + (1 - tail ** (1 / images)) * (bound - mean) if np.isfinite(bound) else mean
        for bound in bounds or (np.inf, np.inf))

    def p(mean: float, bound: float) -> float:
        """That no image shows the bound, were the true mean 0 or beyond."""
        if mean <= 0:
            return 1.0
        return max(0.0, -bound / (mean - bound)) ** images if np.isfinite(bound) else 0.0

    lowest, highest = bounds or (np.inf, np.inf)
    return Effect(mean, low, high, p(mean, lowest), p(-mean, -highest), seeds, images, 0.0, 0.0)


def _share_below(ordered: np.ndarray, value: float) -> float:
    """Of sorted values, ties counting half; never 0 or 1, which no finite sample can say."""
    left, right = np.searchsorted(ordered, value, "left"), np.searchsorted(ordered, value, "right")
    size = len(ordered)
    return float(np.clip((left + right) / 2 / size, 1 / (size + 1), size / (size + 1)))


def _bca(level: float, z0: float, acceleration: float) -> float:
    """The percentile of the resamples that stands for a level (equation 14.10)."""
    z = z0 + special.ndtri(level)
    return float(special.ndtr(z0 + z / (1 - acceleration * z)))


def _inverted(share: float, z0: float, acceleration: float) -> float:
    """The level whose bound is at the percentile `share`: the inverse of `_bca`."""
    z = special.ndtri(share) - z0
    return float(special.ndtr(z / (1 + acceleration * z) - z0))


def prior_of_runs(means: Iterable[dict[int, float]]) -> Prior | None:
    """What single runs say about the spread over seeds.

    Args:
        means: of each run, {seed: mean over images}.

    Returns:
        None where fewer than two runs have more than one seed.
    """
    several = [list(by_seed.values()) for by_seed in means if len(by_seed) > 1]
    degrees = [len(values) - 1 for values in several]
    return _prior([np.var(values, ddof=1) for values in several], degrees, sum(degrees))


def prior_of_differences(means: Iterable[dict[int, float]]) -> Prior | None:
    """What differences between runs on their common seeds say about it, as for `prior_of_runs`; for
    coefficients whose squares sum to 1, so that a difference takes `.scaled(2)`."""
    several = [by_seed for by_seed in means if len(by_seed) > 1]
    variances, degrees = [], []
    for run, other in combinations(several, 2):
        common = run.keys() & other.keys()
        if len(common) > 1:
            variances.append(np.var([run[seed] - other[seed] for seed in common], ddof=1) / 2)
            degrees.append(len(common) - 1)
    # Of K runs, K - 1 differences are independent.
    of_runs = [len(by_seed) - 1 for by_seed in several]
    return _prior(variances, degrees, sum(of_runs) - max(of_runs, default=0))


def _prior(variances: list, degrees: list[int], most: int) -> Prior | None:
    """Their median, so that one unstable run does not drown the others, over the median that they
    would have by chance were the true variance 1; their mean where most are 0."""
    if len(variances) < 2:
        return None
    shapes = np.array(degrees) / 2  # of gamma distributions
    variance = np.median(variances / (special.gammaincinv(shapes, 0.5) / shapes))
    return Prior(float(variance or np.average(variances, weights=degrees)), most)


def _mcnemar(first_only: int, second_only: int) -> tuple[float, float]:
    """McNemar's exact test: of the images that only one of two models got right, is the first one's
    share above one half, is it below (McNemar 1947; binomial)? One-sided p-values of both."""
    total = first_only + second_only
    return (float(special.bdtrc(first_only - 1, total, 0.5)),
            float(special.bdtrc(second_only - 1, total, 0.5)))


def holm(p: Sequence[float]) -> list[float]:
    """Corrected p-values, in the order given: at a level, the chance of any false rejection among
    all is at most that level (Holm 1979)."""
    order = sorted(range(len(p)), key=lambda index: p[index])
    corrected, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, (len(p) - rank) * p[index])
        corrected[index] = min(1.0, largest)
    return corrected


def seeds_needed(effect: Effect, alpha: float) -> int | None:
    """Seeds with which a two-sided test at `alpha` would find an effect of this size in 80 of 100
    studies; None where no number up to MOST would do, or one seed leaves it unknown."""
    spare = _allowed_variance(effect, alpha) - (effect.image_variance - effect.rest_variance)
    if effect.seeds == 1 or spare <= 0:
        return None
    shrinks = effect.seed_variance + effect.rest_variance
    seeds = int(np.ceil(shrinks * effect.seeds / spare))
    return max(seeds, effect.seeds + 1) if seeds <= MOST else None


def images_needed(effect: Effect, alpha: float) -> int | None:
    """The same for test images; None where no number up to MOST times theirs would do."""
    spare = _allowed_variance(effect, alpha) - effect.seed_variance
    if spare <= 0:
        return None
    images = int(np.ceil(effect.image_variance * effect.images / spare))
    return max(images, effect.images + 1) if images <= MOST * effect.images else None


def _allowed_variance(effect: Effect, alpha: float) -> float:
    return float(effect.mean / (special.ndtri(1 - alpha / 2) + special.ndtri(POWER))) ** 2
