"""What the tables say of a search: what was tried, what was chosen, what searching is worth."""

from itertools import combinations
from types import SimpleNamespace

import pytest

from unfreeze.choosing.searched import Candidate, Searched, Trial
from unfreeze.judging import tables
from unfreeze.judging.expected import best_of
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.runs import TrainedRun


def trial(candidate: int, score: float | None, fold: int = 0, epochs: int = 4) -> Trial:
    return Trial(candidate, 0, fold, epochs, score, None if score is None else 100 - 40 * score,
                 epochs, 100 * epochs, 2.5)


def candidate(score: float | None, fully: bool = True, **values) -> Candidate:
    return Candidate(values, score, None if score is None else 100 - 40 * score, fully)


# Four rates in two folds; the third diverged in one of them, the fourth was not tried.
RATES = Searched(
    "cross_entropy", "lower", 1,
    (candidate(0.9, lr=0.001), candidate(0.5, lr=0.01), candidate(None, lr=0.1),
     candidate(None, lr=1.0)),
    (trial(0, 0.8), trial(0, 1.0, 1), trial(1, 0.5), trial(1, 0.5, 1), trial(2, 0.7),
     trial(2, None, 1)),
    ("lr 0.01 is an end",))
# Halving: one of two was stopped after a quarter of its epochs.
HALVED = Searched(
    "accuracy", "higher", 0,
    (candidate(0.25, lr=0.01, epochs=4), candidate(0.5, fully=False, lr=0.1, epochs=4)),
    (trial(0, 0.3, epochs=1), trial(1, 0.5, epochs=1), trial(0, 0.25)), ())
FAILED = Searched("cross_entropy", "lower", None, (candidate(None, lr=0.1), candidate(None, lr=1)),
                  (trial(0, None), trial(1, None)), ())


def rows(table: str, **searched: Searched) -> list[dict]:
    """The rows as {column: value}; of the runs one was not searched."""
    runs = {name: TrainedRun(name, {}, {}, {}, {}, searched=found)
            for name, found in searched.items()}
    runs["as_it_is"] = TrainedRun("as_it_is", {}, {}, {}, {})
    module = tables.by_name()[table]
    found = module.rows(Outcome(SimpleNamespace(score="accuracy"), runs, {}))
    return [dict(zip(module.HEADER, row, strict=True)) for row in found]


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("scores", [(3.0, 1.0, 2.0, 2.0), (0.5,), (1.0, None, 4.0, None, 2.5)])
def test_the_best_of_so_many_is_the_mean_over_all_subsets(scores, higher):
    best = max if higher else min
    for some, expected in enumerate(best_of(scores, higher), start=1):
        found = [[score for score in subset if score is not None]
                 for subset in combinations(scores, some)]
        if not all(found):
            assert expected is None
        else:
            assert expected == pytest.approx(sum(map(best, found)) / len(found))


def test_a_row_for_each_candidate_that_was_tried():
    found = rows("search", rates=RATES)
    assert [(row["run"], row["candidate"], row["values"], row["lr"], row["others"])
            for row in found] == [("rates", 1, "lr: 0.001", 0.001, ""),
                                  ("rates", 2, "lr: 0.01", 0.01, ""),
                                  ("rates", 3, "lr: 0.1", 0.1, "")]
    assert [(row["score"], row["lowest"], row["highest"]) for row in found] == [
        (0.9, 0.8, 1), (0.5, 0.5, 0.5), (None, None, None)]
    assert [(row["chosen"], row["state"], row["trials"], row["operations"]) for row in found] == [
        ("no", "tried", 2, 800), ("yes", "tried", 2, 800), ("no", "diverged", 2, 800)]
    assert found[0]["text"] == "cross-entropy" and found[0]["better"] == "lower"


def test_a_candidate_that_halving_stopped_has_its_last_score_and_other_knobs_are_named():
    full, stopped = rows("search", halved=HALVED)
    assert (full["epochs"], full["state"], full["trials"], full["operations"]) == (
        4, "tried", 2, 500)
    assert (stopped["epochs"], stopped["state"], stopped["score"]) == (1, "stopped", 0.5)
    assert stopped["others"] == "epochs: 4"


def test_a_row_for_each_choice():
    rates, halved, failed = rows("choices", rates=RATES, halved=HALVED, failed=FAILED)
    assert [rates[column] for column in (
        "chosen", "tried", "listed", "stopped", "diverged", "score", "worst", "seeds", "folds",
        "trials", "operations", "edges")] == [
        "lr: 0.01", 3, 4, 0, 1, 0.5, 0.9, 1, 2, 6, 2400, "lr 0.01 is an end"]
    # What was stopped early is not held against what was not.
    assert (halved["stopped"], halved["worst"], halved["score"]) == (1, 0.25, 0.25)
    assert [failed[column] for column in ("chosen", "diverged", "score", "worst")] == [
        None, 2, None, None]


def test_what_to_expect_of_so_many_candidates():
    found = rows("expected_best", rates=RATES, halved=HALVED, failed=FAILED)
    # One may be that which diverged; halved candidates are not comparable.
    assert [(row["run"], row["candidates"], row["expected"], row["operations"])
            for row in found] == [("rates", 2, pytest.approx((0.9 + 2 * 0.5) / 3, abs=1e-4), 1600),
                                  ("rates", 3, 0.5, 2400)]
