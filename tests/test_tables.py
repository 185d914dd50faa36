"""The tables of plots/tables/ and the files of metrics/, from what runs leave behind."""

import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from helpers import ROOT
from unfreeze import places
from unfreeze.expecting import claims
from unfreeze.expecting.costs import COSTS, Cost
from unfreeze.judging import cells, leftovers, measured, quality, tables
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.runs import TrainedRun
from unfreeze.judging.statistics import Effect
from unfreeze.judging.verdicts import Finding, Verdict
from unfreeze.scoring.scores import SCORES


def spread(mean: float, std: float | None, n: int) -> dict:
    return {"mean": mean, "std": std, "n": n, "seeds": {"1": mean - 0.5, "2": mean + 0.5}}


def effect(mean: float, seeds: int = 2) -> Effect:
    return Effect(mean, mean - 1.23456, mean + 2, 0, 1, seeds, 50, 1.0, 1.0, here=seeds == 1)


def run(name: str, accuracy: float | None, knobs: dict | None = None, changes: dict | None = None,
        **files) -> TrainedRun:
    """A run with two seeds; without an accuracy it failed."""
    metrics = ({"failed": "not finite", "test_images": 50} if accuracy is None else
               {"accuracy": spread(accuracy, 0.5, 2), "brier": spread(0.4, 0.1, 2),
                "ece": spread(3.0, 0.1, 2), "ece_scaled": spread(2.0, None, 1),
                "confused": [["cat", "dog", 12.5]], "test_images": 50})
    return TrainedRun(name, knobs or {}, changes or {}, {"parameters_trainable": 7,
                                                         "operations": 9}, metrics, **files)


def rows(table: str, *runs: TrainedRun, intervals: dict | None = None, budget: dict | None = None,
         compared: dict | None = None, verdicts: list | None = None, of=tables) -> list[tuple]:
    outcome = Outcome(SimpleNamespace(budget=budget or {}, score="accuracy", reported_curves={}),
                      {run.name: run for run in runs}, intervals or {}, verdicts or (),
                      compared=compared or {})
    found = of.by_name()[table].rows(outcome)
    assert all(len(row) == len(of.by_name()[table].HEADER) for row in found)
    return found


COST = dict.fromkeys(("seconds_per_replicate", "parameters_total", "parameters_trainable",
                      "stored_bytes", "activation_bytes", "activation_bytes_1", "flops_forward",
                      "flops_backward", "operations", "search_operations", "search_trials",
                      "search_seconds", "peak_memory_bytes", "images_per_second"), 3) | {
    "seconds": {"1": 2.0, "2": 4.0}, "device": "a CPU", "precision": "fp32", "threads": 1}

INTERVALS = {"a": {"accuracy": effect(70.0), "brier": effect(0.4), "ece": effect(3.0)},
             "b": {"accuracy": effect(80.0, seeds=1), "brier": effect(0.5)}}
RUNS = [run("a", 70.0), run("broken", None), run("b", 80.0)]


def test_the_ranking_is_sorted_and_says_what_its_interval_covers():
    assert rows("ranking", *RUNS, intervals=INTERVALS) == [
        ("b", 80.0, 0.5, 78.7654, 82.0, 2, 50, "images", "79.5 80.5", "not searched"),
        ("a", 70.0, 0.5, 68.7654, 72.0, 2, 50, "seeds and images", "69.5 70.5", "not searched"),
    ]


def test_tables_go_by_the_score_of_the_study():
    """Less of it is better; `c` has too few classes for it."""
    runs = [RUNS[0], replace(RUNS[2], metrics=RUNS[2].metrics | {"brier": spread(0.5, 0.1, 2)}),
            run("c", 60.0)]
    del runs[2].metrics["brier"]
    runs = [replace(each, seeds=(1, 2), cost=COST, knobs={
        "dataset": "d", "test_fraction": 1, "fraction": share, "init": "pretrained"})
        for each, share in zip(runs, (1, 0.5, 0.25), strict=True)]
    outcome = Outcome(SimpleNamespace(score="brier"), {run.name: run for run in runs},
                      INTERVALS | {"c": {}})
    assert [row[:2] for row in tables.by_name()["ranking"].rows(outcome)] == [
        ("a", 0.4), ("b", 0.5), ("c", None)]
    assert [row[-1] for row in tables.by_name()["pareto"].rows(outcome)
            if row[1] == "operations"] == ["no", "yes"]  # as dear, and worse
    assert [row[2:5] for row in tables.by_name()["fractions"].rows(outcome)] == [
        ("c", 0.25, None), ("b", 0.5, 0.5), ("a", 1, 0.4)]
    contents = quality.contents(outcome)
    assert contents["score.json"] == {"a": 0.4, "b": 0.5}
    assert list(contents["runs/a.json"])[:2] == ["brier", "brier_std"]


