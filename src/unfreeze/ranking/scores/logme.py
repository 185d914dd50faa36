"""Logarithm of maximum evidence: how probable the labels are under a Bayesian linear model on the
features, whose two precisions are those that make them most probable.

You, Liu, Wang and Long, LogME: Practical Assessment of Pre-trained Models for Transfer Learning,
ICML 2021. For a class, y is 1 for its images and 0 for others, and with A = alpha I + beta F'F and
m = beta A^-1 F'y (equation 2):

    log p(y | F, alpha, beta) = n/2 log beta + D/2 log alpha - n/2 log 2 pi
                                - beta/2 |Fm - y|^2 - alpha/2 |m|^2 - 1/2 log |A|

maximised by MacKay's fixed point (equation 3): gamma = sum_i beta s_i / (alpha + beta s_i) over the
eigenvalues s of F'F, alpha = gamma / |m|^2, beta = (n - gamma) / |Fm - y|^2. The score is the mean
over classes and images.
"""

import math

import torch

from unfreeze.ranking.scores import Features

_ROUNDS, _STEADY = 200, 1e-6  # of the fixed point; of the ratio of the precisions
_LEAST = 1e-12


def score(features: Features) -> float:
    """In nats an image."""
    left, singular, _ = torch.linalg.svd(features.values, full_matrices=False)
    kept = singular > singular.max() * 1e-12
    left, squares = left[:, kept], singular[kept].square()
    targets = torch.nn.functional.one_hot(features.labels, features.classes).double()
    present = targets.sum(0) > 0
    evidences = [_evidence(squares, (left.T @ target).square(), target.square().sum().item(),
                           *features.values.shape) for target in targets.T[present]]
    return sum(evidences) / len(evidences) / len(features.values)


def _evidence(squares: torch.Tensor, projected: torch.Tensor, length: float, images: int,
              columns: int) -> float:
    """The largest log evidence of one class.

    Args:
        squares: (r,) of the singular values. projected: (r,) squares of the targets along the left
            singular vectors. length: |y|^2.
    """
    outside = max(length - projected.sum().item(), 0.0)  # of what no combination of columns gives
    ratio = 1.0  # alpha over beta
    for _ in range(_ROUNDS):
        gamma = (squares / (ratio + squares)).sum().item()
        weights = (squares * projected / (ratio + squares).square()).sum().item()
        rest = ((ratio / (ratio + squares)).square() * projected).sum().item() + outside
        alpha = gamma / max(weights, _LEAST)
        beta = (images - gamma) / max(rest, _LEAST)
        before, ratio = ratio, max(alpha / max(beta, _LEAST), _LEAST)
        if abs(ratio - before) < _STEADY * before:
            break
    alpha, beta = max(alpha, _LEAST), max(beta, _LEAST)
    log_det = (alpha + beta * squares).log().sum().item() + (
        columns - len(squares)) * math.log(alpha)
    return 0.5 * (images * math.log(beta) + columns * math.log(alpha)
                  - images * math.log(2 * math.pi) - beta * rest - alpha * weights - log_det)
