"""A batch in pieces is the batch as a whole: one after another where memory is full, and in two
processes."""

import functools
import os
import re
import subprocess
import sys
import time

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from helpers import ROOT, TINY
from pieces_cases import CASES, DIVISIBLE, LARGE, finish, training
from unfreeze import models
from unfreeze.training import pieces
from unfreeze.training.prefix import prefix_cache

ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests"))), "OMP_NUM_THREADS": "1",
    "UNFREEZE_DEVICE": "cpu"}


def marked(cases):
    return [pytest.param(case, marks=pytest.mark.slow) if case in LARGE else case
            for case in cases]


@pytest.fixture(autouse=True)
def scratch(monkeypatch, tmp_path):
    monkeypatch.setitem(models.by_model(), "tiny", TINY)
    monkeypatch.setattr(prefix_cache, "_FLOPS_PER_BYTE", 0)
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))


def check_close(one, other):
    for row, same in zip(one[0], other[0], strict=True):
        assert row == pytest.approx(same, rel=1e-3, abs=1e-5)
    torch.testing.assert_close(one[1], other[1], rtol=1e-3, atol=1e-4)


def fill_memory(training, room, when):
    """More than `room` images at a time do not fit into memory, in one of the two passes."""
    layer = next(module for module in reversed(list(training._model.modules()))
                 if isinstance(module, nn.Linear | nn.Conv2d))
    full = []

    def refuse(images):
        if images > room:
            full.append(images)
            raise torch.OutOfMemoryError("made up")

    if when == "forward":
        layer.register_forward_pre_hook(lambda layer, given: refuse(len(given[0])))
    else:
        def watch(layer, given, found):
            if found.requires_grad:
                found.register_hook(lambda gradient: refuse(len(gradient)))

        layer.register_forward_hook(watch)
    return full


@pytest.mark.parametrize("when", ["forward", "backward"])
@pytest.mark.parametrize("case", marked(DIVISIBLE))
def test_full_memory_changes_no_more_than_rounding(case, when):
    whole, divided = training(case), training(case)
    full = fill_memory(divided, 3, when)
    check_close(finish(divided), finish(whole))
    steps = [images for images in full if images <= 8]
    assert steps[:2] == [8, 4]  # found out once, in the first steps; validation goes by itself
    assert divided._pieces.count == 4


def test_statistics_over_a_batch_cannot_be_divided():
    divided = training("batch statistics and dropout")
    fill_memory(divided, 3, "forward")
    with pytest.raises(torch.OutOfMemoryError):
        divided.epoch(lambda: None)
    assert divided._pieces.count == 1


def test_a_phase_that_cannot_be_divided_is_not_divided_like_the_one_before():
    divided = training("phases")
    full = fill_memory(divided, 3, "forward")
    for _ in range(3):
        divided.epoch(lambda: None)
    assert divided._pieces.count == 1 and len(full) > 1  # the phase is over
    with pytest.raises(torch.OutOfMemoryError):
        divided.epoch(lambda: None)


def test_an_image_that_does_not_fit_is_an_error():
    divided = training("frozen statistics")
    fill_memory(divided, 0, "forward")
    with pytest.raises(torch.OutOfMemoryError):
        divided.epoch(lambda: None)


def test_other_errors_are_not_taken_for_full_memory():
    broken = training("frozen statistics")
    broken._model.head.register_forward_pre_hook(lambda layer, given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        broken.epoch(lambda: None)


@pytest.mark.parametrize("layer", [
    nn.Dropout(0.5), nn.Dropout(0.5, inplace=True), nn.Dropout2d(0.5),
    StochasticDepth(0.5, "row"), StochasticDepth(0.5, "batch")], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pieces_draw_what_the_whole_draws(layer, layout):
    x = torch.rand(6, 4, 3, 3).contiguous(memory_format=layout)
    model = nn.Sequential(layer, nn.Conv2d(4, 4, 1)).train()
    torch.manual_seed(0)
    whole, following = layer(x.clone()), torch.rand(3)
    divided = pieces.Pieces(model)
    assert divided.halve(6) and divided.halve(6)
    torch.manual_seed(0)
    parts = [layer(x[rows].clone()) for rows, _ in divided.of(6)]
    assert len(parts) == 3
    torch.testing.assert_close(torch.cat(parts), whole)
    assert torch.equal(torch.rand(3), following)  # as if nothing had been divided


def test_memory_that_is_really_full():
    """The system gives the process no more than what half a batch needs."""
    script = """
import resource, torch
from torch import nn
from unfreeze.training import devices, loop
device = devices.pick()
model = nn.Sequential(nn.Conv2d(3, 256, 3, padding=1), nn.ReLU(), nn.Flatten(),
                      nn.Linear(262144, 2))
optimizer = torch.optim.SGD(model.parameters(), 0.1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (500 << 20), resource.RLIM_INFINITY))
batch = torch.rand(512, 3, 32, 32), torch.arange(512) % 2
division = loop.Pieces(model)
loop.train_epoch(model, optimizer, [batch], device, loop.Step(), lambda: None, division)
print("pieces", division.count)
"""
    done = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    assert int(re.search(r"pieces (\d+)", done.stdout)[1]) > 1


def train_together(folder, count, cases):
    """{case: result} of several processes, and what they said."""
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "pieces_cases.py", folder / "results.pt", *cases],
        text=True, capture_output=True, timeout=600, env=ENVIRONMENT | {
            "UNFREEZE_PROCESSES": str(count), "UNFREEZE_SCRATCH": str(folder / "scratch")})
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "results.pt"), done.stdout


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """{case: result} of two processes, for those that are or are not large."""
    @functools.cache
    def results(large):
        found, said = train_together(tmp_path_factory.mktemp("two"), 2, [
            case for case in CASES if (case in LARGE) == large])
        assert all(f"{case}: prefix cache on" in said for case in found if "kept" in case)
        return found

    return results


