"""How well one order of models foretells another."""

import csv
import math

import numpy as np
import pytest
from benchmarks import ranking
from scipy import stats

from unfreeze.ranking import order, table


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


def test_a_study_is_gathered_by_its_models(tmp_path):
    """Where two models are run, the worse one in two runs, and a third is only scored."""
    def write(name, rows):
        path = tmp_path / "plots/tables" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    scored = {"images": 20, "image_size": 8, **dict.fromkeys(table.SCORES, "1.5")}
    write("models", [{"model": "good", "run": "a", **scored},
                     {"model": "bad", "run": "b", **scored, "leep": ""},
                     {"model": "only scored", "run": "", **scored}])
    write("ranking", [{"run": run, "seeds": seeds}
                      for run, seeds in (("a", "80 90"), ("b", "60 50"), ("c", "10 20"))])
    found = ranking.gathered(tmp_path)
    assert (found["images"], found["image_size"], list(found["models"])) == (20, 8, ["bad", "good"])
    assert found["models"]["good"]["fine_tuned"] == [80, 90]
    assert found["models"]["bad"]["leep"] is None and found["models"]["good"]["leep"] == 1.5


def test_studies_of_different_models_are_refused_and_what_is_kept_stays(
        tmp_path, monkeypatch, capsys):
    kept = tmp_path / "ranking.json"
    kept.write_text("kept")
    monkeypatch.setattr(ranking, "KEPT", kept)
    monkeypatch.setattr(ranking, "gathered", lambda study: {"models": {study.name: {}}})
    monkeypatch.setattr("sys.argv", ["ranking.py", "--add", "one=resnet18", "two=mobilenet_v2"])
    with pytest.raises(SystemExit):
        ranking.main()
    assert "one: resnet18; two: mobilenet_v2; name studies whose" in capsys.readouterr().err
    assert kept.read_text() == "kept"
