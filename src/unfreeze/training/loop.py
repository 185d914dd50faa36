"""The training loop: one epoch, one screen."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from unfreeze.recipe import Knobs
from unfreeze.training import randomness
from unfreeze.training.devices import Device, memory_is_full
from unfreeze.training.memory import MicroBatches
from unfreeze.training.together import reduce

# (B, 3, S, S) images, or a tuple of what leading layers put out for them, and (B,) int64 labels.
ModelInput = torch.Tensor | tuple[torch.Tensor, ...]
Batches = Iterable[tuple[ModelInput, torch.Tensor]]
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def make_optimizer(groups: list[dict], knobs: Knobs) -> torch.optim.Optimizer:
    """The optimizer of a run over its parameter groups: torch's, by the knobs `optimizer` and, of
    sgd, `momentum`."""
    momentum = {"momentum": knobs["momentum"]} if knobs["optimizer"] == "sgd" else {}
    return OPTIMIZERS[knobs["optimizer"]](groups, fused=True, **momentum)


def warmup(warmup_epochs: int, epoch: int, step: int, steps: int) -> float:
    """Multiplier of every learning rate that rises linearly, step by step, to 1 at the end of the
    epochs of warm-up.

    Args:
        epoch: in the phase, from 0. step: in the epoch, from 0. steps: of an epoch.
    """
    return min(1.0, (epoch * steps + step + 1) / max(1, warmup_epochs * steps))


def set_training_mode(model: torch.nn.Module, frozen_batchnorm: str) -> None:
    """Training mode, but for frozen BatchNorm under the policy "eval", which keeps its running
    statistics and normalises by them. Frozen is one whose weight does not train."""
    model.train()
    if frozen_batchnorm == "eval":
        for module in model.modules():
            if (isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
                    and module.weight is not None and not module.weight.requires_grad):
                module.eval()


def balanced(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """(classes,) float32, on the device of (N,) int64 labels: what the loss of an image counts by
    its class, N / (classes * images of the class), so that each class counts as much in all, and
    an image 1 on average."""
    images = torch.bincount(labels.cpu(), minlength=classes).clamp(min=1)
    return (len(labels) / (classes * images)).float().to(labels.device)


@dataclass(frozen=True)
class Step:
    """What happens at each optimizer step.

    Attributes:
        accumulate: batches whose gradients one step averages, weighted by their images.
        label_smoothing: 0 up to but not including 1.
        class_weights: (classes,) what the loss counts by the class; None: as much for each.
        clip_norm: norm that the gradient of all parameters is cut down to; 0: never.
        rate: called with the number of the step in the epoch, before it.
        mix: images and labels to images and targets (labels, or a probability a class).
        pull: called between gradients and step; adds to the gradients.
        after: called after the step.
    """

    accumulate: int = 1
    label_smoothing: float = 0.0
    class_weights: torch.Tensor | None = None
    clip_norm: float = 0.0
    rate: Callable[[int], None] = lambda step: None
    mix: Callable[[torch.Tensor, torch.Tensor], tuple] = lambda images, labels: (images, labels)
    pull: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None


def train_epoch(model: torch.nn.Module, optimizer: torch.optim.Optimizer, batches: Batches,
                device: Device, step: Step, progress: Callable[[], None],
                micro_batches: MicroBatches | None = None) -> tuple[float, float]:
    """Train on every batch once.

    Args:
        micro_batches: how batches are divided; None: not before memory is full.

    Returns:
        Mean loss and accuracy (0..1) over the images, as they were when each was trained on; the
        accuracy counts the label that an image had before it was mixed with another.
    """
    micro_batches = micro_batches or MicroBatches(model)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    sums = torch.zeros(2, device=device.torch, dtype=torch.float64)  # of the loss, of those right
    count = 0
    for number, group in enumerate(_groups(batches, step.accumulate)):
        step.rate(number)
        group = [(*step.mix(images, labels), labels) for images, labels in group]
        sums += _gradients(model, group, device, step, micro_batches, parameters)
        reduce.total_gradients(parameters)
        step.pull()
        if step.clip_norm:
            torch.nn.utils.clip_grad_norm_(parameters, step.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step.after()
        for _, _, labels in group:
            count += len(labels)
            progress()
    loss, accuracy = (reduce.total(sums) / count).tolist()
    return loss, accuracy


def _gradients(model: torch.nn.Module, group: list[tuple], device: Device, step: Step,
               micro_batches: MicroBatches, parameters: list[torch.nn.Parameter]) -> torch.Tensor:
    """Put into the parameters the gradients of the batches of a step; where memory is full, in
    smaller micro-batches. The sums over their images of the loss and of those that are right."""
    while True:
        before = randomness.state(device.torch)
        try:
            return _passes(model, group, device, step, micro_batches)
        except RuntimeError as error:
            largest = max(len(labels) for *_, labels in group)
            if not (memory_is_full(error) and micro_batches.halve(largest)):
                raise
        # Out here nothing holds on to the tensors of the failed pass any more.
        for parameter in parameters:
            parameter.grad = None
        device.free_memory()
        randomness.restore(before, device.torch)


def _passes(model: torch.nn.Module, group: list[tuple], device: Device, step: Step,
            micro_batches: MicroBatches) -> torch.Tensor:
    """Both passes over the batches of a step."""
    sums = torch.zeros(2, device=device.torch, dtype=torch.float64)
    size = sum(len(labels) for *_, labels in group)
    for images, targets, labels in group:
        for rows, share in micro_batches.of(len(labels)):
            with device.autocast():
                logits = model(_part(images, rows))
            logits, weight = logits.float(), share * (rows.stop - rows.start)
            loss = _loss(logits, targets[rows], step)
            (loss * (weight / size)).backward()
            sums[0] += loss.detach() * weight
            sums[1] += share * (logits.detach().argmax(1) == labels[rows]).sum()
    return sums


def _loss(logits: torch.Tensor, targets: torch.Tensor, step: Step) -> torch.Tensor:
    """Cross-entropy, mean over the images. With weights too it is divided by the images and not, as
    torch does, by their weights: so it is the same however a batch is divided."""
    if step.class_weights is None:
        return F.cross_entropy(logits, targets, label_smoothing=step.label_smoothing)
    return F.cross_entropy(logits, targets, step.class_weights, reduction="sum",
                           label_smoothing=step.label_smoothing) / len(logits)


def _part(images: ModelInput, rows: slice) -> ModelInput:
    if isinstance(images, tuple):  # what leading layers put out
        return tuple(_part(output, rows) for output in images)
    return images if rows.stop - rows.start == len(images) else images[rows]


def _groups(batches: Batches, size: int) -> Iterator[list]:
    group = []
    for batch in batches:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


@torch.inference_mode()
def predict(model: torch.nn.Module, batches: Batches, device: Device) -> torch.Tensor:
    """(N, classes) float32 logits on the CPU, in eval mode."""
    model.eval()
    logits = []
    for images, labels in batches:
        rows, copies = reduce.rows(len(labels))
        with device.autocast():
            part = _forward(model, _part(images, rows), rows.stop - rows.start, device) / copies
        logits.append(part.new_zeros(len(labels), part.shape[1]))
        logits[-1][rows] = part
    return reduce.total(torch.cat(logits)).cpu()


def _forward(model: torch.nn.Module, images: ModelInput, count: int,
             device: Device) -> torch.Tensor:
    """(count, classes) float32 logits; where memory is full, in smaller micro-batches."""
    try:
        return model(images).float()
    except RuntimeError as error:
        if count == 1 or not memory_is_full(error):
            raise
    device.free_memory()
    half = count // 2
    return torch.cat([_forward(model, _part(images, slice(0, half)), half, device),
                      _forward(model, _part(images, slice(half, count)), count - half, device)])
