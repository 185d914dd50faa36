"""Which run to take: by what is known of the true scores, and by what is counted."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_verdicts import finished, hits, named, run
from unfreeze.choosing.searched import Candidate as Tried
from unfreeze.choosing.searched import Searched, Trial
from unfreeze.expecting.costs import COSTS
from unfreeze.judging import budget, estimates, evidence, tables
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.runs import TrainedRun
from unfreeze.scoring.score import Score
from unfreeze.scoring.scores import SCORES


def recommend(runs, limits=None, **keywords):
    runs = named(runs)
    intervals = {name: {score: budget.Estimate(values.mean(), values.mean() - 1, values.mean() + 1)
                        for score, values in run.scores.items()} for name, run in runs.items()}
    return budget.recommend(runs, limits or {}, intervals, **keywords)


def candidates(runs, limits=None, **keywords):
    return {each.run: each for each in recommend(runs, limits, **keywords).candidates}


def chosen(runs, limits=None, **keywords):
    return [each.run for each in candidates(runs, limits, **keywords).values() if each.recommended]


def priced(share, random, operations, **more):
    return run(share, random, images=2000, operations=operations, **more)


RUNS = {"base": priced(0.8, 1, 30e9), "fast": priced(0.797, 2, 5e9), "same": priced(0.8, 3, 20e9),
        "poor": priced(0.6, 4, 1e9), "top": priced(0.95, 5, 100e9)}
LIMIT = {"operations": 50e9}


def test_the_cheapest_that_loses_next_to_nothing_within_the_budget():
    found = candidates(RUNS, LIMIT, margin=2.0)
    assert list(found)[0] == "top" and list(found)[-1] == "poor"  # by what is expected
    (best,) = (name for name, each in found.items() if each.best)
    assert best in ("base", "same", "fast")
    assert {name for name, each in found.items() if each.enough} == {"base", "same", "fast"}
    assert chosen(RUNS, LIMIT, margin=2.0) == ["fast"]
    assert found["top"].over == "operations 100 G operations of 50 G operations"
    assert found["top"].behind < 0 and found["top"].loss is None and not found["top"].tied
    assert found["poor"].behind > 15 and not found["poor"].tied and found["poor"].chance == 0
    assert found[best].difference is None and found[best].behind == 0
    losses = [each.loss for each in found.values() if each.loss is not None]
    assert min(losses) == found[best].loss >= 0
    assert sum(each.chance for each in found.values() if each.chance) == pytest.approx(1)


def test_a_margin_of_nothing_takes_the_best():
    found = recommend(RUNS, LIMIT, margin=0.0)
    assert found.recommended == found.best
    assert chosen(RUNS) == ["top"]  # no budget: it stands alone


def test_what_costs_the_same_is_chosen_by_what_it_reaches():
    """Two settings of one strategy: nothing but their score tells them apart."""
    runs = {"worse": priced(0.79, 1, 5e9), "better": priced(0.8, 2, 5e9)}
    found = candidates(runs, margin=5.0)
    assert found["worse"].enough and chosen(runs, margin=5.0) == ["better"]


def test_two_runs_that_are_one_and_the_same_are_one_choice():
    twins = {"second": RUNS["base"], "first": RUNS["base"], "poor": RUNS["poor"]}
    found = recommend(twins)
    assert found.best == found.recommended and found.best.run == "first"
    assert found.best.behind == 0 and [each.run for each in found.candidates][:2] == [
        "first", "second"]


def test_knowing_little_of_a_run_does_not_recommend_it():
    """Ten runs with few images: the cheapest was far behind, and is not taken for being unclear."""
    runs = {f"r{place}": run(0.7, place, images=60, operations=place + 1e3) for place in range(9)}
    runs["cheap"] = run(0.64, 20, images=60, operations=1.0)
    found = candidates(runs)
    assert found["cheap"].tied and not found["cheap"].enough  # its interval is wide


def test_the_winner_is_not_expected_to_do_as_well_again():
    """Twenty runs alike: the best was lucky, and the posterior knows."""
    runs = {f"r{place}": run(0.7, place, images=200) for place in range(20)}
    found = recommend(runs)
    best, others = found.best, [each.score.mean for each in found.candidates]
    assert found.chosen_by == evidence.TEST and best.score.mean == max(others)
    assert best.expected == best.posterior
    assert best.expected.mean < best.score.mean - 1


def test_nothing_measured_changes_what_is_recommended():
    """A busy machine."""
    slow = {name: replace(each, cost=each.cost | {"seconds_per_replicate": 1e3 * number,
                                                  "peak_memory_bytes": 1e12})
            for number, (name, each) in enumerate(RUNS.items())}
    calm, busy = (recommend(runs, LIMIT, margin=2.0) for runs in (RUNS, slow))
    assert [replace(each, cost={}) for each in busy.candidates] == [
        replace(each, cost={}) for each in calm.candidates]


def test_a_score_of_which_less_is_better(monkeypatch):
    errors = {name: finished({"error": 100 - each.scores["accuracy"], **each.scores}, (1, 2),
                             operations=each.cost["operations"]) for name, each in RUNS.items()}
    monkeypatch.setitem(SCORES, "error", Score("error", "%", "lower", (0, 100), lambda _: None))
    by_error = candidates(errors, LIMIT, margin=2.0, score="error")
    by_accuracy = candidates(RUNS, LIMIT, margin=2.0)
    for name, each in by_error.items():
        other = by_accuracy[name]
        assert (each.recommended, each.enough, each.tied) == (
            other.recommended, other.enough, other.tied)
        assert each.posterior.mean == pytest.approx(100 - other.posterior.mean)
        assert each.loss == pytest.approx(other.loss)
    assert by_error["poor"].difference.low > 0  # more errors


def test_a_share_is_no_more_than_all():
    runs = {"a": finished({"accuracy": np.array([[100.0] * 99 + [0.0], [100.0] * 100])}),
            "b": finished({"accuracy": np.array([[100.0] * 60 + [0.0] * 40] * 2)})}
    found = candidates(runs)["a"].posterior
    assert found.low < found.mean < 100 == found.high


def test_one_seed_is_about_these_models():
    found = recommend({name: run(share, number, seeds=(1,), images=1000)
                       for number, (name, share) in enumerate((("a", 0.8), ("b", 0.79)))})
    assert found.here and not found.further and found.seeds == 1
    two = recommend({name: run(share, number, images=1000)
                     for number, (name, share) in enumerate((("a", 0.8), ("b", 0.79)))})
    assert not two.here and two.seeds == 2


def test_more_seeds_are_said_to_lose_less_and_are_priced():
    runs = {f"r{place}": run(0.7, place, seed_spread=0.1, images=2000, operations=1e9,
                             seconds_per_replicate=3.0) for place in range(4)}
    runs["far"] = run(0.3, 9, images=2000)
    found = recommend(runs)
    losses = [found.further[0].loss_now, *(each.loss for each in found.further)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.7 * losses[0]
    assert losses[0] == pytest.approx(found.best.loss, rel=0.25)
    first = found.further[0]
    assert (first.knob, first.number) == ("seeds", 4) and "far" not in first.runs
    assert first.operations == pytest.approx(2e9 * len(first.runs))
    assert first.seconds == pytest.approx(6 * len(first.runs))


def test_nothing_fits():
    limits = {"operations": 0.5, "activation_bytes": 1e6}
    found = recommend(RUNS, limits)
    assert len(found.candidates) == len(RUNS) and found.best is found.recommended is None
    assert not any(each.tied or each.difference or each.chance for each in found.candidates)
    assert all(each.posterior and each.over for each in found.candidates)
    assert found.further == ()


def test_everything_that_is_exceeded_is_named():
    cost = RUNS["top"].cost | {"stored_bytes": 12_345_678}
    limits = {"operations": 100e9, "stored_bytes": 1e6, "parameters_trainable": 9}
    assert candidates({"top": replace(RUNS["top"], cost=cost)}, limits)["top"].over == (
        "stored_bytes 12.3 MB of 1 MB, parameters_trainable 10 parameters of 9 parameters")


def test_failed_and_incomparable_runs_are_listed_and_never_chosen():
    runs = {"broken": run(failed="diverged", operations=1.0)} | RUNS | {
        "far": priced(0.99, 6, 1.0, test_set="other"), "alone": priced(0.5, 7, 1.0, seeds=[9])}
    found = candidates(runs, LIMIT, margin=2.0)
    assert chosen(runs, LIMIT, margin=2.0) == ["fast"]
    assert found["broken"].note == "failed: diverged" and found["broken"].score is None
    assert found["far"].note == "not compared: other test images than base's"
    assert found["alone"].note == "" and not found["alone"].enough  # its seed is another: no matter
    assert list(found)[-1] == "broken"
    only = {"broken": runs["broken"]}
    assert chosen(only) == [] and recommend(only).chosen_by == ""
    assert pareto_rows(only) == []


def test_a_run_that_lacks_a_seed_is_not_blamed_for_it():
    """Seed 2 was kind to all runs; one has it not, and is as good as the others."""
    random = np.random.default_rng(3)
    kind = np.array([0.0, 8.0])[:, None]
    runs = {f"r{place}": finished({"accuracy": 60 + kind + random.normal(0, 3, (2, 300))})
            for place in range(5)}
    runs["lacks"] = finished({"accuracy": 60 + random.normal(0, 3, (1, 300))}, (1,))
    found = candidates(runs)
    assert found["lacks"].score.mean == pytest.approx(60, abs=1)
    assert found["lacks"].posterior.mean == pytest.approx(64, abs=1)


def searched(random=0, share=0.5, **keywords) -> TrainedRun:
    """A run with a search of two candidates; its chosen trials were right on that share."""
    found = Searched("cross_entropy", "lower", 1, tuple(
        Tried({"lr": rate}, 1.0, 50.0, True) for rate in (0.1, 0.01)), tuple(
        Trial(place, 0, fold, 3, 1.0, 50.0, 3, 1000, 2.0)
        for place in (0, 1) for fold in range(5)), ())
    trials = {(0, fold): {"accuracy": hits(share, 200, 1, 10 * random + fold)[0]}
              for fold in range(5)}
    made = run(0.7, random, **keywords)
    return replace(made, searched=found, trials=trials, knobs=made.knobs | {
        "fraction": 1.0, "per_class": 0, "validation": 0.1, "search_folds": 5})


def test_after_a_search_validation_images_choose_and_test_images_do_not():
    """What is best on test images is worst on validation: it is not taken."""
    runs = {"good": searched(1, 0.8), "planted": searched(2, 0.5)}
    runs["planted"] = replace(runs["planted"], scores={"accuracy": hits(0.99, random=5)})
    found = recommend(runs)
    assert found.chosen_by == evidence.VALIDATION and found.knob == "search_seeds"
    assert found.recommended.run == "good" and found.seeds == 1 and found.images == 1000
    # The number that is printed is from the images that did not choose.
    assert found.recommended.expected == found.recommended.score
    changed = runs | {"good": replace(runs["good"], scores={"accuracy": hits(0.1, random=6)})}
    again = recommend(changed)
    assert [(each.run, each.loss, each.chance, each.recommended) for each in again.candidates] == [
        (each.run, each.loss, each.chance, each.recommended) for each in found.candidates]


def test_the_tested_models_validation_images_come_first():
    finals = {(seed, 0): {"accuracy": hits(0.9, 100, 1, seed)[0]} for seed in (1, 2)}
    runs = {"a": replace(searched(1, 0.5), finals=finals), "b": searched(2, 0.8)}
    assert recommend(runs).recommended.run == "b"  # not all have them: the trials
    poor = {key: {"accuracy": values["accuracy"] / 2} for key, values in finals.items()}
    runs["b"] = replace(runs["b"], finals=poor)
    found = recommend(runs)
    assert found.recommended.run == "a" and found.knob == "seeds" and found.images == 100


def test_one_run_without_a_search_and_test_images_choose():
    found = recommend({"a": searched(1, 0.9), "plain": run(0.9, 4)})
    assert found.chosen_by == evidence.TEST and found.recommended.run == "plain"
    assert found.why == "plain was not searched, so test images choose"


def test_one_seed_of_a_search_is_planned_with_what_seeds_do_to_the_tested_models():
    runs = {name: searched(number, 0.7, seed_spread=0.1) for number, name in enumerate("ab")}
    runs = {name: replace(run, trials={(0, 0): run.trials[0, 0]}) for name, run in runs.items()}
    found = recommend(runs)
    assert found.here and found.chosen_by == evidence.VALIDATION
    losses = [found.further[0].loss_now, *(each.loss for each in found.further)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
    once = {name: replace(run, seeds=(1,), scores={"accuracy": run.scores["accuracy"][:1]})
            for name, run in runs.items()}
    assert recommend(once).further == ()  # nobody knows
    assert [each.loss for each in recommend(once).candidates] == [
        each.loss for each in found.candidates]


def test_more_of_a_search_is_priced_by_its_trials():
    runs = {name: searched(number, 0.7, search_operations=1e9, search_seconds=7.0)
            for number, name in enumerate("ab")}
    first = recommend(runs).further[0]
    assert (first.knob, first.number) == ("search_seeds", 2)
    assert (first.operations, first.seconds) == (2e9, 14.0)


def test_rows_have_a_cell_for_each_column():
    runs = RUNS | {"broken": run(failed="why")}
    found = recommend(runs, LIMIT, margin=2.0)
    outcome = Outcome(None, named(runs), {}, recommendation=found, measured=found)
    table = tables.by_name()["recommendation"]
    rows = {row[0]: dict(zip(table.HEADER, row, strict=True)) for row in table.rows(outcome)}
    assert rows["top"]["within_budget"] == "no" and rows["fast"]["within_budget"] == "yes"
    assert rows["fast"]["recommended"] == "yes" and rows["fast"]["operations"] == 5e9
    assert rows["fast"]["flops"] == 15
    assert rows["broken"]["score"] is None and rows["broken"]["note"] == "failed: why"
    assert rows["poor"]["difference_low"] < rows["poor"]["difference"] < 0
    assert not any(COSTS[column].measured for column in table.HEADER if column in COSTS)
    for name in ("evidence", "further"):
        table = tables.by_name()[name]
        assert all(len(row) == len(table.HEADER) for row in table.rows(outcome))


PARETO = tables.by_name()["pareto"]


def pareto_rows(runs):
    return PARETO.rows(Outcome(SimpleNamespace(score="accuracy"), named(runs),
                               estimates.intervals(runs)))


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_pareto_front(points):
    scores = np.linspace(-1, 1, 40)[None]  # images differ, so that there is an interval
    runs = {f"r{place}": finished({"accuracy": 50.0 + accuracy + scores}, (1,), stored_bytes=cost)
            for place, (cost, accuracy) in enumerate(points)}
    rows = [dict(zip(PARETO.HEADER, row, strict=True)) for row in pareto_rows(runs)]
    assert {row["cost"] for row in rows} == {
        name for name, cost in COSTS.items()
        if cost.drawn and not cost.measured and name != "search_operations"}  # nobody searched
    for row, (cost, accuracy) in zip((row for row in rows if row["cost"] == "stored_bytes"), points,
                                     strict=True):
        assert row["value"] == cost and row["low"] < row["score"] < row["high"]
        beaten = any((other[0] < cost and other[1] >= accuracy)
                     or (other[0] <= cost and other[1] > accuracy) for other in points)
        assert row["dominated"] == ("yes" if beaten else "no")


def test_only_runs_with_the_same_test_images_dominate():
    runs = {"here": priced(0.6, 1, 5.0), "there": priced(0.9, 2, 1.0, test_set="other")}
    rows = pareto_rows(runs)
    assert {row[-1] for row in rows} == {"no"}
