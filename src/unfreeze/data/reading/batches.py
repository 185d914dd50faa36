"""Batches made on the device: resized, augmented and normalised as whole uint8 batches.

Images are resized once, before training, and kept as uint8 when they fit into the limit;
otherwise each batch is resized when it is used, with the same result. Photos come resized, and are
read from their file batch by batch where there are too many for the device. Every image draws its
own flip, shift, angle and policy operation.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from unfreeze.data.reading.maps import Rows
from unfreeze.errors import UserError, nearest

INTERPOLATIONS = ("bilinear", "bicubic")
POLICIES = ("none", "trivial", "rand")
_RESIZE_CHUNK = 256


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images, in this order, after resizing.

    Attributes:
        rotation: degrees; each image turns by an angle uniform in [-rotation, rotation], nearest
            neighbour, black outside.
        crop_padding: pixels; each image is padded with black and cropped back to its size at a
            random place.
        flip: each image is mirrored left to right with probability 1/2.
        policy: before all of these, operations on colours and shape that each image draws for
            itself: "none"; "trivial", TrivialAugment Wide (Mueller & Hutter 2021); "rand",
            RandAugment (Cubuk et al. 2020). Both with torchvision's defaults, on the CPU.

    Raises:
        UserError: an unknown policy.
    """

    rotation: float = 0.0
    crop_padding: int = 0
    flip: bool = False
    policy: str = "none"

    def __post_init__(self) -> None:
        _one_of("policy", self.policy, POLICIES)


class Images:
    """Some images of a split, with labels, on a device.

    Args:
        images: (N, H, W, 3) uint8, the whole split; or `Rows` of such, which on a CPU stay in
            their file: the system keeps in memory what it has room for.
        labels: (N,) integer.
        indices: (n,) which of them.
        size: side in pixels of what the model sees.
        mean, std: per channel, in 0..1.
        device: where batches are made.
        limit: bytes up to which the resized images are kept.
        resize: None to resize straight to a square; else pixels to which the shorter side is
            resized before the middle square is cut out, at least `size`.
        interpolation: "bilinear" or "bicubic".

    Raises:
        UserError: `resize` is less than `size`, or `interpolation` is unknown.
    """

    def __init__(self, images: np.ndarray | Rows, labels: np.ndarray, indices: list[int], size: int,
                 mean: list[float], std: list[float], device: torch.device, limit: int, *,
                 resize: int | None = None, interpolation: str = "bilinear") -> None:
        if resize is not None and resize < size:
            raise UserError(f"resize: {resize} is less than the image size {size}, which is cut "
                            f"out of it; choose {size} or more, or null for no cut")
        _one_of("interpolation", interpolation, INTERPOLATIONS)
        indices = np.asarray(indices, np.int64)
        self.labels = torch.from_numpy(np.asarray(labels[indices], np.int64)).to(device)
        self.size, self.shorter, self.interpolation = size, resize, interpolation
        self.device = device
        self._rows, self._indices = None, indices
        self.scale = 1 / (255 * torch.tensor(std, device=device))
        self.shift = -torch.tensor(mean, device=device) / torch.tensor(std, device=device)
        # The shape cannot tell: an image of the final size may still have to lose its border.
        self.resized = False
        fits = len(indices) * size * size * 3 <= limit
        if isinstance(images, Rows):
            self._rows = images
            if fits and device.type != "cpu":
                self.images = torch.empty(len(indices), *images.shape[1:], dtype=torch.uint8,
                                          device=device)
                for start in range(0, len(indices), _RESIZE_CHUNK):
                    part = slice(start, start + _RESIZE_CHUNK)
                    self.images[part] = torch.from_numpy(images[indices[part]]).to(device)
                self._rows = None
            return
        self.images = torch.from_numpy(np.ascontiguousarray(images[indices])).to(device)
        if fits:
            parts = [self._resize(part) for part in self.images.split(_RESIZE_CHUNK)]
            self.images = torch.cat(parts) if parts else self.images
            self.resized = True

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int, mirrored: bool = False
                ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All images in order, or all mirrored: ((B, 3, S, S) float in channels_last,
        (B,) int64)."""
        parts = torch.arange(len(self)).split(size) if len(self) else ()
        for rows, images in self._gather(parts):
            images = self._resize(images)
            if mirrored:
                images = images.flip(2)
            yield self._normalise(images), self.labels[rows]

    def shuffled(self, size: int, augmentation: Augmentation,
                 random: torch.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All images in random order, augmented, in batches of `chunks`."""
        drawn, padding = draw(len(self), augmentation, random), augmentation.crop_padding
        for rows, images in self._gather(chunks(drawn.order, size)):
            images = self._resize(images)
            if augmentation.policy != "none":
                images = apply_policy(images, augmentation.policy, drawn.seeds[rows])
            if augmentation.rotation:
                images = rotate(images, drawn.angles[rows].to(self.device))
            if padding:
                images = crop(images, drawn.shifts[rows].to(self.device), padding)
            if augmentation.flip:
                images = flip(images, drawn.flips[rows].to(self.device))
            yield self._normalise(images), self.labels[rows.to(self.device)]

    def _gather(self, parts: Sequence[torch.Tensor]) -> Iterator[tuple]:
        """(rows, (B, H, W, 3) uint8 on the device) of each of some parts of the rows."""
        if self._rows is None:
            for rows in parts:
                yield rows, self.images[rows.to(self.device)]
            return
        read = read_ahead(self._rows, [self._indices[rows.numpy()] for rows in parts], self.device)
        yield from zip(parts, read, strict=True)

    def _resize(self, images: torch.Tensor) -> torch.Tensor:
        if self.resized:
            return images
        return resize(images, self.size, self.shorter, self.interpolation)

    def _normalise(self, images: torch.Tensor) -> torch.Tensor:
        # (B, H, W, 3) seen as (B, 3, H, W) is channels_last already.
        return images.float().mul_(self.scale).add_(self.shift).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Draws:
    """What an epoch draws for n images, on the CPU.

    Attributes:
        order: (n,) int64, of the images. flips: (n,) bool, all false where `flip` is off.
        angles: (n,) degrees. shifts: (n, 2) int64, as of `crop`. seeds: (n,) int64, of policies.
    """

    order: torch.Tensor
    flips: torch.Tensor
    angles: torch.Tensor
    shifts: torch.Tensor
    seeds: torch.Tensor


