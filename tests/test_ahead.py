"""Replicates trained ahead, side by side: by real processes, in a copy of a project whose training
is played.

That they are the same bytes as those trained one after another, test_pipeline.py tests.
"""

import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import Project
from unfreeze import environment
from unfreeze.ahead.display import Display
from unfreeze.ahead.engine import Again, Done, Failed, Started, Told
from unfreeze.ahead.slots import Slots, available
from unfreeze.errors import UserError

PLAYED = '''
import os, signal, time
from pathlib import Path
from types import SimpleNamespace
from unfreeze.errors import UserError


def train(recipe, seed, label):
    with open("trained.txt", "a") as file:
        file.write(f"{label} on {os.environ['UNFREEZE_DEVICE']} by {os.getpid()}\\n")
    tries = Path("trained.txt").read_text().count(f"{label} on ")
    PART
    print(f"{label}: trained")
'''


@pytest.fixture
def played(finished, tmp_path):
    """Makes a project in which training is a part of a script, and nothing is in the scratch folder
    but what was counted; no project of DVC, which would say that there is nothing to train."""
    original, _ = finished

    def make(part: str, slots: str = "2") -> Project:
        folder = tmp_path / "project"
        for name in ("src", "stages", "recipes", "_made/subsets"):
            shutil.copytree(original.folder / name, folder / name)
        scratch = tmp_path / "scratch"
        shutil.copytree(original.folder.parent / "scratch/counted", scratch / "counted")
        training = folder / "src/unfreeze/ahead/training.py"
        training.write_text(PLAYED.replace("PART", part))
        project = Project(folder, tmp_path, scratch)
        project.environment["UNFREEZE_SLOTS"] = slots
        return project

    return make


def trained(project: Project) -> list[str]:
    """What was trained, in the order of its beginnings."""
    text = (project.folder / "trained.txt").read_text()
    return [line.partition(" on ")[0] for line in text.splitlines()]


REPLICATES = {"base seed 1", "own_freeze seed 1", "own_lr seed 1", "own_lr seed 2",
              "other_model seed 1"}


def test_each_is_trained_once_the_longest_first_by_processes_that_stay(played):
    project = played("time.sleep(0.3)")
    output = project.run("python", "stages/ahead.py", "replicates")
    order = trained(project)
    assert sorted(order) == sorted(REPLICATES)
    assert {*order[:2]} == {"own_lr seed 1", "own_lr seed 2"}  # of 40 epochs
    assert order[-1] == "own_freeze seed 1"
    text = (project.folder / "trained.txt").read_text()
    assert len({line.rpartition(" ")[2] for line in text.splitlines()}) == 2
    assert {f"{name}: trained" for name in REPLICATES} <= {*output.splitlines()}
    assert "Warning" not in output
    assert (project.folder / "_made/ahead/replicates").is_file()


def test_one_that_fails_or_is_killed_is_left_to_its_run_and_the_others_go_on(played):
    project = played("""
    if label == "base seed 1":
        raise UserError("params.yaml: no such thing")
    if label == "other_model seed 1":
        raise ZeroDivisionError("a fault\\nof many lines")
    if label == "own_lr seed 1" or label == "own_lr seed 2" and tries == 1:
        os.kill(os.getpid(), signal.SIGKILL)""")
    output = project.run("python", "stages/ahead.py", "replicates").splitlines()
    assert "base seed 1: left for later: params.yaml: no such thing" in output
    assert "other_model seed 1: left for later: ZeroDivisionError: a fault" in output
    assert "own_lr seed 1: left for later: its process was killed, 3 times" in output
    assert "own_lr seed 2: trained" in output and "own_freeze seed 1: trained" in output
    order = trained(project)
    assert (order.count("own_lr seed 1"), order.count("own_lr seed 2")) == (3, 2)


