"""What is said of a model by the features that it makes of labelled images: one file a score, of
those that ranking/table.py lists. The higher, the better, for each of them.

A file offers:

    score(Features) -> float
    NEEDS_HEAD   True, only where it goes by what the weights' own classifier says
"""

import functools
import importlib
from dataclasses import dataclass
from types import ModuleType

import torch

from unfreeze.ranking.table import SCORES


@dataclass(frozen=True)
class Features:
    """What a model makes of N labelled images.

    Attributes:
        values: (N, D) float64, what goes into the last layer.
        labels: (N,) int64, from 0.
        folds: (N,) int64: in which part each image is held out, from 0.
        source: (N, K) float64 probabilities that the weights' own classifier gives its K classes;
            None where they have none.
        balanced: whether each class counts the same in an accuracy.
    """

    values: torch.Tensor
    labels: torch.Tensor
    folds: torch.Tensor
    source: torch.Tensor | None = None
    balanced: bool = False

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1

    def accuracy(self, predicted: torch.Tensor) -> float:
        """In percent, of (N,) predicted labels."""
        right = (predicted == self.labels).double()
        if not self.balanced:
            return 100 * right.mean().item()
        counts = torch.bincount(self.labels)
        of_class = torch.bincount(self.labels, right)[counts > 0] / counts[counts > 0]
        return 100 * of_class.mean().item()


@functools.cache
def by_name() -> dict[str, ModuleType]:
    """{score: its module}, in their order."""
    return {name: importlib.import_module(f"{__name__}.{name}") for name in SCORES}
