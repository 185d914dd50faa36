"""Runs as their search, training and evaluation leave them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from test_verdicts import COST, finished
from unfreeze import files, places
from unfreeze.choosing import searched
from unfreeze.choosing.searched import Candidate, Searched, Trial, Validation
from unfreeze.errors import UserError
from unfreeze.expecting.costs import COSTS, unlike
from unfreeze.judging import runs

FOUND = Searched("cross_entropy", "lower", 1, tuple(
    Candidate({"lr": rate, "epochs": 3}, 1.0, 50.0, True) for rate in (0.1, 0.003, 0.001)), tuple(
    Trial(place, 0, fold, 3, 1.0, 50.0, 3, 1000, 2.5) for place in (0, 1) for fold in (0, 1)), ())
VALIDATION = Validation(
    seed=np.zeros(5, int), fold=np.array([0, 0, 0, 1, 1]), image=np.arange(5),
    label=np.array([0, 1, 1, 0, 1]), logits=np.eye(2, dtype=np.float32)[[0, 1, 0, 1, 1]],
    temperature=1.0)
KNOBS = {"dataset": "d", "test_fraction": 1, "fraction": 1.0, "per_class": 0, "validation": 0.1,
         "search_folds": "auto"}


def leave(study, name, found=searched.NOTHING, validation=None, failed=False, validated=0):
    """The files of a run of two seeds, in two classes and with four test images.

    Args:
        validated: validation images of the tested models.
    """
    folder = study / places.RUNS / name
    arrays = {"seeds": np.array([1, 2]), "labels": np.zeros(4), "classes": np.array(["a", "b"])}
    if not failed:
        arrays |= {"accuracy": np.array([[100.0, 0, 0, 0], [100, 100, 0, 0]]),
                   "predicted": np.zeros((2, 4))}
    (folder / "scores").mkdir(parents=True)
    np.savez(folder / "scores/per_image.npz", **arrays)
    logits = np.eye(2, dtype=np.float32)[np.zeros((2, validated), int)]
    np.savez(folder / "predictions.npz", seeds=[1, 2], validation_logits=logits,
             validation_labels=np.eye(2, validated, dtype=int))
    files.write_json(folder / "cost.json", {
        key: value for key, value in COST.items() if not key.startswith("search")})
    files.write_json(folder / "scores/metrics.json",
                     {"failed": "diverged", "test_images": 4} if failed else {})
    for table in ("history", "movement", "scores/calibration"):
        files.write_csv(folder / f"{table}.csv", ("of",), [(table,)])
    (study / places.SEARCHED).mkdir(parents=True, exist_ok=True)
    searched.write(name, found, validation or searched.nothing(2), study)


def read(study, *names):
    planned = {name: SimpleNamespace(knobs=KNOBS, changes={}) for name in names}
    return runs.read(planned, study)


def test_runs_are_read_from_their_folders(tmp_path):
    leave(tmp_path, "fine")
    leave(tmp_path, "broken", failed=True)
    found = read(tmp_path, "fine", "broken")
    assert list(found) == ["fine", "broken"] and found["broken"].failed == "diverged"
    fine = found["fine"]
    assert fine.seeds == (1, 2) and list(fine.scores) == ["accuracy"]
    assert fine.test_set == found["broken"].test_set == ("d", 1.0)
    assert fine.calibration == [{"of": "scores/calibration"}]
    assert fine.seed_means("accuracy") == {1: 25, 2: 50}
    assert fine.settings == "not searched" and fine.trials == fine.finals == {}
    assert [COSTS[cost].of(fine.cost) for cost in (
        "search_trials", "search_operations", "search_seconds")] == [0, 0, 0]


def test_a_search_is_part_of_what_a_run_cost_and_of_what_is_known(tmp_path):
    leave(tmp_path, "run", FOUND, VALIDATION, validated=3)
    run = read(tmp_path, "run")["run"]
    assert run.settings == "lr 0.003, epochs 3 of 2 tried"  # the third was not
    assert [COSTS[cost].of(run.cost) for cost in (
        "search_trials", "search_operations", "search_seconds")] == [4, 4000, 10]
    assert {which: scores["accuracy"].tolist() for which, scores in run.trials.items()} == {
        (0, 0): [100, 100, 0], (0, 1): [0, 100]}
    assert {which: scores["accuracy"].tolist() for which, scores in run.finals.items()} == {
        (1, 0): [0, 100, 100], (2, 0): [100, 0, 100]}


def test_trained_on_all_images_leaves_none_to_validate_on(tmp_path):
    leave(tmp_path, "run", FOUND, VALIDATION)
    assert read(tmp_path, "run")["run"].finals == {}


def test_a_search_in_which_all_diverged_says_nothing_of_images(tmp_path):
    leave(tmp_path, "run", replace(FOUND, chosen=None), failed=True)
    run = read(tmp_path, "run")["run"]
    assert run.trials == {} and run.settings == "not searched"
    assert run.cost["search_trials"] == 4


def test_what_is_missing_is_one_line(tmp_path):
    leave(tmp_path, "run", FOUND, VALIDATION)
    (tmp_path / places.SEARCHED / "run.json").unlink()
    with pytest.raises(UserError) as told:
        read(tmp_path, "run")
    assert "searched/run.json" in str(told.value) and "\n" not in str(told.value)


def test_seconds_of_unlike_machines_are_not_alike():
    one = finished({}).cost
    assert unlike({"a": one, "b": one | {"seconds_per_replicate": 99.0}}) == ""
    for key, value, said in (("device", "a GPU", "b on a GPU in fp32 with 1 thread"),
                             ("precision", "bf16", "b on a CPU in bf16 with 1 thread"),
                             ("threads", 4, "b on a CPU in fp32 with 4 threads")):
        assert unlike({"a": one, "b": one | {key: value}}) == (
            f"a was trained on a CPU in fp32 with 1 thread, {said}")
