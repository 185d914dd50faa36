"""Operations on colours and shape that each image draws for itself, with torchvision's defaults:
TrivialAugment Wide (Mueller & Hutter 2021, https://arxiv.org/abs/2103.10158) and RandAugment (Cubuk
et al. 2020, https://arxiv.org/abs/1909.13719)."""

import numpy as np
import torch

from unfreeze.params.knob import Knob, choice

KNOBS = (Knob("augment", "none", choice("none", "trivial", "rand"),
              "none | trivial (TrivialAugment) | rand (RandAugment)"),)
PLACE = 10


def draw(n: int, value: str, random: torch.Generator) -> torch.Tensor:
    """(n,) int64: an image and its seed determine the outcome."""
    return torch.randint(2**31, (n,), generator=random)


def apply(images: torch.Tensor, drawn: torch.Tensor, value: str) -> torch.Tensor:
    """On PIL images, so the same on every device: for tensors on a GPU, torchvision equalises with
    torch.histc, which is not deterministic there."""
    from PIL import Image
    from torchvision import transforms

    change = {"trivial": transforms.TrivialAugmentWide, "rand": transforms.RandAugment}[value]()
    source = images.cpu().numpy()
    changed = np.empty_like(source)
    # torchvision draws from torch's global generator, which others (dropout) draw from too.
    with torch.random.fork_rng(devices=[]):
        for i, seed in enumerate(drawn.tolist()):
            torch.default_generator.manual_seed(seed)
            changed[i] = change(Image.fromarray(source[i]))
    return torch.from_numpy(changed).to(images.device)
