"""Scores of features, beside other ways to the same numbers."""

import pkgutil

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from unfreeze.ranking import folds, scores, table
from unfreeze.ranking.rank import scored
from unfreeze.ranking.scores import (
    Features,
    by_name,
    h_score,
    k_nn,
    leep,
    linear_probe,
    logme,
    nce,
)

CLASSES = 3


def features(images: int = 60, columns: int = 8, apart: float = 1.0, seed: int = 0,
             **keywords) -> Features:
    """Of classes whose centres lie that far apart; the classifier's five classes know of them."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(images) % CLASSES)
    centres = rng.normal(size=(CLASSES, columns))
    values = rng.normal(size=(images, columns)) + apart * centres[labels]
    source = torch.from_numpy(values @ rng.normal(size=(columns, 5))).softmax(1)
    return Features(torch.from_numpy(values), torch.from_numpy(labels),
                    torch.from_numpy(folds.of(labels)), source, **keywords)


FEW_COLUMNS, MANY_COLUMNS = features(), features(30, 50)
BOTH = pytest.mark.parametrize("found", [FEW_COLUMNS, MANY_COLUMNS], ids=["n > D", "n < D"])


@BOTH
def test_logme_is_the_largest_log_probability_of_the_labels(found):
    """As a Gaussian process with a linear kernel has it, maximised by Nelder and Mead."""
    values, labels = found.values.numpy(), found.labels.numpy()
    kernel = values @ values.T

    def of_class(label: int) -> float:
        def loss(logs: np.ndarray) -> float:
            alpha, beta = np.exp(logs)
            covariance = kernel / alpha + np.eye(len(labels)) / beta
            return -stats.multivariate_normal.logpdf((labels == label).astype(float),
                                                     cov=covariance)

        return -min(optimize.minimize(loss, start, method="Nelder-Mead", options={
            "xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000}).fun for start in ((0, 0), (3, 2)))

    expected = np.mean([of_class(label) for label in range(CLASSES)]) / len(labels)
    assert logme.score(found) == pytest.approx(expected, abs=1e-5)


@BOTH
def test_h_score_is_the_trace_with_the_covariance_of_ledoit_and_wolf(found):
    values, labels = found.values.numpy(), found.labels.numpy()
    shrunk = LedoitWolf().fit(values)
    means = np.stack([values[labels == label].mean(0) for label in labels])
    between = np.cov(means, rowvar=False, bias=True)
    expected = np.trace(np.linalg.inv(shrunk.covariance_) @ between) * (1 - shrunk.shrinkage_)
    assert h_score.score(found) == pytest.approx(expected, rel=1e-8)
    share, spread = h_score.shrinkage(found.values - found.values.mean(0))
    assert share == pytest.approx(shrunk.shrinkage_, rel=1e-8)
    assert spread == pytest.approx(np.var(values, axis=0).mean())


@BOTH
def test_nearest_neighbours_are_scikit_learns(found):
    values, labels, parts = (each.numpy() for each in (found.values, found.labels, found.folds))
    right = 0
    for part in np.unique(parts):
        held = parts == part
        model = KNeighborsClassifier(k_nn.K, metric="cosine", algorithm="brute", weights=lambda
                                     distance: np.exp((1 - distance) / k_nn.TEMPERATURE))
        model.fit(values[~held], labels[~held])
        right += (model.predict(values[held]) == labels[held]).sum()
    assert k_nn.score(found) == pytest.approx(100 * right / len(labels))


@BOTH
def test_linear_probe_is_scikit_learns_logistic_regression(found):
    """Each fit, and with the folds the accuracy."""
    values, labels, parts = (each.numpy() for each in (found.values, found.labels, found.folds))
    inputs = (values - values.mean(0)) / values.std(0) / values.shape[1] ** 0.5
    best = []
    for strength in linear_probe.STRENGTHS:
        logits = np.zeros((len(labels), CLASSES))
        for part in np.unique(parts):
            held = parts == part
            model = LogisticRegression(C=1 / (strength * (~held).sum()), tol=1e-6, max_iter=5000)
            logits[held] = model.fit(inputs[~held], labels[~held]).decision_function(inputs[held])
        loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits), found.labels).item()
        best.append((loss, 100 * (logits.argmax(1) == labels).mean(), logits))
    loss, accuracy, logits = min(best, key=lambda each: each[0])
    ours = linear_probe.held_out(found)
    assert torch.nn.functional.cross_entropy(ours, found.labels).item() == pytest.approx(
        loss, abs=5e-4)
    assert np.abs(ours.softmax(1).numpy() - torch.from_numpy(logits).softmax(1).numpy()
                  ).max() < 1e-2
    assert linear_probe.score(found) == pytest.approx(accuracy)


def test_leep_and_nce_by_hand():
    """Two classes of the source, three images: as the papers' sums go."""
    source = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], dtype=torch.float64)
    found = Features(torch.zeros(3, 1), torch.tensor([0, 0, 1]), torch.zeros(3), source)
    # P(y = 0 | z): 1.5 / 1.7 and 0.5 / 1.3
    first, second = 1.5 / 1.7, 0.5 / 1.3
    expected = np.mean(np.log([0.9 * first + 0.1 * second, 0.6 * first + 0.4 * second,
                               0.2 * (1 - first) + 0.8 * (1 - second)]))
    assert leep.score(found) == pytest.approx(expected)
    assert nce.score(found) == pytest.approx(0)  # each answer tells the class
    unsure = Features(found.values, torch.tensor([0, 1, 1]), found.folds, source)
    assert nce.score(unsure) == pytest.approx(2 / 3 * np.log(0.5))


def test_all_tell_features_that_know_the_classes_from_those_that_do_not():
    knowing, ignorant = (scored(features(120, 6, apart), lambda: 0.0)[0] for apart in (2.0, 0.0))
    assert list(knowing) == list(table.SCORES) == list(by_name())
    for name in knowing:
        assert knowing[name] > ignorant[name], name
    assert knowing["linear_probe"] > 90 and ignorant["linear_probe"] < 60


def test_balanced_accuracy_counts_each_class_the_same():
    found = Features(torch.zeros(4, 1), torch.tensor([0, 0, 0, 1]), torch.zeros(4), balanced=True)
    assert found.accuracy(torch.tensor([0, 0, 0, 0])) == 50
    assert features().accuracy(features().labels) == 100


def test_each_score_is_listed():
    assert {name for _, name, _ in pkgutil.iter_modules(scores.__path__)} == set(table.SCORES)


def test_without_a_classifier_there_are_no_scores_by_it():
    found = features()
    values, seconds = scored(Features(found.values, found.labels, found.folds), lambda: 1.0)
    assert set(values) == set(seconds) == {"linear_probe", "k_nn", "logme", "h_score"}


def test_constant_features_are_worth_nothing_and_break_nothing():
    found = Features(torch.ones(30, 4, dtype=torch.float64), FEW_COLUMNS.labels[:30],
                     torch.arange(30) % 5)
    values, _ = scored(found, lambda: 0.0)
    assert values["linear_probe"] < 60 and values["h_score"] == 0
    assert all(np.isfinite(value) for value in values.values())


def test_images_of_a_group_are_held_out_together():
    labels = np.arange(40) % 2
    groups = np.arange(40) // 4
    parts = folds.of(labels, groups)
    assert all(len(set(parts[groups == group])) == 1 for group in range(10))
    assert len(set(parts)) == 5
    assert sorted(np.bincount(folds.of(labels))) == [8] * 5
    assert set(folds.of(np.array([0, 0, 0, 0, 0, 1]))) == {0, 1}  # a class of one image
