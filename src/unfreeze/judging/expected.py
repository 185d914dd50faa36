"""The best of so many tries that one may expect."""

import math
from collections.abc import Sequence


def best_of(scores: Sequence[float | None], higher: bool) -> list[float | None]:
    """The best score to expect of 1, 2, ... all of B tries, drawn without putting them back: the
    mean over all subsets of that size, which is unbiased for what as many fresh tries would give
    (Tang et al. 2020, https://arxiv.org/abs/2004.13705). Of the scores in order, worst first, the
    i-th is the best of C(i - 1, n - 1) of the C(B, n) subsets of n.

    Args:
        scores: B of them; None: worse than any other, and no number.
        higher: whether higher is better.

    Returns:
        B numbers; None as long as a subset may hold nothing but None.
    """
    known = sorted((score for score in scores if score is not None), reverse=not higher)
    all_of_them, unknown = len(scores), len(scores) - len(known)
    expected: list[float | None] = []
    for some in range(1, all_of_them + 1):
        if some <= unknown:
            expected.append(None)
            continue
        subsets = math.comb(all_of_them, some)
        expected.append(sum(score * math.comb(unknown + place, some - 1)
                            for place, score in enumerate(known)) / subsets)
    return expected
