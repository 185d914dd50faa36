import json
import subprocess
import sys

import numpy as np
import pytest
import sklearn.metrics
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import ROOT
from unfreeze import files, places
from unfreeze.scoring import calibration, confusion, evaluation
from unfreeze.scoring.predictions import Predictions, label_rank, log_softmax, softmax
from unfreeze.scoring.scores import SCORES, per_image

RNG = np.random.default_rng(0)
LOGITS = (4 * RNG.standard_normal((200, 10))).astype(np.float32)
LABELS = RNG.integers(0, 10, 200)
CLASSES = [f"c{i}" for i in range(10)]


def mean(name, logits, labels):
    return per_image(Predictions(np.asarray(logits), np.asarray(labels)))[name].mean()


def scored(logits, labels, seeds, classes):
    replicates = len(seeds)
    return evaluation.evaluate(
        seeds, classes, np.asarray(logits), labels, np.empty((replicates, 0, len(classes))),
        np.empty((replicates, 0), int)).metrics


def test_cross_entropy_is_torchs():
    expected = F.cross_entropy(torch.from_numpy(LOGITS).double(), torch.from_numpy(LABELS)).item()
    assert mean("cross_entropy", LOGITS, LABELS) == pytest.approx(expected, rel=1e-12)


def test_log_softmax_is_torchs_also_for_huge_logits():
    huge = np.array([[1e4, 0, -1e4], [-1e30, 0, 1e30]])
    for logits in (LOGITS, huge):
        expected = torch.from_numpy(logits).double().log_softmax(-1).numpy()
        np.testing.assert_allclose(log_softmax(logits), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5, 9, 10])
def test_top_k_is_torchs(k):
    best = torch.from_numpy(LOGITS).topk(k, dim=1).indices.numpy()
    expected = (best == LABELS[:, None]).any(axis=1)
    assert np.array_equal(label_rank(LOGITS, LABELS) < k, expected)


def test_ties_go_to_the_lower_class_as_in_argmax():
    logits = np.array([[1.0, 1, 1], [0, 2, 2], [3, 3, 0]])
    for labels, rank in [([0, 1, 0], 0), ([1, 2, 1], 1), ([2, 0, 2], 2)]:
        labels = np.array(labels)
        assert label_rank(logits, labels).tolist() == [rank] * 3
        assert np.trace(confusion.matrix(logits[None], labels)) == 3 * (rank == 0)
    # bf16 logits tie often.
    coarse = np.round(LOGITS)
    assert mean("accuracy", coarse, LABELS) == pytest.approx(
        100 * (coarse.argmax(1) == LABELS).mean())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 10**6), st.booleans())
@pytest.mark.filterwarnings("ignore::UserWarning")  # scikit-learn's, on predictions without labels
def test_means_over_images_are_scikit_learns_metrics(images, classes, seed, coarse):
    rng = np.random.default_rng(seed)
    logits = rng.choice([0.1, 3, 100]) * rng.standard_normal((images, classes))
    logits = np.round(logits) if coarse else logits
    labels = rng.integers(0, rng.integers(1, classes + 1), images)
    values = per_image(Predictions(logits, labels))
    predicted, probabilities = logits.argmax(1), softmax(logits)
    expected = {
        "accuracy": 100 * sklearn.metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": 100 * sklearn.metrics.balanced_accuracy_score(labels, predicted),
        "brier": np.square(probabilities - np.eye(classes)[labels]).sum(axis=1).mean(),
    }
    if classes > 1:
        expected["brier"] = sklearn.metrics.brier_score_loss(
            labels, probabilities, labels=range(classes), scale_by_half=False)
        expected["cross_entropy"] = -np.log(np.maximum(
            probabilities[np.arange(images), labels], 1e-300)).mean()
    if classes > 5 and not coarse:
        expected["top5"] = 100 * sklearn.metrics.top_k_accuracy_score(
            labels, logits, k=5, labels=range(classes))
    for name, value in expected.items():
        assert values[name].mean() == pytest.approx(value, rel=1e-9, abs=1e-9), name
    assert list(values) == [name for name in SCORES if name != "top5" or classes > 5]
    assert all(own.shape == (images,) and own.dtype == float for own in values.values())


