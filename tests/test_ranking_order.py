"""How well one order of models foretells another."""

import math

import numpy as np
import pytest
from scipy import stats

from unfreeze.ranking import order


def test_tau_is_scipys_where_nothing_is_tied():
    rng = np.random.default_rng(0)
    for _ in range(5):
        first, second = rng.normal(size=(2, 7))
        assert order.tau(first, second) == pytest.approx(stats.kendalltau(first, second).statistic)


def test_ties_and_what_is_not_known_count_for_neither():
    assert order.tau([1, 1, 2], [1, 2, 3]) == 1
    assert order.tau([1, math.nan, 2], [3, 2, 1]) == -1
    assert math.isnan(order.tau([1, 1], [1, 2]))


def test_the_interval_is_wide_for_few_and_narrow_for_many():
    rng = np.random.default_rng(1)

    def width(models: int, datasets: int) -> float:
        truth = rng.normal(size=(datasets, models))
        mean, low, high = order.mean_tau(truth + rng.normal(size=truth.shape), truth)
        assert low <= mean <= high
        return high - low

    assert width(5, 3) > 2 * width(40, 20)
    assert order.mean_tau(np.arange(12).reshape(2, 6), np.arange(12).reshape(2, 6)) == (1, 1, 1)
