"""The learning rate stays as it is."""


def multiplier(epoch: int, epochs: int, knobs) -> float:
    return 1.0
