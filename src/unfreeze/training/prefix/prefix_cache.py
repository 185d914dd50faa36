"""The prefix cache: what frozen leading layers put out is computed once for each image, and
training runs the rest of the model alone.

The result is the same, bit for bit, as without room for it, when the layers compute at every
reading: both ways they see batches of one size (on processors the last bits of a product depend on
it), and their outputs go through the same form. The cache is off where that would not hold, or
nothing be gained: see `feed`. Outputs lie in the scratch folder, shared by all runs with the same
leading layers and images:

    prefixes/KEY.npy    (variants * N, bytes) uint8, a row for each image and variant; then the
                        seconds that making it took (float64), and the SHA-256 of all before it

What depends on it: replicate.py.
"""

import contextlib
import hashlib
import io
import json
import math
import os
import shutil
import struct
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from unfreeze import environment
from unfreeze.data.reading.batches import Augmentation, Images, draw, read_ahead
from unfreeze.data.reading.batches import chunks as chunks_of
from unfreeze.data.reading.maps import Rows
from unfreeze.errors import UserError
from unfreeze.training.checkpoint import make_room
from unfreeze.training.devices import Device
from unfreeze.training.prefix.cut import NoCut, cut

# Reading a byte back costs about as much as ten operations; below this the layers are as cheap.
_FLOPS_PER_BYTE = 64
_KEPT_FREE = 10**9  # bytes of the disk
_TRAILER = 8 + 32
# Of a recipe: what decides a layer's outputs besides its tensors and the images.
_KNOBS = ("model", "stem", "head", "image_size", "frozen_batchnorm", "tune", "lora_rank",
          "lora_alpha", "lora_layers", "tinytl_groups")


class NoRoom(Exception):
    """The outputs cannot be kept; the text says why."""


@dataclass(frozen=True)
class Feed:
    """What the epochs of a phase read.

    Attributes:
        model: takes what `images` yield, and gives logits.
        images: the images themselves, or what takes their place.
        seconds: that making the activations took, whichever run made them.
        said: whether the cache is on and what it saves, or why it is off.
    """

    model: nn.Module
    images: "Images | Recomputed | Activations"
    seconds: float = 0.0
    said: str = ""


def feed(model: nn.Module, images: Images, epochs: int, augmentation: Augmentation | None,
         batch_size: int, identity: dict, device: Device, label: str,
         changing: Collection[nn.Module] = ()) -> Feed:
    """Cut a model where training begins and compute what comes before, where that is exact and
    pays. Where the outputs cannot be kept, they are computed at every reading, with the same
    result.

    It is exact where the leading layers are frozen, draw no random numbers and normalise by no
    statistics of the batch, and an image has few variants: as it is, and mirrored. It pays where
    there are fewer variants than epochs, and where the layers compute much for what they put out.

    Args:
        model: in the mode in which it will read the images; requires_grad says what trains.
        epochs: how often every image will be read.
        augmentation: of the images; None: they are read as they are, in evaluation.
        batch_size: of those readings.
        identity: what else decides the outputs: of `identity_of`.
        device: where.
        label: for the progress bar.
        changing: as of `cut`.

    Raises:
        NoCut: it would not be exact, or would not pay.
    """
    variants = _variants(augmentation)
    if len(variants) >= epochs:
        raise NoCut(f"{epochs} epoch{'s' * (epochs > 1)} of images with {len(variants)} "
                    f"variant{'s' * (len(variants) > 1)} compute nothing twice")
    with device.autocast():
        found = cut(model, next(iter(images.batches(3)))[0], changing)
    form = _Form.of(found.outputs)
    if found.flops < _FLOPS_PER_BYTE * form.nbytes:
        raise NoCut(f"the frozen layers compute little for the {_size(form.nbytes)} that they put "
                    "out for an image")
    layers = Recomputed(found.prefix, form, images, min(batch_size, len(images)), device)
    training = augmentation is not None
    identity = identity | {
        "variants": variants, "batch": layers.batch_size, "training": training,
        "device": f"{device.name}, {device.precision}", "layers": _digest(found.prefix)}
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    file = environment.scratch() / "prefixes" / f"{key}.npy"
    try:
        kept, seconds, made = _kept(file, layers, variants, training, label)
    except NoRoom as reason:
        if training:
            layers.check()
        return Feed(found.rest, layers, 0.0, f"off: {reason}")
    share = math.floor(100 * found.flops / found.flops_total)
    return Feed(found.rest, Activations(kept, form, images), seconds, (
        f"on: {share} % of the forward pass is frozen, and computed {len(variants)} instead of "
        f"{epochs} times ({_size(len(variants) * len(images) * form.nbytes)}"
        f"{'' if made else ', made by an earlier run'})"))


