import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from helpers import ROOT
from unfreeze.scoring import metrics

RNG = np.random.default_rng(0)
LOGITS = (4 * RNG.standard_normal((200, 10))).astype(np.float32)
LABELS = RNG.integers(0, 10, 200)


def test_cross_entropy_is_torchs():
    expected = F.cross_entropy(torch.from_numpy(LOGITS).double(), torch.from_numpy(LABELS)).item()
    assert metrics.cross_entropy(LOGITS, LABELS) == pytest.approx(expected, rel=1e-12)


def test_log_softmax_is_torchs_also_for_huge_logits():
    huge = np.array([[1e4, 0, -1e4], [-1e30, 0, 1e30]])
    for logits in (LOGITS, huge):
        expected = torch.from_numpy(logits).double().log_softmax(-1).numpy()
        np.testing.assert_allclose(metrics.log_softmax(logits), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5, 9, 10])
def test_top_k_is_torchs(k):
    best = torch.from_numpy(LOGITS).topk(k, dim=1).indices.numpy()
    expected = 100 * (best == LABELS[:, None]).any(axis=1).mean()
    assert metrics.top_k_accuracy(LOGITS, LABELS, k) == pytest.approx(expected)


def test_ties_go_to_the_lower_class_as_in_argmax():
    logits = np.array([[1.0, 1, 1], [0, 2, 2], [3, 3, 0]])
    for labels, top1, top2 in [([0, 1, 0], 100, 100), ([1, 2, 1], 0, 100), ([2, 0, 2], 0, 0)]:
        labels = np.array(labels)
        assert metrics.top_k_accuracy(logits, labels, 1) == top1
        assert metrics.top_k_accuracy(logits, labels, 2) == top2
        assert 100 * np.trace(metrics.confusion_matrix(logits, labels)) / 3 == top1


def test_coarse_logits_agree_with_argmax():
    # bf16 logits tie often.
    logits = np.round(LOGITS)
    assert metrics.top_k_accuracy(logits, LABELS, 1) == pytest.approx(
        100 * (logits.argmax(1) == LABELS).mean())


def test_diverged_model_is_not_scored_as_right():
    # The training loss is checked before the last step, so a model can end in NaN.
    logits = np.full((4, 3), np.nan)
    try:
        accuracy = metrics.top_k_accuracy(logits, np.array([0, 1, 2, 1]), 1)
    except ValueError:
        return
    assert accuracy <= 50


def test_confusion_matrix_counts_by_hand():
    logits = np.eye(3)[[0, 1, 1, 2, 0]]
    assert metrics.confusion_matrix(logits, np.array([0, 0, 1, 2, 2])).tolist() == [
        [1, 1, 0], [0, 1, 0], [1, 0, 1]]


def test_confusion_matrix_is_a_plain_count():
    matrix = metrics.confusion_matrix(LOGITS, LABELS)
    expected = np.zeros((10, 10), int)
    for row, label in zip(LOGITS, LABELS, strict=True):
        expected[label, row.argmax()] += 1
    assert np.array_equal(matrix, expected)


def test_class_without_images_has_no_accuracy():
    matrix = metrics.confusion_matrix(np.eye(4)[[0, 3]], np.array([0, 0]))
    assert matrix.shape == (4, 4)
    assert metrics.per_class_accuracy(matrix) == [50.0, None, None, None]


def test_spread_is_of_the_sample():
    assert metrics.spread([1.0, 2.0, 4.0]) == {"mean": 2.3333, "std": 1.5275, "n": 3}
    assert metrics.spread([3.0]) == {"mean": 3.0, "std": None, "n": 1}


def test_score_gathers_replicates():
    labels = np.array([0, 1, 1, 2])
    right, wrong = 50.0 * np.eye(3)[labels], 50.0 * np.eye(3)[[0, 0, 0, 0]]
    scores = metrics.score(np.stack([right, wrong]), labels, [42, 7], ["a", "b", "c"])
    assert scores["accuracy"] == {"mean": 62.5, "std": 53.033, "n": 2,
                                  "seeds": {"42": 100.0, "7": 25.0}}
    assert scores["cross_entropy"]["seeds"] == {"42": 0.0, "7": 37.5}  # 3 of 4 at 50 nats
    assert scores["per_class_accuracy"] == {"a": 100.0, "b": 50.0, "c": 50.0}
    assert scores["test_images"] == 4
    assert "top5" not in scores  # always 100 for so few classes


@pytest.mark.parametrize(("classes", "there"), [(5, False), (6, True)])
def test_top5_needs_more_than_five_classes(classes, there):
    scores = metrics.score(LOGITS[None, :, :classes], LABELS % classes, [1],
                           [f"c{i}" for i in range(classes)])
    assert ("top5" in scores) == there


def test_scoring_imports_no_torch():
    check = "import sys, unfreeze.scoring.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check],
                          env={"PYTHONPATH": str(ROOT / "src")}).returncode == 0