def test_scores_without_an_interval_have_none():
    by_score = {row[:2]: row[2:] for row in rows("scores", *RUNS, intervals=INTERVALS)}
    assert by_score["a", "brier"] == (0.4, 0.1, -0.8346, 2.4, 2)
    assert by_score["a", "ece_scaled"] == (2.0, None, None, None, 1)
    assert by_score["a", "ece"] == (3.0, 0.1, None, None, 2)  # it is biased
    assert {name for name, _ in by_score} == {"a", "b"}


def test_a_failed_run_is_named_and_has_no_numbers():
    outcome = Outcome(SimpleNamespace(score="accuracy"), {run.name: run for run in RUNS}, INTERVALS)
    contents = quality.contents(outcome)
    assert list(contents) == ["score.json", "claims.json", *(
        f"{folder}/{name}.json" for folder in ("runs", "details") for name in ("a", "broken", "b"))]
    assert contents["score.json"] == {"a": 70.0, "b": 80.0}
    assert contents["runs/broken.json"] == {"failed": "not finite"}
    row = contents["runs/a.json"]
    assert (row["accuracy"], row["accuracy_std"], row["brier"]) == (70, 0.5, 0.4)
    assert list(row)[-4:] == ["seeds", "settings", "parameters_trainable", "operations"]
    assert rows("confused", *RUNS) == [("a", "cat", "dog", 12.5), ("b", "cat", "dog", 12.5)]


def epochs(*numbers: tuple) -> list[dict]:
    """(seed, epoch, seconds, validation accuracy) as the rows of history.csv."""
    return [dict(zip(("seed", "epoch", "seconds", "validation_accuracy"), row, strict=True))
            for row in numbers]


def test_wall_clock_adds_up_each_seed_s_epochs():
    history = epochs(("1", "1", "2.5", "0.5"), ("1", "2", "2.25", ""), ("1", "3", "1", "0.75"),
                     ("2", "1", "4", "0.25"))
    assert rows("wall_clock", run("a", 70, history=history),
                run("broken", None, history=history), of=measured) == [
        ("a", "1", "1", 2.5, 50.0), ("a", "1", "3", 5.75, 75.0), ("a", "2", "1", 4.0, 25.0)]


QUICK = run("quick", 70, history=epochs(("1", "1", "1", "0.5"), ("1", "2", "1", "0.7"),
                                        ("2", "1", "1", "0.6"), ("2", "2", "2", "0.75")))
SLOW = run("slow", 70, history=epochs(*(("1", str(epoch), "2", f"0.{epoch}")
                                        for epoch in (1, 2, 3))))


def test_runs_are_matched_by_the_fewest_epochs_and_the_fastest_run():
    assert rows("matched", QUICK, SLOW) == [("quick", 2, 72.5, 2), ("slow", 2, 20, 3)]
    assert rows("matched", QUICK, SLOW, of=measured) == [
        ("quick", 3.0, "quick", 72.5, 2, 2, 2.5), ("slow", 3.0, "quick", 10, 1, 3, 6)]


def test_runs_are_matched_by_the_seconds_of_the_budget():
    assert rows("matched", QUICK, SLOW, budget={"seconds": 1.5}, of=measured) == [
        ("quick", 1.5, "", 55, 1, 2, 2.5), ("slow", 1.5, "", None, None, 3, 6)]
    # One of two seeds has finished an epoch: no mean of that one alone.
    late = run("late", 70, history=epochs(("1", "1", "1", "0.5"), ("2", "1", "4", "0.6")))
    assert rows("matched", late, budget={"seconds": 2}, of=measured)[0][3:] == (None, None, 1, 2.5)


def test_without_validation_images_nothing_is_matched():
    for of in (tables, measured):
        assert rows("matched", run("a", 70, history=epochs(("1", "1", "2", ""))), of=of) == []


