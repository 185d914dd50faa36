"""Intervals, tests and planning: known cases, references, and simulated studies."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

from helpers import ROOT
from unfreeze.judging import statistics
from unfreeze.judging.statistics import Contrast, Effect, Prior, effects


def estimate(values, **keywords) -> Effect:
    (effect,) = effects([Contrast(np.asarray(values, float), **keywords)])
    return effect


def test_one_seed_agrees_with_scipy_s_bca_bootstrap_on_skewed_scores():
    scores = np.random.default_rng(0).exponential(size=400) ** 1.5
    ours = estimate(scores[None])
    theirs = stats.bootstrap((scores,), np.mean, method="BCa", n_resamples=20_000,
                             rng=np.random.default_rng(1)).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)
    assert ours.high - ours.mean > 1.1 * (ours.mean - ours.low)  # skewed as the scores are
    assert (ours.seeds, ours.images, ours.seed_variance) == (1, 400, 0)


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_where_images_agree_the_interval_is_student_s(seeds):
    means = np.random.default_rng(seeds).normal(70, 2, seeds)
    ours = estimate(np.repeat(means[:, None], 50, axis=1))
    reach = stats.t.ppf(0.975, seeds - 1) * means.std(ddof=1) / np.sqrt(seeds)
    assert ours.mean == pytest.approx(means.mean())
    assert ours.high - ours.mean == pytest.approx(reach, rel=0.02)
    assert ours.mean - ours.low == pytest.approx(reach, rel=0.02)


# The last is one that nobody would take for typical.
@pytest.mark.parametrize(("prior", "borrowed"), [
    (6.0, 6), (2.0, 4.3), (0.5, 12 * stats.f.sf(4, 1, 6)), (0.01, 1)])
def test_the_variance_over_seeds_is_moderated_by_what_others_show(prior, borrowed):
    means = np.array([69.0, 71.0])  # variance 2, one degree of freedom
    values = np.repeat(means[:, None], 50, axis=1)
    ours = estimate(values, prior=Prior(prior, most=20))
    moderated = (borrowed * prior + 2) / (borrowed + 1)
    assert ours.seed_variance == pytest.approx(moderated / 2, rel=0.02)
    reach = stats.t.ppf(0.975, borrowed + 1) * np.sqrt(moderated / 2)
    assert ours.high - ours.low == pytest.approx(2 * reach, rel=0.03)
    capped = estimate(values, prior=Prior(prior, most=1))
    assert capped.seed_variance == ours.seed_variance
    assert capped.high - capped.low > 1.5 * (ours.high - ours.low)


def test_a_run_is_believed_that_varies_where_no_other_does():
    means = np.array([69.0, 71.0])
    ours = estimate(np.repeat(means[:, None], 50, axis=1), prior=Prior(0.0, most=20))
    assert ours.seed_variance == pytest.approx(2 / 2 / 2)  # 1 degree of freedom is 0, its own is 2
    same = estimate(np.full((2, 50), 70.0) + np.arange(50), prior=Prior(0.0, most=20))
    assert same.seed_variance == 0


def test_priors_by_hand():
    runs = [{1: 70.0, 2: 72.0}, {1: 60.0, 2: 61.0}, {1: 50.0, 2: 51.0}, {1: 99.0}]
    chance = stats.chi2.ppf(0.5, 1)  # median of a variance of two values, were the true one 1
    prior = statistics.prior_of_runs(runs)
    assert (prior.variance, prior.most) == (pytest.approx(0.5 / chance), 3)
    # Differences by seed: (10, 11), (20, 21), (10, 10); half their variances; 4 - 1 - 1 df.
    prior = statistics.prior_of_differences(runs)
    assert (prior.variance, prior.most) == (pytest.approx(0.25 / chance), 2)
    assert prior.scaled(2) == Prior(2 * prior.variance, 2)
    for too_few in ([], runs[:1], runs[3:]):
        assert statistics.prior_of_runs(too_few) is None
        assert statistics.prior_of_differences(too_few) is None
    assert statistics.prior_of_differences(runs[:2]) is None  # one difference
    alike = [{1: 5.0, 2: 5.0}] * 3 + [{1: 1.0, 2: 3.0}]
    assert statistics.prior_of_runs(alike).variance == pytest.approx(2 / 4)


def test_a_prior_is_not_drowned_by_one_unstable_run():
    random = np.random.default_rng(1)
    runs = [dict(enumerate(random.normal(70, 1, 3))) for _ in range(40)]
    steady = statistics.prior_of_runs(runs).variance
    assert steady == pytest.approx(1, rel=0.35)
    unstable = statistics.prior_of_runs([*runs, {0: 10.0, 1: 90.0, 2: 50.0}]).variance
    assert unstable == pytest.approx(steady, rel=0.15)


def test_variances_add_up_and_the_interaction_counts_once():
    random = np.random.default_rng(5)
    seeds, images = 400, 400
    values = (random.normal(0, 1, (1, images)) + random.normal(0, 0.2, (seeds, 1))
              + random.normal(0, 3, (seeds, images)))
    ours = estimate(values)
    # 9 / (400 * 400) of the rest is in the first part, and not in the second.
    assert ours.image_variance == pytest.approx((1 + 9 / 400) / 400, rel=0.15)
    assert ours.seed_variance == pytest.approx(0.04 / 400, rel=0.25)


def test_an_effect_does_not_depend_on_what_else_is_estimated():
    random = np.random.default_rng(3)
    contrasts = [Contrast(random.normal(number, 5, (2, images)))
                 for number, images in enumerate([50, 80] * 20)]
    together = effects(contrasts, 500)
    assert together == [effects([contrast], 500)[0] for contrast in contrasts]
    assert together[7:30] == effects(contrasts[7:30], 500)


def test_shift_and_scale_carry_over():
    values = np.random.default_rng(4).normal(3, 5, (3, 200))
    plain, moved = estimate(values), estimate(-2 * values + 1)
    assert moved.mean == pytest.approx(1 - 2 * plain.mean)
    assert moved.low == pytest.approx(1 - 2 * plain.high, abs=0.2)
    assert moved.high == pytest.approx(1 - 2 * plain.low, abs=0.2)
    assert estimate(-values).p_below == pytest.approx(plain.p_above, abs=0.0005)


@pytest.mark.parametrize("shift", [-1.0, -0.3, -0.02, 0.02, 0.3, 1.0])
def test_the_interval_and_the_p_values_say_the_same(shift):
    values = np.random.default_rng(6).exponential(size=(2, 300))
    plain = estimate(values, prior=Prior(0.001, 10))
    for bound, name in ((plain.low, "p_above"), (plain.high, "p_below")):
        # With 0 just outside the bound p is below 2.5 %, just inside above it.
        moved = estimate(values - bound - 0.05 * shift, prior=Prior(0.001, 10))
        outside = (shift < 0) == (name == "p_above")
        assert (getattr(moved, name) < 0.025) == outside


def test_where_all_images_agree_the_bounds_still_leave_room():
    low, high = stats.binomtest(40, 40).proportion_ci(0.95, "exact")
    right = estimate(np.full((1, 40), 100.0), bounds=(0, 100))
    assert (right.low, right.high) == (pytest.approx(100 * low), 100 * high)
    assert right.p_above == 0 and right.p_below == 1  # an accuracy above 0 needs no test
    tie = estimate(np.zeros((2, 40)), bounds=(-100, 100))
    assert tie.low == -tie.high == pytest.approx(-100 * (1 - low))
    assert tie.p_above == tie.p_below == 1
    assert estimate(np.zeros((1, 5))).high == 0  # nothing is known of the bounds


@pytest.mark.parametrize(("images", "above"), [(100, 95), (50, 92), (10, 60), (10, 99)])
def test_where_all_images_agree_p_is_the_binomial_s(images, above):
    """All are right: how likely is that where the true accuracy is the claimed one?"""
    own = estimate(np.full((2, images), 100.0 - above), bounds=(-above, 100 - above))
    assert own.p_above == pytest.approx(stats.binomtest(
        images, images, above / 100, alternative="greater").pvalue)
    assert own.p_below == 1 and (own.low > 0) == (own.p_above < 0.025)
    mirrored = estimate(np.full((2, images), above - 100.0), bounds=(above - 100, above))
    assert (mirrored.p_below, mirrored.p_above) == (own.p_above, 1)


@pytest.mark.parametrize("images", [5, 6])
def test_where_every_image_tells_two_runs_apart_p_is_mcnemar_s(images):
    own = estimate(np.full((1, images), 100.0), bounds=(-100, 100), paired_hits=True)
    assert own.p_above == pytest.approx(0.5**images)


def test_an_interval_ends_where_the_metric_does():
    values = np.array([[0.0] * 30 + [100.0] * 2, [0.0] * 32])
    assert estimate(values).low < 0
    assert estimate(values, bounds=(0, np.inf)).low == 0
    assert estimate(values, bounds=(0, 1)).high == 1


def test_one_image():
    assert estimate([[100.0]], bounds=(0, 100)).low == pytest.approx(2.5)


@pytest.mark.parametrize(("first", "second"), [(5, 0), (0, 5), (10, 25), (121, 59)])
def test_one_seed_of_hits_and_misses_is_tested_with_mcnemar(first, second):
    """Exactly, by the binomial distribution, whatever images both or neither got right."""
    values = np.array([[100.0] * first + [-100.0] * second + [0.0] * 200])
    ours = estimate(values, paired_hits=True)
    for p, alternative in ((ours.p_above, "greater"), (ours.p_below, "less")):
        assert p == pytest.approx(stats.binomtest(
            first, first + second, alternative=alternative).pvalue)
    several = np.repeat(values, 2, axis=0)
    assert estimate(several, paired_hits=True).p_above == estimate(several).p_above


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert statistics.holm([]) == []


def test_what_would_decide_a_claim_gives_the_power_it_promises():
    effect = Effect(mean=2.0, low=0, high=0, p_above=0.2, p_below=0.8, seeds=2, images=1000,
                    image_variance=0.1, seed_variance=1.5)
    for needed, key in ((statistics.seeds_needed(effect, 0.05), "seed_variance"),
                        (statistics.images_needed(replace(effect, seed_variance=0.3), 0.05),
                         "image_variance")):
        have = effect.seeds if key == "seed_variance" else effect.images
        assert needed > have
        other = 0.1 if key == "seed_variance" else 0.3
        for number, enough in ((needed, True), (needed - 1, False)):
            variance = other + getattr(effect, key) * have / number
            power = special.ndtr(effect.mean / np.sqrt(variance) - special.ndtri(0.975))
            assert (power >= 0.8) == enough or number <= have
    assert statistics.seeds_needed(replace(effect, image_variance=5.0), 0.05) is None
    assert statistics.images_needed(effect, 0.05) is None  # the seeds alone leave it open
    assert statistics.seeds_needed(replace(effect, seeds=1, seed_variance=0.0), 0.05) is None
    assert statistics.images_needed(replace(effect, mean=0.001), 0.05) is None


def simulate(random, runs: int, seeds: int, images: int, own: float | list[float]):
    """Hits of some runs, (runs, seeds, images), and their true accuracies: an image's difficulty,
    a run's skill, and what the seed gives to all runs, to a run, and to each of its images; all
    normal, so that the accuracy over all images and seeds is known."""
    skill, common, rest = random.normal(0.6, 0.1, runs), 0.03, 0.6
    own = np.broadcast_to(own, runs)
    latent = (random.normal(0, 1, images) + skill[:, None, None]
              + random.normal(0, common, (1, seeds, 1))
              + random.normal(0, 1, (runs, seeds, 1)) * own[:, None, None]
              + random.normal(0, rest, (runs, seeds, images)))
    return (100.0 * (latent > 0),
            100 * special.ndtr(skill / np.sqrt(1 + common**2 + own**2 + rest**2)))


def coverage(studies: int, seeds: int, images: int,
             own: float | list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Percentage of intervals that hold the truth, for each of ten runs and for its difference to
    the one before it."""
    random, runs, resamples = np.random.default_rng([seeds, images]), 10, 999
    single, paired = [], []
    for _ in range(studies):
        hits, truth = simulate(random, runs, seeds, images, own)
        means = [dict(enumerate(run.mean(axis=1))) for run in hits]
        alone, between = statistics.prior_of_runs(means), statistics.prior_of_differences(means)
        found = effects([Contrast(run, alone) for run in hits] + [
            Contrast(hits[run] - hits[run - 1], between.scaled(2)) for run in range(runs)],
            resamples)
        single.append([each.low <= true <= each.high
                       for each, true in zip(found[:runs], truth, strict=True)])
        paired.append([each.low <= truth[run] - truth[run - 1] <= each.high
                       for run, each in enumerate(found[runs:])])
    return 100 * np.mean(single, axis=0), 100 * np.mean(paired, axis=0)


