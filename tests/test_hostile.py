"""Hostile and damaged input is read, or refused in one line, and nothing else happens
(tests/hostile.py makes it and looks)."""

import json
import os
import subprocess
import sys

import pytest

from helpers import ROOT


def report(folder, *options: str) -> dict:
    done = subprocess.run(
        [sys.executable, ROOT / "tests/hostile.py", folder, *options], capture_output=True,
        text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert done.returncode == bool(found["worse"])
    return found


def test_none_of_hundreds_is_worse_than_one_clear_line(tmp_path):
    found = report(tmp_path, "--mutations", "8")
    assert found["worse"] == []
    assert found["counts"].keys() == {"archives", "images", "checkpoints", "params.yaml", "tables"}
    for kind, counts in found["counts"].items():
        assert counts["read"] and counts["refused"] > 20, kind
    assert sum(sum(counts.values()) for counts in found["counts"].values()) > 400


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["1", "2"])
def test_none_of_thousands_is(tmp_path, seed):
    assert report(tmp_path, "--mutations", "300", "--seed", seed)["worse"] == []


def test_what_is_worse_is_noticed(tmp_path):
    """Of readers that do what none may."""
    script = f"""
import os, sys, pathlib
sys.path.insert(0, {str(ROOT / 'tests')!r})
import hostile
folder = pathlib.Path({str(tmp_path)!r}) / "inside"
folder.mkdir()
(folder / "x").write_bytes(b"x")
watch = hostile.Watch(folder)
def fine(path): path.read_bytes(); (folder / "y").write_text("")
def writes(path): open({str(tmp_path / 'outside')!r}, "w").close()
def runs(path): os.system("true")
def raises(path): raise KeyError("x")
def rambles(path): raise hostile.UserError("x" * 9000)
def prints(path): print("\\x1b[31m")
def deletes(path): os.remove({str(tmp_path / 'outside')!r})
for read in (fine, writes, runs, raises, rambles, prints, deletes):
    print(hostile.outcome(read, folder / "x", watch)[0], end=" ")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["read", *["worse"] * 6], done.stderr
