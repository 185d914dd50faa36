"""What the true scores of runs are, given what their replicates scored. NumPy, seeded.

A hierarchical normal model (Gelman et al., Bayesian Data Analysis, 3rd edition, section 5.4; its
use to choose the best of several: Laird and Louis 1989, https://doi.org/10.3102/10769986014001029):

    mean of replicate (run k, seed s) = true_k + common_s + own_ks + what its test images add
    true_k ~ Normal(mu, spread^2)

Nothing is known of mu. The spread of the true scores comes from the study itself: it is averaged
over its posterior, with the uniform shrinkage prior (Daniels 1999,
https://doi.org/10.2307/3316112), which is proper and so also serves where there are two runs. The
variance of a run's own seeds is measured together with that of the study's other runs (Smyth 2004,
https://doi.org/10.2202/1544-6115.1027); what seeds do to all runs alike is a variance of its own,
and what test images do is a covariance, since runs see the same ones. A score is pulled towards the
others the more, the less is known of it: of the run with the highest measured score the posterior
mean is lower than that score, which is what it owes to luck.

Shapes: K runs, M replicates of all of them together. Higher is better throughout.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special

BORROWED = 4  # degrees of freedom that the other runs count for beside a run's own variance
_LEAST_DEGREES = 3  # of a variance, however few seeds a study has
DRAWS = 20_000
_STEPS = 100  # of the spread
_TIMES_NOISE = 0.02, 500.0  # the least and the largest spread that is considered
_NEXT_TO_NOTHING = 1e-12
_TAIL = 0.975  # to which the wider distribution is matched
_FEW = 1e-6  # degrees of freedom, of which rounding leaves some where there are none
_ENOUGH_FOR_A_MEDIAN = 5  # runs


@dataclass(frozen=True)
class Replicates:
    """What replicates scored.

    Attributes:
        run, seed: (M,) int, which run it is of, 0 to K - 1, and which seed it has; a number stands
            for the same seed in every run. Each run has at least one.
        score: (M,), means over its images.
        images: (M, M), their covariance under sampling of images.
    """

    run: np.ndarray
    seed: np.ndarray
    score: np.ndarray
    images: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """(K,) replicates of each run."""
        return np.bincount(self.run)


@dataclass(frozen=True)
class Noise:
    """What stands between the scores of replicates and the true scores of runs.

    Attributes:
        own: (K,) variance of a run's seeds, beyond that of its images. common: what they share.
        doubt: (K,) what to add to `own` where it matters how wide the truth may lie, since it is
            known from a few seeds: as much as Student's t is wider than the normal distribution.
        replicate, same_run, same_seed, other: (K, K) covariance under sampling of images, of a
            replicate of one run and one of another: itself; of the same run and another seed (both
            diagonal); of another run and the same seed; of another run and another seed.
        known: whether anything is known of own and common; else they are 0, and what is said is
            said of these trained models.
    """

    own: np.ndarray
    doubt: np.ndarray
    common: float
    replicate: np.ndarray
    same_run: np.ndarray
    same_seed: np.ndarray
    other: np.ndarray
    known: bool

    def of_means(self, counts: np.ndarray) -> np.ndarray:
        """(K, K) covariance of the runs' means over seeds, doubt included.

        Args:
            counts: (K,) seeds of each, of which any two runs share as many as they can.
        """
        pairs = np.multiply.outer(counts, counts)
        shared = np.minimum.outer(counts, counts)
        of_pairs = (shared * (self.replicate + self.same_seed + self.common)
                    + (pairs - shared) * (self.same_run + self.other))
        return of_pairs / pairs + np.diag((self.own + self.doubt) / counts)


@dataclass(frozen=True)
class Posterior:
    """What is known of the true scores of K runs.

    Attributes:
        mean: (K,). covariance: (K, K).
        spread: posterior mean of the standard deviation between true scores; None with one run.
        noise: that the scores had.
        counts: (K,) replicates.
    """

    mean: np.ndarray
    covariance: np.ndarray
    spread: float | None
    noise: Noise
    counts: np.ndarray

    @property
    def deviation(self) -> np.ndarray:
        """(K,) standard deviations."""
        return np.sqrt(self.covariance.diagonal())

    def deviation_from(self, run: int) -> np.ndarray:
        """(K,) standard deviations of the differences to a run."""
        variances = self.covariance.diagonal()
        return np.sqrt(np.maximum(variances + variances[run] - 2 * self.covariance[run], 0.0))

    def draws(self) -> np.ndarray:
        """(DRAWS, K) from it."""
        return self.mean + _normal(self.covariance)


def posterior(replicates: Replicates) -> Posterior:
    """The true scores, given the replicates'."""
    counts = replicates.counts
    noise, score, covariance, wide = _means(replicates)
    if len(score) == 1:
        return Posterior(score, wide, None, noise, counts)
    spread, prior = _spreads(score, covariance)
    given = _given(spread, score, covariance)
    weight = prior * np.exp(given.likelihood - given.likelihood.max())
    weight /= weight.sum()
    mean = weight @ given.mean
    off = given.mean - mean
    covariance = (np.einsum("s,skl->kl", weight, _given(spread, score, wide).covariance)
                  + np.einsum("s,sk,sl->kl", weight, off, off))
    return Posterior(mean, covariance, float(weight @ spread), noise, counts)