@pytest.mark.parametrize("case", marked(CASES))
def test_two_processes_train_what_one_does(two, case):
    check_close(two(case in LARGE)[case], finish(training(case)))


def test_more_processes_than_images_train_what_one_does(tmp_path):
    case = "batches of two images"
    results, _ = train_together(tmp_path, 3, [case])
    check_close(results[case], finish(training(case)))


NORM = """
import sys, torch
from torch import nn
from unfreeze.training import pieces, processes
processes.begin(on_cpu=True)
torch.manual_seed(0)
whole, shared = nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3))
shared[0].load_state_dict(whole.state_dict())
division = pieces.Pieces(shared)
for images in (8, 5, 2):
    whole.zero_grad(), shared.zero_grad()
    x = 3 + 2 * torch.randn(images, 3, 4, 4)
    weights = torch.randn_like(x)
    mine, all_ = x.clone().requires_grad_(), x.clone().requires_grad_()
    (whole(all_) * weights).sum().backward()
    for rows, share in division.of(images):
        found = shared(mine[rows])
        (found * weights[rows]).sum().mul(share).backward()
    processes.total(mine.grad)
    torch.testing.assert_close(mine.grad, all_.grad, rtol=1e-4, atol=1e-5)
    processes.total_gradients(shared.parameters())
    for one, other in zip(shared.parameters(), whole.parameters()):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)
    for name, buffer in whole.named_buffers():
        torch.testing.assert_close(shared[0].get_buffer(name), buffer, rtol=1e-4, atol=1e-5)
processes.finish()
"""


def test_batch_norm_is_that_of_the_whole_batch(tmp_path):
    """Gradients and running statistics, of three processes; at last they have two images."""
    file = tmp_path / "norm.py"
    file.write_text(NORM)
    done = subprocess.run([sys.executable, file], text=True, capture_output=True, timeout=600,
                          env=ENVIRONMENT | {"UNFREEZE_PROCESSES": "3"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("body, words", [
    ("raise SystemExit('error: params.yaml: of the second')", "error: params.yaml: of the second"),
    ("1 / 0", r"error: one of 2 processes that train together stopped \(ZeroDivisionError: .*\); "
              "run the same command again, or unset UNFREEZE_PROCESSES"),
    ("print('a warning', file=sys.stderr); os.kill(os.getpid(), 9)",
     r"error: one of 2 processes .* \(it was killed\).*")])
def test_a_process_that_stops_stops_all(tmp_path, body, words):
    done = subprocess.run([sys.executable, script(tmp_path, second=body)], env=ENVIRONMENT | {
        "UNFREEZE_PROCESSES": "2"}, text=True, capture_output=True, timeout=600)
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
    ({"WORLD_SIZE": "2"}, "error: RANK=: must be a number where WORLD_SIZE is set"),
    ({"WORLD_SIZE": "two"}, "error: WORLD_SIZE=two: must be a number"),
    ({"UNFREEZE_PROCESSES": "-1"}, "error: UNFREEZE_PROCESSES=-1: allowed is a whole number")])
def test_processes_that_cannot_be_are_one_line(tmp_path, given, words):
    file = tmp_path / "script.py"
    file.write_text("from unfreeze.stage import run_stage\n"
                    "from unfreeze.training.together import processes\n"
                    "run_stage(lambda: processes.begin(on_cpu=True))\n")
    done = subprocess.run([sys.executable, file], env=ENVIRONMENT | given, text=True,
                          capture_output=True, timeout=600)
    assert done.returncode == 1 and done.stderr.startswith(words)
    assert len(done.stderr.strip().splitlines()) == 1


def script(folder, second):
    """What two processes run; the second does something of its own, and then all wait."""
    file = folder / "script.py"
    file.write_text(f"import os, sys, time\nfrom unfreeze.training import processes\n"
                    f"processes.begin(on_cpu=True)\nif processes.rank():\n    {second}\n"
                    "time.sleep(100)\n")
    return file


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
