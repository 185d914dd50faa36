"""A study trained by two nodes of a Ray cluster that share no folder."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
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


@pytest.fixture(scope="module")
def study(tmp_path_factory, mirror) -> Path:
    return once(tmp_path_factory, "eight", lambda folder: prepare(folder, mirror))


def prepare(folder: Path, mirror: Path) -> None:
    """project: whose eight runs are about to be trained. alone, with the scratch folder
    one-after-another: the same, reproduced to its end with one slot."""
    project = make_project(folder / "project", mirror, folder / "scratch")
    params = project.folder / "params.yaml"
    text = params.read_text().replace("epochs: 3\n", f"epochs: {EPOCHS}\n", 1)
    params.write_text(text[:text.index("\nruns:")] + "\nruns:\n" + "".join(
        f"  {name}: {changes}\n" for name, changes in RUNS.items())
        + "claims:\n  - faster > slower\n")
    project.run("dvc", "repro", "choose", "show-data", "trials")
    project.commit("about to be trained")
    shutil.copytree(project.folder, folder / "alone")
    shutil.copytree(folder / "scratch/counted", folder / "one-after-another/counted")
    alone = Project(folder / "alone", mirror, folder / "one-after-another")
    alone.run("dvc", "repro")


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
    project.environment |= cluster.environment
    project.environment["SHELL"] = "/bin/sh"  # of Debian, it stays between DVC and a stage
    yield cluster
    cluster.close()


class Driver:
    """`dvc repro` on the head."""

    def __init__(self, cluster: Cluster, project: Project) -> None:
        self._file = tempfile.NamedTemporaryFile("w+", dir=project.folder.parent, suffix=".txt")
        self.process = subprocess.Popen(
            cluster.within(0, "dvc", "repro"), cwd=project.folder, env=project.environment,
            stdout=self._file, stderr=subprocess.STDOUT, start_new_session=True)

    def said(self) -> str:
        """By the stage that trains ahead."""
        text = Path(self._file.name).read_text()
        return text.partition("Running stage 'replicates'")[2].partition("Running stage '")[0]

    def killed(self) -> int:
        """How often a replicate is trained again for it."""
        return self.said().count("was killed; it is trained again")

    def ended(self) -> str:
        assert self.process.wait(timeout=SECONDS) == 0, Path(self._file.name).read_text()
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


def same_bytes(study: Path, project: Project) -> None:
    """What `dvc repro` has made is what it makes of one after another."""
    expected, found = done(study / "one-after-another"), done(project.folder.parent / "scratch")
    assert found.keys() == expected.keys() and len(expected) == len(RUNS)
    for name, file in found.items():
        assert result(file) == result(expected[name]), name
    for name in ("metrics", "plots/tables", "recipes", "report.md"):
        assert contents(project.folder / name) == contents(study / "alone" / name), name


def contents(path: Path) -> dict[str, bytes]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.is_file()}


def test_two_nodes_give_the_bytes_of_one_after_another_whatever_is_killed(study, project, cluster):
    check(study, project, cluster, kills=1)


@pytest.mark.slow
def test_they_do_when_five_workers_are_killed(study, project, cluster):
    check(study, project, cluster, kills=5)


@pytest.mark.slow
def test_a_node_without_room_is_named_and_the_other_trains_all(study, project, cluster):
    cluster.start(0, project.environment)
    cluster.start(1, project.environment, room="200k")
    cluster.wait(2, project.environment)
    said = Driver(cluster, project).ended()
    (line,) = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert line.startswith("warning: the node 10.77.0.2 trains nothing: No space left on device")
    assert "make room, or start Ray there with UNFREEZE_SCRATCH set to" in line
    same_bytes(study, project)


def test_ray_on_this_machine_gives_the_same_bytes_and_goes_on_after_an_interruption(
        study, project):
    project.environment |= {"UNFREEZE_ENGINE": "ray", "UNFREEZE_SLOTS": "2"}
    scratch = project.folder.parent / "scratch"
    # Where the tests run in the background of a shell, interruptions are ignored.
    process = project.popen(
        "dvc", "repro", start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    until(lambda: done(scratch) or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    below = psutil.Process(process.pid).children(recursive=True)
    addresses = {connection.laddr.ip for each in below for connection in each.net_connections()
                 if connection.status == psutil.CONN_LISTEN}
    assert addresses and all("127.0.0.1" in address for address in addresses)  # or ::ffff:127.0.0.1
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode != 0 and "error: interrupted" in output
    assert not psutil.wait_procs(below, timeout=30)[1]
    before = {name: file.stat().st_mtime_ns for name, file in done(scratch).items()}
    assert len(before) < len(RUNS)
    project.warm = False
    project.run("dvc", "repro")
    same_bytes(study, project)
    assert {name: done(scratch)[name].stat().st_mtime_ns for name in before} == before
    assert not (scratch / "assets").exists()  # nothing had to travel


def check(study: Path, project: Project, cluster: Cluster, kills: int) -> None:
    """Train on two nodes, kill workers, the driver and a node, train on, and compare."""
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
    driver.process.kill()  # DVC alone: the stage and what it has on the nodes end by themselves
    driver.process.wait()
    until(lambda: "error: DVC, which this was trained for, has ended" in driver.said())
    until(lambda: not any(cluster.processes(number, "ray::Worker") for number in range(2)))
    before = {name: file.stat().st_mtime_ns for name, file in done(scratch).items()}
    assert 2 <= len(before) < len(RUNS)

    # Repeated; a node goes, and another one comes.
    driver = Driver(cluster, project)
    until(lambda: cluster.processes(1, "ray::Worker.train"))
    os.kill(cluster.processes(1, "raylet/raylet")[0], signal.SIGKILL)
    cluster.stop(1)
    until(lambda: len(done(scratch)) > len(before))
    cluster.start(1, project.environment)
    said = driver.ended()
    same_bytes(study, project)
    # What had come back was not trained again.
    assert {name: done(scratch)[name].stat().st_mtime_ns for name in before} == before
    assert len(ended(said)) == len(RUNS) - len(before), said
    assert {file.name.partition("_seed")[0] for file in project.made.glob("logs/*.log")} == {*RUNS}


def ended(said: str) -> list[str]:
    return re.findall(r"^(\w+) seed 1: (?:validation|finished)", said, re.MULTILINE)


def kill_a_worker(cluster: Cluster, driver: Driver) -> None:
    """Of either node, that trains; but not when a replicate would be given up for it."""
    def twice() -> set[str]:
        killed = re.findall(r"^(\w+) seed 1: its process", driver.said(), re.MULTILINE)
        return {run for run in killed if killed.count(run) == 2} - {*ended(driver.said())}

    until(lambda: not twice())
    training = until(lambda: cluster.processes(1, "ray::Worker.train")
                     or cluster.processes(0, "ray::Worker.train"))
    os.kill(training[0], signal.SIGKILL)