def test_most_intervals_hold_the_truth():
    single, paired = coverage(studies=40, seeds=2, images=300, own=0.05)
    assert 90 <= single.mean() <= 99.5 and 91 <= paired.mean() <= 99.5


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "images", "own"), [
    (2, 500, 0.05), (2, 2000, 0.05), (3, 500, 0.05), (5, 500, 0.1),
    (2, 500, [0.02, 0.1] * 5)])
def test_95_percent_of_intervals_hold_the_truth(seeds, images, own):
    single, paired = (held.mean() for held in coverage(300, seeds, images, own))
    print(f"{seeds} seeds, {images} images: {single:.1f} % of runs, {paired:.1f} % of differences")
    assert 93 <= single <= 97.5 and 93 <= paired <= 97.5


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "images", "least"), [(2, 500, 79), (3, 500, 81), (5, 500, 88)])
def test_most_intervals_of_a_run_hold_the_truth_that_is_far_less_stable(seeds, images, least):
    """Its seeds spread five times as much as those of the nine others."""
    single, paired = coverage(400, seeds, images, [0.05] * 9 + [0.25])
    print(f"{seeds} seeds, {images} images: {single[9]:.1f} % of the run, {paired[9]:.1f} % of its "
          f"differences; {single[:9].mean():.1f} and {paired[1:9].mean():.1f} % of the others")
    assert least <= min(single[9], paired[9]) and 93 <= single[:9].mean()


def test_one_seed_holds_the_truth_of_its_own_models():
    """With the seed's own part taken as it is, images are all that is sampled."""
    random, held = np.random.default_rng(9), []
    for _ in range(40):
        rates = special.ndtr(random.normal(0.6, 1.2, (10, 300)))  # of images, of ten trained models
        truth = 100 * special.ndtr(0.6 / np.sqrt(1 + 1.2**2))
        hits = 100.0 * (random.random(rates.shape) < rates)
        held += [each.low <= truth <= each.high
                 for each in effects([Contrast(run[None]) for run in hits], 499)]
    assert 91 <= 100 * np.mean(held) <= 98


def test_the_number_of_threads_changes_nothing():
    code = """
import numpy as np
from unfreeze.judging.statistics import Contrast, effects
hits = np.random.default_rng(3).integers(0, 2, (60, 2, 2000)) * 100.0
print(effects([Contrast(one - other) for one, other in zip(hits, hits[1:])]))
"""
    printed = {subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": threads,
                          "OPENBLAS_NUM_THREADS": threads}).stdout for threads in ("1", "2")}
    assert len(printed) == 1 and "Effect(" in printed.pop()