def draw(n: int, augmentation: Augmentation, random: torch.Generator) -> Draws:
    """What an epoch of n images draws, from a generator on the CPU. All of it in a fixed order, so
    what one augmentation draws does not depend on whether another is on."""
    order = torch.randperm(n, generator=random)
    flips = (torch.rand(n, generator=random) < 0.5) & augmentation.flip
    angles = (2 * torch.rand(n, generator=random) - 1) * augmentation.rotation
    shifts = (torch.rand(n, 2, generator=random) * (2 * augmentation.crop_padding + 1)).long()
    return Draws(order, flips, angles, shifts, torch.randint(2**31, (n,), generator=random))


def read_ahead(rows: Rows, batches: Sequence[np.ndarray],
               device: torch.device) -> Iterator[torch.Tensor]:
    """(B, ...) rows on a device for each (B,) batch of indices; the next are read, and copied to a
    GPU from pinned memory on a stream of their own, while one is in use.

    Raises:
        UserError: the file has become shorter.
    """
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def read(batch: np.ndarray) -> tuple[torch.Tensor, torch.cuda.Event | None]:
        found = torch.from_numpy(rows[batch])
        if stream is None:
            return found, None
        with torch.cuda.stream(stream):
            return found.pin_memory().to(device, non_blocking=True), stream.record_event()

    with ThreadPoolExecutor(1) as reader:
        waiting, coming = deque(batches), deque()
        while waiting or coming:
            while waiting and len(coming) < 2:
                coming.append(reader.submit(read, waiting.popleft()))
            found, copied = coming.popleft().result()
            if copied is not None:
                user = torch.cuda.current_stream(device)
                user.wait_event(copied)
                found.record_stream(user)  # whose work must end before the memory is used again
            yield found


def count_batches(images: int, size: int) -> int:
    """How many batches `Images.shuffled` makes."""
    return len(chunks(torch.arange(images), size))


