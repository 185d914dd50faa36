"""What the true scores are, given what replicates scored: known cases and studies with known
truths."""

import numpy as np
import pytest

from unfreeze.judging import posterior
from unfreeze.judging.posterior import Replicates


def replicates(table, images=0.0):
    """A (K, R) table of scores, NaN where a run lacks a seed; each with its own image noise."""
    run, seed = np.nonzero(np.isfinite(table))
    return Replicates(run, seed, table[run, seed], images * np.eye(len(run)))


def test_one_run_keeps_its_score():
    found = posterior.posterior(replicates(np.array([[60.0, 62.0]]), images=0.5))
    assert found.mean == pytest.approx([61]) and found.spread is None
    # Variance 2 over two seeds, its images' part too, as widely as Student's t with 3 degrees.
    assert found.deviation == pytest.approx([3.1824 / 1.96], rel=1e-3)
    assert posterior.loss_with(found, np.array([4]), np.array([True])) == 0


def test_one_seed_says_nothing_of_seeds():
    found = posterior.posterior(replicates(np.array([[60.0], [62.0], [70.0]]), images=1.0))
    assert not found.noise.known and not found.noise.own.any() and found.noise.common == 0
    assert found.deviation.max() < 1.5


def test_exact_scores_stay_as_they_are():
    table = np.array([[60.0, 60.0], [62.0, 62.0], [70.0, 70.0]])
    found = posterior.posterior(replicates(table))
    assert found.mean == pytest.approx([60, 62, 70])
    assert found.deviation == pytest.approx(0, abs=1e-4)
    assert found.spread == pytest.approx(np.std([60, 62, 70], ddof=1))


def test_scores_are_pulled_towards_each_other_by_what_is_unknown_of_them():
    table = np.array([60.0, 64.0, 68.0])[:, None] + np.array([-1.0, 1.0])
    little, much = (posterior.posterior(replicates(table, images)) for images in (0.1, 30.0))
    for found in (little, much):
        assert found.mean[1] == pytest.approx(64, abs=0.02)
        assert 60 < found.mean[0] < 64 < found.mean[2] < 68
    assert much.mean[0] > little.mean[0] + 1 and much.mean[2] < little.mean[2] - 1


def test_an_unstable_run_is_pulled_furthest():
    random = np.random.default_rng(4)
    steady = np.array([58.0, 60.0, 62.0, 64.0, 64.0])[:, None] + random.normal(0, 0.3, (5, 3))
    found = posterior.posterior(replicates(np.vstack([steady, [56.0, 84.0, 64.0]])))
    assert found.noise.own[5] > 10 * found.noise.own[:5].max()
    assert found.mean[5] < 66.5 and found.mean[3] == pytest.approx(steady[3].mean(), abs=0.4)
    assert found.deviation[5] > 2 * found.deviation[3]


def many(seeds=300, own=(1.0, 1.0, 3.0), common=0.7, images=0.5):
    """A study of many seeds: the parts of its noise are what they were made with."""
    random = np.random.default_rng(1)
    table = (np.array([60.0, 63.0, 64.0])[:, None] + random.normal(0, common, seeds)
             + np.array(own)[:, None] * random.normal(size=(3, seeds))
             + np.sqrt(images) * random.normal(size=(3, seeds)))
    return replicates(table, images)


def test_the_parts_of_the_noise_are_told_apart():
    noise = posterior.posterior(many()).noise
    assert np.sqrt(noise.own) == pytest.approx([1, 1, 3], rel=0.15)
    assert np.sqrt(noise.common) == pytest.approx(0.7, abs=0.2)
    assert noise.replicate == pytest.approx(0.5 * np.eye(3))
    assert not noise.same_run.any() and not noise.same_seed.any() and not noise.other.any()


