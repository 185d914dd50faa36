"""Negative conditional entropy of the labels, given what the weights' own classifier answers.

Tran, Nguyen and Hassner, Transferability and Hardness of Supervised Classification Tasks, ICCV
2019, equation 6, with z the source's class of highest probability:

    NCE = -H(y | z) = sum_{y, z} P(y, z) log (P(y, z) / P(z))
"""

import torch

from unfreeze.ranking.scores import Features

NEEDS_HEAD = True


def score(features: Features) -> float:
    """In nats an image, at most 0."""
    answers = features.source.argmax(1)
    joint = torch.zeros(features.classes, features.source.shape[1], dtype=torch.float64)
    joint.index_put_((features.labels, answers), torch.ones(len(answers), dtype=torch.float64),
                     accumulate=True)
    given = joint / joint.sum(0).clamp(min=1)
    return (torch.xlogy(joint, given).sum() / len(answers)).item()
