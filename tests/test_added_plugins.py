"""A way of tuning, a head and a schedule with knobs of their own, each one new file: no table, no
list and no other file knows of them, and a run with them trains."""

import shutil
import subprocess
import sys

from helpers import ROOT

DORA = '''"""Weight-decomposed low-rank adaptation (Liu et al. 2024, https://arxiv.org/abs/2402.09353):

W = m (W0 + B A / rank) / |W0 + B A / rank|, the norm over each output, to the power of dora_power.
"""

import torch
from torch import nn
from torch.nn.utils import parametrize

from unfreeze.params.knob import POSITIVE, Knob
from unfreeze.tuning.methods import parameters

KNOBS = (Knob("dora_power", 1.0, POSITIVE, "of the magnitude"), "lora_rank")


class Decomposed(nn.Module):
    def __init__(self, weight: torch.Tensor, rank: int, power: float) -> None:
        super().__init__()
        rows = weight.flatten(1)
        self.down = nn.Parameter(torch.randn(rank, rows.shape[1]) / rank)
        self.up = nn.Parameter(torch.zeros(len(rows), rank))
        self.magnitude = nn.Parameter(rows.norm(dim=1) ** (1 / power))
        self.power = power

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        rows = weight.flatten(1) + self.up @ self.down
        scale = self.magnitude**self.power / rows.norm(dim=1)
        return (scale[:, None] * rows).view_as(weight)


def insert(model, modules, facts, knobs, image_size):
    for _, owner, name in list(parameters(model, modules)):
        if name == "weight" and owner.weight.ndim > 1:
            parametrize.register_parametrization(owner, "weight", Decomposed(
                owner.weight, knobs["lora_rank"], knobs["dora_power"]))


def trained(model, modules):
    return [name for name, _, own in parameters(model, modules)
            if own in ("down", "up", "magnitude")]
'''

SCALED = '''"""A last layer whose outputs are multiplied by `head_scale`."""

from unfreeze.models.facts import Model, Parts
from unfreeze.models.heads import set_last
from unfreeze.params.knob import POSITIVE, Knob

KNOBS = (Knob("head_scale", 2.0, POSITIVE, "what outputs are multiplied by"),)


def outputs(classes: int) -> int:
    return classes


def parts(facts: Model) -> Parts:
    return facts.parts


def attach(model, facts: Model, classes: int, knobs) -> None:
    from torch import nn

    class Scale(nn.Module):
        def forward(self, x):
            return knobs["head_scale"] * x

    set_last(model, facts, {"new": model.get_submodule(facts.last), "scale": Scale()})
'''

STEP = '''"""After the first epoch the rate is multiplied by `step_drop`."""

from unfreeze.params.knob import FRACTION, Knob

KNOBS = (Knob("step_drop", 0.1, FRACTION, "multiplier from the second epoch on"),)


def multiplier(epoch, epochs, knobs):
    return knobs["step_drop"] if epoch else 1.0
'''

TRAIN = '''
import sys
from pathlib import Path

import safetensors.torch
import torch

from helpers import TINY, striped, tiny_recipe
from unfreeze import models, recipe
from unfreeze.models import weights
from unfreeze.training import replicate, setting
from unfreeze.training.devices import Device

CPU = Device(torch.device("cpu"), "fp32", "test")
models.by_model()["tiny"] = TINY
splits = {split: striped(8, count, CPU.torch)
          for split, count in {"train": 48, "validation": 9, "test": 9}.items()}
folder = Path(sys.argv[1])
safetensors.torch.save_file(
    {name: tensor for name, tensor in TINY.build("tiny", "original", 1000, 8).state_dict().items()
     if not weights.is_counter(name)}, weights.path(folder, "tiny-v1"))
digest = weights.tensors_digest(weights.read_arrays(weights.path(folder, "tiny-v1")))
settled = tiny_recipe(digest, tune="dora", dora_power=2.0, lora_rank=1,
                      head="scaled", head_scale=3.0, lr=0.05, epochs=3, phases=[
                          {"schedule": "step", "step_drop": 0.25}, {"schedule": "cosine"}])
recipe.write(folder / "recipe.yaml", settled)
settled = recipe.read(folder / "recipe.yaml")
assert {"dora_power": 2.0, "lora_rank": 1, "head_scale": 3.0}.items() <= settled.knobs.items()
assert not {"lora_alpha", "head_width", "tinytl_groups"} & settled.knobs.keys()
first, second = (phase.knobs for phase in settled.phases)
assert first["step_drop"] == 0.25 and "step_drop" not in second and "gamma" not in first

begun = replicate.Replicate(setting.set_up(settled, 1, CPU, folder, splits))
rates, losses = [], []
for _ in range(6):
    row = begun.epoch(lambda: None)
    rates.append(round(row["lr"], 4))
    losses.append(row["train_loss"])
assert rates[:3] == [0.05, 0.0125, 0.0125], rates
assert losses[-1] < losses[0], losses
trained = {name for name, tensor in begun.model().named_parameters() if "parametrizations" in name}
assert any(name.endswith("magnitude") for name in trained), trained
'''

PLAN = '''
from unfreeze.errors import UserError
from unfreeze.params.settle import resolve

words = {"tune": "dora", "dora_power": 2, "lora_rank": 4}
assert resolve({"runs": {"a": words}}).runs["a"].changes == words
for wrong, message in (({"dora_power": 2}, "runs.a.dora_power: has no effect with tune: full; "
                                           "leave it out, or set tune: dora"),
                       ({"lora_rank": 2}, "set tune: dora or lora"),
                       ({"tune": "dora", "dora_power": 0}, "dora_power: 0 is not allowed"),
                       ({"tune": "dorra"}, "did you mean 'dora'?")):
    try:
        resolve({"runs": {"a": wrong}})
    except UserError as error:
        assert message in str(error), error
    else:
        raise AssertionError(wrong)
import sys
assert "torch" not in sys.modules
'''


def test_added_files_with_knobs_of_their_own_are_planned_and_trained(tmp_path):
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    for file, text in {"tuning/methods/dora.py": DORA, "models/heads/scaled.py": SCALED,
                       "training/schedules/step.py": STEP}.items():
        (source / "unfreeze" / file).write_text(text)
    for script in (PLAN, TRAIN):
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], text=True,
                              capture_output=True, cwd=ROOT,
                              env={"PYTHONPATH": f"{source}:{ROOT / 'tests'}",
                                   "UNFREEZE_SCRATCH": str(tmp_path), "OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
