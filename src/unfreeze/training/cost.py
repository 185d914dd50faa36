"""What a training step costs, counted from shapes: parameters, operations, activation memory.

A property of the model and the knobs, not of the machine: the step is run on fake tensors, which
have shapes and storages but no numbers, so it takes no memory to speak of, and seconds. Unlike
tensors on the meta device they pass for tensors on the CPU, so an operator with several
implementations (attention) chooses the one that trains.
"""

import copy
import gc
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import (
    FlopCounterMode,
    conv_flop_count,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

from unfreeze.data.reading.augmentation import Chain
from unfreeze.recipe import Recipe
from unfreeze.training import assemble, counting, loop
from unfreeze.training.prefix import cut, feed
from unfreeze.training.prefix.activations import variants
from unfreeze.tuning import groups
from unfreeze.tuning.rules import Row


@dataclass(frozen=True)
class Step:
    """Operations of one batch, and the bytes that autograd keeps between its two passes."""

    flops_forward: int
    flops_backward: int
    activation_bytes: int


def count(model: nn.Module, image_size: int, batch_size: int, classes: int,
          prepare: Callable[[nn.Module], object] = nn.Module.train) -> dict[str, int]:
    """Parameters, operations and activation memory of training a model.

    Operations are those of convolutions, matrix products and attention, two for each multiply-add;
    normalisation, activations, pooling, biases and the optimizer, linear in the size of what they
    read, count as none.

    Activation memory is what autograd keeps from the forward pass of model and cross-entropy for
    the backward pass, in float32 and contiguous layout, as PyTorch's CPU operators keep it: each
    storage once, the images and labels included where they are kept, the model's own parameters
    and buffers not. It is neither the peak of a step (gradients, the optimizer's state and working
    space come on top) nor what autocast would keep.

    Args:
        model: as training finds it: methods inserted, requires_grad set. It is left as it is, and
            so is torch's random state.
        image_size: side of the images in pixels.
        batch_size: at least 1.
        classes: outputs of the model.
        prepare: brings a model into its training mode.

    Returns:
        parameters_total, parameters_trainable; flops_forward, flops_backward: of a step of
        `batch_size` images, divided by them and rounded (what a method computes from parameters
        alone, once a step, is shared among the images); activation_bytes_1, activation_bytes: at
        batch 1, and at `batch_size`.

    Raises:
        ValueError: the model does not give (N, classes) logits.
        UserError: what a method added gets no gradient.
    """
    with FakeTensorMode(allow_non_fake_inputs=True):
        steps, fake = {}, _fake_copy(model)
        prepare(fake)
        for size in {1, batch_size}:
            with _AnyBatchSize():
                steps[size] = run_step(fake, torch.empty(size, 3, image_size, image_size), classes,
                                       backward=size == batch_size)
        groups.check_reached(fake)
    return {
        "parameters_total": sum(p.numel() for p in model.parameters()),
        "parameters_trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "flops_forward": round(steps[batch_size].flops_forward / batch_size),
        "flops_backward": round(steps[batch_size].flops_backward / batch_size),
        "activation_bytes_1": steps[1].activation_bytes,
        "activation_bytes": steps[batch_size].activation_bytes,
    }


def run_step(model: nn.Module, images: torch.Tensor, classes: int, backward: bool = True) -> Step:
    """Run both passes of a model that is in its training mode, or the forward one alone, on fake or
    real tensors, and count.

    Raises:
        ValueError: the model does not give (N, classes) logits.
    """
    of_model = {tensor.untyped_storage()._cdata
                for tensor in (*model.parameters(), *model.buffers())}
    kept: weakref.WeakSet[_Kept] = weakref.WeakSet()

    def pack(tensor: torch.Tensor) -> _Kept:
        handle = _Kept(tensor)
        kept.add(handle)
        return handle

    aten = torch.ops.aten
    flops = FlopCounterMode(display=False, custom_mapping={
        aten.convolution_backward: _convolution_backward_flops,
        # PyTorch 2.11 does not count attention as a CPU computes it; later ones do, with this sum.
        aten._scaled_dot_product_flash_attention_for_cpu:
            lambda *shapes, **_: sdpa_flop_count(*shapes[:3]),
        aten._scaled_dot_product_flash_attention_for_cpu_backward:
            lambda *shapes, **_: sdpa_backward_flop_count(*shapes[:4])})
    with flops:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda handle: handle.tensor):
            logits = model(images)
            if logits.shape != (len(images), classes):
                raise ValueError(f"the model gives {tuple(logits.shape)}, not "
                                 f"{(len(images), classes)}, for {len(images)} images")
            labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
            loss = F.cross_entropy(logits, labels)
        forward = flops.get_total_flops()
        # Fake tensors that nobody holds any more may lie in circles, and hold what they saved.
        gc.collect()
        storages = {storage._cdata: storage.nbytes() for storage in
                    (handle.tensor.untyped_storage() for handle in kept)}
        if backward and loss.requires_grad:
            loss.backward()
    return Step(forward, flops.get_total_flops() - forward,
                sum(size for storage, size in storages.items() if storage not in of_model))


