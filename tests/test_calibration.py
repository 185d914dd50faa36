import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from unfreeze.scoring import calibration
from unfreeze.scoring.predictions import log_softmax, softmax

RNG = np.random.default_rng(1)
LOGITS = (2 * RNG.standard_normal((500, 10))).astype(np.float32)
LABELS = np.where(RNG.random(500) < 0.5, LOGITS.argmax(1), RNG.integers(0, 10, 500))
LOW, HIGH = calibration.TEMPERATURES


def confidence_of(logits):
    return softmax(logits).max(axis=-1)


def ece(confidence, correct):
    return calibration.error_per_image(np.array(confidence), np.array(correct, bool)).mean()


def cross_entropy(logits, labels):
    return -log_softmax(logits)[np.arange(len(labels)), labels].mean()


def test_ece_is_torchmetrics():
    # Here, or every process that runs some tests would import it, which takes seconds.
    from torchmetrics.classification import MulticlassCalibrationError

    for scale in (0.3, 1, 5):
        logits = scale * LOGITS
        confidence = confidence_of(logits)
        # No confidence within float32 of an edge, where torchmetrics has the other bin.
        inner = np.abs(confidence[:, None] - calibration.EDGES).min(axis=1) > 1e-6
        theirs = MulticlassCalibrationError(num_classes=10, n_bins=15, norm="l1")(
            torch.from_numpy(logits[inner]).softmax(1), torch.from_numpy(LABELS[inner])).item()
        correct = logits[inner].argmax(1) == LABELS[inner]
        assert inner.sum() > 100
        assert ece(confidence[inner], correct) == pytest.approx(100 * theirs, rel=1e-4)


def test_ece_by_hand():
    # Bins 14, 8 and 0: |0.96 + 0.94 - 1| + |0.55 - 1| + |0.05 - 0|, over 4 images.
    found = ece([0.96, 0.94, 0.55, 0.05], [1, 0, 1, 0])
    assert found == pytest.approx(25 * (0.9 + 0.45 + 0.05))
    assert ece([1.0], [1]) == 0
    assert ece([1.0], [0]) == 100
    # Over- and underconfidence of one bin make up for each other.
    assert ece([0.5, 0.5], [1, 0]) == 0


def test_a_bin_has_its_upper_edge():
    edges = calibration.EDGES
    assert calibration.bins(edges).tolist() == [0, *range(15)]
    assert calibration.bins(np.nextafter(edges[:-1], 1)).tolist() == list(range(15))
    # Uniform probabilities are exactly 1 / C: 3/15 is the upper edge of bin 2.
    assert calibration.bins(confidence_of(np.full((1, 5), 0.1))) == [2]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_ece_per_image_has_the_mean_that_the_definition_gives(images):
    confidence, correct = (np.array(each) for each in zip(*images, strict=True))
    expected = 0.0
    for low, high in zip(calibration.EDGES[:-1], calibration.EDGES[1:], strict=True):
        own = (confidence > low) & (confidence <= high) | (low == 0) & (confidence == 0)
        if own.any():
            expected += own.mean() * abs(correct[own].mean() - confidence[own].mean())
    assert ece(confidence, correct) == pytest.approx(100 * expected, abs=1e-9)
    assert -1e-9 <= ece(confidence, correct) <= 100


def test_ece_per_image_is_its_derivative_by_an_image_s_weight():
    confidence = confidence_of(LOGITS)
    correct = LOGITS.argmax(1) == LABELS
    bins = calibration.bins(confidence)

    def weighted(weights):
        gaps = np.bincount(bins, weights * (confidence - correct))
        return 100 * np.abs(gaps).sum() / weights.sum()

    values = calibration.error_per_image(confidence, correct)
    for image in range(0, 500, 50):
        weights = np.ones(500)
        weights[image] += 1e-6
        derivative = (weighted(weights) - values.mean()) / 1e-6
        assert 500 * derivative == pytest.approx(values[image] - values.mean(), rel=1e-4, abs=1e-3)


def test_reliability_rows_add_up_to_the_error():
    confidence, correct = confidence_of(LOGITS), LOGITS.argmax(1) == LABELS
    rows = calibration.reliability(confidence, correct)
    assert [row[0] for row in rows] == list(range(15))
    assert rows[0][1] == 0 and rows[-1][2] == 100
    assert all(one[2] == other[1] for one, other in zip(rows[:-1], rows[1:], strict=True))
    filled = [row for row in rows if row[3]]
    assert all(low <= own <= high for _, low, high, _, own, _ in filled)
    assert all(row[4:] == (None, None) for row in rows if not row[3])
    assert sum(row[3] for row in filled) == 500
    gaps = sum(images * abs(accuracy - own) for _, _, _, images, own, accuracy in filled)
    assert gaps / 500 == pytest.approx(ece(confidence, correct), abs=1e-3)


@pytest.mark.parametrize("scale", [0.2, 1, 3])
def test_temperature_is_scipys(scale):
    logits = scale * LOGITS
    found = minimize_scalar(lambda log: cross_entropy(logits / np.exp(log), LABELS),
                            bounds=np.log(calibration.TEMPERATURES), method="bounded",
                            options={"xatol": 1e-10})
    assert calibration.temperature(logits, LABELS) == pytest.approx(np.exp(found.x), rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 10**6))
def test_no_other_temperature_is_better(images, classes, seed):
    rng = np.random.default_rng(seed)
    logits = rng.choice([0.1, 1, 10]) * rng.standard_normal((images, classes))
    labels = rng.integers(0, classes, images)
    value = calibration.temperature(logits, labels)
    assert LOW <= value <= HIGH
    least = cross_entropy(logits / value, labels)
    for other in np.geomspace(LOW, HIGH, 25):
        assert least <= cross_entropy(logits / other, labels) + 1e-9


def test_temperature_finds_by_how_much_the_logits_were_stretched():
    rng = np.random.default_rng(2)
    true = 2 * rng.standard_normal((20_000, 5))
    labels = (true + rng.gumbel(size=true.shape)).argmax(1)  # drawn from softmax(true)
    assert calibration.temperature(true, labels) == pytest.approx(1, abs=0.04)
    assert calibration.temperature(2.5 * true, labels) == pytest.approx(2.5, abs=0.1)
    correct = true.argmax(1) == labels
    before, after = (ece(confidence_of(each), correct) for each in (2.5 * true, true))
    assert after < 1.5 < 10 < before


def test_temperature_at_its_limits():
    right = np.eye(4)
    assert calibration.temperature(right, np.arange(4)) == pytest.approx(LOW)
    assert calibration.temperature(right, (np.arange(4) + 1) % 4) == pytest.approx(HIGH)
    # No temperature makes a difference: one class, equal logits, certainty.
    assert calibration.temperature(np.array([[3.0], [-1.0]]), np.array([0, 0])) == 1
    assert calibration.temperature(np.full((3, 7), 0.1), np.array([0, 1, 1])) == 1
    assert calibration.temperature(1e4 * right, np.arange(4)) == 1
    # Validation labels of one class, and a single image.
    assert LOW <= calibration.temperature(LOGITS, np.zeros(500, int)) <= HIGH
    assert calibration.temperature(right[:1], np.array([0])) == pytest.approx(LOW)


@pytest.mark.filterwarnings("error")
def test_huge_logits_do_not_overflow():
    huge = np.array([[1e4, -1e4, 0], [3e38, -3e38, 0]], np.float32)
    assert confidence_of(huge).tolist() == [1, 1]
    assert calibration.temperature(huge, np.array([1, 0])) == pytest.approx(HIGH)
