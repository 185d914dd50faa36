"""Intervals, tests and planning: known cases, references, and simulated studies."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import special, stats

from helpers import ROOT
from unfreeze.judging import spread, statistics
from unfreeze.judging.statistics import Contrast, Effect, Scores, effects


def contrast(values, **keywords) -> Contrast:
    """Of one run that no other tells anything about."""
    values = np.asarray(values, float)
    return Contrast(Scores({"run": values}, {"run": range(len(values))}), {"run": 1.0}, **keywords)


def estimate(values, **keywords) -> Effect:
    (effect,) = effects([contrast(values, **keywords)])
    return effect


def between(values, first="a", second="b", seeds=None, **keywords) -> Effect:
    """The difference of two runs among some, {run: (R, N)}."""
    seeds = seeds or {run: range(len(scores)) for run, scores in values.items()}
    (effect,) = effects([Contrast(Scores(values, seeds), {first: 1.0, second: -1.0}, **keywords)])
    return effect


def flat(means, images=50):
    """(R, N) of seeds whose images agree."""
    return np.repeat(np.array(means, float)[:, None], images, axis=1)


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


def of_runs(*means):
    """Runs with these means of seeds, {r0: (R, N)}."""
    return {f"r{place}": flat(each) for place, each in enumerate(means)}


def spread_of(values, seeds=None):
    return spread.estimated(values, seeds or {run: range(len(each))
                                              for run, each in values.items()})


def test_common_and_own_parts_by_hand():
    # The second seed gives all 10 more, and to the first run another 3.
    values = of_runs([70, 83], [60, 70], [50, 60], [40, 50], [30, 40])
    found = spread_of(values)
    assert 10 < found.common[0] < 50 and found.common[1] == 3
    assert found.own["r0"].variance == pytest.approx(3**2 / 2 / 0.8)  # of a mean of five runs
    assert found.own["r0"].degrees == 1 and found.own["r1"].variance == pytest.approx(0)
    assert found.own["r0"].rest == pytest.approx(0)
    (alone,) = spread_of({"r0": values["r0"]}).own.values()
    assert alone.variance == pytest.approx(13**2 / 2)


def test_a_variance_is_drawn_between_its_own_and_that_of_the_others():
    random = np.random.default_rng(3)
    means = random.normal(70, 1, (12, 3))
    means[5] += [0, 6, -6]
    found = spread_of(of_runs(*means))
    quiet, loud = (found.own_deviation(run, 9999) for run in ("r1", "r5"))
    own = found.own["r5"].variance
    assert own > 10 and 0.3 * own < loud.variance < own and quiet.variance < 4
    assert quiet.draws.std() > 1.1 * quiet.joint.std()
    assert quiet.joint.var() == pytest.approx(quiet.variance, rel=0.01)
    # Where one is seen to be unstable, all are believed less.
    means[5] -= [0, 6, -6]
    before = spread_of(of_runs(*means)).own_deviation("r1", 9999)
    assert quiet.degrees < before.degrees
    assert (quiet.draws**4).mean() / quiet.draws.var()**2 > (before.draws**4).mean() / (
        before.draws.var()**2)


def test_draws_of_a_deviation_have_the_distribution_they_should():
    lone = spread_of(of_runs([70, 71, 74]))
    drawn = lone.own_deviation("r0", 9999)
    assert drawn.variance == pytest.approx(np.var([70, 71, 74], ddof=1)) and drawn.degrees == 2
    assert stats.kstest(drawn.draws / np.sqrt(drawn.variance), stats.t(2).cdf).statistic < 0.01
    assert stats.kstest(drawn.joint / np.sqrt(drawn.variance), stats.norm.cdf).statistic < 0.01


def test_one_seed_borrows_its_variance_whole():
    values = of_runs([70, 71], [60, 62], [50, 49], [40, 41])
    found = spread_of(values | {"one": flat([90])})
    assert set(found.own) == {*values, "one"} and found.own["one"].degrees == 0
    others = spread_of(values)
    assert found.own["r0"] == others.own["r0"] and found.common == others.common
    assert found.own_deviation("one", 999).variance == pytest.approx(
        found.typical.weight @ found.typical.variance)
    apart = between(values | {"one": flat([90])}, "one", "r1")
    paired = between(values, "r0", "r1")
    assert not apart.here and apart.seeds == 1 and apart.seed_variance > paired.seed_variance


def test_where_no_two_runs_have_several_seeds_nothing_is_known_of_others():
    values = of_runs([70], [60], [50, 52])
    found = spread_of(values)
    assert set(found.own) == {"r2"} and found.own["r2"].variance == pytest.approx(2)
    assert found.common is None
    one = between(values, "r0", "r1")
    assert one.here and one.seed_variance == one.degrees == 0
    assert between(values, "r0", "r2").here
    (alone,) = effects([Contrast(Scores(values, {run: range(len(each)) for run, each in
                                                 values.items()}), {"r2": 1.0})])
    assert not alone.here
    # A seed that is shared with a run that has no other is as good as one that is not shared.
    seeds = {"r0": [1, 2, 3], "r1": [1, 2], "r2": [3, 4]}
    chain = spread_of(of_runs([70, 71, 99], [60, 63], [50, 51]), seeds)
    assert chain.own["r0"].degrees == chain.own["r1"].degrees == 1
    assert chain.own["r2"].degrees == 0 and chain.own["r0"].variance == pytest.approx(2**2 / 4)
    # Two runs that have two seeds each, but none in common, tell nothing about one another.
    lonely = spread_of(of_runs([70, 71], [60, 63]), {"r0": [1, 2], "r1": [3, 4]})
    assert [lonely.own[run].variance for run in ("r0", "r1")] == pytest.approx([0.5, 4.5])


def test_two_runs_alone_give_a_paired_t_test():
    first, second = np.array([70.0, 73.0, 71.0]), np.array([68.0, 70.0, 70.5])
    ours = between({"a": flat(first), "b": flat(second)})
    test = stats.ttest_rel(first, second)
    interval = test.confidence_interval()
    assert (ours.low, ours.high) == (pytest.approx(interval.low, rel=0.1),
                                     pytest.approx(interval.high, rel=0.05))
    assert 2 * ours.p_above == pytest.approx(test.pvalue, rel=0.1)


def test_what_a_seed_does_to_all_runs_cancels_between_them_and_not_in_one():
    random = np.random.default_rng(2)
    own = random.normal(0, 0.1, (6, 4))
    quiet = of_runs(*(own + 60))
    loud = of_runs(*(own + 60 + np.array([0, 8, -8, 3])))
    assert between(loud, "r0", "r1").seed_variance == pytest.approx(
        between(quiet, "r0", "r1").seed_variance)
    single = [effects([Contrast(Scores(values, {run: range(4) for run in values}), {"r0": 1.0})])[0]
              for values in (quiet, loud)]
    assert single[1].seed_variance > 100 * single[0].seed_variance
    # On other seeds it does not cancel.
    values = {run: each[:3] if run == "r1" else each for run, each in loud.items()}
    apart = between(values, "r0", "r1")
    assert apart.mean == pytest.approx(values["r0"].mean() - values["r1"].mean())
    assert apart.seed_variance > 2 * between(loud, "r0", "r1").seed_variance


def test_draws_of_contrasts_have_in_common_what_their_runs_do():
    """a - b and b - c err in opposite ways, a - b and a - c in the same."""
    random = np.random.default_rng(9)
    values = of_runs(*random.normal(70, 2, (8, 3)))
    values = {run: each + random.normal(0, 5, 50) for run, each in values.items()}
    scores = Scores(values, dict.fromkeys(values, range(3)))
    pairs = [("r0", "r1"), ("r1", "r2"), ("r0", "r2"), ("r3", "r4")]
    found = statistics.samples([Contrast(scores, {one: 1.0, other: -1.0}) for one, other in pairs])
    for kind in ("joint", "draws"):
        draws = [getattr(each.deviations, kind) for each in found]
        ranks = np.argsort(np.argsort(draws, axis=1), axis=1)
        (_, opposite, same, apart), *_ = np.corrcoef(ranks)
        assert opposite < -0.3 < 0.3 < same and abs(apart) < 0.06


def test_an_unstable_run_leaves_the_others_nearly_as_they_were():
    random = np.random.default_rng(1)
    values = of_runs(*random.normal(70, 1, (20, 3)))
    steady = spread_of(values)
    shaken = spread_of(values | {"r19": flat([10, 90, 50])})
    for run in ("r0", "r7"):
        assert shaken.own_deviation(run, 999).variance < 3 * steady.own_deviation(
            run, 999).variance
    assert shaken.own_deviation("r19", 999).variance > 300


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
    contrasts = [contrast(random.normal(number, 5, (2, images)))
                 for number, images in enumerate([50, 80] * 20)]
    together = effects(contrasts, 500)
    assert together == [effects([each], 500)[0] for each in contrasts]
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
    plain = estimate(values)
    for bound, name in ((plain.low, "p_above"), (plain.high, "p_below")):
        # With 0 just outside the bound p is below 2.5 %, just inside above it.
        moved = estimate(values - bound - 0.05 * shift)
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
    own = between({"a": np.full((1, images), 100.0), "b": np.zeros((1, images))},
                  bounds=(-100, 100), paired_hits=True)
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
    values = {"a": np.array([[100.0] * first + [0.0] * second + [0.0] * 200]),
              "b": np.array([[0.0] * first + [100.0] * second + [0.0] * 200])}
    ours = between(values, paired_hits=True)
    for p, alternative in ((ours.p_above, "greater"), (ours.p_below, "less")):
        assert p == pytest.approx(stats.binomtest(
            first, first + second, alternative=alternative).pvalue)
    several = {run: np.repeat(each, 2, axis=0) for run, each in values.items()}
    assert between(several, paired_hits=True).p_above == between(several).p_above


@pytest.mark.parametrize("degrees", [3, 30])
def test_beyond_the_draws_p_follows_student_s_distribution(degrees):
    """Where images agree, it is Student's exactly; a few millionths are not made of 9,999 draws."""
    means = np.random.default_rng(degrees).normal(size=degrees + 1)
    means = (means - means.mean()) / means.std(ddof=1) * np.sqrt(degrees + 1)
    for t in (3, 8, 40):
        assert estimate(flat(means + t)).p_above == pytest.approx(
            stats.t.sf(t, degrees), rel=0.15 if t < 40 else 0.3)


