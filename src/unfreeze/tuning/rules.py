"""Freezing, methods and learning rates as rules over a model's named parts.

A rule names parts (`stage2`), the model's own blocks (`features.14`) or whatever they lie in
(`layer2`, `encoder.layers`). The more exact name wins: a block's own rule beats one for what it
lies in, and that beats one for its part. The result is one table with a row for each block.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from unfreeze.errors import Fault, nearest
from unfreeze.models import heads
from unfreeze.models.facts import Model, Parts
from unfreeze.recipe import Knobs

PRESETS = ("none", "early", "middle", "last_only")


@dataclass(frozen=True)
class Row:
    """One block.

    Attributes:
        part: the part that it lies in. module: its name in the model.
        tune: how it trains: a file of tuning/methods; None where it is frozen. What starts anew is
            trained in full.
        lr_scale: learning-rate multiplier, 0 when frozen.
    """

    part: str
    module: str
    tune: str | None
    lr_scale: float

    @property
    def frozen(self) -> bool:
        return self.tune is None


def part_table(parts: Parts, freeze: object, lr_scale: dict[str, float], lr_decay: float = 1.0,
               tune: str = "full", new: tuple[str, ...] = ()) -> list[Row]:
    """One row a block, stem to head.

    Args:
        parts: {part: modules}, stem to head.
        freeze: a preset, a list of names to freeze, {"train": names}, which freezes the rest, or
            {"last": k}, which freezes all before the last k stages.
        lr_scale: {name: multiplier of lr}.
        lr_decay: where no rule of lr_scale names a block: multiplier a part, counted from the
            head, which has 1.
        tune: method of the trainable blocks that are neither the head nor in `new`.
        new: blocks that start from random numbers besides the head.

    Raises:
        Fault: a name that matches nothing, or nothing left to train.
    """
    frozen = _frozen_modules(parts, freeze)
    scales = {module: lr_decay**depth for depth, modules in enumerate(reversed(parts.values()))
              for module in modules}
    # From the vaguest name to the most exact, so that the most exact one wins.
    for name in sorted(lr_scale, key=lambda name: (name not in parts, len(name))):
        scales |= dict.fromkeys(_lookup(parts, name, "lr_scale"), float(lr_scale[name]))
    rows = [
        Row(part, module, None, 0.0) if module in frozen else
        Row(part, module, "full" if part == "head" or module in new else tune,
            float(scales[module]))
        for part, modules in parts.items()
        for module in modules
    ]
    if all(row.frozen for row in rows):
        raise Fault("freeze", f"{freeze!r} freezes every part, so nothing is left to train; "
                              f"leave at least one of {', '.join(parts)}")
    return rows


def phase_table(facts: Model, knobs: Knobs, phase: Knobs, scratch: bool) -> list[Row]:
    """The table of a phase of a run.

    Args:
        facts: of the model.
        knobs: of the run: `tune`, `head` and `stem` are read.
        phase: knobs of the phase: `freeze`, `lr_scale`, `lr_decay` and `epochs`. With no epoch
            nothing trains.
        scratch: whether the whole model starts from random numbers.

    Raises:
        Fault: as of `part_table`.
    """
    parts = heads.parts(facts, knobs["head"])
    table = part_table(parts, phase["freeze"], phase["lr_scale"], phase["lr_decay"], knobs["tune"],
                       _started_anew(parts, facts.fresh.get(knobs["stem"], ()), scratch))
    if not phase["epochs"]:
        return [Row(row.part, row.module, None, 0.0) for row in table]
    return table


def _started_anew(parts: Parts, fresh: tuple[str, ...], scratch: bool) -> tuple[str, ...]:
    """The blocks that start from random numbers besides the head; of a stem that is partly new all,
    since the statistics of its BatchNorm belong to the old one."""
    return tuple(module for modules in parts.values() for module in modules
                 if scratch or set(fresh) & set(modules))


def methods_used(tables: Iterable[list[Row]]) -> set[str]:
    """The methods in the tables of some phases."""
    return {row.tune for table in tables for row in table if row.tune is not None}


def stages(parts: Parts) -> list[str]:
    """The parts called stage1, stage2 ..., in their order."""
    return [part for part in parts if part.startswith("stage")]


def _frozen_modules(parts: Parts, freeze: object) -> set[str]:
    every = set(_modules(parts))
    if isinstance(freeze, dict) and "train" in freeze:
        return every - {m for name in freeze["train"] for m in _lookup(parts, name, "freeze")}
    if isinstance(freeze, dict):
        return {module for part in _before_last(parts, freeze["last"]) for module in parts[part]}
    if isinstance(freeze, list):
        return {module for name in freeze for module in _lookup(parts, name, "freeze")}
    return {module for part in _preset(parts, freeze) for module in parts[part]}


def _before_last(parts: Parts, count: int) -> list[str]:
    names = stages(parts)
    if count > len(names):
        raise Fault("freeze", f"{{'last': {count}}} asks for {count} stages and the model has "
                              f"{len(names)}; allowed: 0 to {len(names)}, or none")
    kept = names[len(names) - count:]
    return list(parts)[:list(parts).index(kept[0] if kept else _after(parts, names[-1]))]


def _after(parts: Parts, part: str) -> str:
    order = list(parts)
    return order[order.index(part) + 1]


def _preset(parts: Parts, preset: str) -> list[str]:
    """`early` is the first half of the stages, `middle` the middle half, as in the published
    freezing study (on a ResNet: layer1 and layer2, layer2 and layer3); the stem, with its
    normalisation, stays trainable under both. `last_only` is all but the head."""
    names = stages(parts)
    half, quarter = len(names) // 2, len(names) // 4
    return {
        "none": [],
        "early": names[:half],
        "middle": names[quarter:quarter + half],
        "last_only": [part for part in parts if part != "head"],
    }[preset]


def _modules(parts: Parts) -> list[str]:
    return [module for modules in parts.values() for module in modules]


def _lookup(parts: Parts, name: str, knob: str) -> tuple[str, ...]:
    if name in parts:
        return parts[name]
    found = tuple(m for m in _modules(parts) if m == name or m.startswith(f"{name}."))
    if found:
        return found
    modules = _modules(parts)
    known = dict.fromkeys(parts) | {
        ".".join(module.split(".")[:length]): None
        for module in modules for length in range(1, module.count(".") + 2)}
    raise Fault(knob, f"{name!r} matches no part of the model{nearest(name, known)}; "
                      f"allowed: {', '.join(parts)}, or the model's own {modules[0]} ... "
                      f"{modules[-1]}")
