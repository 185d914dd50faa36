"""Accuracy of the nearest neighbours in the space of the features.

Each image takes the class that its K most similar images of the other parts vote for, each with
the weight exp(cosine / TEMPERATURE) (Wu et al., Unsupervised Feature Learning via Non-Parametric
Instance Discrimination, CVPR 2018, section 3.4). As a way to choose models: Puigcerver et al.,
Scalable Transfer Learning with Expert Models, ICLR 2021.
"""

import torch
import torch.nn.functional as F

from unfreeze.ranking.scores import Features

K, TEMPERATURE = 5, 0.07
_ROWS = 1024  # compared with all at a time


def score(features: Features) -> float:
    """In percent."""
    directions = F.normalize(features.values, dim=1)
    predicted = [
        _vote(directions[rows] @ directions.T, features.folds[rows], features)
        for rows in torch.arange(len(directions)).split(_ROWS)]
    return features.accuracy(torch.cat(predicted))


def _vote(cosine: torch.Tensor, folds: torch.Tensor, features: Features) -> torch.Tensor:
    """(n,) labels for n images of some folds; `cosine` is (n, N), with all."""
    cosine.masked_fill_(folds[:, None] == features.folds[None], -torch.inf)
    near, which = cosine.topk(min(K, cosine.shape[1]))
    weights = (near / TEMPERATURE).exp()  # 0 for what may not vote
    votes = torch.zeros(len(cosine), features.classes, dtype=torch.float64)
    return votes.scatter_add_(1, features.labels[which], weights).argmax(1)
