"""The prefix cache: what frozen leading layers put out is computed once for each image, and
training runs the rest of the model alone.

The result is the same, bit for bit, as without room for it, when the layers compute at every
reading (activations.py). The cache is off where that would not hold, or nothing be gained.
"""

import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import fx, nn

from unfreeze import environment
from unfreeze.data.reading.augmentation import Chain
from unfreeze.data.reading.images import Images
from unfreeze.plain import to_plain
from unfreeze.recipe import Knobs
from unfreeze.training import evaluation, loop
from unfreeze.training.prefix import store
from unfreeze.training.prefix.activations import Form, Kept, Recomputed, variants
from unfreeze.training.prefix.cut import Cut, NoCut, cut, updating
from unfreeze.training.setting import Setting
from unfreeze.words import count, quantity

# Reading a byte back costs about as much as ten operations; below this the layers are as cheap.
FLOPS_PER_BYTE = 64
# Knobs of a recipe that act on steps, mixed batches and what is kept, and not on what a layer puts
# out for an image; all others, known here or not, count.
_ON_STEPS = frozenset((
    "l2_sp", "batch_size", "accumulate", "optimizer", "momentum", "decay_biases_and_norms",
    "label_smoothing", "class_weights", "clip_norm", "ema", "patience", "select", "mixup",
    "cutmix"))


@dataclass(frozen=True)
class Feed:
    """What the epochs of a phase read of a split.

    Attributes:
        model: takes what `images` yield, and gives logits.
        images: the images themselves, or what takes their place.
        seconds: that making the activations took, whichever run made them.
        said: whether they are kept and what that saves, or why not.
    """

    model: nn.Module
    images: Images | Recomputed | Kept
    seconds: float = 0.0
    said: str = ""


def of_phase(setting: Setting, epochs: int, augmentation: Chain) -> dict[str, Feed]:
    """{"train", "validation": what the epochs of a phase read}: images, or what frozen leading
    layers put out for them; says which, and why.

    It is the latter where that is exact: the leading layers are frozen, draw no random numbers and
    normalise by no statistics of the batch, and an image has few variants; and where it pays: there
    are fewer variants than epochs, and the layers compute much for what they put out.

    Args:
        setting: requires_grad of the model says what trains.
        epochs: of the phase.
        augmentation: of the training images.
    """
    model, knobs = setting.model, setting.recipe.knobs
    feeds = {split: Feed(model, setting.splits[split]) for split in ("train", "validation")}
    if reason := refusal(model, knobs, augmentation):
        setting.say(f"prefix cache off: {reason}")
        return feeds
    loop.set_training_mode(model, knobs["frozen_batchnorm"])
    changing = updating(model)
    train = _feed(setting, "train", epochs, augmentation, changing)
    if isinstance(train, str):
        setting.say(f"prefix cache off: {train}")
        return feeds
    setting.say(f"prefix cache {train.said}")
    feeds["train"] = train
    # An average may hold other leading layers: those of a phase before.
    if len(setting.splits["validation"]) and not knobs["ema"]:
        model.eval()
        validation = _feed(setting, "validation", epochs, None, changing)
        if isinstance(validation, Feed):
            feeds["validation"] = validation
    return feeds


def refusal(model: nn.Module, knobs: Knobs, augmentation: Chain) -> str | None:
    """Why activations cannot take the place of the training images, as far as the model need not be
    run for it; None: nothing speaks against it."""
    if next(model.parameters()).requires_grad:
        return "no leading layer is frozen"
    if knobs["mixup"] or knobs["cutmix"]:
        return "images are mixed with one another"
    if augmentation.endless:
        return f"images are changed by {augmentation.endless[0]}, so they hardly ever repeat"
    return None


