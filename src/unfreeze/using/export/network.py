"""A trained model as plain torch layers, as a program, and as the text of a Python file."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from unfreeze.training.assemble import tables
from unfreeze.tuning import groups, lean
from unfreeze.using.trained import TrainedRun

_PLAIN = {lean_kind: kind for kind, lean_kind in (lean.LEAN | lean.MASKED).items()}


def plain(run: TrainedRun, seed: int) -> nn.Module:
    """The model of a seed as torch's own layers, in eval mode: what methods add to weights is
    merged into them (LoRA, DoRA, SSF), branches beside blocks (TinyTL, adapters) and prompts stay,
    and the layers that only save memory in training are those that they stand for."""
    model = run.model(seed)
    groups.merge(model, tables(run.recipe))
    for layer in model.modules():
        layer.__class__ = _PLAIN.get(type(layer), type(layer))
    return model.eval().requires_grad_(False)


def program(model: nn.Module, size: int) -> torch.export.ExportedProgram:
    """The model as a torch.export program: (N, 3, size, size) float32 to (N, C), for any N."""
    with torch.no_grad():
        return torch.export.export(model, (torch.zeros(2, 3, size, size),),
                                   dynamic_shapes=({0: torch.export.Dim.AUTO},))


def tensors(exported: torch.export.ExportedProgram) -> dict[str, torch.Tensor]:
    """{name: tensor} of all that the program computes with."""
    return {name: tensor.detach().clone().contiguous()
            for name, tensor in [*exported.state_dict.items(), *exported.constants.items()]
            if isinstance(tensor, torch.Tensor)}


def text(exported: torch.export.ExportedProgram, names: Mapping[str, str],
         files: Sequence[str]) -> str:
    """The program as a Python file that needs torch and safetensors alone, with the numbers in
    files beside it.

    Args:
        names: {name of a tensor in the program: its name in those files}.
        files: their names.
    """
    signature = exported.graph_signature
    held = tensors(exported)
    arguments = dict(signature.inputs_to_parameters) | dict(signature.inputs_to_buffers) | dict(
        signature.inputs_to_lifted_tensor_constants)
    (pixels,) = signature.user_inputs
    code = exported.graph_module.code
    body = code[code.index("):", code.index("def forward(")) + 2:].split("\n")[1:]
    lines = [line for line in map(lambda line: _line(line, arguments, names, pixels), body) if line]
    shapes = {names[name]: tuple(held[name].shape) for name in arguments.values()}
    stored = " | ".join(f'load_file(Path(folder) / "{file}")' for file in files)
    return _FILE.format(shapes=_rows(shapes), stored=stored, body="\n".join(lines))


def _line(line: str, arguments: Mapping[str, str], names: Mapping[str, str], pixels: str) -> str:
    """A line of the graph's code, with tensors by their names in the file."""
    done, _, dropped = line.rstrip().partition(";  ")
    if "torch.ops.aten._assert" in done:
        return ""
    for returned in re.findall(r"^    return \((\w+),\)$", done):
        return f"    return {returned}"
    # No attribute of something, and no name of an argument: `x.x(x=x)` has one that counts.
    done = re.sub(r"(?<![\w.])\w+(?!\w|=[^=])", lambda word: (
        f't["{names[arguments[word[0]]]}"]' if word[0] in arguments
        else "pixels" if word[0] == pixels else word[0]), done)
    freed = [word for word in re.findall(r"\w+", dropped)
             if word not in arguments and word not in (pixels, "None")]
    return done + (f"; {' = '.join(freed)} = None" if freed else "")


def _rows(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return "\n".join(f'    "{name}": {shape},' for name, shape in shapes.items())


_FILE = '''"""The network of model.safetensors as a list of torch's operations.

    from model import load
    logits = load()(pixels)    # (N, 3, S, S) float32 of prepare.py to (N, classes)

Needs torch and safetensors. Written by `unfreeze export`; not meant to be edited.
"""
# ruff: noqa

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import device, inf, nan

SHAPES = {{
{shapes}
}}


def load(folder=Path(__file__).parent):
    """The trained network, as a function of pixels."""
    stored = {stored}
    tensors = {{name: stored[name].view(shape) for name, shape in SHAPES.items()}}
    return lambda pixels: forward(tensors, pixels)


@torch.no_grad()
def forward(t, pixels):
{body}
'''
