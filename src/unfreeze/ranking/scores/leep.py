"""Log expected empirical prediction: what the weights' own classifier says of the labels.

Nguyen, Hassner, Seeger and Archambeau, LEEP: A New Measure to Evaluate Transferability of Learned
Representations, ICML 2020. With theta(x)_z the probability of the source's class z (equation 1, 2):

    P(y, z) = 1/n sum_{i: y_i = y} theta(x_i)_z,   P(y | z) = P(y, z) / sum_y P(y, z)
    LEEP = 1/n sum_i log sum_z P(y_i | z) theta(x_i)_z
"""

import torch

from unfreeze.ranking.scores import Features

NEEDS_HEAD = True


def score(features: Features) -> float:
    """In nats an image, at most 0."""
    joint = torch.zeros(features.classes, features.source.shape[1], dtype=torch.float64)
    joint.index_add_(0, features.labels, features.source)
    given = joint / joint.sum(0).clamp(min=torch.finfo(torch.float64).tiny)
    expected = (features.source @ given.T).gather(1, features.labels[:, None])
    return expected.log().mean().item()