def test_log_loss_is_scikit_learns():
    expected = sklearn.metrics.log_loss(LABELS, softmax(LOGITS), labels=range(10))
    assert mean("cross_entropy", LOGITS, LABELS) == pytest.approx(expected, rel=1e-9)


@pytest.mark.filterwarnings("ignore::UserWarning")  # scikit-learn's, on class 5
def test_balanced_accuracy_per_image_is_its_derivative_by_an_image_s_weight():
    labels = np.where((RNG.random(200) < 0.5) | (LABELS == 5), 3, LABELS)  # unbalanced, no class 5
    logits = LOGITS + 6 * np.eye(10)[labels]
    values = per_image(Predictions(logits, labels))["balanced_accuracy"]
    assert len(np.unique(values)) > 5
    for image in range(0, 200, 20):
        weights = np.ones(200)
        weights[image] += 1e-6
        weighted = 100 * sklearn.metrics.balanced_accuracy_score(
            labels, logits.argmax(1), sample_weight=weights)
        derivative = (weighted - values.mean()) / 1e-6
        assert 200 * derivative == pytest.approx(values[image] - values.mean(), rel=1e-4, abs=1e-3)


def test_confusion_matrix_is_scikit_learns_over_all_replicates():
    other = LOGITS[::-1]
    expected = sum(sklearn.metrics.confusion_matrix(LABELS, own.argmax(1), labels=range(10))
                   for own in (LOGITS, other))
    assert np.array_equal(confusion.matrix(np.stack([LOGITS, other]), LABELS), expected)
    by_hand = confusion.matrix(np.eye(3)[None, [0, 1, 1, 2, 0]], np.array([0, 0, 1, 2, 2]))
    assert by_hand.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]


def test_per_class_is_scikit_learns():
    logits = LOGITS.copy()
    logits[:, 7] = -1e4  # never predicted
    counts = confusion.matrix(logits[None], LABELS)
    expected = sklearn.metrics.precision_recall_fscore_support(
        LABELS, logits.argmax(1), labels=range(10), zero_division=0)
    for name, values in zip(("precision", "recall", "f1"), expected[:3], strict=True):
        assert [own[name] for own in confusion.per_class(counts)] == pytest.approx(100 * values)


def test_class_without_test_images_has_no_recall_and_no_part_in_the_balanced_mean():
    logits, labels = np.eye(4)[[0, 3, 1]], np.array([0, 0, 1])
    found = confusion.per_class(confusion.matrix(logits[None], labels))
    assert [own["recall"] for own in found] == [50.0, 100.0, None, None]
    assert [own["f1"] for own in found] == pytest.approx([200 / 3, 100.0, None, None])
    assert [own["precision"] for own in found] == [100.0, 100.0, 0.0, 0.0]
    assert mean("balanced_accuracy", logits, labels) == pytest.approx(75)


def test_most_confused_pairs_by_share_of_the_actual_class():
    counts = np.array([[90, 10, 0], [30, 0, 0], [5, 5, 40]])
    assert confusion.likeliest_mistakes(counts) == [
        (1, 0, 100.0), (0, 1, 10.0), (2, 0, 10.0), (2, 1, 10.0)]
    assert confusion.likeliest_mistakes(np.diag([3, 0, 2])) == []
    assert len(confusion.likeliest_mistakes(np.ones((9, 9), int))) == 10


def test_spread_is_of_the_sample():
    assert evaluation.spread([1.0, 2.0, 4.0]) == {"mean": 2.3333, "std": 1.5275, "n": 3}
    assert evaluation.spread([3.0]) == {"mean": 3.0, "std": None, "n": 1}


def test_score_gathers_replicates():
    labels = np.array([0, 1, 1, 2])
    right, wrong = 50.0 * np.eye(3)[labels], 50.0 * np.eye(3)[[0, 0, 0, 0]]
    scores = scored(np.stack([right, wrong]), labels, [42, 7], ["a", "b", "c"])
    assert scores["accuracy"] == {"mean": 62.5, "std": 53.033, "n": 2,
                                  "seeds": {"42": 100.0, "7": 25.0}}
    assert scores["balanced_accuracy"]["seeds"] == {"42": 100.0, "7": 33.3333}
    assert scores["cross_entropy"]["seeds"] == {"42": 0.0, "7": 37.5}  # 3 of 4 at 50 nats
    assert scores["brier"]["seeds"] == {"42": 0.0, "7": 1.5}
    assert scores["ece"]["seeds"] == {"42": 0.0, "7": 75.0}
    assert scores["per_class"]["b"] == {"precision": 100.0, "recall": 50.0, "f1": 66.6667,
                                        "images": 2}
    assert scores["confused"] == [["b", "a", 50.0], ["c", "a", 50.0]]
    assert scores["test_images"] == 4
    assert "top5" not in scores  # always 100 for so few classes
    assert "-0.0" not in json.dumps(scores)


