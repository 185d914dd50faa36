"""The formats that a model is exported in: how each is written into a folder, and loaded from there
as others will load it, to be checked.

A loaded model takes (N, 3, S, S) float32 pixels and gives (N, C) logits, both NumPy arrays.
"""

import importlib.util
import io
import json
import runpy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from unfreeze import files
from unfreeze.errors import UserError
from unfreeze.using.export import network
from unfreeze.using.export.layout import Layout

FORMATS = ("safetensors", "pt2", "onnx")
FILES = {"safetensors": "model.safetensors", "pt2": "model.pt2", "onnx": "model.onnx",
         "int8": "model.int8.onnx"}
NETWORK = "model.py"  # beside model.safetensors
CONSTANTS = "constants.safetensors"  # of a model of timm's: what is computed and not trained
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_CALIBRATION_BATCH = 16

Model = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Exported:
    """What is written.

    Attributes:
        program: the model. layout: timm's of it; None: its own.
        classes: C names. temperature: what its logits are divided by; None: unknown.
    """

    program: torch.export.ExportedProgram
    layout: Layout | None
    classes: Sequence[str]
    temperature: float | None


def check_packages(formats: Sequence[str]) -> None:
    """Are those here that the formats need?

    Raises:
        UserError: they are not.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing and {"onnx", "int8"} & set(formats):
        raise UserError(f"ONNX needs the packages {', '.join(_PACKAGES)}, and "
                        f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not here: "
                        "`make env-all` installs them, or `pip install "
                        f"{' '.join(missing)}`; or write the other formats: --formats "
                        "safetensors,pt2")


def write(form: str, exported: Exported, folder: Path) -> None:
    """Write a model in one of FORMATS.

    Raises:
        UserError: the exporter cannot do it.
        OSError: no room is left on the disk.
    """
    {"safetensors": _safetensors, "pt2": _pt2, "onnx": _onnx}[form](exported, folder)


def load(form: str, folder: Path) -> Model:
    """The model that lies there in one of FORMATS or as "int8"."""
    if form == "safetensors":
        forward = runpy.run_path(str(folder / NETWORK))["load"](folder)
        return lambda pixels: forward(torch.from_numpy(pixels)).numpy()
    if form == "pt2":
        module = torch.export.load(folder / FILES[form]).module()
        return lambda pixels: module(torch.from_numpy(pixels)).detach().numpy()
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / FILES[form]), _quiet(onnxruntime),
                                           providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(["logits"], {"pixels": pixels})[0]


def _quiet(onnxruntime):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options


def _safetensors(exported: Exported, folder: Path) -> None:
    tensors = network.tensors(exported.program)
    names = {name: name for name in tensors}
    if exported.layout:
        names |= exported.layout.tensors
        # Of ConvNeXt, a scale a channel: torchvision keeps it as (C, 1, 1), timm as (C,).
        tensors = {name: tensor.flatten()
                   if names[name].endswith(".gamma") and names[name] != name else tensor
                   for name, tensor in tensors.items()}
    # What timm makes anew, and would not expect to find.
    beside = {name for name in tensors if exported.layout and name in exported.program.constants}
    for file, wanted in ((FILES["safetensors"], tensors.keys() - beside), (CONSTANTS, beside)):
        if wanted:
            files.write_bytes(folder / file, safetensors.torch.save(
                {names[name]: tensor for name, tensor in tensors.items() if name in wanted},
                {"format": "pt"}))
    files.write_text(folder / NETWORK, network.text(exported.program, names, [
        FILES["safetensors"], *[CONSTANTS] * bool(beside)]))


def _pt2(exported: Exported, folder: Path) -> None:
    content = io.BytesIO()
    torch.export.save(exported.program, content)
    files.write_bytes(folder / FILES["pt2"], content.getvalue())


def _onnx(exported: Exported, folder: Path) -> None:
    with torch.no_grad(), _silent():
        made = torch.onnx.export(
            exported.program, (), dynamo=True, input_names=["pixels"], output_names=["logits"],
            external_data=False, verbose=False)
    proto = made.model_proto
    about = {"classes": json.dumps(list(exported.classes), ensure_ascii=False)}
    if exported.temperature is not None:
        about["temperature"] = repr(exported.temperature)
    for key, value in about.items():
        proto.metadata_props.add(key=key, value=value)
    files.write_bytes(folder / FILES["onnx"], proto.SerializeToString())


class _Calibration:
    """Batches of pixels as onnxruntime asks for them."""

    def __init__(self, batches: Iterator[np.ndarray]) -> None:
        self._batches = batches

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        pixels = next(self._batches, None)
        return None if pixels is None else {"pixels": pixels}


def quantise(folder: Path, pixels: np.ndarray) -> None:
    """Write model.int8.onnx from model.onnx: weights (a scale for each channel) and activations of
    8 bits, by onnxruntime's static quantisation.

    Args:
        pixels: (N, 3, S, S) float32, on which the ranges of activations are found.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    batches = (pixels[start:start + _CALIBRATION_BATCH]
               for start in range(0, len(pixels), _CALIBRATION_BATCH))
    with _silent():
        # Weights of 7 bits: with 8, products of two overflow on processors without VNNI
        # (onnxruntime's documentation, "quantization", on reduce_range).
        quantize_static(folder / FILES["onnx"], folder / FILES["int8"], _Calibration(batches),
                        quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)


def _silent():
    """Without what exporters say of themselves."""
    import contextlib
    import logging
    import warnings

    @contextlib.contextmanager
    def quiet():
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            with (warnings.catch_warnings(action="ignore"),
                  contextlib.redirect_stdout(io.StringIO())):
                yield
        finally:
            logging.disable(before)

    return quiet()
