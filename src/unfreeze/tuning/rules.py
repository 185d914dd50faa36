"""Freezing and learning rates as rules over a model's named parts.

A rule names parts (`stage2`) or the model's own modules (`layer2`, `features.14`). A rule for a
module beats a rule for its part. The result is one table with a row for each module.
"""

from dataclasses import asdict, dataclass

from unfreeze.errors import UserError, nearest
from unfreeze.models.facts import Parts

PRESETS = ("none", "early", "middle", "last_only")
ALLOWED = "none, early, middle, last_only, a list of parts to freeze, or {train: [parts to train]}"


@dataclass(frozen=True)
class Row:
    """One module: its part, whether it trains, its learning-rate multiplier (0 when frozen)."""

    part: str
    module: str
    trainable: bool
    lr_scale: float


def part_table(parts: Parts, freeze: object, lr_scale: dict[str, float]) -> list[dict]:
    """One row a module, stem to head, as plain dicts with the fields of `Row`.

    Args:
        parts: {part: modules}, stem to head.
        freeze: a preset, a list of names to freeze, or {"train": names}, which freezes the rest.
        lr_scale: {name: multiplier of lr}; 1 where no rule says otherwise.

    Raises:
        UserError: a name that matches nothing, or nothing left to train.
    """
    frozen = _frozen_modules(parts, freeze)
    scales = dict.fromkeys(_modules(parts), 1.0)
    # Parts before modules, so that a module's own rule wins.
    for name in sorted(lr_scale, key=lambda name: name not in parts):
        scales |= dict.fromkeys(_lookup(parts, name, "lr_scale"), float(lr_scale[name]))
    rows = [
        Row(part, module, module not in frozen, 0.0 if module in frozen else scales[module])
        for part, modules in parts.items()
        for module in modules
    ]
    if not any(row.trainable for row in rows):
        raise UserError(f"freeze: {freeze!r} freezes every part, so nothing is left to train; "
                        f"leave at least one of {', '.join(parts)}")
    return [asdict(row) for row in rows]


def _frozen_modules(parts: Parts, freeze: object) -> set[str]:
    if isinstance(freeze, dict):
        trained = {m for name in freeze["train"] for m in _lookup(parts, name, "freeze")}
        return set(_modules(parts)) - trained
    if isinstance(freeze, list):
        return {module for name in freeze for module in _lookup(parts, name, "freeze")}
    return {module for part in _preset(parts, freeze) for module in parts[part]}


def _preset(parts: Parts, preset: str) -> list[str]:
    """`early` is the first half of the stages, `middle` the middle half, as in the published
    freezing study (on a ResNet: layer1 and layer2, layer2 and layer3); the stem, with its
    normalisation, stays trainable under both. `last_only` is all but the head."""
    stages = [part for part in parts if part not in ("stem", "head")]
    half, quarter = len(stages) // 2, len(stages) // 4
    return {
        "none": [],
        "early": stages[:half],
        "middle": stages[quarter:quarter + half],
        "last_only": [part for part in parts if part != "head"],
    }[preset]


def _modules(parts: Parts) -> list[str]:
    return [module for modules in parts.values() for module in modules]


def _lookup(parts: Parts, name: str, knob: str) -> tuple[str, ...]:
    if name in parts:
        return parts[name]
    if name in _modules(parts):
        return (name,)
    known = [*parts, *_modules(parts)]
    raise UserError(f"{knob}: {name!r} matches no part of the model{nearest(name, known)}; "
                    f"allowed: {', '.join(known)}")