def identity_of(recipe: dict, seed: int, split: str) -> dict:
    """What decides the outputs of leading layers besides themselves and their tensors."""
    return {
        "split": split, "subset": recipe["seeds"][seed], "dataset": recipe["dataset"],
        "normalization": recipe["normalization"], "transform": recipe["transform"],
        "software": recipe.get("software"), "code": recipe.get("code"),
        "knobs": {name: recipe["knobs"].get(name) for name in _KNOBS},
    }


@dataclass(frozen=True)
class _Form:
    """How the outputs for an image lie in a row of bytes: one after another, each with its
    dimensions in the order of their strides, so that channels_last stays what it is.

    Attributes:
        nbytes: of a row.
    """

    dtypes: tuple[torch.dtype, ...]
    orders: tuple[tuple[int, ...], ...]
    shapes: tuple[tuple[int, ...], ...]  # of one image, in that order
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, outputs: tuple[torch.Tensor, ...]) -> "_Form":
        orders = tuple(tuple(sorted(range(1, output.dim()), key=lambda d: -output.stride(d)))
                       for output in outputs)
        shapes = tuple(tuple(output.shape[d] for d in order)
                       for output, order in zip(outputs, orders, strict=True))
        return cls(tuple(output.dtype for output in outputs), orders, shapes, tuple(
            math.prod(shape) * output.element_size()
            for output, shape in zip(outputs, shapes, strict=True)))

    @property
    def nbytes(self) -> int:
        return sum(self.sizes)

    def pack(self, outputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Outputs for B images to (B, nbytes) uint8."""
        return torch.cat([
            output.permute(0, *order).reshape(len(output), -1).contiguous().view(torch.uint8)
            for output, order in zip(outputs, self.orders, strict=True)], dim=1)

    def unpack(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, nbytes) uint8 to the outputs for B images."""
        # Copies begin where vector instructions want them to.
        parts = [part.clone(memory_format=torch.contiguous_format)
                 for part in rows.split(self.sizes, dim=1)]
        return tuple(
            part.view(dtype).reshape(len(rows), *shape).permute(
                torch.argsort(torch.tensor((0, *order))).tolist())
            for part, dtype, order, shape in
            zip(parts, self.dtypes, self.orders, self.shapes, strict=True))


class Recomputed:
    """In the place of `Images`: yields what leading layers put out for them, a tuple of tensors for
    the images of a batch, computed at every reading.

    Args:
        prefix: (batch_size, 3, S, S) images to that tuple.
        batch_size: how many images the layers see at a time, always.
    """

    def __init__(self, prefix: nn.Module, form: _Form, images: Images, batch_size: int,
                 device: Device) -> None:
        self._prefix, self._images = prefix, images
        self.form, self.batch_size, self.device = form, batch_size, device
        self.labels = images.labels

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[tuple[tuple[torch.Tensor, ...], torch.Tensor]]:
        """As `Images.batches`, in evaluation mode."""
        self._prefix.eval()
        for images, labels in self._images.batches(size):
            yield self.form.unpack(self._compute(images)), labels

    def shuffled(self, size: int, augmentation: Augmentation, random: torch.Generator
                 ) -> Iterator[tuple[tuple[torch.Tensor, ...], torch.Tensor]]:
        """As `Images.shuffled`."""
        for images, labels in self._images.shuffled(size, augmentation, random):
            yield self.form.unpack(self._compute(images)), labels

    def rows(self, variants: tuple[bool, ...], training: bool, label: str) -> Iterator[np.ndarray]:
        """The rows of all images in order, as they are and mirrored, in the mode that the layers
        are in.

        Raises:
            NoCut: as of `check`, which training asks for: it reads images in another order each
                time.
        """
        with tqdm(desc=f"{label}: frozen layers", total=len(self) * len(variants), unit="image",
                  disable=None, leave=False) as bar:
            for mirrored in variants:
                for images, labels in self._images.batches(self.batch_size, mirrored):
                    rows = self._compute(images)
                    if training:
                        self.check(images, rows)
                        training = False
                    yield rows.cpu().numpy()
                    bar.update(len(labels))

    def check(self, images: torch.Tensor | None = None, rows: torch.Tensor | None = None) -> None:
        """Put images into another order and another company, and see whether that shows.

        Args:
            images, rows: a batch and what came out for it; None: of the first.

        Raises:
            NoCut: what an image gives depends on its place in a batch, or on the others.
        """
        if images is None:
            images, _ = next(iter(self._images.batches(self.batch_size)))
            rows = self._compute(images)
        other = images.flip(0)
        other[-1] = other[0]
        if not torch.equal(rows[1:], self._compute(other).flip(0)[1:]):
            raise NoCut("what the frozen layers put out for an image depends on its batch")

    def _compute(self, images: torch.Tensor) -> torch.Tensor:
        """(B, nbytes) uint8 of any number of images. What lacks to a whole batch is filled with
        copies of the last one."""
        missing = -len(images) % self.batch_size
        filled = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
        with self.device.autocast():
            parts = [self.form.pack(self._prefix(
                part.contiguous(memory_format=torch.channels_last)))
                for part in filled.split(self.batch_size)]
        return torch.cat(parts)[:len(images)]


class Activations:
    """As `Recomputed`, read from where the outputs are kept.

    Args:
        kept: (variants * N, form.nbytes) uint8.
    """

    def __init__(self, kept: torch.Tensor | Rows, form: _Form, images: Images) -> None:
        self._kept, self._form, self._device = kept, form, images.device
        self.labels = images.labels

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[tuple[tuple[torch.Tensor, ...], torch.Tensor]]:
        """As `Images.batches`."""
        yield from self._read(list(torch.arange(len(self)).split(size)),
                              torch.zeros(len(self), dtype=torch.bool))

    def shuffled(self, size: int, augmentation: Augmentation, random: torch.Generator
                 ) -> Iterator[tuple[tuple[torch.Tensor, ...], torch.Tensor]]:
        """As `Images.shuffled`."""
        drawn = draw(len(self), augmentation, random)
        yield from self._read(chunks_of(drawn.order, size), drawn.flips)

    def _read(self, chunks: list[torch.Tensor], mirrored: torch.Tensor) -> Iterator[tuple]:
        places = [rows + len(self) * mirrored[rows] for rows in chunks]
        if isinstance(self._kept, Rows):
            found = read_ahead(self._kept, [place.numpy() for place in places], self._device)
        else:
            found = (self._kept[place.to(self._device)] for place in places)
        for rows, read in zip(chunks, found, strict=True):
            yield self._form.unpack(read), self.labels[rows.to(self._device)]


def _variants(augmentation: Augmentation | None) -> tuple[bool, ...]:
    """Whether mirrored, for each variant of an image that there is."""
    if augmentation is None:
        return (False,)
    for on, what in ((augmentation.policy != "none", f"are changed by `{augmentation.policy}`"),
                     (augmentation.rotation, "turn by any angle"),
                     (augmentation.crop_padding, "are cropped at many places")):
        if on:
            raise NoCut(f"images {what}, so they hardly ever repeat")
    return (False, True) if augmentation.flip else (False,)


def _digest(prefix: nn.Module) -> str:
    """SHA-256 over the tensors, layers and code of leading layers."""
    total = hashlib.sha256(f"{prefix}\n{prefix.code}".encode())
    for name, tensor in sorted(prefix.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def _kept(file: Path, layers: Recomputed, variants: tuple[bool, ...], training: bool,
          label: str) -> tuple[torch.Tensor | Rows, float, bool]:
    """The rows, the seconds that making them took, and whether that was now.

    Raises:
        NoRoom: they are too large, or the scratch folder cannot be used.
    """
    shape = len(variants) * len(layers), layers.form.nbytes
    size, limit = math.prod(shape), environment.prefix_limit()
    if size > limit:
        raise NoRoom(f"{_size(size)} are more than UNFREEZE_PREFIX_GB={limit / 1e9:g}" if limit
                     else "UNFREEZE_PREFIX_GB is 0")
    # Half of what a split's images may take, since there is a split beside this one.
    whole = size <= environment.resized_limit(layers.device.memory) // 2
    found = _open(file, shape, whole)
    made = found is None
    if made:
        with _trouble(file.parent):
            _prepare(file.parent, size, limit)
        # In training as training computes, which is not in every bit as evaluation does.
        with torch.enable_grad() if training else torch.inference_mode():
            _write(file, shape, layers.rows(variants, training, label))
        found = _open(file, shape, whole)
        if found is None:
            raise NoRoom(f"{file} was lost as soon as it was written")
    rows, seconds = found
    return (rows.to(layers.device.torch) if whole else rows), seconds, made


def _open(file: Path, shape: tuple[int, int],
          whole: bool) -> tuple[torch.Tensor | Rows, float] | None:
    """The rows of a file, in memory or not, and the seconds; None where it is not there, or not
    as it was written."""
    head, size = len(_head(shape)), math.prod(shape)
    try:
        content = np.fromfile(file, np.uint8) if whole else np.memmap(file, np.uint8, "r")
        if len(content) != head + size + _TRAILER:
            return None
        rows, trailer = content[head:head + size], content[head + size:].tobytes()
        if hashlib.sha256(rows).digest() != trailer[8:]:
            return None
        os.utime(file)  # what was used last goes last
        return (torch.from_numpy(rows).view(shape) if whole else Rows(file),
                struct.unpack("<d", trailer[:8])[0])
    except (OSError, ValueError, UserError):  # also: another process deletes it
        return None


def _write(file: Path, shape: tuple[int, int], rows: Iterator[np.ndarray]) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    start, digest = time.perf_counter(), hashlib.sha256()
    try:
        with _trouble(file.parent):
            out = open(temporary, "wb")
        with out:
            with _trouble(file.parent):
                out.write(_head(shape))
            for part in rows:  # which has troubles of its own
                digest.update(part)
                with _trouble(file.parent):
                    out.write(part.data)
            seconds = time.perf_counter() - start
            with _trouble(file.parent):
                out.write(struct.pack("<d", seconds) + digest.digest())
                out.flush()
                os.fsync(out.fileno())
        with _trouble(file.parent):
            os.replace(temporary, file)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _head(shape: tuple[int, int]) -> bytes:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return head.getvalue()


def _prepare(folder: Path, size: int, limit: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    deletable = sum(file.stat().st_size for file in folder.iterdir())
    if shutil.disk_usage(folder).free + deletable < size + _KEPT_FREE:
        raise NoRoom(f"{_size(size)} do not fit on the disk of {folder}")
    make_room(folder, limit - size)
    if shutil.disk_usage(folder).free < size + _KEPT_FREE:
        make_room(folder, 0)


@contextlib.contextmanager
def _trouble(folder: Path) -> Iterator[None]:
    """What the system refuses means that there is no room."""
    try:
        yield
    except OSError as error:
        raise NoRoom(f"{folder} cannot be used ({error.strerror})") from None


def _size(count: int) -> str:
    """Bytes, for people."""
    return next(f"{count / unit:,.3g} {name}" for unit, name in
                ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes")) if count >= unit or unit == 1)
