"""What one replicate came to, and how the scratch folder keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch


@dataclass(frozen=True)
class Cost:
    """What training a replicate took.

    Attributes:
        seconds: of training: of processor time, or of time on a GPU.
        images: that training looked at, each as often as it did.
        peak_memory_bytes: of the process, or of the GPU.
        device, precision: where and how it was trained, as of `Device`.
    """

    seconds: float
    images: int
    peak_memory_bytes: int
    device: str
    precision: str


@dataclass(frozen=True)
class Finished:
    """A replicate with no epoch left, all tensors on the CPU.

    Attributes:
        model: {name: tensor} of those that differ from the pretrained ones; {} where nothing is
            tested.
        logits: (N, classes) float32, of the test images; N is 0 where nothing is tested.
        validation_logits: (V, classes) float32, of the validation images, V perhaps 0.
        validation_labels: (V,) int64.
        best_epoch: the epoch whose weights it has, from 1; None: the last.
        history: a row an epoch with the fields of `replicate.HISTORY`.
        movement: of `movement.rows`; [] where nothing is tested.
        cost: what it took.
        diverged: None; or how training went wrong (the loss or a logit is not finite): it stopped
            after that epoch, and all logits are NaN. So they are where nothing was trained, since
            a search could choose nothing.
    """

    model: Mapping[str, torch.Tensor]
    logits: torch.Tensor
    validation_logits: torch.Tensor
    validation_labels: torch.Tensor
    best_epoch: int | None
    history: Sequence[Mapping[str, Any]]
    movement: Sequence[tuple]
    cost: Cost
    diverged: str | None

    def content(self) -> dict[str, Any]:
        """What torch.save keeps and loads again without running code."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {
            "cost": asdict(self.cost)}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Finished":
        """From what `content` gave.

        Raises:
            TypeError, KeyError: it is that of another version.
        """
        return cls(**{**content, "cost": Cost(**content["cost"])})