def test_what_images_do_is_taken_from_their_covariance():
    """Three runs, two seeds: of the images' part each pair of replicates shares its own amount."""
    run, seed = np.divmod(np.arange(6), 2)
    amounts = 0.3 + 0.1 * np.equal.outer(run, run) + 0.2 * np.equal.outer(seed, seed)
    amounts[np.diag_indices(6)] = 1.0
    found = posterior.posterior(Replicates(run, seed, 60.0 + np.arange(6.0), amounts))
    off = 1 - np.eye(3)
    for part, expected in (("replicate", np.eye(3)), ("same_run", 0.4 * np.eye(3)),
                           ("same_seed", 0.5 * off), ("other", 0.3 * off)):
        assert getattr(found.noise, part) == pytest.approx(expected), part
    bare = found.noise.of_means(np.array([2, 2, 2])) - np.diag(
        (found.noise.own + found.noise.doubt) / 2)
    gain = np.equal.outer(np.arange(3), run) / 2
    shared = found.noise.common / 2  # two seeds, both shared
    assert bare == pytest.approx(gain @ amounts @ gain.T + shared)


def test_a_seed_that_a_run_lacks_is_adjusted_for():
    kind = np.array([0.0, 0.0, 9.0])
    table = np.array([60.0, 61.0, 62.0, 63.0])[:, None] + kind + 0.01 * np.arange(12).reshape(4, 3)
    table[3, 2] = np.nan
    found = posterior.posterior(replicates(table))
    assert found.mean == pytest.approx([63, 64, 65, 66], abs=0.2)
    # Other seeds alone: nothing to adjust by, and the common part makes it uncertain.
    apart = np.full((3, 4), np.nan)
    apart[0, :2], apart[1, :2], apart[2, 2:] = (60, 64), (61, 65.5), (61, 65)
    found = posterior.posterior(replicates(apart))
    assert found.deviation_from(0)[2] > 1.1 * found.deviation_from(0)[1]


def test_more_seeds_lose_less():
    random = np.random.default_rng(2)
    table = 60 + random.normal(0, 1, (6, 1)) + random.normal(0, 2, (6, 2))
    found = posterior.posterior(replicates(table, 0.1))
    everyone = np.full(6, True)
    losses = [posterior.loss_with(found, np.full(6, number), everyone)
              for number in (2, 4, 16, 1000)]
    assert losses == sorted(losses, reverse=True) and losses[0] > 3 * losses[-1]
    truth = found.draws()
    assert losses[0] == pytest.approx(truth.max(axis=1).mean() - found.mean.max(), rel=0.25)
    alone = posterior.loss_with(found, np.full(6, 2), np.arange(6) == 3)
    assert alone == pytest.approx(0, abs=1e-9)


def study(random, runs=8, seeds=3):
    true = random.normal(65, 2, runs)
    return true, (true[:, None] + random.normal(0, 0.7, seeds)
                  + random.normal(0, 1.2, (runs, seeds)))


def test_intervals_hold_the_truth_and_the_winner_s_luck_is_taken_off():
    held, luck, corrected = [], [], []
    for number in range(80):
        true, table = study(np.random.default_rng(number))
        found = posterior.posterior(replicates(table))
        best = int(found.mean.argmax())
        reach = 1.96 * found.deviation_from(best)
        off = (found.mean - found.mean[best]) - (true - true[best])
        held += list(np.abs(np.delete(off, best)) <= np.delete(reach, best))
        luck.append(table.mean(axis=1)[best] - true[best])
        corrected.append(found.mean[best] - true[best])
    assert 0.92 <= np.mean(held) <= 0.99
    assert np.mean(luck) > 0.25 and abs(np.mean(corrected)) < 0.2


def test_nothing_depends_on_the_order_of_runs():
    true, table = study(np.random.default_rng(5))
    forth, back = (posterior.posterior(replicates(rows, 0.3)) for rows in (table, table[::-1]))
    assert forth.mean == pytest.approx(back.mean[::-1])
    assert forth.covariance == pytest.approx(back.covariance[::-1, ::-1])
