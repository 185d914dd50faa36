"""benchmarks/gpu.py: what is prepared for a day with a GPU works on a day without."""

import functools
import json
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import yaml

import warm
from helpers import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from on_gpu import inputs, keep, published, speed, study, table, tests  # noqa: E402

MACHINE = {"device": "a card", "memory": "80 GB", "python": "3.12", "torch": "2.11",
           "torchvision": "0.26", "cuda": "13.0", "cudnn": "9", "driver": "580"}
CELL = {"case": "resnet50-224", "precision": "bf16", "batch_size": 64,
        "images_per_second": [{"plain": 100.0, "ours": 1900.0, "step": 2000.0},
                              {"plain": 100.0, "ours": 1960.0, "step": 2000.0},
                              {"plain": 100.0, "ours": 2000.0, "step": 2000.0}],
        "memory_bytes": {"plain": 1, "ours": 7_000_000_000, "step": 6_000_000_000},
        "waits": {"src/unfreeze/training/loop.py:1": 1.0}}


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    return study.make_up(tmp_path_factory.mktemp("made-up"), 1200, 30, ("mobilenet_v2",))


def pack(folder, made_up, limit):
    (name,) = (file.stem for file in (made_up / "weights").iterdir())
    return inputs.pack(folder, made_up / "data", made_up / "weights", None, [name], limit)


def test_parts_are_small_and_become_the_same_bytes_again(tmp_path, made_up):
    parts = pack(tmp_path / "parts", made_up, 3_000_000)
    assert len(parts) > 3 and all(part.stat().st_size <= 3_000_000 for part in parts)
    assert inputs.LIMIT < 50e6
    unpacked = inputs.unpack(tmp_path / "parts", tmp_path / "work")
    files = [file.relative_to(made_up) for file in made_up.rglob("*") if file.is_file()]
    assert len(files) == 6
    for file in files:
        assert (unpacked / file).read_bytes() == (made_up / file).read_bytes(), file
    shutil.rmtree(tmp_path / "parts")
    assert inputs.unpack(tmp_path / "parts", tmp_path / "work") == unpacked  # once is enough


def test_parts_that_are_not_all_there_are_not_unpacked(tmp_path, made_up):
    assert inputs.missing(tmp_path) == f"no part is in {tmp_path}"
    parts = pack(tmp_path / "parts", made_up, 6_000_000)
    count = len(parts)
    others = pack(tmp_path / "others", made_up, 5_000_000)
    parts[1].unlink()
    with pytest.raises(ValueError, match=rf"of {count} parts \[2\] are not in"):
        inputs.unpack(tmp_path / "parts", tmp_path / "work")
    shutil.copy(others[1], parts[1])
    with pytest.raises(ValueError, match="do not belong together"):
        inputs.unpack(tmp_path / "parts", tmp_path / "work")
    shutil.copy(others[1], tmp_path / "parts")
    with pytest.raises(ValueError, match="of several packings"):
        inputs.unpack(tmp_path / "parts", tmp_path / "work")
    assert not (tmp_path / "work/inputs").exists()


def test_wheels_are_installed_by_unpacking_them(tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "some_package-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some_package/__init__.py", "VALUE = 3")
    site = inputs.install(wheels, tmp_path)
    said = subprocess.run([sys.executable, "-c", "import some_package; print(some_package.VALUE)"],
                          env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True)
    assert said.stdout == b"3\n"


@pytest.mark.parametrize("name", published.RUNS)
def test_runs_of_published_settings_are_the_studys_own(tmp_path, name):
    chosen = list(published.RUNS[name])
    whole = yaml.safe_load((ROOT / "studies" / name / "params.yaml").read_text())
    params = published.of(name, chosen[:3])
    assert set(chosen) <= set(whole["runs"])
    assert {*params["runs"], *params["not_run"]} == set(whole["runs"])
    assert params["seeds"] == whole["seeds"][:1] and params["compare"] == {}
    for key in whole.keys() - {"runs", "seeds", "compare"}:
        assert params[key] == whole[key], key
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    subprocess.run([sys.executable, ROOT / "stages/plan.py"], cwd=tmp_path, check=True)
    # What ended in time is kept with all that did not.
    kept = keep.only(params, chosen[:1])
    assert list(kept["runs"]) == chosen[:1]
    assert {*kept["runs"], *kept["not_run"]} == set(whole["runs"])


def test_cells_are_of_cases_that_there_are():
    import throughput
    from on_gpu import several, side

    assert {case for case, *_ in speed.CELLS} | set(several.CASES) <= set(throughput.CASES)
    assert side.SIDES and set(speed.SIDES) == set(side.SIDES)


def test_outcome_of_the_tests_is_read_from_their_log():
    log = """tests/test_cuda.py::test_one[a b] PASSED                    [ 10%]
tests/test_cuda.py::test_two FAILED                         [ 20%]
tests/test_cuda.py::test_three SKIPPED (needs two GPUs)     [ 30%]
ERROR tests/test_prefix_cache.py - ModuleNotFoundError
"""
    assert tests.outcome(log) == {
        "passed": ["test_one[a b]"], "failed": ["test_two"], "skipped": ["test_three"],
        "errors": ["tests/test_prefix_cache.py"]}