def loss_with(known: Posterior, counts: np.ndarray, within: np.ndarray) -> float:
    """How far the run that will then look best is expected to lie below the truly best one, with
    more replicates on the same test images (the expected value of sample information: Raiffa and
    Schlaifer 1961).

    Args:
        counts: (K,) replicates that each run will have, no fewer than now.
        within: (K,) bool, the runs to choose from.
    """
    if known.spread is None:
        return 0.0
    now, then = (_given(np.array([known.spread]), known.mean, known.noise.of_means(each)
                        ).covariance[0] for each in (known.counts, counts))
    # What will be learnt moves the means, by as much as the uncertainty falls.
    moved = (known.mean + _normal(_positive(now - then)))[:, within]
    truth = (known.mean + _normal(now))[:, within]
    return float(max(0.0, truth.max(axis=1).mean() - moved.max(axis=1).mean()))


def _means(replicates: Replicates) -> tuple[Noise, np.ndarray, np.ndarray, np.ndarray]:
    """The noise, and each run's mean over seeds, (K,), with its covariance, without doubt and with:
    generalised least squares, which adjusts a run that lacks a seed for what that seed did to the
    others. Where all have the same seeds it is the plain mean."""
    runs = np.equal.outer(replicates.run, np.arange(len(replicates.counts))).astype(float)  # M, K
    same_seed = np.equal.outer(replicates.seed, replicates.seed)
    total, common_total, noise = _noise(replicates, runs)
    covariance = (replicates.images + np.diag(runs @ noise.own) + noise.common * same_seed)
    weighting = np.linalg.inv(np.diag(runs @ total) + common_total * same_seed)
    gain = np.linalg.solve(runs.T @ weighting @ runs, runs.T @ weighting)
    known, wide = (_positive(gain @ each @ gain.T) for each in (
        covariance, covariance + np.diag(runs @ noise.doubt)))
    return noise, gain @ replicates.score, known, wide


def _noise(replicates: Replicates, runs: np.ndarray) -> tuple[np.ndarray, float, Noise]:
    """The variances between replicates, of each run (K,) and common to all, what images do to them
    included, as a fit needs them; and the noise, in its parts.

    Args:
        runs: (M, K), 1 where a replicate is of a run.
    """
    has = np.equal.outer(replicates.seed, np.unique(replicates.seed)).astype(float)
    shared = has[:, has.sum(axis=0) > 1]  # seeds of several runs
    design = np.hstack([runs, shared])
    inverse = np.linalg.pinv(design)
    residual = np.eye(len(runs)) - design @ inverse
    left = runs.T @ residual.diagonal()  # (K,) degrees of freedom
    image_parts = _image_parts(replicates, runs)
    if left.sum() < _FEW:  # nobody has two seeds that tell
        total = np.maximum(image_parts["replicate"].diagonal(), _NEXT_TO_NOTHING)
        nothing = np.zeros_like(left)
        return total, 0.0, Noise(nothing, nothing, 0.0, **image_parts, known=False)
    # What is left of a replicate has a little of every run's variance; which share is known.
    unmixed = np.linalg.pinv(runs.T @ residual**2 @ runs)
    found = np.maximum(unmixed @ (runs.T @ (residual @ replicates.score)**2), 0.0)
    of_images = unmixed @ (runs.T @ (residual @ replicates.images @ residual).diagonal())
    of_images[left < _FEW] = np.average(of_images, weights=left)  # of runs with one seed
    total = (BORROWED * _typical(found, left) + left * found) / (BORROWED + left)
    own = np.maximum(total - of_images, 0.0)
    degrees = np.clip(BORROWED + left, _LEAST_DEGREES, max(_LEAST_DEGREES, left.sum()))
    doubt = total * ((special.stdtrit(degrees, _TAIL) / special.ndtri(_TAIL))**2 - 1)
    common_total, common = _common(replicates, inverse[runs.shape[1]:], runs @ total,
                                   runs @ own)
    return (np.maximum(total, _NEXT_TO_NOTHING), common_total,
            Noise(own, doubt, common, **image_parts, known=True))


def _typical(variances: np.ndarray, degrees: np.ndarray) -> float:
    """A typical one of the runs' variances: their mean; of five runs or more the median, so that
    one unstable run does not drown the others, over the median that chance would give, were the
    true one 1."""
    some = degrees > _FEW
    mean = float(np.average(variances, weights=degrees))
    if some.sum() < _ENOUGH_FOR_A_MEDIAN:
        return mean
    shapes = degrees[some] / 2  # of gamma distributions
    return float(np.median(variances[some] / (special.gammaincinv(shapes, 0.5) / shapes))) or mean


