"""The last step of preprocessing, the same for every image that a model sees."""

import torch

from unfreeze.recipe import Preprocessing


class Normalisation:
    """Pixels minus `mean`, divided by `std`, of each channel in 0..1.

    Args:
        preprocessing: with a mean, and a std above 0, of each of the three channels.
        device: of the images.
    """

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
        mean = torch.tensor(preprocessing.mean, device=device)
        std = torch.tensor(preprocessing.std, device=device)
        self._scale, self._shift = 1 / (255 * std), -mean / std

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(B, S, S, 3) uint8 to (B, 3, S, S) float32 in channels_last."""
        # (B, H, W, 3) seen as (B, 3, H, W) is channels_last already.
        return images.float().mul_(self._scale).add_(self._shift).permute(0, 3, 1, 2)
