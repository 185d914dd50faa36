"""The tables of plots/, from what runs leave behind."""

from helpers import params
from unfreeze.judging import tables
from unfreeze.judging.statistics import Effect
from unfreeze.params import config


def spread(mean: float, std: float | None, n: int) -> dict:
    return {"mean": mean, "std": std, "n": n, "seeds": {"1": mean - 0.5, "2": mean + 0.5}}


def effect(mean: float, seeds: int = 2) -> Effect:
    return Effect(mean, mean - 1.23456, mean + 2, 0, 1, seeds, 50, 1.0, 1.0)


def run(name: str, accuracy: float | None, settled: dict | None = None, **files) -> tables.Run:
    """A run with two seeds; without an accuracy it failed."""
    metrics = ({"failed": "not finite", "test_images": 50} if accuracy is None else
               {"accuracy": spread(accuracy, 0.5, 2), "brier": spread(0.4, 0.1, 2),
                "ece_scaled": spread(2.0, None, 1),
                "confused": [["cat", "dog", 12.5]], "test_images": 50})
    rows = {"history": [], "calibration": [], "movement": []} | files
    cost = {"parameters_trainable": 7}
    return tables.Run(name, settled or {"changes": {}}, metrics, cost, **rows)


OWN = {"a": {"accuracy": effect(70.0), "brier": effect(0.4)},
       "b": {"accuracy": effect(80.0, seeds=1), "brier": effect(0.5)}}
RUNS = [run("a", 70.0), run("broken", None), run("b", 80.0)]


def test_accuracy_is_sorted_and_says_what_its_interval_covers():
    assert tables.accuracy_rows(RUNS, OWN) == [
        ("b", 80.0, 0.5, 78.7654, 82.0, 2, 50, "images", "79.5 80.5"),
        ("a", 70.0, 0.5, 68.7654, 72.0, 2, 50, "seeds and images", "69.5 70.5"),
    ]


def test_scores_without_an_interval_have_none():
    rows = {row[:2]: row[2:] for row in tables.score_rows(RUNS, OWN)}
    assert rows["a", "brier"] == (0.4, 0.1, -0.8346, 2.4, 2)
    assert rows["a", "ece_scaled"] == (2.0, None, None, None, 1)
    assert {name for name, _ in rows} == {"a", "b"}


def test_a_failed_run_is_named_and_has_no_numbers():
    assert tables.run_metrics(RUNS[1]) == {"failed": "not finite"}
    row = tables.run_metrics(RUNS[0])
    assert (row["accuracy"], row["accuracy_std"], row["seeds"], row["brier"]) == (70, 0.5, 2, 0.4)
    assert tables.confused_rows(RUNS) == [("a", "cat", "dog", 12.5), ("b", "cat", "dog", 12.5)]


def test_wall_clock_adds_up_each_seed_s_epochs():
    history = [{"seed": seed, "epoch": epoch, "seconds": seconds, "validation_accuracy": accuracy}
               for seed, epoch, seconds, accuracy in (
                   ("1", "1", "2.5", "0.5"), ("1", "2", "2.25", ""), ("1", "3", "1", "0.75"),
                   ("2", "1", "4", "0.25"))]
    assert tables.wall_clock_rows([run("a", 70, history=history),
                                   run("broken", None, history=history)]) == [
        ("a", "1", "1", 2.5, 50.0), ("a", "1", "3", 5.75, 75.0), ("a", "2", "1", 4.0, 25.0)]


def test_fractions_joins_runs_that_differ_in_nothing_else():
    plan = config.resolve(params({
        "base": {}, "half": {"fraction": 0.025, "seeds": [1]}, "frozen": {"freeze": "early"},
        "scratch": {"init": "scratch"}, "scratch_half": {"init": "scratch", "fraction": 0.025},
        "broken": {"fraction": 0.01}})).runs
    runs = [run(name, None if name == "broken" else 50.0, settled)
            for name, settled in plan.items()]
    own = {name: {"accuracy": effect(50.0)} for name in plan if name != "broken"}
    assert [row[:4] for row in tables.fraction_rows(runs, own)] == [
        ("the defaults", "pretrained", "half", 0.025), ("the defaults", "pretrained", "base", 0.05),
        ("init: scratch", "scratch", "scratch_half", 0.025),
        ("init: scratch", "scratch", "scratch", 0.05)]


def test_reliability_pools_the_seeds_and_leaves_out_empty_bins():
    rows = [{"seed": seed, "scaled": "no", "bin": place, "images": images,
             "confidence": confidence, "accuracy": accuracy}
            for seed, place, images, confidence, accuracy in (
                ("1", "3", "10", "22", "20"), ("1", "4", "0", "", ""),
                ("2", "3", "30", "24", "40"))]
    assert tables.reliability_rows([run("a", 70, calibration=rows)]) == [
        ("a", "no", "3", 40, 23.5, 35.0)]


def test_movement_keeps_what_is_undefined_and_leaves_out_failed_runs():
    rows = [{"seed": "1", "part": "stem", "parameters": "9", "distance": "0.5",
             "relative_distance": ""}]
    assert tables.movement_rows([run("a", 70, movement=rows), run("broken", None, movement=rows)]
                                ) == [("a", "stem", "1", "0.5", "")]


def test_changes_in_words():
    assert tables.changes_text({"freeze": {"last": 2}, "lr": 0.1}) == "freeze: {last: 2}, lr: 0.1"
    assert tables.changes_text({}) == "the defaults"