@pytest.mark.parametrize(("classes", "there"), [(5, False), (6, True)])
def test_top5_needs_more_than_five_classes(classes, there):
    scores = scored(LOGITS[None, :, :classes], LABELS % classes, [1], CLASSES[:classes])
    assert ("top5" in scores) == there


@pytest.mark.filterwarnings("error")
def test_single_class_single_image_and_certainty():
    one = scored(np.array([[[3.0], [-1e4]]]), np.array([0, 0]), [1], ["a"])
    assert [one[name]["mean"] for name in ("accuracy", "balanced_accuracy", "cross_entropy",
                                           "brier", "ece")] == [100, 100, 0, 0, 0]
    assert one["per_class"] == {"a": {"precision": 100.0, "recall": 100.0, "f1": 100.0,
                                      "images": 2}}
    assert one["confused"] == []
    sure_and_wrong = np.array([[0, 1e4, -1e4]], np.float32)
    values = per_image(Predictions(sure_and_wrong, np.array([0])))
    assert {name: own.tolist() for name, own in values.items()} == {
        "accuracy": [0], "balanced_accuracy": [0], "cross_entropy": [1e4], "brier": [2],
        "ece": [100]}


def test_failure_names_the_seeds():
    logits, validation = np.zeros((3, 4, 2)), np.zeros((3, 1, 2))
    assert evaluation.failure([42, 43, 44], logits, validation) is None
    assert evaluation.failure([42, 43, 44], logits, validation[:, :0]) is None
    logits[0, 2, 1] = np.nan
    assert evaluation.failure([42, 43, 44], logits, validation) == (
        "the logits of seed 42 are not finite: training diverged")
    validation[2] = -np.inf
    assert evaluation.failure([42, 43, 44], logits, validation) == (
        "the logits of seeds 42, 44 are not finite: training diverged")


def test_scoring_imports_neither_torch_nor_scipy():
    check = ("import sys, unfreeze.scoring.evaluation;"
             "sys.exit(bool({'torch', 'scipy', 'pandas'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", check],
                          env={"PYTHONPATH": str(ROOT / "src")}).returncode == 0


@pytest.fixture
def evaluate(tmp_path):
    """Runs the stage on predictions; returns the folder of the scores."""
    folder = tmp_path / places.RUNS / "base"
    folder.mkdir(parents=True)

    def run(**predictions):
        np.savez(folder / "predictions.npz", **predictions)
        subprocess.run([sys.executable, ROOT / "stages" / "evaluate.py", "base"], cwd=tmp_path,
                       check=True)
        return folder / "scores"

    return run


PREDICTIONS = {
    "seeds": np.array([42, 43]), "classes": np.array(CLASSES), "labels": LABELS,
    "logits": np.stack([LOGITS + 6 * np.eye(10)[LABELS], LOGITS]).astype(np.float32),
    "temperature": np.array(np.nan), "failed": np.array(""),
}
VALIDATION = {
    "validation_logits": PREDICTIONS["logits"][:, :50],
    "validation_labels": np.stack([LABELS[:50], LABELS[:50]]),
}


