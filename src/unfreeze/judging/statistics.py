"""How certain a score, or a difference between runs, is. NumPy and SciPy, seeded.

Everything is a contrast: a sum of runs times coefficients, each run the mean of its (R, N) scores
over R seeds and N test images. Images and seeds are both samples:

    value[run, seed, image] = run + what the image, the seed, and both together add

Images are resampled (the bootstrap: Efron & Tibshirani 1993, bias-corrected and accelerated, BCa,
chapter 14.3), all runs with the same images, so that they are compared in pairs. Seeds are too few
to be resampled: a resample of n values has (n - 1) / n of their variance, of two seeds half. Their
part is drawn instead and added to each resample: normal, with a variance that is itself drawn from
what is known about it (chi-squared), so that alone it would be Student's t; see spread. Runs
on the same seeds share the common part of a draw, so that it cancels in their difference; all draws
are of all runs together, so that what two contrasts have in common is in their draws
(correction needs that).

Where nothing is known of the spread over seeds (one seed everywhere, say), there is no such part:
the effect is that of these trained models, over test images alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np
from scipy import special  # scipy.stats would take a second to import

from unfreeze.judging import spread
from unfreeze.judging.spread import Deviation

CONFIDENCE = 0.95
# The level of 95 % intervals where the variance over seeds is borrowed from other runs: so those of
# runs five times less stable than the others hold the truth in over 90 of 100 studies with 2 seeds
# (docs/verdicts.md).
CAUTIOUS = 0.97
RESAMPLES = 9_999
TAIL = 0.005  # the share of draws beyond which their distribution is taken to be Student's
_BLOCK = 16  # columns
_DIGITS = 9  # after the point, of resampled means
_CHUNK = 2**22  # resampled images at a time, which bounds memory
_KEPT = 2**26  # of them at most from one call to the next
_NORMAL = 1e6  # degrees of freedom that make Student's distribution the normal one


@dataclass(frozen=True, eq=False)
class Scores:
    """One score of the runs that were tested on the same images.

    Attributes:
        values: {run: (R, N)}, float, N alike.
        seeds: {run: R of them}.
    """

    values: Mapping[str, np.ndarray]
    seeds: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Contrast:
    """What an effect is estimated from.

    Attributes:
        scores: of all runs, those that the contrast leaves out too: they tell about the spread.
        coefficients: {run: not 0}, at least one.
        constant: what is added.
        bounds: the lowest and the highest that the effect can be, perhaps infinite; None: not
            bounded. They cut the interval, and where all images agree it comes from them.
        paired_hits: whether it is the difference of two runs' hits and misses, which one seed
            alone gives to McNemar's test.
    """

    scores: Scores
    coefficients: Mapping[str, float]
    constant: float = 0.0
    bounds: tuple[float, float] | None = None
    paired_hits: bool = False


@dataclass(frozen=True)
class Effect:
    """An estimated effect.

    Attributes:
        mean, low, high: the effect and its 95 % interval.
        p_above, p_below: one-sided p-values, of the hypotheses that it is not above, not below 0.
        seeds: of the run that has fewest. images: N.
        image_variance, seed_variance: the two parts of the mean's variance; more images shrink the
            first, more seeds the second.
        rest_variance: what of image_variance more seeds shrink too.
        degrees: of freedom of seed_variance; 0 where it is not known.
        here: whether seeds tell nothing, so that the effect is that of these trained models.
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
    degrees: float = 0.0
    here: bool = False


