"""The training loop: one epoch, one screen."""

import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F

from unfreeze.training.devices import Device

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def make_optimizer(groups: list[dict], knobs: dict) -> torch.optim.Optimizer:
    """The optimizer of a run over its parameter groups."""
    own = {"momentum": knobs["momentum"]} if knobs["optimizer"] == "sgd" else {}
    return OPTIMIZERS[knobs["optimizer"]](groups, lr=knobs["lr"], fused=True, **own)


def schedule(knobs: dict, epoch: int) -> float:
    """Multiplier of every learning rate in an epoch (from 0), as torch's schedulers step once an
    epoch: constant; cosine to 0 over the epochs; exponential, gamma to the power of the epoch."""
    if knobs["schedule"] == "cosine":
        return (1 + math.cos(math.pi * epoch / knobs["epochs"])) / 2
    if knobs["schedule"] == "exponential":
        return knobs["gamma"] ** epoch
    return 1.0


def set_training_mode(model: torch.nn.Module, frozen_batchnorm: str) -> None:
    """Training mode, but for frozen BatchNorm under the policy "eval", which keeps its running
    statistics and normalises by them."""
    model.train()
    if frozen_batchnorm == "eval":
        for module in model.modules():
            if (isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
                    and not any(p.requires_grad for p in module.parameters())):
                module.eval()


def train_epoch(model: torch.nn.Module, optimizer: torch.optim.Optimizer, batches: Batches,
                device: Device, label_smoothing: float,
                progress: Callable[[], None]) -> tuple[float, float]:
    """Train on every batch once.

    Returns:
        Mean loss and accuracy (0..1) over the images, as they were when each was trained on.
    """
    loss_sum = torch.zeros((), device=device.torch, dtype=torch.float64)
    correct = torch.zeros((), device=device.torch, dtype=torch.int64)
    count = 0
    for images, labels in batches:
        with device.autocast():
            logits = model(images)
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss_sum += loss.detach() * len(labels)
        correct += (logits.detach().argmax(1) == labels).sum()
        count += len(labels)
        progress()
    return loss_sum.item() / count, correct.item() / count


@torch.inference_mode()
def predict(model: torch.nn.Module, batches: Batches, device: Device) -> torch.Tensor:
    """(N, classes) float32 logits on the CPU, in eval mode."""
    model.eval()
    logits = []
    for images, _ in batches:
        with device.autocast():
            logits.append(model(images).float())
    return torch.cat(logits).cpu()
