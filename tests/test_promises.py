"""What verdicts and intervals promise, in simulated studies; docs/verdicts.md has the table."""

import numpy as np
import pytest
from benchmarks import verdicts
from benchmarks.verdicts import ALIKE, COVERED, UNLIKE, Setting
from scipy import stats

from unfreeze.expecting.claims import parse
from unfreeze.judging import statistics
from unfreeze.judging import verdicts as judging

FRESH = 100_000  # the first study here: other ones than the table's


@pytest.fixture(autouse=True)
def simplified():
    with verdicts.simplified():
        yield


def test_what_is_simplified_changes_no_verdict():
    """Nothing else is computed, and the verdicts are those of the project's own `judge`."""
    setting = Setting(runs=5, images=500, claims=8, seeds=3)
    claims = verdicts.of_nothing(setting)
    found = []
    for number in range(4):
        runs = verdicts.simulate(setting, np.random.default_rng(number),
                                 [65, 65, 71, 65, 60]).runs
        found.append([verdict.verdict for verdict in judging.judge(claims, runs, {})])
        assert verdicts.words(claims, runs) == found[-1]
    assert len({word for words in found for word in words}) > 1


def test_normal_means_have_the_covariance_of_resampled_ones():
    hits = 100.0 * (np.random.default_rng(2).random((500, 3)) < [0.6, 0.7, 0.9])
    hits[:, 1] = np.maximum(hits[:, 0], hits[:, 1])
    columns = hits - hits.mean(axis=0)
    with verdicts.simplified():
        normal = statistics._resampled_means(columns, 2499)
    exact = columns.T @ columns / 500**2
    assert np.cov(normal.T) == pytest.approx(exact, rel=0.15, abs=0.1)


def named(setting: Setting) -> str:
    return f"{setting.text}, {setting.seeds} seeds"


def test_simulated_studies_are_what_they_say():
    setting = Setting(runs=12, seeds=4, images=4000, unstable=3, one_seed=2, lognormal=0.1)
    study = verdicts.simulate(setting, np.random.default_rng(5))
    assert sorted(len(run.seeds) for run in study.runs.values()) == [1] * 2 + [4] * 10
    spread = {name: np.std(list(run.seed_means("accuracy").values()), ddof=1)
              for name, run in study.runs.items() if len(run.seeds) > 1}
    unstable = [spread[name] for name in study.unstable]
    assert len(unstable) == 3 and np.mean(unstable) > 2 * np.mean(
        [each for name, each in spread.items() if name not in study.unstable])
    for setting in (*ALIKE, *UNLIKE):
        claims = {claim.claim for claim in verdicts.of_nothing(setting)}
        assert len(claims) == setting.claims
        runs = [f"r{place}" for place in range(setting.runs)]
        assert all(len(parse(claim, runs).runs) > 1 for claim in claims)


def test_few_studies_have_a_false_verdict():
    setting = Setting(images=200, claims=8)
    wrong, here = verdicts.false_studies(setting, 15, FRESH)
    assert wrong <= stats.binom.ppf(0.999, 15, 0.05) and not here
    wrong, here = verdicts.false_studies(Setting(images=200, claims=8, seeds=1), 5, FRESH)
    assert not wrong


def test_true_claims_are_found():
    assert verdicts.power(Setting(images=200, seeds=3), 30.0, False, 3, FRESH) > 80


@pytest.mark.slow
@pytest.mark.parametrize("setting", [*ALIKE, *UNLIKE], ids=named)
def test_at_most_5_percent_of_studies_have_a_false_verdict(setting):
    wrong, _ = verdicts.false_studies(setting, 100, FRESH)
    print(f"{named(setting)}: {wrong} %")
    assert wrong <= stats.binom.ppf(0.999, 100, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("setting", COVERED, ids=named)
def test_95_percent_of_intervals_hold_the_truth(setting):
    held = verdicts.coverage(setting, 100, FRESH)
    print(named(setting), held)
    assert min(held["others"]) >= 93 and min(held.get("unstable", [90])) >= 87  # of 90, by chance


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "difference"), [(2, 9.0), (3, 5.4), (5, 3.4)])
def test_a_true_difference_is_found_in_80_percent_of_cases(seeds, difference):
    found = verdicts.power(Setting(seeds=seeds), difference, False, 40, FRESH)
    print(f"{seeds} seeds, {difference} points: {found:.0f} %")
    assert found >= 75
