"""A branch beside a layer: it sees what the layer sees, and what it puts out is added."""

from torch import nn


def put(branch: nn.Module, layer: nn.Module, owner: nn.Module, name: str) -> None:
    """Let a branch work beside a layer.

    Args:
        branch: from the layer's first input to what is added to its (first) output.
        owner: the module whose parameters those of the branch are, by this name. The layer itself
            may be a row of layers (nn.Sequential), in which the branch would be one more.
    """
    owner.add_module(name, branch)
    # Not as a submodule, which would count the branch twice; a deep copy follows it still.
    layer.__dict__["beside"] = branch
    layer.register_forward_hook(_add)


def _add(layer: nn.Module, inputs: tuple, output):
    added = layer.beside(inputs[0])
    if isinstance(output, tuple):  # of an attention: its output, its weights
        return output[0] + added, *output[1:]
    return output + added


def parameters(model: nn.Module, kinds: type | tuple[type, ...]) -> list[str]:
    """Names of the parameters that lie in modules of some kinds."""
    return [f"{path}.{name}" for path, module in model.named_modules() if isinstance(module, kinds)
            for name, _ in module.named_parameters()]
