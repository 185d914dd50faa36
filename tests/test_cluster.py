"""A study trained by two nodes of a Ray cluster that share no folder."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import Project, make_project, once
from two_nodes import Cluster, NoNamespaces
from unfreeze.training.finished import Finished

pytest.importorskip("ray", reason="Ray is not installed: make env-all")
pytestmark = pytest.mark.cluster

RUNS = {
    "base": "{}",
    "faster": "{lr: 0.02}",
    "slower": "{lr: 0.002}",
    "own_freeze": "{freeze: last_only}",
    "rotated": "{rotation: 10}",
    "other_model": "{model: tiny_b}",
    "scratch": "{model: tiny_b, init: scratch, freeze: none}",
    "smoothed": "{label_smoothing: 0.1}",
}
EPOCHS = 100
SECONDS = 900  # that anything may take where others compute too
PREPARED = ("plan", "fetch_data", "decode", "fetch_weights", "subset", "pin")


@pytest.fixture(scope="module")
def study(tmp_path_factory, mirror) -> Path:
    """As `prepare` leaves it."""
    return once(tmp_path_factory, "eight", lambda folder: prepare(folder, mirror))


def prepare(folder: Path, mirror: Path) -> None:
    """A project whose eight runs are about to be trained, no project of DVC any more, and a scratch
    folder in which they have been, one after another."""
    project = make_project(folder / "project", mirror, folder / "one-after-another")
    shutil.rmtree(project.folder / ".dvc")  # it would say that there is nothing to train
    params = project.folder / "params.yaml"
    text = params.read_text().replace("epochs: 3\n", f"epochs: {EPOCHS}\n", 1)
    params.write_text(text[:text.index("\nruns:")] + "\nruns:\n" + "".join(
        f"  {name}: {changes}\n" for name, changes in RUNS.items()))
    for stage in PREPARED:
        project.run("python", f"stages/{stage}.py")
    for run in RUNS:
        project.run("python", "stages/choose.py", run)
    project.run("python", "-c", ONE_AFTER_ANOTHER)


ONE_AFTER_ANOTHER = """
import sys
sys.path.insert(0, "src")
from unfreeze.ahead import replicates, training
from unfreeze import places, recipe
for path in places.RECIPES.glob("*.yaml"):
    training.train(recipe.read(path), 1, path.stem)
