"""Many claims at once: in at most 5 of 100 studies any of their verdicts is wrong.

Step-down (Holm 1979; from joint draws Westfall and Young 1993, Romano and Wolf 2005,
https://doi.org/10.1198/016214504000000539): the clearest claim is tested against the most extreme
of all claims' p-values where nothing differs, the next against that of the rest, and so on. Claims
about the same runs err together, so that their most extreme p-value is less extreme than that of as
many separate ones; the joint draws of images and seeds know that, and Holm's bound does not. Where
draws are too few to tell, Holm's bound stands.
"""

from collections.abc import Sequence

import numpy as np

_FEW = 10  # draws


def holm(p: Sequence[float]) -> list[float]:
    """Corrected p-values, in the order given: at a level, the chance of any false rejection among
    all is at most that level (Holm 1979)."""
    order = sorted(range(len(p)), key=lambda index: p[index])
    corrected, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, (len(p) - rank) * p[index])
        corrected[index] = min(1.0, largest)
    return corrected


def stepped_down(p: Sequence[float], null: np.ndarray) -> list[float]:
    """Corrected p-values, in the order given; never above Holm's.

    Args:
        p: M of them.
        null: (B, M), joint draws of what they are where nothing differs.
    """
    if not len(p):
        return []
    order = np.argsort(p, kind="stable")
    # Of each claim in that order: the least of its own and all later ones' draws.
    least = np.minimum.accumulate(null[:, order[::-1]], axis=1)[:, ::-1]
    corrected, largest = np.empty(len(p)), 0.0
    for rank, index in enumerate(order):
        below = np.count_nonzero(least[:, rank] <= p[index])
        jointly = max(below, _FEW) / len(null)
        largest = max(largest, min(jointly, (len(p) - rank) * p[index], 1.0))
        corrected[index] = largest
    return corrected.tolist()


def level(null: np.ndarray, alpha: float) -> float:
    """The p-value at or below which any of M claims is decided: in a share alpha of the joint draws
    (B, M) the least lies below; at least alpha / M (Bonferroni)."""
    least = np.sort(null.min(axis=1))
    return max(float(np.nextafter(least[int(alpha * len(least))], 0)), alpha / null.shape[1])