def test_what_was_measured_has_tables_of_its_own():
    """None of it is in those that git tracks."""
    runs = [replace(run(name, 70.0, {"dataset": "d", "test_fraction": 1}), cost=COST)
            for name in "ab"]
    costs = rows("costs", *runs, of=measured)
    assert costs[0] == ("a", 3, 2, 4, 2, 3, 3, 0, "a CPU", "fp32", 1)
    assert rows("seconds", *runs, of=measured)[:2] == [("a", "1", 2.0), ("a", "2", 4.0)]
    drawn = {row[1] for row in rows("pareto", *runs, intervals=INTERVALS, of=measured)}
    assert drawn == {"seconds", "search_seconds"}
    for name, table in tables.by_name().items():
        assert not {"seconds", "search_seconds", "seconds_per_replicate", "peak_memory_mb",
                    "device"} & set(table.HEADER), name
    tracked = {row[1] for row in rows("pareto", *runs, intervals=INTERVALS)}
    assert not any(COSTS[cost].measured for cost in tracked)
    slower = [replace(each, cost=COST | {"seconds_per_replicate": 99.0, "seconds": {"1": 99.0},
                                         "search_seconds": 99.0, "peak_memory_bytes": 9e9,
                                         "device": "another"}) for each in runs]
    for name in set(tables.by_name()) - {"recommendation", "evidence", "further", "reported",
                                         "fractions", "movement"}:
        assert (rows(name, *runs, intervals=INTERVALS)
                == rows(name, *slower, intervals=INTERVALS)), name


def test_a_claim_on_a_measured_cost_is_judged_among_what_was_measured():
    def verdict(claim: str, quantity: str, word: str, effect: float | None) -> Verdict:
        return Verdict(claim, "", quantity, "s", word, None, None,
                       (Finding(claim, word, effect, why="so"),), "")

    claimed = [verdict("a > b", "accuracy", "holds", 2.0),
               verdict("a < b", "seconds", "holds", 3.0),
               verdict("a < c", "seconds", "not computed", None)]
    tracked = [dict(zip(tables.by_name()["claims"].HEADER, row, strict=True))
               for row in rows("claims", verdicts=claimed)]
    assert [(row["verdict"], row["claim_verdict"], row["effect"]) for row in tracked] == [
        ("holds", "holds", 2), ("measured", "measured", None),
        ("not computed", "not computed", None)]
    assert "_made/report.html" in tracked[1]["why"] and tracked[2]["why"] == "so"
    kept = [dict(zip(measured.by_name()["claims"].HEADER, row, strict=True))
            for row in rows("claims", verdicts=claimed, of=measured)]
    assert [(row["number"], row["verdict"], row["effect"]) for row in kept] == [
        (2, "holds", 3), (3, "not computed", None)]
    assert list(quality.claims(claimed)) == ["a > b"]


def test_fractions_joins_runs_that_differ_in_nothing_else():
    defaults = {"fraction": 0.05, "seeds": [1, 2], "freeze": "none", "init": "pretrained"}
    changes = {"base": {}, "half": {"fraction": 0.025, "seeds": [1]}, "frozen": {"freeze": "early"},
               "scratch": {"init": "scratch"},
               "scratch_half": {"init": "scratch", "fraction": 0.025}, "broken": {"fraction": 0.01}}
    runs = [run(name, None if name == "broken" else 50.0, defaults | changed, changed)
            for name, changed in changes.items()]
    intervals = {name: {"accuracy": effect(50.0)} for name in changes if name != "broken"}
    assert [row[:4] for row in rows("fractions", *runs, intervals=intervals)] == [
        ("the defaults", "pretrained", "half", 0.025), ("the defaults", "pretrained", "base", 0.05),
        ("init: scratch", "scratch", "scratch_half", 0.025),
        ("init: scratch", "scratch", "scratch", 0.05)]


def test_reliability_pools_the_seeds_and_leaves_out_empty_bins():
    bins = [{"seed": seed, "scaled": "no", "bin": number, "images": images,
             "confidence": confidence, "accuracy": accuracy}
            for seed, number, images, confidence, accuracy in (
                ("1", "3", "10", "22", "20"), ("1", "4", "0", "", ""),
                ("2", "3", "30", "24", "40"))]
    assert rows("reliability", run("a", 70, calibration=bins)) == [("a", "no", "3", 40, 23.5, 35.0)]


def test_movement_keeps_what_is_undefined_and_leaves_out_failed_runs():
    parts = [{"seed": "1", "part": "stem", "parameters": "9", "distance": "0.5",
              "relative_distance": ""}]
    assert rows("movement", run("a", 70, movement=parts),
                run("broken", None, movement=parts)) == [("a", "stem", "1", "0.5", "")]