"""


@pytest.fixture
def project(study, mirror, tmp_path) -> Project:
    shutil.copytree(study / "project", tmp_path / "project")
    shutil.copytree(study / "one-after-another/counted", tmp_path / "scratch/counted")
    project = Project(tmp_path / "project", mirror, tmp_path / "scratch")
    project.environment["UNFREEZE_SLOTS"] = "auto"
    return project


@pytest.fixture
def cluster(project, tmp_path):
    try:
        cluster = Cluster(tmp_path)
    except NoNamespaces as error:
        pytest.skip(f"no network namespaces can be made here: {error}")
    project.environment["RAY_ADDRESS"] = cluster.address
    yield cluster
    cluster.close()


class Driver:
    """`ahead.py replicates` on the head."""

    def __init__(self, cluster: Cluster, project: Project) -> None:
        self._file = (project.folder / "said.txt").open("w+")
        self.process = subprocess.Popen(
            cluster.within(0, "python", "stages/ahead.py", "replicates"), cwd=project.folder,
            env=project.environment, stdout=self._file, stderr=subprocess.STDOUT)

    def said(self) -> str:
        return Path(self._file.name).read_text()

    def killed(self) -> int:
        """How often a replicate is trained again for it."""
        return self.said().count("was killed; it is trained again")

    def ended(self) -> str:
        assert self.process.wait(timeout=SECONDS) == 0, self.said()
        return self.said()


def done(scratch: Path) -> dict[str, Path]:
    return {file.name: file for file in (scratch / "replicates").glob("*.done")}


def result(file: Path) -> bytes:
    """All of a replicate but what it cost, which is not the same twice."""
    finished = Finished.from_bytes(file.read_bytes()[:-32])
    rows = [{name: value for name, value in row.items() if name != "seconds"}
            for row in finished.history]
    arrays = [finished.logits, finished.validation_logits,
              *(finished.model[name] for name in sorted(finished.model))]
    rest = (rows, finished.movement, finished.best_epoch, finished.diverged, sorted(finished.model))
    return repr(rest).encode() + b"".join(array.tobytes() for array in arrays)


def until(what):
    """What something gives once it gives something."""
    deadline = time.monotonic() + SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def test_two_nodes_give_the_bytes_of_one_after_another_whatever_is_killed(
        study, project, cluster, tmp_path):
    check(study, project, cluster, kills=1)


@pytest.mark.slow
def test_they_do_when_five_workers_are_killed(study, project, cluster, tmp_path):
    check(study, project, cluster, kills=5)


@pytest.mark.slow
def test_ray_on_this_machine_reads_what_lies_here_and_goes_on_after_an_interruption(
        study, project):
    project.environment |= {"UNFREEZE_ENGINE": "ray", "UNFREEZE_SLOTS": "2"}
    scratch = project.folder.parent / "scratch"
    # Where the tests run in the background of a shell, interruptions are ignored.
    process = project.popen(
        "python", "stages/ahead.py", "replicates", start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    until(lambda: done(scratch))
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1 and "error: interrupted" in output
    before = done(scratch)
    project.run("python", "stages/ahead.py", "replicates")
    found, expected = done(scratch), done(study / "one-after-another")
    assert len(before) < len(found) and found.keys() == expected.keys()
    assert {result(file) for file in found.values()} == {result(file) for file in expected.values()}
    assert not (scratch / "assets").exists()  # nothing had to travel


def check(study: Path, project: Project, cluster: Cluster, kills: int) -> None:
    """Train on two nodes, kill workers, the driver and a node, train on, and compare."""
    expected = done(study / "one-after-another")
    assert len(expected) == 8
    for number in range(2):
        cluster.start(number, project.environment)
        cluster.wait(number + 1, project.environment)
    scratch = project.folder.parent / "scratch"

    # Workers are killed, then the driver.
    driver = Driver(cluster, project)
    for number in range(kills):
        while driver.killed() == number:
            kill_a_worker(cluster, driver)
            deadline = time.monotonic() + 30  # it may have been done with its replicate already
            while driver.killed() == number and time.monotonic() < deadline:
                time.sleep(0.1)
    until(lambda: len(done(scratch)) >= 2)
    driver.process.kill()
    driver.process.wait()
    before = {name: file.stat().st_mtime_ns for name, file in done(scratch).items()}
    until(lambda: not any(cluster.processes(number, "ray::Worker") for number in range(2)))

    # Repeated; a node goes, and another one comes.
    driver = Driver(cluster, project)
    until(lambda: cluster.processes(1, "ray::Worker.train"))
    os.kill(cluster.processes(1, "raylet/raylet")[0], signal.SIGKILL)
    cluster.stop(1)
    until(lambda: len(done(scratch)) > len(before))
    cluster.start(1, project.environment)
    said = driver.ended()
    found = done(scratch)
    assert found.keys() == expected.keys(), said
    for name, file in found.items():
        assert result(file) == result(expected[name])
    # What had come back was not trained again.
    assert {name: found[name].stat().st_mtime_ns for name in before} == before
    assert len(re.findall(r"^(\w+) seed 1: (?:validation|finished)", said, re.M)) == 8 - len(before)
    assert {file.name.partition("_seed")[0] for file in project.made.glob("logs/*.log")} == {*RUNS}


def kill_a_worker(cluster: Cluster, driver: Driver) -> None:
    """Of either node, that trains; but not when a replicate would be given up for it."""
    def twice() -> set[str]:
        killed = re.findall(r"^(\w+) seed 1: its process", driver.said(), re.MULTILINE)
        ended = re.findall(r"^(\w+) seed 1: (?:validation|finished)", driver.said(), re.MULTILINE)
        return {run for run in killed if killed.count(run) == 2} - {*ended}

    until(lambda: not twice())
    training = until(lambda: cluster.processes(1, "ray::Worker.train")
                     or cluster.processes(0, "ray::Worker.train"))
    os.kill(training[0], signal.SIGKILL)
