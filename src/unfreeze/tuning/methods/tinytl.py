"""TinyTL: biases and lite-residual branches train, the weights of the network do not.

Cai et al. 2020, https://arxiv.org/abs/2007.11622. Section 3.3: beside each residual block sits a
branch that works at half the resolution with grouped convolutions (figure 1c),

    a' = F_W(a) + b + F_lite(pool(a))     (equation 4)

so little of it has to be kept for the backward pass. Settings as in the authors' code: average
pooling by 2, a 5 x 5 convolution (smaller where less is left of the image) of `tinytl_groups`
groups, BatchNorm, ReLU, a 1 x 1 convolution and a last BatchNorm whose weight starts at zero, so
that the branch starts at zero. Its last bias would double that of the block and does not train.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from unfreeze.errors import UserError
from unfreeze.models.facts import is_within
from unfreeze.params.knob import Knob, whole
from unfreeze.tuning import lean
from unfreeze.tuning.methods import bias, parameters

KNOBS = (Knob("tinytl_groups", 2, whole(1), "of the branches' first convolution"),)
NEEDS = ("residual_blocks", "its branches sit beside residual blocks with BatchNorm; choose bias "
                            "or lora")
KERNEL = 5


class LiteResidual(nn.Module):
    """A lite-residual branch.

    Args:
        inputs, outputs: channels.
        stride: of the block beside it.
        side: height and width in pixels of what comes in; where one pixel is left after pooling,
            the branch pools globally.
        groups: of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, side: int, groups: int) -> None:
        super().__init__()
        left = max(1, side // 2)
        kernel = min(KERNEL, left if left % 2 else left - 1)
        middle = max(8, (inputs + 4) // 8 * 8)  # a multiple of 8 near `inputs`
        self.pool = nn.AdaptiveAvgPool2d(1) if left == 1 else nn.AvgPool2d(2)
        self.conv1 = nn.Conv2d(inputs, middle, kernel, stride, kernel // 2, groups=groups,
                               bias=False)
        self.norm1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, outputs, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.norm2.weight)
        self.x = None  # what came into the block, from its start until its residual sum

    def forward(self, x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """(N, inputs, H, W) to (N, outputs, *size)."""
        x = F.relu(self.norm1(self.conv1(self.pool(x))))
        return F.interpolate(self.norm2(self.conv2(x)), size, mode="bilinear")


def _keep_input(block: nn.Module, inputs: tuple) -> None:
    block.lite.x = inputs[0]


def _join(norm: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
    x, norm.lite.x = norm.lite.x, None
    return output + norm.lite(x, output.shape[2:])


def insert(model, modules: list[str], facts, knobs, image_size: int) -> None:
    """Put a branch beside each residual block of some blocks. It joins the residual sum, before
    an activation that follows: its output is added to that of the block's last BatchNorm.

    Raises:
        UserError: the channels of a block do not divide into the groups.
    """
    lean.mask_activations(model, modules)
    groups = knobs["tinytl_groups"]
    blocks = [block for block in facts.residual_blocks if is_within(block, modules)]
    sides = _sides(model, blocks, image_size)
    for path in blocks:
        block = model.get_submodule(path)
        convolutions = [m for m in _main_path(block) if isinstance(m, nn.Conv2d)]
        norm = [m for m in _main_path(block) if isinstance(m, nn.BatchNorm2d)][-1]
        inputs = convolutions[0].in_channels
        if inputs % groups or max(8, (inputs + 4) // 8 * 8) % groups:
            raise UserError(f"tinytl_groups: {groups} does not divide the {inputs} channels of "
                            f"{path}; allowed: 1, 2, or another divisor of all channels")
        stride = max(conv.stride[0] for conv in convolutions)
        block.lite = LiteResidual(inputs, norm.num_features, stride, sides[path], groups)
        block.register_forward_pre_hook(_keep_input)
        # Not as a submodule, which would count the branch twice; a deep copy follows it still.
        norm.__dict__["lite"] = block.lite
        norm.register_forward_hook(_join)


def _main_path(block: nn.Module) -> list[nn.Module]:
    """The layers of a block without those of its shortcut."""
    shortcut = [name for name, _ in block.named_children() if name in ("downsample", "proj")]
    return [module for name, module in block.named_modules() if not is_within(name, shortcut)]


def _sides(model: nn.Module, blocks: list[str], image_size: int) -> dict[str, int]:
    """{block: height of what comes in}, from a forward pass without arithmetic."""
    shadow, sides = copy.deepcopy(model).to("meta").eval(), {}
    for path in blocks:
        shadow.get_submodule(path).register_forward_pre_hook(
            lambda _, inputs, path=path: sides.update({path: inputs[0].shape[2]}))
    with torch.no_grad():
        shadow(torch.empty(1, 3, image_size, image_size, device="meta"))
    return sides


def trained(model, modules: list[str]) -> list[str]:
    """Names of the biases and of the parameters of the branches in some blocks."""
    branches = {path: module for path, module in model.named_modules()
                if isinstance(module, LiteResidual)}
    lite = [name for name, _, _ in parameters(model, modules) if is_within(name, branches)
            and not name.endswith("norm2.bias")]
    biases = [name for name in bias.trained(model, modules) if not is_within(name, branches)]
    return [*biases, *lite]