def test_an_interval_at_any_level_fits_the_p_value():
    values = np.random.default_rng(8).exponential(size=(3, 200))
    (sample,) = statistics.samples([contrast(values)])
    for outside in (0.2, 0.05, 0.004, 1e-4):
        low, _ = sample.interval(outside)
        (moved,) = effects([contrast(values - low)])
        assert moved.p_above == pytest.approx(outside / 2, rel=0.1)


def test_where_variance_is_borrowed_an_interval_allows_for_an_unstable_run():
    values = of_runs(*np.random.default_rng(4).normal(70, 1, (6, 3)))
    for runs, outside in ((6, 0.03), (2, 0.05)):  # two runs have one variance, and tell it all
        scores = Scores(dict(list(values.items())[:runs]), dict.fromkeys(values, range(3)))
        (sample,) = statistics.samples([Contrast(scores, {"r0": 1.0, "r1": -1.0})])
        low, high = sample.interval(outside)
        assert (sample.effect.low, sample.effect.high) == (pytest.approx(low), pytest.approx(high))


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
        scores = Scores(dict(enumerate(hits)), dict.fromkeys(range(runs), range(seeds)))
        found = effects([Contrast(scores, {run: 1.0}) for run in range(runs)] + [
            Contrast(scores, {run: 1.0, (run - 1) % runs: -1.0}) for run in range(runs)], resamples)
        single.append([each.low <= true <= each.high
                       for each, true in zip(found[:runs], truth, strict=True)])
        paired.append([each.low <= truth[run] - truth[run - 1] <= each.high
                       for run, each in enumerate(found[runs:])])
    return 100 * np.mean(single, axis=0), 100 * np.mean(paired, axis=0)