def test_evaluate_writes_four_files_that_agree(evaluate):
    folder = evaluate(**PREDICTIONS, **VALIDATION)
    names = ("metrics.json", "confusion.csv", "calibration.csv", "per_image.npz")
    written = [(folder / name).read_bytes() for name in names]
    scores = files.read_json(folder / "metrics.json")
    assert list(scores) == [*SCORES, "ece_scaled", "temperature", "per_class", "confused",
                            "test_images"]
    with np.load(folder / "per_image.npz") as per_image:
        assert set(per_image) == {"seeds", "labels", "classes", "predicted", "confidence",
                                  *SCORES}
        for name in SCORES:
            assert per_image[name].mean(axis=1) == pytest.approx(
                list(scores[name]["seeds"].values()), abs=1e-4)
        right = per_image["predicted"] == LABELS
        assert np.array_equal(100.0 * right, per_image["accuracy"])
        assert 0 < per_image["confidence"].min() and per_image["confidence"].max() <= 1
        assert np.array_equal(per_image["seeds"], [42, 43])

    # The second seed's labels are random: only uniform probabilities fit.
    assert scores["temperature"]["seeds"]["43"] > 3 * scores["temperature"]["seeds"]["42"]
    assert scores["ece_scaled"]["seeds"]["43"] < scores["ece"]["seeds"]["43"] / 3
    rows = files.read_csv(folder / "calibration.csv")
    assert len(rows) == 2 * 2 * 15
    for seed in ("42", "43"):
        for scaled, name in (("no", "ece"), ("yes", "ece_scaled")):
            own = [row for row in rows if (row["seed"], row["scaled"]) == (seed, scaled)]
            error = sum(int(row["images"]) * abs(float(row["confidence"]) - float(row["accuracy"]))
                        for row in own if row["images"] != "0")
            assert error / 200 == pytest.approx(scores[name]["seeds"][seed], abs=1e-3)
    counts = files.read_csv(folder / "confusion.csv")
    assert len(counts) == 100 and sum(int(row["images"]) for row in counts) == 400

    evaluate(**PREDICTIONS, **VALIDATION)
    assert [(folder / name).read_bytes() for name in names] == written


def test_pairs_that_are_never_confused_are_left_out_of_many_classes():
    for count, rows in ((100, 100 * 100), (101, 102)):
        counts = np.eye(count, dtype=int)
        counts[0, 1] = 3
        names = [f"class {number}" for number in range(count)]
        found = confusion.pairs(counts, names)
        assert len(found) == rows and ("class 0", "class 1", 3) in found


def test_evaluate_without_validation_images_scales_nothing(evaluate):
    folder = evaluate(**PREDICTIONS, validation_logits=np.empty((2, 0, 10), np.float32),
                      validation_labels=np.empty((2, 0), int))
    scores = files.read_json(folder / "metrics.json")
    assert "ece" in scores and not {"ece_scaled", "temperature"} & set(scores)
    assert {row["scaled"] for row in files.read_csv(folder / "calibration.csv")} == {"no"}


def test_temperature_of_a_search_scales_where_there_are_no_validation_images(evaluate):
    empty = {"validation_logits": np.empty((2, 0, 10), np.float32),
             "validation_labels": np.empty((2, 0), int)}
    given = {"temperature": np.array(2.5)}
    scores = files.read_json(evaluate(**PREDICTIONS | empty | given) / "metrics.json")
    assert set(scores["temperature"]["seeds"].values()) == {2.5}
    scaled = Predictions(PREDICTIONS["logits"][0] / 2.5, LABELS)
    ece = calibration.error_per_image(scaled.confidence, scaled.correct).mean()
    assert scores["ece_scaled"]["seeds"]["42"] == pytest.approx(ece, abs=1e-4)
    # With validation images each replicate has its own.
    own = files.read_json(evaluate(**PREDICTIONS | VALIDATION | given) / "metrics.json")
    assert own == files.read_json(evaluate(**PREDICTIONS | VALIDATION) / "metrics.json")


def test_evaluate_says_why_nothing_was_trained(evaluate):
    logits = np.full_like(PREDICTIONS["logits"], np.nan)
    folder = evaluate(**PREDICTIONS | {"logits": logits, "failed": np.array("all trials diverged")},
                      **VALIDATION)
    assert files.read_json(folder / "metrics.json") == {
        "failed": "all trials diverged", "test_images": 200}


def test_evaluate_marks_a_diverged_run_as_failed(evaluate):
    logits = PREDICTIONS["logits"].copy()
    logits[0] = np.nan
    folder = evaluate(**PREDICTIONS | {"logits": logits}, **VALIDATION)
    assert files.read_json(folder / "metrics.json") == {
        "failed": "the logits of seed 42 are not finite: training diverged", "test_images": 200}
    assert (folder / "confusion.csv").read_text() == "actual,predicted,images\n"
    assert (folder / "calibration.csv").read_text() == ",".join(calibration.HEADER) + "\n"
    with np.load(folder / "per_image.npz") as per_image:
        assert set(per_image) == {"seeds", "labels", "classes"}
