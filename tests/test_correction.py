"""Many claims at once: by hand, against Holm's bound, and how often anything is false."""

import numpy as np
import pytest

from unfreeze.judging import correction


def test_holm_by_hand():
    assert correction.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correction.holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert correction.holm([]) == []


def draws(size, tests, shared, random=0):
    """(B, M) p-values where nothing differs, of tests that share so much of their noise."""
    random = np.random.default_rng(random)
    values = np.sqrt(shared) * random.normal(size=(size, 1)) + np.sqrt(
        1 - shared) * random.normal(size=(size, tests))
    return (values.argsort(axis=0).argsort(axis=0) + 0.5) / size


def test_claims_that_err_together_count_as_one():
    null = np.repeat(draws(9999, 1, 0), 5, axis=1)
    assert correction.stepped_down([0.02, 0.3, 0.01, 0.5, 0.04], null) == pytest.approx(
        [0.02, 0.3, 0.01, 0.5, 0.04], abs=2e-4)
    assert correction.level(null, 0.05) == pytest.approx(0.05, abs=2e-4)


def test_claims_that_have_nothing_in_common_are_corrected_as_by_holm():
    p = [0.002, 0.011, 0.2, 0.0001, 0.02]
    stepped, holm = correction.stepped_down(p, draws(9999, 5, 0)), correction.holm(p)
    for ours, bound in zip(stepped, holm, strict=True):
        assert 0.7 * bound < ours <= bound
    assert correction.stepped_down(p, draws(9999, 5, 0.6))[1] < 0.9 * holm[1]


def test_beyond_the_draws_holm_s_bound_stands():
    assert correction.stepped_down([1e-9, 0.9], draws(999, 2, 0))[0] == pytest.approx(2e-9)
    assert correction.stepped_down([], np.empty((999, 0))) == []


@pytest.mark.parametrize("alpha", [0.05, 0.0075])
def test_the_level_decides_as_the_corrected_p_does(alpha):
    random = np.random.default_rng(4)
    for trial in range(12):
        null, p = draws(9999, 6, 0.3, trial), random.random(6) ** 5
        corrected = np.array(correction.stepped_down(p, null))
        is_open = corrected > alpha
        for claim in range(6):
            family = is_open | (np.arange(6) == claim)
            assert (p[claim] <= correction.level(null[:, family], alpha)) == (not is_open[claim])


def test_false_rejections_are_as_rare_as_promised():
    null, truth = draws(9999, 8, 0.5), draws(1000, 8, 0.5, random=1)
    false = np.mean([min(correction.stepped_down(p, null)) <= 0.05 for p in truth])
    assert 0.03 < false < 0.07  # close to 5 %, which Holm's bound would not use up
    assert np.mean([min(correction.holm(p)) <= 0.05 for p in truth]) < 0.75 * false