def test_most_intervals_hold_the_truth():
    single, paired = coverage(studies=40, seeds=2, images=300, own=0.05)
    assert 90 <= single.mean() <= 99.5 and 91 <= paired.mean() <= 99.5


def test_one_seed_holds_the_truth_of_its_own_models():
    """With the seed's own part taken as it is, images are all that is sampled."""
    random, held = np.random.default_rng(9), []
    for _ in range(40):
        rates = special.ndtr(random.normal(0.6, 1.2, (10, 300)))  # of images, of ten trained models
        truth = 100 * special.ndtr(0.6 / np.sqrt(1 + 1.2**2))
        hits = 100.0 * (random.random(rates.shape) < rates)
        held += [each.low <= truth <= each.high
                 for each in effects([contrast(run[None]) for run in hits], 499)]
    assert 91 <= 100 * np.mean(held) <= 98


def test_the_number_of_threads_changes_nothing():
    code = """
import numpy as np
from unfreeze.judging.statistics import Contrast, Scores, effects
hits = np.random.default_rng(3).integers(0, 2, (60, 2, 2000)) * 100.0
scores = Scores(dict(enumerate(hits)), dict.fromkeys(range(60), (1, 2)))
print(effects([Contrast(scores, {run: 1.0, run + 1: -1.0}) for run in range(59)]))
"""
    printed = {subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": threads,
                          "OPENBLAS_NUM_THREADS": threads}).stdout for threads in ("1", "2")}
    assert len(printed) == 1 and "Effect(" in printed.pop()