def test_similar_parts_are_means_over_seeds_and_tensors():
    header = ("seed", "measure", "part", "kind", "tensor", "shape", "run", "value")
    measured = [dict(zip(header, row, strict=True)) for row in (
        ("1", "cosine", "stem", "weight", "conv", "3x3", "", "0.5"),
        ("2", "cosine", "stem", "weight", "conv", "3x3", "", "1"),
        ("1", "cosine", "stem", "weight", "bn", "3", "", "0.9"),  # a scale
        ("1", "cosine", "stem", "bias", "bn", "3", "", "0.25"),
        ("1", "cosine", "stem", "bias", "other", "3", "", ""),
        ("1", "cka", "head", "", "", "", "", ""),
        ("1", "distance", "stem", "", "", "", "a", "7"),
        ("1", "relative_distance", "stem", "", "", "", "a", "0.125"))]
    assert rows("similar_parts", compared={"both": measured}) == [
        ("both", "stem", "cosine_weights", "", 0.75), ("both", "stem", "cosine_biases", "", 0.25),
        ("both", "head", "cka", "", None), ("both", "stem", "relative_distance", "a", 0.125)]
    assert [row[0] for row in rows("similarity", compared={"both": measured})] == ["both"] * 8


def test_a_cost_is_one_new_row(monkeypatch):
    monkeypatch.setitem(COSTS, "euros", Cost("price of a replicate", "euros",
                                             lambda cost: 2 * cost["parameters_trainable"],
                                             drawn=True))
    assert claims.parse("2 * a.euros < b", ["a", "b"]).quantity == "euros"
    assert ("euros", "cost", "price of a replicate", "euros", "lower", "no") in rows("quantities")
    priced = replace(run("a", 70.0, {"dataset": "d", "test_fraction": 1}), cost=COST)
    (drawn,) = [row for row in rows("pareto", priced, intervals=INTERVALS)
                if row[1] == "euros"]
    assert drawn == ("a", "euros", "price of a replicate", "euros", 6, 70, 68.7654, 72, "no")


def test_judging_and_reporting_do_not_import_each_other():
    """A changed verdict redraws by its tables alone, a changed sentence judges nothing anew."""
    judges = {"judging", "expecting", "scoring"}
    for package in (*judges, "reporting"):
        unwanted = {"reporting"} if package in judges else judges
        for path in (ROOT / "src/unfreeze" / package).rglob("*.py"):
            imported = re.findall(r"^\s*(?:from|import) unfreeze\.(\w+)", path.read_text(),
                                  re.MULTILINE)
            assert not unwanted & set(imported), path


def test_judging_does_without_torch():
    check = ("import sys; from unfreeze.judging import leftovers, outcome, quality, tables;"
             "tables.by_name(); unwanted = {'torch', 'pandas', 'matplotlib'};"
             "sys.exit(', '.join(unwanted & set(sys.modules)) or 0)")
    subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": str(ROOT / "src")}, check=True)


def test_quantities_are_what_claims_may_name():
    assert [row[0] for row in rows("quantities")] == [*SCORES, *COSTS]


def test_numbers_for_files():
    assert [cells.number(value) for value in (None, 3.0, -0.00001, 2.34567, 1e30)] == [
        None, 3, 0.0, 2.3457, 1e30]
    assert isinstance(cells.number(1e30), float)


@pytest.fixture
def made(tmp_path):
    for name in ("kept", "gone", "mixed"):
        for file in leftovers.OF_A_RUN:
            path = tmp_path / places.RUNS / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / places.COMPARED).mkdir(parents=True)
    return tmp_path


def test_only_what_stages_wrote_is_removed(made):
    runs, compared = made / places.RUNS, made / places.COMPARED
    kept = [runs / "mixed/scores/notes.txt", runs / "mixed/photo.png", runs / "thesis.odt",
            runs / "photos/1.png", compared / "old.txt"]
    gone = [runs / ".DS_Store", compared / "old.csv"]
    (runs / "photos").mkdir()
    for path in (*kept, *gone, compared / "pairs.yaml", compared / "new.csv"):
        path.touch()
    (runs / "link").symlink_to(made)
    leftovers.remove(["kept"], ["new"], made)
    there = {path for path in made.rglob("*") if path.is_file() or path.is_symlink()}
    assert there == {*kept, compared / "pairs.yaml", compared / "new.csv", runs / "link",
                     *(runs / "kept" / file for file in leftovers.OF_A_RUN)}
    assert not (runs / "gone").exists()