@dataclass(frozen=True, eq=False)
class Deviations:
    """How far an estimate may lie from the truth.

    Attributes:
        draws: (B,), the b-th of every contrast on the same images and seeds.
        joint: (B,), the same with the variances over seeds as expected: what contrasts have in
            common, without the common chance that a variance is far off, which nobody knows.
        degrees: of freedom of Student's distribution, which they have in their tails.
        acceleration: how fast their spread grows with what is estimated.
    """

    draws: np.ndarray
    joint: np.ndarray
    degrees: float
    acceleration: float

    @cached_property
    def ordered(self) -> np.ndarray:
        return np.sort(self.draws)

    @cached_property
    def bias(self) -> float:
        """How far their median is off: z0 of BCa."""
        return float(special.ndtri(_share_below(self.ordered, 0.0, self.degrees)))

    @property
    def ranks(self) -> np.ndarray:
        """(B,), from 0 to 1, of the joint draws: one-sided p-values of estimates that lie so far
        from no effect."""
        ranks = np.empty(len(self.joint))
        ranks[np.argsort(self.joint, kind="stable")] = np.arange(len(ranks)) + 0.5
        return ranks / len(ranks)

    def p_values(self, estimate: float) -> tuple[float, float]:
        """One-sided, of the hypotheses that the truth is not above, and not below 0."""
        above = _share_below(self.ordered, -estimate, self.degrees)
        below = _share_below(-self.ordered[::-1], estimate, self.degrees)
        return (_inverted(above, self.bias, self.acceleration),
                _inverted(below, -self.bias, -self.acceleration))

    def interval(self, outside: float) -> tuple[float, float]:
        """What to add to an estimate, so that the truth is left out in a share `outside` of all
        cases, as often on either side."""
        low, high = (_quantile(self.ordered, _bca(level, self.bias, self.acceleration),
                               self.degrees) for level in (outside / 2, 1 - outside / 2))
        return low, high


@dataclass(frozen=True, eq=False)
class Sample:
    """An effect with what it was estimated from.

    Attributes:
        effect: itself.
        deviations: None where all images agree.
        bounds: of the contrast.
    """

    effect: Effect
    deviations: Deviations | None
    bounds: tuple[float, float] | None

    def interval(self, outside: float) -> tuple[float, float]:
        """The ends that leave out the truth in a share `outside` of all cases."""
        return _interval(self.effect.mean, self.effect.images, self.deviations, self.bounds,
                         outside)


def samples(contrasts: Sequence[Contrast], resamples: int | None = None) -> list[Sample]:
    """Estimate every contrast. What one gives does not depend on which others are there.

    Args:
        resamples: None: RESAMPLES.
    """
    resamples = resamples or RESAMPLES
    scores = {id(contrast.scores): contrast.scores for contrast in contrasts}
    runs = dict.fromkeys((key, run) for contrast in contrasts for key in [id(contrast.scores)]
                         for run in contrast.coefficients)
    columns = {key: scores[key[0]].values[key[1]].mean(axis=0) for key in runs}
    resampled: dict[tuple, np.ndarray] = {}
    for images in {len(column) for column in columns.values()}:
        alike = [key for key, column in columns.items() if len(column) == images]
        means = _resampled_means(np.stack(
            [columns[key] - columns[key].mean() for key in alike], axis=1), resamples)
        resampled |= {key: means[:, place] for place, key in enumerate(alike)}
    spreads = {key: spread.estimated(each.values, each.seeds) for key, each in scores.items()}
    own = cache(lambda key, run: spreads[key].own_deviation(run, resamples))
    common = cache(lambda key, seed: spreads[key].common_deviation(seed, resamples))
    drawn = []
    for contrast in contrasts:
        key = id(contrast.scores)
        parts = None
        if spreads[key].own.keys() >= contrast.coefficients.keys():
            parts = [(factor, own(key, run)) for run, factor in _own_factors(contrast).items()]
            if spreads[key].common:
                parts += [(factor, common(key, seed))
                          for seed, factor in _common_factors(contrast).items()]
        drawn.append(_sample(contrast, {run: columns[key, run] for run in contrast.coefficients},
                             {run: resampled[key, run] for run in contrast.coefficients}, parts))
    return drawn


def _own_factors(contrast: Contrast) -> dict[str, float]:
    """{run: of the deviation of one of its seeds}."""
    return {run: factor / np.sqrt(len(contrast.scores.seeds[run]))
            for run, factor in contrast.coefficients.items()}


