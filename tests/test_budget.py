from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_verdicts import finished, named, run
from unfreeze.expecting.costs import COSTS
from unfreeze.judging import budget, estimates, statistics, tables
from unfreeze.judging.outcome import Outcome


def candidates(runs, limits=None):
    found = budget.recommend(runs, limits or {}, estimates.intervals(runs))
    return {each.run: each for each in found}


def chosen(runs, limits=None):
    return [each.run for each in candidates(runs, limits).values() if each.recommended]


def priced(share, random, seconds, parameters=10, **more):
    return run(share, random, seconds_per_replicate=seconds, parameters_trainable=parameters,
               **more)


RUNS = {"base": priced(0.8, 1, 30.0), "fast": priced(0.79, 2, 5.0), "same": priced(0.8, 3, 20.0),
        "poor": priced(0.4, 4, 1.0), "top": priced(0.95, 5, 100.0)}


def test_cheapest_of_those_tied_with_the_best_within_the_budget():
    found = candidates(RUNS, {"seconds": 50})
    assert list(found)[0] == "top" and list(found)[-1] == "poor"  # by accuracy
    (best,) = (name for name, each in found.items() if each.best)
    assert best in ("base", "same", "fast")
    assert {name for name, each in found.items() if each.tied} == {"base", "same", "fast"}
    assert chosen(RUNS, {"seconds": 50}) == ["fast"]
    assert found["top"].over == "seconds 100 s of 50 s" and not found["top"].tied
    assert found["top"].difference.low > 0 and found["top"].p is None
    assert found["poor"].difference.high < 0 and found["poor"].p < 0.05
    assert found[best].difference is None and found[best].p is None


def test_without_a_budget_the_best_stands_alone():
    assert chosen(RUNS) == ["top"]
    assert not any(each.over for each in candidates(RUNS).values())


def test_p_is_corrected_over_the_runs_within_the_budget():
    found = candidates(RUNS, {"seconds": 50})
    best = next(name for name, each in found.items() if each.best)
    within = [name for name in found if name not in (best, "top")]
    p = [effect.p_below for effect in estimates.effects(
        RUNS, [estimates.difference("accuracy", name, best) for name in within])]
    assert [found[name].p for name in within] == statistics.holm(p)


@pytest.mark.slow
def test_what_is_best_in_truth_is_seldom_left_out():
    """Of ten runs without any difference each may claim to be the best."""
    tied = [each.tied for study in range(150) for each in candidates({
        f"r{place}": run(0.6, 1000 + 10 * study + place, seed_spread=0.15, images=300)
        for place in range(10)}).values()]
    print(f"{100 * (1 - np.mean(tied)):.1f} % are left out")
    assert 0.95 <= np.mean(tied) < 1


def test_what_the_clock_cannot_tell_is_as_fast():
    runs = {"slow": priced(0.8, 1, 10.5, 5), "quick": priced(0.8, 2, 10.0, 50),
            "late": priced(0.8, 3, 12.0, 1)}
    assert chosen(runs) == ["slow"]  # a tenth as many parameters; `late` is late for certain
    runs["slow"] = priced(0.8, 1, 10.5, 50)
    assert chosen(runs) == ["quick"]


def test_nothing_fits():
    limits = {"seconds": 0.5, "activation_bytes": 1e6}
    found = candidates(RUNS, limits)
    assert len(found) == len(RUNS)
    assert not any(each.best or each.tied or each.recommended or each.difference
                   for each in found.values())
    assert found["poor"].over == "seconds 1 s of 0.5 s"


def test_everything_that_is_exceeded_is_named():
    cost = RUNS["top"].cost | {"stored_bytes": 12_345_678}
    limits = {"seconds": 100, "stored_bytes": 1e6, "parameters_trainable": 9}
    assert candidates({"top": replace(RUNS["top"], cost=cost)}, limits)["top"].over == (
        "stored_bytes 12.3 MB of 1 MB, parameters_trainable 10 parameters of 9 parameters")


def test_failed_and_incomparable_runs_are_listed_and_never_chosen():
    runs = RUNS | {"broken": run(failed="diverged", seconds_per_replicate=0.1),
                   "far": priced(0.99, 6, 0.1, test_set="other"),
                   "alone": priced(0.5, 7, 0.1, seeds=[9])}
    found = candidates(runs, {"seconds": 50})
    assert chosen(runs, {"seconds": 50}) == ["fast"]
    assert found["broken"].note == "failed: diverged" and found["broken"].accuracy is None
    assert found["far"].note == "not compared: other test images than base's"
    best = next(name for name, each in found.items() if each.best)
    assert found["alone"].note == f"not compared: no seed in common with {best}"
    assert not found["alone"].tied and found["alone"].difference is None
    assert list(found)[-1] == "broken"
    only = {"broken": runs["broken"]}
    assert chosen(only) == []
    assert pareto_rows(only) == []


def test_what_is_better_on_the_common_seeds_is_tied_with_the_best():
    best, other = priced(0.75, 1, 9.0, seeds=[1, 2]), priced(0.6, 3, 9.0, seeds=[1])
    best.scores["accuracy"][0] *= 0.7  # seed 1 did badly, and the other has no other seed
    found = candidates({"best": best, "other": other})
    assert found["best"].best and found["other"].difference.low > 0
    assert found["other"].tied


def test_rows_have_a_cell_for_each_column():
    found = list(candidates(RUNS | {"broken": run(failed="why")}, {"seconds": 50}).values())
    table = tables.by_name()["recommendation"]
    rows = {row[0]: dict(zip(table.HEADER, row, strict=True))
            for row in table.rows(Outcome(None, RUNS, {}, candidates=found))}
    assert rows["top"]["within_budget"] == "no" and rows["fast"]["within_budget"] == "yes"
    assert rows["fast"]["recommended"] == "yes" and rows["fast"]["seconds"] == 5
    assert rows["fast"]["flops"] == 15
    assert rows["broken"]["accuracy"] is None and rows["broken"]["note"] == "failed: why"
    assert rows["poor"]["difference_low"] < rows["poor"]["difference"] < 0


PARETO = tables.by_name()["pareto"]


def pareto_rows(runs):
    return PARETO.rows(Outcome(None, named(runs), estimates.intervals(runs)))


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_pareto_front(points):
    scores = np.linspace(-1, 1, 40)[None]  # images differ, so that there is an interval
    runs = {f"r{place}": finished({"accuracy": 50.0 + accuracy + scores}, (1,), stored_bytes=cost)
            for place, (cost, accuracy) in enumerate(points)}
    rows = [dict(zip(PARETO.HEADER, row, strict=True)) for row in pareto_rows(runs)]
    assert {row["cost"] for row in rows} == {name for name in COSTS if COSTS[name].drawn}
    for row, (cost, accuracy) in zip((row for row in rows if row["cost"] == "stored_bytes"), points,
                                     strict=True):
        assert row["value"] == cost and row["low"] < row["accuracy"] < row["high"]
        beaten = any((other[0] < cost and other[1] >= accuracy)
                     or (other[0] <= cost and other[1] > accuracy) for other in points)
        assert row["dominated"] == ("yes" if beaten else "no")


def test_only_runs_with_the_same_test_images_dominate():
    runs = {"here": priced(0.6, 1, 5.0), "there": priced(0.9, 2, 1.0, test_set="other")}
    rows = pareto_rows(runs)
    assert {row[-1] for row in rows} == {"no"}