def test_what_was_found_reads_as_a_table():
    found = {"machine": MACHINE, "cells": [CELL, {**CELL, "failed": "x\nRuntimeError: a | b"}],
             "compiled": [], "not_measured": [["vit_b_16-224", "tf32", 256]]}
    text = table.section("throughput", found)
    assert ("| resnet50-224 | bf16 | 64 | 100 | 1,960 | 2,000 | 19.60 (19.00..20.00) "
            "| 0.98 (0.95..1.00) | 7.00 | 6.00 | src/unfreeze/training/loop.py:1: 1 |") in text
    assert "failed: RuntimeError: a / b" in text
    assert "No time was left for vit_b_16-224 in tf32 at batch 256." in text
    assert "a card (80 GB), driver 580" in table.document({"throughput": found})
    assert table.document({}) == "Not measured on a GPU yet.\n"


def test_results_of_several_calls_add_up(tmp_path):
    for number, (cells, runs) in enumerate(((["a", "b"], ["full"]), (["b", "c"], ["fc"]))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "throughput.json").write_text(json.dumps({
            "machine": MACHINE, "cells": [CELL | {"case": case} for case in cells],
            "not_measured": [["c", "bf16", 64], ["d", "bf16", 64]]}))
        (folder / "published.json").write_text(json.dumps({"machine": MACHINE, "studies": {
            "layers": {"at_once": 4, "seconds": dict.fromkeys(runs, 1.0), "failed": {},
                       "not_run": [run for run in ("full", "fc", "lora") if run not in runs]}}}))
    lines = list(keep.keep([tmp_path / "0", tmp_path / "1"], tmp_path, tmp_path / "into"))
    assert len(lines) == 2
    found = json.loads((tmp_path / "into/benchmarks/gpu.json").read_text())
    assert [cell["case"] for cell in found["throughput"]["cells"]] == ["a", "b", "c"]
    assert found["throughput"]["not_measured"] == [["d", "bf16", 64]]
    assert found["published"]["studies"]["layers"]["seconds"] == {"full": 1.0, "fc": 1.0}
    assert found["published"]["studies"]["layers"]["not_run"] == ["lora"]


def test_the_page_says_what_was_found():
    file = ROOT / keep.MEASURED
    found = json.loads(file.read_text()) if file.is_file() else {}
    page = (ROOT / keep.DOCUMENT).read_text()
    assert keep.with_measured(page, found) == page
    assert ("Not measured on a GPU yet." in page) == (not found)


@pytest.fixture
def rehearse(tmp_path, monkeypatch):
    """A function: where the results of a rehearsal of some steps lie, and what it printed."""
    monkeypatch.setattr(sys, "executable", warm.python())
    return functools.partial(_rehearse, tmp_path)


def _rehearse(folder, *steps):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks/gpu.py", "run", "--rehearse", "--results",
         folder / "results", "--work", folder / "work", *(["--steps", *steps] if steps else [])],
        env=os.environ | {"UNFREEZE_DEVICE": "cpu"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "It failed" not in done.stdout, done.stdout
    return folder / "results", done.stdout


def check_published(folder, results):
    """What came back is kept as a study's results."""
    lines = list(keep.keep([results], folder / "work/made-up/data", folder / "into"))
    assert len(lines) == 4, lines
    for name, count in published.REHEARSED.items():
        runs = published.RUNS[name][:count]
        kept = folder / "into/studies" / name / "gpu"
        assert set(json.loads((kept / "metrics/score.json").read_text())) == set(runs)
        assert {file.stem for file in (kept / "recipes").iterdir()} == set(runs)
        assert "torch" in (kept / "recipes" / f"{runs[0]}.yaml").read_text()
        assert "times are no measure" in " ".join((kept / "README.md").read_text().split())
        assert (kept / "report.md").is_file()
        assert not (kept / "dvc.lock").exists()
        accuracy = np.array(list(json.loads((kept / "metrics/score.json").read_text()).values()))
        assert ((accuracy >= 0) & (accuracy <= 100)).all()


@pytest.mark.slow
def test_rehearsal_of_what_a_gpu_is_lent_for_last(tmp_path, rehearse):
    results, said = rehearse("several", "published")
    (case,) = json.loads((results / "several.json").read_text())["cases"]
    assert all(speed > 0 for speed in case["images_per_second"].values())
    assert {file.name for file in results.iterdir()} == {
        "several.json", "published.json", "published-layers.zip", "published-fractions.zip"}
    check_published(tmp_path, results)


@pytest.mark.slow
def test_rehearsal(tmp_path, rehearse):
    results, said = rehearse()
    files = list(results.iterdir())
    # What may come back.
    assert len(files) <= 8 and all(file.stat().st_size < 16e6 for file in files)
    assert {file.name for file in files} >= {f"{step}.json" for step in keep.STEPS}
    outcome = json.loads((results / "tests.json").read_text())
    assert outcome["passed"] and not outcome["failed"] and not outcome["errors"]
    shown = json.loads((results / "determinism.json").read_text())["shown"]
    assert [each["same"] for each in shown.values()] == [True] * 3, shown
    (cell,) = json.loads((results / "throughput.json").read_text())["cells"]
    assert all(speed > 0 for speed in cell["images_per_second"][0].values())
    check_published(tmp_path, results)


def test_no_gpu_is_one_line(tmp_path):
    done = subprocess.run(
        [warm.python(), ROOT / "benchmarks/gpu.py", "run", "--results", tmp_path,
         "--work", tmp_path], env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, capture_output=True,
        text=True)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "error: there is no CUDA GPU here; `--rehearse` does without")