def _common_factors(contrast: Contrast) -> dict[int, float]:
    """{seed: of what it does to all runs alike}, without those that cancel."""
    factors: dict[int, float] = {}
    for run, factor in contrast.coefficients.items():
        seeds = contrast.scores.seeds[run]
        for seed in seeds:
            factors[seed] = factors.get(seed, 0.0) + factor / len(seeds)
    return {seed: factor for seed, factor in factors.items() if abs(factor) > 1e-9}


def effects(contrasts: Sequence[Contrast], resamples: int | None = None) -> list[Effect]:
    """The effects of `samples`."""
    return [sample.effect for sample in samples(contrasts, resamples)]


def _resampled_means(columns: np.ndarray, resamples: int) -> np.ndarray:
    """(B, M): means of M columns of N values over B samples of N images with replacement, the same
    samples for every column and every call."""
    images, wanted = columns.shape
    # Products of one shape only: with another the last digits of a column could be others.
    columns = np.pad(columns, ((0, 0), (0, -wanted % _BLOCK)))
    few = images * resamples <= _KEPT
    means = [np.concatenate([weights @ columns[:, block:block + _BLOCK]
                             for block in range(0, columns.shape[1], _BLOCK)], axis=1)
             for counts in (_kept_counts if few else _counts)(images, resamples)
             for weights in [counts.astype(np.float64)]]
    # The last digits of a product depend on how many threads share it; rounded, ties are ties.
    return np.round(np.concatenate(means)[:, :wanted] / images, _DIGITS)