def test_an_interruption_ends_all_processes(played):
    project = played("time.sleep(600)")
    # Where the tests run in the background of a shell, interruptions are ignored.
    process = project.popen("python", "stages/ahead.py", "replicates", start_new_session=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    told = project.folder / "trained.txt"
    until_two_train(process, told)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1 and "error: interrupted" in output and "Traceback" not in output
    for line in told.read_text().splitlines():
        assert gone(int(line.rpartition(" ")[2]))
    assert not (project.folder / "_made/ahead/replicates").exists()


def test_it_ends_with_dvc_that_waits_for_it(played):
    """Or another `dvc repro` would train the same beside it."""
    project = played("time.sleep(600)")
    process = project.popen("sh", "-c", "python stages/ahead.py replicates; echo over")
    told = project.folder / "trained.txt"
    until_two_train(process, told)
    process.kill()
    output, _ = process.communicate(timeout=300)  # of the stage, which has the same pipe
    assert "error: DVC, which this was trained for, has ended" in output and "over" not in output
    for line in told.read_text().splitlines():
        assert gone(int(line.rpartition(" ")[2]))


def until_two_train(process, told: Path) -> None:
    deadline = time.monotonic() + 300
    while not told.exists() or len(told.read_text().splitlines()) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def gone(process: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status = Path(f"/proc/{process}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(("slots", "processes"), [("1", "1"), ("4", "2")])
def test_with_one_slot_or_one_run_on_all_devices_nothing_is_done_ahead(played, slots, processes):
    project = played("", slots)
    project.environment["UNFREEZE_PROCESSES"] = processes
    assert project.run("python", "stages/ahead.py", "replicates") == ""
    assert not (project.folder / "trained.txt").exists()


def test_nothing_is_trained_ahead_that_dvc_has(finished, tmp_path):
    """Though the scratch folder is empty."""
    project, _ = finished
    project.environment |= {"UNFREEZE_SLOTS": "2", "UNFREEZE_SCRATCH": str(tmp_path / "scratch")}
    try:
        shutil.copytree(project.folder.parent / "scratch/counted", tmp_path / "scratch/counted")
        assert project.run("python", "stages/ahead.py", "replicates") == ""
        # Nor what it restores from its cache.
        shutil.rmtree(project.made / "runs")
        assert project.run("python", "stages/ahead.py", "replicates") == ""
        assert not (tmp_path / "scratch/replicates").exists()
        # But what of its runs is another one by now.
        for run in ("base", "own_freeze"):
            recipe = project.folder / f"recipes/{run}.yaml"
            recipe.write_text(recipe.read_text().replace("clip_norm: 0.0", "clip_norm: 9.0"))
        said = project.run("python", "stages/ahead.py", "replicates")
        assert {line.partition(":")[0] for line in said.splitlines()} == {
            "base seed 1", "own_freeze seed 1"}
        assert len([*(tmp_path / "scratch/replicates").glob("*.done")]) == 2
    finally:
        project.environment |= {"UNFREEZE_SLOTS": "1",
                                "UNFREEZE_SCRATCH": str(project.folder.parent / "scratch")}
        project.restore()


def test_where_no_cluster_answers_this_machine_trains_and_says_so(played):
    project = played("")
    project.environment["RAY_ADDRESS"] = "127.0.0.1:9"  # where nobody listens
    output = project.run("python", "stages/ahead.py", "replicates").splitlines()
    (warning,) = [line for line in output if line.startswith("warning:")]
    assert "RAY_ADDRESS=127.0.0.1:9" in warning and "this machine trains by itself" in warning
    assert "no Ray cluster answers there" in warning or "Ray is not installed here" in warning
    assert sorted(trained(project)) == sorted(REPLICATES)


def test_where_the_engine_that_is_named_cannot_train_that_is_an_error(played):
    project = played("")
    project.environment["UNFREEZE_ENGINE"] = "ray://127.0.0.1:9"
    status, output = project.try_run("python", "stages/ahead.py", "replicates")
    (line,) = output.splitlines()
    assert status == 1 and line.startswith("error: UNFREEZE_ENGINE=ray://127.0.0.1:9: ")
    assert "start one with `ray start --head`" in line or "make env-all" in line
    assert not (project.folder / "trained.txt").exists()
    assert not (project.folder / "_made/ahead/replicates").exists()


def test_what_dvc_is_to_pull_is_left_to_it(played):
    project = played("")
    project.warm = False  # it asks which process it is of
    assert project.run("sh", "-c", "python stages/ahead.py replicates; true", "--pull") == ""
    assert not (project.folder / "trained.txt").exists()


# How many


@pytest.mark.parametrize(("running", "wanted", "fits"), [
    ((), 1, True), ((1, 1), 2, True), ((2,), 2, True), ((1, 1, 1), 2, False), ((2, 2), 1, False),
    ((), 8, True), ((8,), 1, False),  # what wants more than there is has all
])
def test_cores_and_memory_are_shared(running, wanted, fits):
    def tasks(name, other):
        return [SimpleNamespace(**{name: amount, other: 0}) for amount in (*running, wanted)]

    *others, task = tasks("threads", "memory")
    assert Slots(("cpu",) * 4, 4, 4).fits(task, others) is fits
    *others, task = tasks("memory", "threads")
    assert Slots(("cpu",) * 4, 4, 4).fits(task, others) is fits
    assert Slots(("cpu",) * 3).fits(task, others) is (len(running) < 3)


def test_slots_are_as_many_as_the_environment_says_or_the_cores(monkeypatch):
    for name in ("UNFREEZE_SLOTS", "UNFREEZE_PROCESSES", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UNFREEZE_DEVICE", "cpu")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2})
    for auto in (None, "auto", ""):
        if auto is not None:
            monkeypatch.setenv("UNFREEZE_SLOTS", auto)
        found = available()
        assert (found.devices, found.cores) == (("cpu",) * 3, 3) and found.memory > 1e8
    monkeypatch.setenv("UNFREEZE_SLOTS", "5")
    assert available() == Slots(("cpu",) * 5)
    for wrong in ("0", "many", "-1", "1.5"):
        monkeypatch.setenv("UNFREEZE_SLOTS", wrong)
        with pytest.raises(UserError, match="UNFREEZE_SLOTS=.*allowed is auto or a whole number"):
            available()


def test_each_gpu_is_a_slot(monkeypatch):
    from unfreeze.training import devices

    monkeypatch.delenv("UNFREEZE_SLOTS", raising=False)
    monkeypatch.setenv("UNFREEZE_DEVICE", "cuda")
    monkeypatch.setattr(devices.torch.cuda, "device_count", lambda: 2)
    assert available() == Slots(("cuda:0", "cuda:1"))
    monkeypatch.setenv("UNFREEZE_SLOTS", "3")
    assert available() == Slots(("cuda:0", "cuda:1", "cuda:0"))
    monkeypatch.setenv("UNFREEZE_DEVICE", "cuda:1")
    monkeypatch.delenv("UNFREEZE_SLOTS")
    assert available() == Slots(("cuda:1",))
    monkeypatch.setenv("UNFREEZE_DEVICE", "cuda")
    monkeypatch.setenv("UNFREEZE_PER_GPU", "2")
    assert available() == Slots(("cuda:0", "cuda:1") * 2)


# On what


@pytest.mark.parametrize(("engine", "address", "found"), [
    (None, None, "pool"), ("auto", None, "pool"), ("pool", "10.0.0.1:6379", "pool"),
    ("ray", None, "ray"), ("ray", "10.0.0.1:6379", "10.0.0.1:6379"), ("ray", "local", "ray"),
    (None, "10.0.0.1:6379", "10.0.0.1:6379"), ("ray://head", None, "ray://head:10001"),
    ("ray://[::1]:7", "10.0.0.1:6379", "ray://[::1]:7"),
])
def test_the_engine_is_what_the_environment_says(monkeypatch, engine, address, found):
    for name, value in (("UNFREEZE_ENGINE", engine), ("RAY_ADDRESS", address)):
        monkeypatch.setenv(name, value or "")
    assert environment.engine() == found
    assert environment.cluster() is (found not in ("pool", "ray"))


@pytest.mark.parametrize("engine", ["Ray", "slurm", "ray:10001", "ray://", "ray://a b", "pool "])
def test_an_engine_that_is_none_is_an_error(monkeypatch, engine):
    monkeypatch.setenv("UNFREEZE_ENGINE", engine)
    with pytest.raises(UserError, match="UNFREEZE_ENGINE=.*: allowed are auto, pool, ray, ray://"):
        environment.engine()


# What one sees


def test_each_replicate_that_ends_has_a_line_and_all_are_counted(capsys):
    def task(number):
        return SimpleNamespace(identity=str(number), label=f"base seed {number}", operations=7)

    tasks = [task(number) for number in range(4)]
    with Display(tasks, "replicates") as display:
        assert display.counts() == "0 done, 0 running, 4 waiting, 0 failed"
        for event in (Started(tasks[0]), Started(tasks[1]), None, Again(tasks[1], "it was killed"),
                      Done(tasks[0], "base seed 0: 90 %"), Started(tasks[1]), Again(tasks[1], ""),
                      Started(tasks[2]), Failed(tasks[3], "its images are gone"),
                      Told("warning: a node is gone")):
            display.show(event)
        assert display.counts() == "1 done, 1 running, 1 waiting, 1 failed"
    assert capsys.readouterr().out.splitlines() == [
        "base seed 1: it was killed", "base seed 0: 90 %",
        "base seed 3: left for later: its images are gone", "warning: a node is gone"]
