"""What a score is."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unfreeze.scoring.predictions import Predictions


@dataclass(frozen=True)
class Score:
    """A score, by which claims, tables and charts name it, and what each test image says about it.

    Attributes:
        text: in words, for axes and tables. unit: "%", "nats", or "" for none.
        better: which values are.
        bounds: the lowest and the highest that it can be, perhaps infinite.
        per_image: the predictions of a replicate -> (N,) float, whose mean over the N test images
            is the score. A score that is no mean comes as score + influence function, the mean's
            counterpart (Hampel 1974, https://doi.org/10.1080/01621459.1974.10482962).
        least_classes: with fewer it is always at its upper bound, and is left out.
        hits: whether per_image is 100 for a hit and 0 for a miss.
        biased: whether few images put it off to one side, so that an interval around it would miss
            the truth; tables give none.
        position: among the scores of a table, lowest first; without one at the end, by name.
    """

    text: str
    unit: str
    better: Literal["higher", "lower"]
    bounds: tuple[float, float]
    per_image: Callable[[Predictions], np.ndarray]
    least_classes: int = 1
    hits: bool = False
    biased: bool = False
    position: float = math.inf
