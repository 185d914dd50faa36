"""Several processes train what one does; what happens where one of them stops."""

import re
import subprocess
import sys
import time

import pytest
import torch

import tiny_models
import warm
from helpers import ROOT
from test_memory import ENVIRONMENT, check_close
from trainings import CASES, finish, training
from unfreeze.errors import UserError
from unfreeze.training.prefix import feed
from unfreeze.training.together import launch


@pytest.fixture(autouse=True)
def scratch(monkeypatch, tmp_path):
    tiny_models.install(monkeypatch)
    monkeypatch.setattr(feed, "FLOPS_PER_BYTE", 0)
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))


def train_together(folder, count, cases):
    """{case: result} of several processes, and what they said."""
    done = subprocess.run(
        [warm.python(), ROOT / "tests" / "trainings.py", folder / "results.pt", *cases],
        text=True, capture_output=True, timeout=600, env=ENVIRONMENT | {
            "UNFREEZE_PROCESSES": str(count), "UNFREEZE_SCRATCH": str(folder / "scratch")})
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "results.pt"), done.stdout


@pytest.fixture(scope="module")
def two(request, tmp_path_factory):
    """{case: result} of two processes, of the cases that are asked for."""
    cases = [item.callspec.params["case"] for item in request.session.items
             if item.path == request.path and "two" in item.fixturenames]
    results, said = train_together(tmp_path_factory.mktemp("two"), 2, cases)
    assert all(f"{case}: prefix cache on" in said for case in cases if "kept" in case)
    return results


# By default frozen layers and stochastic depth are kept and tried together, and dropout among
# layers with batch statistics.
SLOW = "frozen layers kept", "stochastic depth", "small layers"


@pytest.mark.parametrize("case", [
    pytest.param(case, marks=pytest.mark.slow) if case in SLOW else case for case in CASES])
def test_two_processes_train_what_one_does(two, case):
    check_close(two[case], finish(training(case)))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """{case: result} of three processes, one more than there are images, which first look after
    BatchNorm."""
    return train_together(tmp_path_factory.mktemp("three"), 3, ["BatchNorm", FEW])[0]


FEW = "batches of two images"


def test_more_processes_than_images_train_what_one_does(three):
    check_close(three[FEW], finish(training(FEW)))


def test_batch_norm_is_that_of_the_whole_batch(three):
    """Gradients and running statistics; at last the processes have two images."""
    assert three["BatchNorm"] == [8, 5, 2]


@pytest.mark.parametrize("body, words", [
    ("raise SystemExit('error: params.yaml: of the second')", "error: params.yaml: of the second"),
    ("1 / 0", r"error: one of 2 processes that train together stopped \(ZeroDivisionError: .*\); "
              "run the same command again, or unset UNFREEZE_PROCESSES"),
    ("print('a warning', file=sys.stderr); os.kill(os.getpid(), 9)",
     r"error: one of 2 processes .* \(it was killed\).*")])
def test_a_process_that_stops_stops_all(tmp_path, body, words):
    done = subprocess.run([warm.python(), script(tmp_path, second=body)],
                          env=ENVIRONMENT | {"UNFREEZE_PROCESSES": "2"}, text=True,
                          capture_output=True, timeout=600)
    assert done.returncode == 1
    assert re.fullmatch(words, done.stderr.strip().splitlines()[-1])


def test_a_first_process_that_is_killed_takes_the_others_along(tmp_path):
    first = subprocess.Popen(
        [sys.executable, script(tmp_path, second="open('pid', 'w').write(str(os.getpid()))")],
        env=ENVIRONMENT | {"UNFREEZE_PROCESSES": "2"}, cwd=tmp_path)
    for _ in range(600):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            break
        time.sleep(0.1)
    first.kill()
    first.wait()
    second = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not alive(second):
            break
        time.sleep(0.1)
    assert not alive(second)


@pytest.mark.parametrize("given, words", [
    ({"WORLD_SIZE": "2"}, "RANK=: must be a number where WORLD_SIZE is set"),
    ({"WORLD_SIZE": "two"}, "WORLD_SIZE=two: must be a number"),
    ({"UNFREEZE_PROCESSES": "-1"}, "UNFREEZE_PROCESSES=-1: allowed is a whole number")])
def test_processes_that_cannot_be_are_one_line(monkeypatch, given, words):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError) as caught:
        launch.begin(on_cpu=True)
    assert str(caught.value).startswith(words)


def script(folder, second):
    """What two processes run; the second does something of its own, and then all wait."""
    file = folder / "script.py"
    file.write_text(f"import os, sys, time\nfrom unfreeze.training.together import launch, reduce\n"
                    f"launch.begin(on_cpu=True)\nif reduce.rank():\n    {second}\n"
                    "time.sleep(100)\n")
    return file


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
