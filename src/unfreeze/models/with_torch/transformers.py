"""Where a model has transformer blocks, found by what its modules hold: in torchvision and in timm
a block has an attention by the name `self_attention` or `attn`, and after it an `mlp`."""

from torch import nn
from torchvision.models import VisionTransformer

_ATTENTIONS = ("self_attention", "attn")


def blocks(model: nn.Module) -> tuple[str, ...]:
    """Names of the transformer blocks of a model, first to last: those whose MLP works on the last
    dimension of what it sees."""
    return tuple(name for name, module in model.named_modules()
                 if attention(module) is not None and _is_linear(module._modules.get("mlp")))


def attention(block: nn.Module) -> nn.Module | None:
    """That of a transformer block; None of another module."""
    found = map(block._modules.get, _ATTENTIONS)
    return next((module for module in found if module is not None), None)


def takes_tokens(model: nn.Module) -> bool:
    """Whether all blocks of a model see the tokens of an image as one sequence without relative
    positions, so that more tokens may stand in it."""
    # timm's of the same name has absolute positions too; those with relative ones are others.
    return isinstance(model, VisionTransformer) or (
        type(model).__module__.startswith("timm.") and type(model).__name__ == "VisionTransformer")


def first_tokens(model: nn.Module) -> int:
    """Tokens before those of the patches: the class token, registers."""
    return 1 if isinstance(model, VisionTransformer) else getattr(model, "num_prefix_tokens", 0)


def _is_linear(mlp: nn.Module | None) -> bool:
    layers = [module for module in mlp.modules()
              if isinstance(module, nn.Linear | nn.Conv2d)] if mlp else []
    return bool(layers) and isinstance(layers[0], nn.Linear)