def _counts(images: int, resamples: int) -> Iterator[np.ndarray]:
    """How often each of N images is in each of B samples, (some of B, N) uint8 at a time."""
    random = np.random.default_rng([images, resamples])
    rows = max(1, _CHUNK // images)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = random.integers(0, images, (count, images), dtype=np.int32)
        drawn += np.arange(count, dtype=np.int32)[:, None] * images
        yield np.bincount(drawn.ravel(), minlength=count * images).reshape(
            count, images).astype(np.uint8)


@lru_cache(maxsize=1)
def _kept_counts(images: int, resamples: int) -> list[np.ndarray]:
    """For the next call, which is about the same images."""
    return list(_counts(images, resamples))


def _sample(contrast: Contrast, columns: Mapping[str, np.ndarray],
            resampled: Mapping[str, np.ndarray],
            parts: Sequence[tuple[float, Deviation]] | None) -> Sample:
    """One contrast.

    Args:
        columns: {run: (N,) means over seeds}. resampled: {run: (B,) deviations of their mean}.
        parts: its deviation over seeds, as factors and what they are of; None: unknown.
    """
    coefficients = contrast.coefficients
    per_image = contrast.constant + sum(
        factor * columns[run] for run, factor in coefficients.items())
    images, mean = len(per_image), float(per_image.mean())
    seeds = [len(contrast.scores.seeds[run]) for run in coefficients]
    of_images = float(per_image.var(ddof=1) / images) if images > 1 else 0.0
    here, parts = parts is None, parts or []
    of_seeds = sum(factor**2 * part.variance for factor, part in parts)
    rest = sum(factor**2 * part.rest for factor, part in parts)
    # Welch and Satterthwaite's degrees of freedom.
    doubt = sum((factor**2 * part.variance)**2 / part.degrees for factor, part in parts)
    deviations = None
    if not of_images + of_seeds:
        above, below = _without_variance(mean, images, contrast.bounds)
    else:
        draws = joint = np.round(
            sum(factor * resampled[run] for run, factor in coefficients.items()), _DIGITS - 1)
        for factor, part in parts:
            draws, joint = draws + factor * part.draws, joint + factor * part.joint
        # BCa's acceleration: of the images' skewness; the part of the seeds is symmetric.
        cubes = float((((per_image - mean) / images)**3).sum())
        # Far out, they are like those of the part that is known least.
        degrees = min((part.degrees for _, part in parts if part.draws.any()), default=_NORMAL)
        deviations = Deviations(draws, joint, degrees, cubes / (6 * (of_images + of_seeds)**1.5))
        above, below = (_mcnemar(per_image) if contrast.paired_hits and here and max(seeds) == 1
                        else deviations.p_values(round(mean, _DIGITS - 1)))
    level = CAUTIOUS if any(part.borrowed for _, part in parts) else CONFIDENCE
    low, high = _interval(mean, images, deviations, contrast.bounds, 1 - level)
    effect = Effect(mean, low, high, above, below, min(seeds), images, of_images, of_seeds,
                    min(rest, of_images), of_seeds**2 / doubt if doubt else 0.0, here)
    return Sample(effect, deviations, contrast.bounds)


def _interval(mean: float, images: int, deviations: Deviations | None,
              bounds: tuple[float, float] | None, outside: float) -> tuple[float, float]:
    """Around a mean; where all N images agree, another value has a share of at most
    1 - tail^(1/N) (Clopper and Pearson 1934, for 0 of N; about 3.7/N)."""
    if not deviations:
        room = 1 - (outside / 2)**(1 / images)
        low, high = (mean + room * (bound - mean) if np.isfinite(bound) else mean
                     for bound in bounds or (np.inf, np.inf))
        return low, high
    low, high = (mean + end for end in deviations.interval(outside))
    return tuple(np.clip((low, high), *bounds).tolist()) if bounds else (low, high)


def _without_variance(mean: float, images: int,
                      bounds: tuple[float, float] | None) -> tuple[float, float]:
    """p_above and p_below where all N images agree: the chance that no image shows the bound, were
    the true mean 0 or beyond."""
    def p(mean: float, bound: float) -> float:
        if mean <= 0:
            return 1.0
        return max(0.0, -bound / (mean - bound))**images if np.isfinite(bound) else 0.0

    lowest, highest = bounds or (np.inf, np.inf)
    return p(mean, lowest), p(-mean, -highest)


def _share_below(ordered: np.ndarray, value: float, degrees: float) -> float:
    """Of sorted values, ties counting half; in the lower tail by Student's distribution, scaled to
    join them, since few of them lie there; never 0 or 1."""
    size = len(ordered)
    join = ordered[int(TAIL * size)]
    if value < join < 0:
        return float(max(special.stdtr(
            degrees, special.stdtrit(degrees, TAIL) * value / join), 1e-300))
    left, right = np.searchsorted(ordered, value, "left"), np.searchsorted(ordered, value, "right")
    return float(np.clip((left + right) / 2 / size, 1 / (size + 1), size / (size + 1)))


def _quantile(ordered: np.ndarray, share: float, degrees: float) -> float:
    """The value with so many below: the inverse of `_share_below`, in both tails."""
    place = int(TAIL * len(ordered))
    for join, outside in ((ordered[place], share), (ordered[-1 - place], 1 - share)):
        if outside < TAIL and join:
            return float(join * special.stdtrit(degrees, outside) / special.stdtrit(degrees, TAIL))
    return float(np.quantile(ordered, share))


def _bca(level: float, z0: float, acceleration: float) -> float:
    """The percentile of the draws that stands for a level (equation 14.10)."""
    z = z0 + special.ndtri(level)
    return float(special.ndtr(z0 + z / np.clip(1 - acceleration * z, 0.5, 2)))


def _inverted(share: float, z0: float, acceleration: float) -> float:
    """The level whose bound is at the percentile `share`: the inverse of `_bca`, but in far tails,
    where an acceleration says nothing."""
    z = special.ndtri(share) - z0
    return float(special.ndtr(z / np.clip(1 + acceleration * z, 0.5, 2) - z0))


def _mcnemar(differences: np.ndarray) -> tuple[float, float]:
    """McNemar's exact test: of the images that only one of two models got right, is the first one's
    share above one half, is it below (McNemar 1947; binomial)? One-sided p-values of both."""
    first_only, second_only = int((differences > 0).sum()), int((differences < 0).sum())
    total = first_only + second_only
    return (float(special.bdtrc(first_only - 1, total, 0.5)),
            float(special.bdtrc(second_only - 1, total, 0.5)))