class _Kept:
    """What autograd holds in place of a tensor. It lives as long as its node of the graph, so what
    was saved on a way that does not lead to the loss is not counted."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


class _AnyBatchSize(TorchFunctionMode):
    """Batch normalisation without PyTorch's check that there is more than one value a channel.

    So batch 1 is counted itself even where a map has shrunk to one pixel. Extrapolating from
    batches 2 and 3 would miss tensors that are a copy there and a view at batch 1.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.batch_norm:
            function = _batch_norm
        return function(*args, **(kwargs or {}))


def _batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False,
                momentum=0.1, eps=1e-5):
    """F.batch_norm without its check, and in training without updating the running statistics,
    which divides by the number of values less one and keeps nothing for the backward pass."""
    if training:
        running_mean = running_var = None
    return torch.batch_norm(input, weight, bias, running_mean, running_var, training, momentum,
                            eps, torch.backends.cudnn.enabled)


def _fake_copy(model: nn.Module) -> nn.Module:
    """The model in float32 on the CPU, under the fake mode that is active."""
    fakes: dict[int, torch.Tensor] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        fake = torch.empty(tensor.shape, dtype=dtype, device="cpu")
        fakes[id(tensor)] = (nn.Parameter(fake, tensor.requires_grad)
                             if isinstance(tensor, nn.Parameter) else fake)
    return copy.deepcopy(model, memo=fakes)


def _convolution_backward_flops(grad_out_shape, x_shape, w_shape, _bias, _stride, _padding,
                                _dilation, transposed, _output_padding, _groups, output_mask,
                                **_) -> int:
    """The gradient of the input and that of the weight cost what the forward pass costs.

    PyTorch 2.15's own formula counts the latter of a grouped convolution as if it had one group:
    for a depthwise one, as many times too much as there are channels.
    """
    forward = conv_flop_count(x_shape, w_shape, grad_out_shape, transposed)
    return forward * sum(output_mask[:2])


def of_phase(model: nn.Module, recipe: Recipe) -> dict[str, int]:
    """`count` of a model whose parts are frozen as in a phase of a recipe."""
    knobs = recipe.knobs
    return count(model, recipe.preprocessing.image_size, knobs["batch_size"], len(recipe.classes),
                 lambda fake: loop.set_training_mode(fake, knobs["frozen_batchnorm"]))


def of_recipe(recipe: Recipe) -> counting.Counted:
    """What is counted of each phase of a recipe; no weights and no images need be there.

    Raises:
        UserError: the head or the tuning method has no place in the model.
    """
    model, known = assemble.outline(recipe), {}
    tables = assemble.tables(recipe)
    for rows in tables:
        if tuple(rows) not in known:
            groups.freeze(model, rows)
            known[tuple(rows)] = _of_table(model, recipe, rows)
    return counting.Counted(tuple(known[tuple(rows)] for rows in tables))


def _of_table(model: nn.Module, recipe: Recipe, rows: Sequence[Row]) -> counting.Phase:
    """Of a phase, in which the model's parts are frozen as in its table."""
    flops, variants = _prefix(model, recipe)
    parts = tuple(counting.Part(*line) for line in groups.table(model, rows))
    return counting.Phase(parts, **of_phase(model, recipe), flops_prefix=flops, variants=variants)


def _prefix(model: nn.Module, recipe: Recipe) -> tuple[int, int]:
    """Operations of what the prefix cache computes once for each image and variant, on machines
    with room for it; and how many variants there are. (0, 1) where there is nothing of the kind."""
    augmentation, side = Chain(recipe.augmentations), recipe.preprocessing.image_size
    if not recipe.trains or feed.refusal(model, recipe.knobs, augmentation):
        return 0, 1
    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = _fake_copy(model)
        loop.set_training_mode(fake, recipe.knobs["frozen_batchnorm"])
        try:
            divided, _ = feed.divide(fake, torch.empty(3, 3, side, side), cut.updating(fake))
        except cut.NoCut:
            return 0, 1
    return divided.flops, variants(augmentation)
