"""Full fine-tuning: every parameter trains."""

from unfreeze.tuning.methods import parameters


def insert(model, modules: list[str], facts, knobs, image_size: int) -> None:
    """Nothing to add."""


def trained(model, modules: list[str]) -> list[str]:
    """Names of all parameters in some blocks."""
    return [name for name, _, _ in parameters(model, modules)]
