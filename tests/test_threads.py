"""A replicate has the bytes of its recipe's number of threads, whatever the machine offers."""

import os
import shutil
import subprocess
import sys

import pytest

from helpers import ROOT
from unfreeze.errors import UserError
from unfreeze.training import devices

pytestmark = pytest.mark.skipif(not shutil.which("taskset") or os.cpu_count() < 2,
                                reason="needs taskset, and two cores to choose from")

# Trains MobileNetV2 for an epoch of two steps, for each number of threads that it is given, and
# prints how many there were and a digest of what that comes to.
CODE = """
import hashlib, sys
sys.path[:0] = ["src", "tests"]
import torch
from helpers import striped, tiny_recipe
from unfreeze import places
from unfreeze.training import devices, replicate
from unfreeze.training.setting import set_up

device = devices.Device(torch.device("cpu"), "fp32", "test")
for threads in map(int, sys.argv[1:]):
    recipe = tiny_recipe(model="mobilenet_v2", image_size=32, batch_size=32, epochs=1,
                         threads=threads)
    splits = {split: striped(32, 64, device.torch) for split in ("train", "validation", "test")}
    training = replicate.Replicate(set_up(recipe, 1, device, places.WEIGHTS, splits))
    training.epoch(lambda: None)
    result = replicate.finish(training)
    total = hashlib.sha256(result.logits.tobytes())
    for name, array in sorted(result.model.items()):
        total.update(array.tobytes())
    print(torch.get_num_threads(), total.hexdigest())
"""


def train(*threads, cores="0,1", **environment):
    return subprocess.run(
        ["taskset", "-c", cores, sys.executable, "-c", CODE, *map(str, threads)], cwd=ROOT,
        text=True,
        env={name: value for name, value in os.environ.items() if "THREADS" not in name}
        | environment, capture_output=True)


def test_bytes_are_those_of_the_recipes_threads_on_any_number_of_cores():
    pinned = train(1, 2, cores="0", OMP_DYNAMIC="TRUE", MKL_DYNAMIC="TRUE").stdout.splitlines()
    free = train(2, 1, OMP_NUM_THREADS="3").stdout.splitlines()
    assert [line.split()[0] for line in pinned] == ["1", "2"]
    assert pinned == free[::-1]
    assert len({line.split()[1] for line in pinned}) == 2


@pytest.mark.slow
def test_fewer_threads_than_the_recipe_says_are_refused_in_one_line():
    refused = train(2, OMP_THREAD_LIMIT="1")
    assert refused.returncode and refused.stderr.splitlines()[-1] == (
        "unfreeze.errors.UserError: OMP_THREAD_LIMIT=1: the recipe says threads: 2, and another "
        "number gives other results; unset it, or set threads in params.yaml")


def test_fewer_threads_than_asked_for_are_refused(monkeypatch):
    """As OMP_THREAD_LIMIT has it, which OpenMP reads once, when it is loaded."""
    class OpenMP:
        omp_set_dynamic = staticmethod(lambda on: None)
        omp_get_thread_limit = staticmethod(lambda: 1)

    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: OpenMP)
    devices.set_threads(1)
    with pytest.raises(UserError, match="^OMP_THREAD_LIMIT=1: the recipe says threads: 2, and ano"):
        devices.set_threads(2)
    devices.set_threads(1)
