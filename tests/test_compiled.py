"""torch.compile: when it is used, that it changes no more than rounding, and what it says where it
fails."""

import os
import subprocess
import sys

import pytest
import torch

import tiny_models
from helpers import ROOT
from trainings import DEVICE, finish, training
from unfreeze.errors import UserError
from unfreeze.training import compiled
from unfreeze.training.prefix import feed
from unfreeze.training.together import reduce


@pytest.fixture(autouse=True)
def scratch(monkeypatch, tmp_path):
    tiny_models.install(monkeypatch)
    monkeypatch.setattr(feed, "FLOPS_PER_BYTE", 0)
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))


@pytest.mark.parametrize("wanted, operations, count, words", [
    ("auto", 1e13, 1, "10 T operations lie ahead, and it pays from 100 T operations"),
    ("auto", 1e15, 1, None), ("on", 1, 1, None),
    ("on", 1e15, 2, "several processes train the run")])
def test_work_ahead_decides(monkeypatch, wanted, operations, count, words):
    monkeypatch.setenv("UNFREEZE_COMPILE", wanted)
    monkeypatch.setattr(reduce, "count", lambda: count)
    assert compiled.refusal(operations, DEVICE) == words


def test_little_work_is_not_compiled(monkeypatch, capsys):
    monkeypatch.setenv("UNFREEZE_COMPILE", "auto")
    finish(training("batch statistics and dropout"))
    assert "torch.compile off: " in capsys.readouterr().out


def test_unknown_setting_is_an_error(monkeypatch):
    monkeypatch.setenv("UNFREEZE_COMPILE", "yes")
    with pytest.raises(UserError, match="UNFREEZE_COMPILE=yes: allowed are off, on, auto"):
        training("batch statistics and dropout").epoch(lambda: None)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["all that a step can do", "phases", "frozen layers kept"])
def test_compiled_training_differs_by_rounding_and_repeats_bit_for_bit(monkeypatch, capsys, case):
    plain = finish(training(case))
    monkeypatch.setenv("UNFREEZE_COMPILE", "on")
    once, again = finish(training(case)), finish(training(case))
    assert "torch.compile on" in capsys.readouterr().out
    torch.testing.assert_close(once[1], plain[1], rtol=0.01, atol=0.01)
    assert once[0] == again[0]
    torch.testing.assert_close(once[1], again[1], rtol=0, atol=0)


@pytest.mark.slow
def test_where_it_does_not_work_that_is_one_line(tmp_path):
    """There is no C++ compiler."""
    script = ("import tiny_models; from trainings import finish, training; "
              "from unfreeze.stage import run_stage; tiny_models.install(); "
              "run_stage(lambda: finish(training('batch statistics and dropout')))")
    done = subprocess.run([sys.executable, "-c", script], text=True, capture_output=True,
                          env=os.environ | {
        "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests"))),
        "UNFREEZE_COMPILE": "on", "CXX": "/nonexistent", "UNFREEZE_SCRATCH": str(tmp_path),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")})
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith(
        "error: UNFREEZE_COMPILE=on: torch.compile does not work here for this model (")
    assert "Traceback" not in done.stderr
