"""A study that is killed, damaged or short of room ends with the same bytes (tests/faults.py tries
it at length; here one round of each)."""

import random
import shutil
import subprocess
import sys

import pytest

import faults
from conftest import Project
from helpers import ROOT


@pytest.fixture
def project(finished, tmp_path, monkeypatch):
    """The finished project, with the command `unfreeze` at hand."""
    project, _ = finished
    faults.command(tmp_path / "bin")
    environment = dict(project.environment)
    project.environment["PATH"] = f"{tmp_path / 'bin'}:{environment['PATH']}"
    monkeypatch.setenv("UNFREEZE_SCRATCH", environment["UNFREEZE_SCRATCH"])
    yield project
    project.environment.update(environment)
    project.restore()


def pinned(project: Project) -> dict:
    return {path.name: path.read_bytes() for path in (project.made / "pinned").iterdir()}


def test_killed_at_any_moment_it_ends_with_the_same_bytes(project):
    """Where all comes from the cache, so that most of the time dvc.lock is being written."""
    before, lock = pinned(project), (project.folder / "dvc.lock").read_bytes()
    shutil.rmtree(project.folder / "_made/subsets")
    shutil.rmtree(project.folder / "_made/pinned")
    killed = []
    for after in (0.4, 1.2):
        killed.append(faults.kill(project, ("dvc", "repro", "pin"), after))
        faults.mended(project)
    assert any(killed)
    project.run("dvc", "repro", "pin")
    assert pinned(project) == before
    assert (project.folder / "dvc.lock").read_bytes() == lock


def test_a_half_written_lock_is_mended(project):
    lock = project.folder / "dvc.lock"
    whole = lock.read_bytes()
    lock.write_bytes(whole[:whole.index(b"- path:", len(whole) // 2) + len(b"- pa")])
    status, output = project.try_run("dvc", "status", "plan")
    assert status != 0 and "validation failed" in output
    assert "was half written" in project.run("unfreeze", "mend")
    assert lock.read_bytes() == whole


@pytest.mark.parametrize("kind", ["finished replicate", "predictions"])
def test_a_changed_bit_is_noticed(project, kind):
    (kept,) = (kept for kept in faults.KINDS if kept.kind == kind)
    noticed, how = faults.damage(project, kept, random.Random(0))
    assert noticed, how


@pytest.mark.slow
def test_killed_damaged_and_short_of_room_at_length(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "tests/faults.py", tmp_path / "faults",
                           "--kills", "200"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
