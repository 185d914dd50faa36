"""How far training has moved what was pretrained, part by part."""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from unfreeze.tuning import groups
from unfreeze.tuning.rules import Row

DECIMALS = 6


def rows(model: torch.nn.Module, initial: Mapping[str, torch.Tensor],
         tables: Sequence[list[Row]]) -> list[tuple]:
    """A row for each part with pretrained parameters, stem to head: the fields of
    `finished.MOVEMENT`.

    Args:
        model: trained. It is left as it is.
        initial: {name: tensor} as pretrained. Parameters that are not in it do not count: they
            started anew, or a method added them.
        tables: of the parts in each phase, as of `rules.phase_table`.

    Returns:
        (part, number of parameters, how far they have moved, that divided by the norm of where
        they were); see `distance`.
    """
    plain = copy.deepcopy(model).cpu()
    groups.merge(plain, tables)
    # While the method sat on a weight, torch may have kept it under another name.
    before = {name.replace(".parametrizations", "").removesuffix(".original"): tensor
              for name, tensor in initial.items()}
    now = dict(plain.named_parameters())
    names: dict[str, list[str]] = {row.part: [] for row in tables[0]}
    for name, row in groups.assign(plain, tables[0]).items():
        if name in before:
            names[row.part].append(name)
    return [
        (part, sum(now[name].numel() for name in of_part),
         *distance([now[name].detach().numpy() for name in of_part],
                   [before[name].cpu().numpy() for name in of_part]))
        for part, of_part in names.items() if of_part
    ]


def distance(now: list[np.ndarray], before: list[np.ndarray]) -> tuple[float, float | None]:
    """How far some tensors have moved: the L2 norm of the difference over all of them together,
    and that divided by the norm of where they were (None where that is zero); rounded, so that a
    repetition gives the same text."""
    moved = _norm([new.astype(np.float64) - old for new, old in zip(now, before, strict=True)])
    norm = _norm(before)
    return round(moved, DECIMALS), round(moved / norm, DECIMALS) if norm > 0 else None


def _norm(tensors: list[np.ndarray]) -> float:
    return float(np.sqrt(sum(np.sum(np.square(tensor, dtype=np.float64)) for tensor in tensors)))
