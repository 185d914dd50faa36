"""How much the recommendation loses against the truly best run; docs/regret.md has the table."""

import numpy as np
import pytest
from benchmarks import regret
from benchmarks.regret import Setting


def test_hits_correlate_as_they_are_meant_to():
    hits = regret.drawn_hits(np.full((3, 3), 65.0), 40_000, np.random.default_rng(1)).reshape(9, -1)
    assert hits.mean() == pytest.approx(65, abs=0.5)
    correlations = np.corrcoef(hits).reshape(3, 3, 3, 3)  # run, seed, run, seed
    assert correlations[0, 0, 0, 1] == pytest.approx(regret.SAME_RUN, abs=0.02)
    assert correlations[0, 0, 1, 0] == pytest.approx(regret.SAME_SEED, abs=0.02)
    assert correlations[0, 0, 1, 1] == pytest.approx(regret.OTHER, abs=0.02)


def test_the_recommendation_loses_little():
    found = regret.losses(Setting(seeds=3, runs=6, images=500), studies=25)
    assert found["recommended"].regret < 1.2


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "most"), [(1, 0.70), (2, 0.45), (3, 0.40), (5, 0.35)])
def test_the_recommendation_loses_next_to_nothing_and_saves(seeds, most):
    """Of 1,000 studies, other ones than the table's."""
    found = regret.losses(Setting(seeds), studies=1000, first=100_000)["recommended"]
    print(f"{seeds} seeds: {found.regret:.3f} (standard error {found.error:.3f}) points, "
          f"cost {found.cost:.2f} of the best run's")
    assert found.regret <= most and found.cost <= 0.85


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "most"), [(1, 1.2), (2, 0.9)])
def test_validation_images_choose_well_enough(seeds, most):
    found = regret.losses(Setting(seeds, images=200, folds=5), 400, 100_000)["recommended"]
    assert found.regret <= most
