"""A model on images that it is not trained on."""

import math

import torch
import torch.nn.functional as F

from unfreeze.data.reading.images import Images
from unfreeze.recipe import Knobs
from unfreeze.training import folding, loop
from unfreeze.training.devices import Device
from unfreeze.training.prefix.activations import Kept, Recomputed


def batch_size(knobs: Knobs) -> int:
    """Without gradients more images fit into memory."""
    return 4 * knobs["batch_size"]


def predict(model: torch.nn.Module, images: Images | Recomputed | Kept, knobs: Knobs,
            classes: int, device: Device) -> torch.Tensor:
    """(N, classes) float32 logits on the CPU, of no image too."""
    if not len(images):
        return torch.empty(0, classes)
    model.eval()
    with folding.folded(model).applied():
        return loop.predict(model, images.batches(batch_size(knobs)), device)


def scores(logits: torch.Tensor, images: Images) -> tuple[float | None, float | None]:
    """Cross-entropy and accuracy (0..1) of the (N, classes) logits of N images: None where there is
    no image, not a number where a logit is none, which is below every score, as that of a class
    found by chance might not be."""
    if not len(images):
        return None, None
    labels = images.labels.cpu()
    if not logits.isfinite().all():
        return math.nan, math.nan
    return F.cross_entropy(logits, labels).item(), accuracy(logits, labels)


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Of (N, classes) logits for (N,) int64 labels, 0..1."""
    return (logits.argmax(1) == labels).double().mean().item()