def chunks(order: torch.Tensor, size: int) -> list[torch.Tensor]:
    """(n,) rows in batches of `size`. A last batch of one image joins the batch before it:
    BatchNorm cannot train on one."""
    found = list(order.split(size))
    if len(found) > 1 and len(found[-1]) == 1:
        found[-2:] = [torch.cat(found[-2:])]
    return found


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"{name}: {value!r} is unknown{nearest(value, allowed)}; allowed are "
                        f"{', '.join(allowed)}")


def resize(images: torch.Tensor, size: int, shorter: int | None = None,
           interpolation: str = "bilinear") -> torch.Tensor:
    """(B, H, W, 3) uint8 to (B, size, size, 3) uint8, antialiased, as torchvision's Resize and
    CenterCrop of a PIL image.

    Bilinear is within 1 level of it; bicubic within 2, unless one side grows while the other
    shrinks (Pillow then changes the order of its two passes).

    Args:
        shorter: None to resize straight to the square; else pixels to which the shorter side is
            resized, keeping the aspect ratio, before the middle square is cut out.
    """
    sides = images.shape[1:3]
    if shorter is None:
        target = (size, size)
    else:
        target = tuple(int(shorter * side / min(sides)) for side in sides)
    if target != tuple(sides):
        channels_first = images.permute(0, 3, 1, 2).float()
        if interpolation == "bicubic":
            # Bicubic overshoots at edges. Pillow cuts that off after either pass, across first.
            channels_first = _interpolate(channels_first, (sides[0], target[1]), interpolation)
        resized = _interpolate(channels_first, target, interpolation)
        images = resized.to(torch.uint8).permute(0, 2, 3, 1)
    top, left = (round((side - size) / 2) for side in target)
    return images[:, top:top + size, left:left + size].contiguous()


def _interpolate(images: torch.Tensor, target: tuple[int, int], mode: str) -> torch.Tensor:
    """Float (B, 3, H, W) to whole levels 0..255 of (B, 3, *target)."""
    return F.interpolate(images, target, mode=mode, antialias=True).round_().clamp_(0, 255)


def apply_policy(images: torch.Tensor, policy: str, seeds: torch.Tensor) -> torch.Tensor:
    """Apply "trivial" or "rand" to each image of (B, S, S, 3) uint8 by itself.

    On PIL images, so the same on every device: for tensors on a GPU, torchvision equalises with
    torch.histc, which is not deterministic there.

    Args:
        seeds: (B,) integer on the CPU; an image and its seed determine the outcome.
    """
    from PIL import Image
    from torchvision import transforms

    change = {"trivial": transforms.TrivialAugmentWide, "rand": transforms.RandAugment}[policy]()
    source = images.cpu().numpy()
    changed = np.empty_like(source)
    # torchvision draws from torch's global generator, which others (dropout) draw from too.
    with torch.random.fork_rng(devices=[]):
        for i, seed in enumerate(seeds.tolist()):
            torch.default_generator.manual_seed(seed)
            changed[i] = change(Image.fromarray(source[i]))
    return torch.from_numpy(changed).to(images.device)


def rotate(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Turn each image of (B, S, S, 3) uint8 counter-clockwise by its own (B,) angle about its
    centre: nearest neighbour, black outside, as torchvision's RandomRotation."""
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    matrix = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)
    source = images.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(matrix, list(source.shape), align_corners=False)
    turned = F.grid_sample(source, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return turned.to(torch.uint8).permute(0, 2, 3, 1)


def crop(images: torch.Tensor, shifts: torch.Tensor, padding: int) -> torch.Tensor:
    """Crop each image of (B, H, W, 3), padded with black, back to its size.

    Args:
        shifts: (B, 2) int64, top and left corner in the padded image, from 0 to 2 * padding.
    """
    n, height, width, _ = images.shape
    padded = F.pad(images, (0, 0, padding, padding, padding, padding))
    rows = shifts[:, :1] + torch.arange(height, device=images.device)
    columns = shifts[:, 1:] + torch.arange(width, device=images.device)
    each = torch.arange(n, device=images.device)
    return padded[each[:, None, None], rows[:, :, None], columns[:, None, :]]


def flip(images: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Mirror the images of (B, H, W, 3) for which (B,) bool `which` is true."""
    return torch.where(which[:, None, None, None], images.flip(2), images)