def _common(replicates: Replicates, inverse: np.ndarray, total: np.ndarray,
            own: np.ndarray) -> tuple[float, float]:
    """The variance of what seeds do to all runs alike, with what images do and without.

    Args:
        inverse: (S, M), from replicates to the effect of each of S shared seeds, to which a
            constant may be added.
        total, own: (M,) variances of the replicates' own, with what images do and without.
    """
    seeds = len(inverse)
    if seeds < 2:
        return 0.0, 0.0
    centred = inverse - inverse.mean(axis=0)
    found = ((centred @ replicates.score)**2).sum()
    of_images = np.trace(centred @ replicates.images @ centred.T)
    return tuple(max(float(found - part), 0.0) / (seeds - 1) for part in (
        (centred**2 @ total).sum(), (centred**2 @ own).sum() + of_images))


def _image_parts(replicates: Replicates, runs: np.ndarray) -> dict[str, np.ndarray]:
    """What `Noise` holds of images: means over pairs of replicates, (K, K)."""
    itself, of_a_run = np.eye(len(runs)), np.eye(runs.shape[1]).astype(bool)
    same_seed = np.equal.outer(replicates.seed, replicates.seed) - itself
    same_run = runs @ runs.T - itself
    parts = {}
    for name, pairs, where in (
            ("replicate", itself, of_a_run), ("same_run", same_run, of_a_run),
            ("same_seed", same_seed * (1 - same_run), ~of_a_run),
            ("other", (1 - itself) * (1 - same_seed) * (1 - same_run), ~of_a_run)):
        number = runs.T @ pairs @ runs
        sums = runs.T @ (pairs * replicates.images) @ runs
        overall = sums.sum() / max(number.sum(), 1.0)  # for runs without such a pair
        parts[name] = np.where(where, np.divide(
            sums, number, out=np.full_like(sums, overall), where=number > 0.5), 0.0)
    return parts


def _spreads(score: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations between the true scores, and how probable each is before any score is
    seen: the share by which it pulls a score towards the mean is uniform."""
    runs = len(covariance)
    centre = np.eye(runs) - 1 / runs
    typical = float(np.median((centre @ covariance @ centre).diagonal()) * runs / (runs - 1))
    if typical < _NEXT_TO_NOTHING:  # the scores are exact
        return np.full(1, score.std(ddof=1)), np.ones(1)
    times = np.geomspace(*_TIMES_NOISE, _STEPS)
    # Of the share 1 / (1 + times^2), the change by the logarithm of `times`.
    return np.sqrt(typical) * times, times**2 / (1 + times**2)**2


@dataclass(frozen=True)
class _Given:
    """What follows for each of S standard deviations between true scores.

    Attributes:
        likelihood: (S,), its logarithm, less a constant. mean: (S, K). covariance: (S, K, K).
    """

    likelihood: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray


def _given(spread: np.ndarray, score: np.ndarray, covariance: np.ndarray) -> _Given:
    """The true scores (K,) for each of some spreads (S,), whose common mean is integrated out."""
    noise, axes = np.linalg.eigh(covariance)  # along whose axes everything is independent
    noise = np.maximum(noise, 0.0)
    ones, turned = axes.T @ np.ones(len(score)), axes.T @ score
    true = np.maximum(spread**2, _NEXT_TO_NOTHING)[:, None]
    total = noise + true  # S, K
    of_mu = (ones**2 / total).sum(axis=1, keepdims=True)
    off = turned - ones * (ones * turned / total).sum(axis=1, keepdims=True) / of_mu
    likelihood = -(np.log(total).sum(axis=1) + np.log(of_mu[:, 0])
                   + (off**2 / total).sum(axis=1)) / 2
    kept = noise / total  # of a deviation from the common mean, what is put down to noise
    from_mu = (kept * ones) @ axes.T / np.sqrt(of_mu)
    return _Given(likelihood, score - (kept * off) @ axes.T,
                  np.einsum("ki,si,li->skl", axes, kept * true, axes, optimize=True)
                  + from_mu[:, :, None] * from_mu[:, None, :])


def _positive(covariance: np.ndarray) -> np.ndarray:
    """The nearest covariance without negative variances, which rounding leaves."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def _normal(covariance: np.ndarray) -> np.ndarray:
    """(DRAWS, K) normal values with that covariance and means of exactly 0; the same for every
    call."""
    room = _NEXT_TO_NOTHING * (1.0 + covariance.trace())  # for what has no variance
    # The one factor that is the same on every machine: the signs of eigenvectors are not.
    factor = np.linalg.cholesky(covariance + room * np.eye(len(covariance)))
    return _standard_normal(len(covariance)) @ factor.T


@cache
def _standard_normal(columns: int) -> np.ndarray:
    draws = np.random.default_rng(DRAWS).standard_normal((DRAWS // 2, columns))
    return np.concatenate([draws, -draws])
