"""Half a period of a cosine, from 1 to 0 over the epochs."""

import math


def multiplier(epoch: int, epochs: int, knobs) -> float:
    return (1 + math.cos(math.pi * epoch / epochs)) / 2
