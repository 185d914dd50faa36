"""Accuracy of a linear classifier on the features, on images held out of its training.

Multinomial logistic regression on standardised features, with an L2 penalty on its weights, as
Kornblith, Shlens and Le (Do Better ImageNet Models Transfer Better?, CVPR 2019, section 3.2) and
Renggli et al. (Which Model to Transfer? Finding the Needle in the Growing Haystack, CVPR 2022,
section 3) fit it:

    min  1/n sum_i -log softmax(W x_i + b)[y_i] + strength / 2 |W|^2,   x standardised, over sqrt(D)

Every image is predicted by the fit that did not have its part. The strength is the one of
STRENGTHS whose held-out cross-entropy is lowest, the same for all parts.
"""

import torch
import torch.nn.functional as F

from unfreeze.ranking.scores import Features

STRENGTHS = (1e-2, 1e-3, 1e-4, 1e-5)  # strong first: each fit starts where the one before ended


def score(features: Features) -> float:
    """In percent."""
    return features.accuracy(held_out(features).argmax(1))


def held_out(features: Features) -> torch.Tensor:
    """(N, C) logits of each image, from the fit that did not have its part, at the best strength.
    """
    inputs = _in_few_columns(_standardised(features.values))
    logits = torch.zeros(len(STRENGTHS), len(inputs), features.classes, dtype=torch.float64)
    for fold in features.folds.unique():
        held = features.folds == fold
        for number, fitted in enumerate(fits(inputs[~held], features.labels[~held],
                                             features.classes)):
            logits[number, held] = inputs[held] @ fitted[:-1] + fitted[-1]
    losses = [F.cross_entropy(each, features.labels).item() for each in logits]
    return logits[min(range(len(losses)), key=losses.__getitem__)]


def fits(inputs: torch.Tensor, labels: torch.Tensor, classes: int):
    """(D + 1, classes) weights, and in the last row biases, at each of STRENGTHS.

    Args:
        inputs: (n, D) float64. labels: (n,) int64.
    """
    fitted = torch.zeros(inputs.shape[1] + 1, classes, dtype=torch.float64, requires_grad=True)
    for strength in STRENGTHS:
        optimizer = torch.optim.LBFGS([fitted], max_iter=200, tolerance_grad=1e-6,
                                      tolerance_change=1e-10, line_search_fn="strong_wolfe")

        def loss(strength: float = strength, optimizer=optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            logits = torch.addmm(fitted[-1], inputs, fitted[:-1])
            value = F.cross_entropy(logits, labels) + strength / 2 * fitted[:-1].square().sum()
            value.backward()
            return value

        optimizer.step(loss)
        yield fitted.detach().clone()


def _standardised(values: torch.Tensor) -> torch.Tensor:
    """Each column with mean 0 and deviation 1, over the root of their number; one that is the same
    everywhere is 0."""
    deviation = values.std(0, correction=0)
    deviation[deviation < 1e-12] = torch.inf
    return (values - values.mean(0)) / deviation / values.shape[1] ** 0.5


def _in_few_columns(inputs: torch.Tensor) -> torch.Tensor:
    """The same in at most as many columns as rows: turned, which changes neither a product nor the
    size of weights that are combinations of the rows, as those of every fit are."""
    if inputs.shape[1] <= inputs.shape[0]:
        return inputs
    left, singular, _ = torch.linalg.svd(inputs, full_matrices=False)
    return left * singular