def _feed(setting: Setting, split: str, epochs: int, augmentation: Chain | None,
          changing: Collection[nn.Module]) -> Feed | str:
    """The activations of a split, or why they cannot take its place. Where they cannot be kept they
    are computed at every reading, with the same result.

    Args:
        epochs: how often every image will be read.
        augmentation: None: images are read as they are, in evaluation.
        changing: as of `cut`.
    """
    looks = variants(augmentation)
    if looks >= epochs:
        return (f"{count(epochs, 'epoch')} of images with {count(looks, 'variant')} compute "
                "nothing twice")
    try:
        parts, layers = _cut(setting, split, augmentation, changing)
        return _kept(setting, split, epochs, augmentation, parts, layers)
    except NoCut as reason:
        return str(reason)


def _cut(setting: Setting, split: str, augmentation: Chain | None,
         changing: Collection[nn.Module]) -> tuple[Cut, Recomputed]:
    """The model in two, and its leading layers applied to the images of a split.

    Raises:
        NoCut: that is not exact, or not worth it.
    """
    images, knobs, device = setting.splits[split], setting.recipe.knobs, setting.device
    with device.autocast():
        parts, form = divide(setting.model, next(iter(images.batches(3)))[0], changing)
    size = evaluation.batch_size(knobs) if augmentation is None else knobs["batch_size"]
    return parts, Recomputed(parts.prefix, form, images, min(size, len(images)), device)


def divide(model: nn.Module, images: torch.Tensor,
           changing: Collection[nn.Module]) -> tuple[Cut, Form]:
    """A model in two where that pays, and how what the first part puts out is kept; as `cut`.

    Raises:
        NoCut: as of `cut`; or the frozen layers compute too little.
    """
    parts = cut(model, images, changing)
    form = Form.of(parts.outputs)
    if parts.flops < FLOPS_PER_BYTE * form.nbytes:
        raise NoCut(f"the frozen layers compute little for the {quantity(form.nbytes, 'bytes')} "
                    "that they put out for an image")
    return parts, form


def _kept(setting: Setting, split: str, epochs: int, augmentation: Chain | None, parts: Cut,
          layers: Recomputed) -> Feed:
    """The activations from where they are kept, or computed at every reading.

    Raises:
        NoCut: they depend on the order of the images.
    """
    device, looks = setting.device, variants(augmentation)
    shape = looks * len(layers), layers.form.nbytes
    # Half of what a split's images may take, since there is a split beside this one.
    limit = environment.resized_limit(device.memory) // 2
    try:
        stored = store.keep(_key(setting, split, augmentation, parts, layers), shape,
                            lambda: layers.rows(augmentation, setting.label), limit, device.clock)
    except store.NoRoom as reason:
        if augmentation is not None:
            layers.check_first()
        return Feed(parts.rest, layers, said=f"off: {reason}")
    rows = stored.rows
    kept = Kept(rows.to(device.torch) if isinstance(rows, torch.Tensor) else rows, layers.form,
                setting.splits[split])
    share = math.floor(100 * parts.flops / parts.flops_total)
    return Feed(parts.rest, kept, stored.seconds, (
        f"on: {share} % of the forward pass is frozen, and computed {looks} instead of {epochs} "
        f"times ({quantity(math.prod(shape), 'bytes')}"
        f"{'' if stored.made else ', made by an earlier run'})"))


def _key(setting: Setting, split: str, augmentation: Chain | None, parts: Cut,
         layers: Recomputed) -> str:
    """Of all that decides the activations."""
    recipe, device = setting.recipe, setting.device
    identity = {
        "split": split, "subset": recipe.seeds[setting.seed], "dataset": recipe.dataset,
        "preprocessing": recipe.preprocessing, "software": recipe.software, "code": recipe.code,
        "knobs": {name: value for name, value in recipe.knobs.items() if name not in _ON_STEPS},
        "augmentations": None if augmentation is None else augmentation.values,
        "batch": layers.batch_size, "device": f"{device.name}, {device.precision}",
        "layers": _digest(parts.prefix)}
    return hashlib.sha256(json.dumps(to_plain(identity), sort_keys=True).encode()).hexdigest()


def _digest(prefix: fx.GraphModule) -> str:
    """SHA-256 over the tensors, layers and code of leading layers."""
    total = hashlib.sha256(f"{prefix}\n{prefix.code}".encode())
    for name, tensor in sorted(prefix.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()
