"""The real DVC pipeline in a real git repository, on a tiny image set: which stages run, when.

Most tests stop at the stage that they are about: a whole `dvc repro` ends with drawing pictures,
which takes longer than everything else here.
"""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import faults
import own_files
from conftest import ROOT, Project, make_project, ran
from unfreeze import files
from unfreeze.choosing import pinned as choosing
from unfreeze.choosing import trials
from unfreeze.recipe import replicate_digest
from unfreeze.training.finished import Finished

RUNS = {"base", "own_freeze", "own_lr", "other_model"}


@pytest.fixture
def project(finished):
    """The finished project; whatever a test changes is undone."""
    project, _ = finished
    yield project
    project.restore()


@pytest.fixture
def unplanned(finished):
    """The finished project, for a test that gets no further than changing params.yaml."""
    project, _ = finished
    yield project
    project.run("git", "checkout", "-q", "--", "params.yaml")


def pinned(project) -> dict[str, str]:
    """What determines each run; without a search, its recipe."""
    return {path.stem: path.read_text() for path in (project.made / "pinned").glob("*.yaml")}


def changed(project, before: dict[str, str]) -> set[str]:
    for stage in ("plan", "subset", "pin"):  # by themselves: DVC takes longer than they do
        project.run("python", f"stages/{stage}.py")
    return {run for run, text in pinned(project).items() if text != before[run]}


def would_train(project) -> set[str]:
    """The runs that DVC would train once their recipes are written."""
    for run in pinned(project):
        project.run("python", "stages/choose.py", run)
    return ran(project.run("dvc", "repro", "--dry"), "train")


def test_first_repro_runs_everything_and_ends_up_to_date(finished):
    project, output = finished
    assert ran(output, "train") == ran(output, "evaluate") == RUNS
    assert ran(output, "compare") == {"pair"}
    report = (project.folder / "report.md").read_text()
    assert all(f"| {run} |" in report for run in RUNS)
    assert "**pair**: base and own_lr" in report
    assert "up to date" in project.run("dvc", "status")
    assert "Running stage" not in project.run("dvc", "repro")
    assert project.run("git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_the_last_stages_change_nothing_where_they_start_cold(finished, monkeypatch):
    """As a user starts them. By default evaluate is by test_scores.py, the stages before it by
    test_clean_caches_and_a_kill_in_training_give_the_same_bytes."""
    project, _ = finished
    monkeypatch.setattr(project, "warm", False)
    for stage in ("compare.py pair base own_lr", "summarize.py", "plot.py"):
        project.run("python", *f"stages/{stage}".split())
    assert project.run("git", "status", "--porcelain") == ""


def test_committed_files_agree_with_the_code_in_a_clone_without_data(finished, tmp_path):
    project, _ = finished
    project.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    project.folder, home = tmp_path / "clone", project.folder
    try:
        output = project.run("dvc", "repro", "--allow-missing", "--dry")
    finally:
        project.folder = home
    assert "Running stage" not in output


def test_training_learns_what_can_be_learned(finished):
    project, _ = finished
    score = files.read_json(project.folder / "metrics" / "runs" / "own_lr.json")
    assert score["seeds"] == 2
    assert score["accuracy"] > 60  # of three classes


def test_train_leaves_validation_predictions_and_movement(finished):
    project, output = finished
    for run, seeds in (("base", 1), ("own_lr", 2)):
        with np.load(project.made / "runs" / run / "predictions.npz") as found:
            logits, labels = found["validation_logits"], found["validation_labels"]
            assert logits.shape == (seeds, 6, 3) and logits.dtype == np.float32
            assert labels.shape == (seeds, 6) and labels.dtype == np.int64
            accuracy = 100 * (logits[0].argmax(1) == labels[0]).mean()
        assert re.search(rf"{run} seed 1: validation accuracy {accuracy:.1f} %, [\d.]+ s of "
                         "training", output)
    moved = {run: files.read_csv(project.made / "runs" / run / "movement.csv")
             for run in ("base", "own_lr", "own_freeze", "other_model")}
    parts = ["stem", "stage1", "stage2"]
    assert [(row["seed"], row["part"]) for row in moved["own_lr"]] == [
        (seed, part) for seed in "12" for part in parts]
    assert all(float(row["distance"]) > 0 for row in moved["base"])
    assert [(row["part"], row["distance"]) for row in moved["own_freeze"]] == [
        (part, "0.0") for part in parts]
    assert moved["other_model"] == []  # from scratch
    compared = files.read_csv(project.made / "compared" / "pair.csv")
    assert [row["value"] for row in compared if row["measure"] == "distance"] == [
        row["distance"] for run in ("base", "own_lr") for row in moved[run] if row["seed"] == "1"]


def test_from_a_picture_to_its_class_as_the_docs_say(finished, mirror):
    project, _ = finished
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/pipeline.md").read_text(), re.S)
    with np.load(mirror / "tiny.npz") as official:
        pixels = official["test_images"][0]
    with np.load(project.made / "runs/base/predictions.npz") as predictions:
        expected = predictions["logits"][0, 0]
    picture = project.folder.parent / "photo.png"
    Image.fromarray(pixels).save(picture)
    script = snippet.replace("photo.jpg", str(picture))
    output = project.run("env", "PYTHONPATH=src", "python", "-c",
                         script + "print(*logits[0].tolist())")
    name, logits = output.splitlines()[-2:]
    assert name == ("red", "green", "blue")[expected.argmax()]
    # What the pipeline computes in bfloat16, where the processor has it, this does in float32.
    assert np.allclose([float(text) for text in logits.split()], expected, atol=0.02)


def test_side_by_side_replicates_are_the_same_bytes(project, tmp_path):
    # Not by DVC, which has them all.
    for name in ("src", "stages", "recipes", "_made/data", "_made/subsets", "_made/weights"):
        shutil.copytree(project.folder / name, tmp_path / "other" / name)
    other = Project(tmp_path / "other", tmp_path, tmp_path / "scratch")
    other.environment["UNFREEZE_SLOTS"] = "2"
    output = other.run("python", "stages/ahead.py", "replicates")
    assert output.count("s of training") == 5
    for run in RUNS:
        assert "finished before" in other.run("python", "stages/train.py", run)
        for name in ("model.safetensors", "predictions.npz", "movement.csv", "parts.csv"):
            one, there = (place.made / "runs" / run / name for place in (project, other))
            assert one.read_bytes() == there.read_bytes(), (run, name)


def test_two_processes_leave_what_one_does(project, monkeypatch):
    def trained():
        with np.load(project.made / "runs" / "base" / "predictions.npz") as found:
            return dict(found)

    alone = trained()
    monkeypatch.setitem(project.environment, "UNFREEZE_PROCESSES", "2")
    # Not by DVC, whose cache of runs would give this result to the tests after this one.
    output = project.run("python", "stages/train.py", "base")
    assert output.count("base seed 1: validation accuracy") == 1  # the second says nothing
    assert files.read_json(project.made / "runs" / "base" / "cost.json")["device"].startswith(
        "2 processes on ")
    together = trained()
    assert alone.keys() == together.keys()
    # Adam makes much of the last bits of small gradients.
    assert np.allclose(together["logits"], alone["logits"], atol=0.05)
    assert np.array_equal(together["labels"], alone["labels"])


def test_a_branch_trains_what_inherits_its_knob_and_going_back_trains_none(project):
    project.run("git", "checkout", "-q", "-b", "other")
    output = project.run("dvc", "exp", "run", "evaluate", "-S", "frozen_batchnorm=train")
    # The others have nothing frozen.
    assert ran(output, "train") == ran(output, "evaluate") == {"own_freeze"}
    project.commit("frozen layers go on with their statistics")

    table = project.run("dvc", "metrics", "diff", "--all", "main", "other")
    lines = {line.split()[1]: line.split()[2:] for line in table.splitlines()[1:]}
    assert set(lines) == RUNS
    assert {lines[run][-1] for run in RUNS - {"own_freeze"}} == {"0.0"}

    # The parameters alone go back, not dvc.lock: the results come from DVC's cache of runs.
    project.run("git", "checkout", "-q", "main", "--", "params.yaml")
    output = project.run("dvc", "repro", "evaluate")
    assert ran(output, "train") == set()
    assert project.run("git", "diff", "--stat", "main") == ""


def test_another_seed_trains_only_the_new_replicate(project):
    project.edit("params.yaml", "\nseeds: [1]", "\nseeds: [1, 2]")
    for stage in ("plan", "subset", "pin"):  # by themselves: DVC takes longer than they do
        project.run("python", f"stages/{stage}.py")
    assert would_train(project) == {"base", "own_freeze", "other_model"}
    # One run is trained, to see that its first seed is not.
    output = project.run("python", "stages/train.py", "own_freeze")
    assert output.count("own_freeze seed 1: finished before") == 1
    assert "own_freeze seed 2: validation accuracy" in output


@pytest.mark.slow
def test_an_experiment_trains_ahead_what_it_lacks_and_going_back_trains_nothing(
        project, tmp_path, monkeypatch):
    monkeypatch.setitem(project.environment, "UNFREEZE_SLOTS", "2")
    monkeypatch.setitem(project.environment, "UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    output = project.run("dvc", "exp", "run", "replicates", "-S", "freeze=early")
    # What inherits the knob; of the rest DVC's cache has the results.
    assert set(re.findall(r"^(\w+ seed \d): validation", output, re.MULTILINE)) == {
        "base seed 1", "own_lr seed 1", "own_lr seed 2"}
    assert len([*(tmp_path / "scratch").glob("replicates/*.done")]) == 3
    assert len([*project.made.glob("logs/*.log")]) == 3
    shutil.rmtree(tmp_path / "scratch")
    project.run("git", "checkout", "-q", "main", "--", "params.yaml")
    output = project.run("dvc", "repro", "summarize")
    assert ran(output, "replicates") and not ran(output, "train")
    assert not [*(tmp_path / "scratch").glob("replicates/*.done")]
    assert project.run("git", "diff", "--stat", "main") == ""


def metrics(project) -> dict[Path, bytes]:
    return {file: file.read_bytes()
            for file in (project.folder / "metrics").rglob("*") if file.is_file()}


@pytest.mark.slow
def test_a_whole_experiment_trains_what_it_lacks_and_neither_way_back_trains_anything(
        project, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    monkeypatch.setitem(project.environment, "UNFREEZE_SLOTS", "2")
    monkeypatch.setitem(project.environment, "UNFREEZE_SCRATCH", str(scratch))
    early = "dvc", "exp", "run", "summarize", "-S", "freeze=early"
    output = project.run(*early)
    assert sorted(re.findall(r"^(\w+ seed \d): validation", output, re.MULTILINE)) == [
        "base seed 1", "own_lr seed 1", "own_lr seed 2"]  # once each: ahead, not again by train@RUN
    assert ran(output, "train") == {"base", "own_lr"}
    there = metrics(project)
    for back in (("dvc", "repro", "summarize"), early):
        shutil.rmtree(scratch)
        project.run("git", "checkout", "-q", "main", "--", "params.yaml")
        output = project.run(*back)
        assert ran(output, "replicates") and not ran(output, "train")
        assert not [*scratch.glob("replicates/*")]
        if back != early:
            assert project.run("git", "diff", "--stat", "main", "--", "metrics") == ""
    assert metrics(project) == there


def test_a_change_of_knobs_or_code_changes_exactly_the_recipes_that_read_it(project):
    before, params, families = pinned(project), "params.yaml", "src/unfreeze/models/families"
    for changes, runs in [
        ([(params, "\nlr: 0.01", "\nlr: 0.011")], {"base", "own_freeze", "other_model"}),
        ([(params, "\nfreeze: none", "\nfreeze: early")], {"base", "own_lr"}),
        ([(params, "freeze: last_only, reported: 50", "freeze: last_only, epochs: 2"),
          (f"{families}/tiny_b.py", "Dropout(0.1)", "Dropout(0.2)")],
         {"own_freeze", "other_model"}),
        ([("src/unfreeze/training/loop.py", "min(1.0, ", "min(1.5, ")], RUNS),
    ]:
        texts = {name: (project.folder / name).read_text() for name, *_ in changes}
        for change in changes:
            project.edit(*change)
        assert changed(project, before) == runs, changes
        for name, text in texts.items():
            (project.folder / name).write_text(text)


def test_what_training_does_not_read_trains_nothing_and_a_removed_run_leaves_nothing(project):
    before = pinned(project)
    project.edit("src/unfreeze/scoring/evaluation.py", "DECIMALS = 4", "DECIMALS = 3")
    project.edit("src/unfreeze/words.py", 'or "the defaults"', 'or "nothing"')
    project.edit("params.yaml", "\ngamma: 0.9", "\ngamma: 0.8")  # no run's schedule reads it
    for path in [*project.folder.glob("src/**/*.py"), *project.folder.glob("stages/*.py")]:
        text = path.read_text()
        path.write_text(text.replace('"""', '"""Now better explained. ', 1) + "\n# a comment\n")
    project.edit("params.yaml", "  other_model: {model: tiny_b, init: scratch, freeze: none}\n", "")
    project.edit("params.yaml", "claims:\n", "not_run:\n  absent: {model: tiny_b, reported: 70, "
                 "why: no weights at hand}\nclaims:\n  - base > a*\n")
    output = project.run("dvc", "repro", "summarize")
    assert ran(output, "train") == set()
    assert ran(output, "evaluate") == RUNS - {"other_model"}
    assert pinned(project) == {run: before[run] for run in RUNS - {"other_model"}}
    assert not any("other_model" in path.name for path in project.folder.glob("metrics/**/*"))
    assert not (project.made / "runs" / "other_model").exists()
    assert not list(project.folder.rglob("other_model.*"))
    for path in project.folder.glob("plots/tables/*.csv"):
        assert "other_model" not in path.read_text(), path
    assert "absent was not run" in (project.folder / "plots/tables/claims.csv").read_text()


def test_a_changed_sentence_runs_plot_alone_a_verdict_rule_what_it_decides(project):
    def stages(output: str) -> list[str]:
        return re.findall("Running stage '(.*)'", output)

    project.edit("src/unfreeze/reporting/sections/how_sure.py", "An interval", "Any interval")
    assert stages(project.run("dvc", "repro", "--dry")) == ["plot"]
    project.run("git", "checkout", "-q", "--", "src")
    project.edit("src/unfreeze/judging/verdicts.py",
                 'OPEN = "holds", "contradicted"', 'OPEN = "contradicted", "holds"')
    assert stages(project.run("dvc", "repro", "summarize")) == ["summarize"]
    assert stages(project.run("dvc", "repro", "--dry")) == ["plot"]


SEARCH = "own_freeze: {freeze: last_only, reported: 50, search_folds: 1, search: {lr: [0.1, 0.01"


def tried(output: str) -> list[str]:
    """The rates of the trials of own_freeze that were trained now."""
    return re.findall(r"own_freeze \(lr: (.*?)\) seed 0: validation accuracy", output)


def test_one_more_candidate_is_trained_alone_and_the_same_choice_trains_no_run(project):
    project.run("git", "checkout", "-q", "-b", "searched")
    project.edit("params.yaml", "own_freeze: {freeze: last_only, reported: 50", f"{SEARCH}]}}")
    output = project.run("dvc", "repro", "train@own_freeze")
    assert tried(output) == ["0.1", "0.01"] and ran(output, "train") == {"own_freeze"}
    project.commit("a search")
    choice = yaml.safe_load((project.folder / "choices/own_freeze.yaml").read_text())
    assert choice["chosen"] == {"lr": 0.1} and choice["of"] == 2

    project.edit("params.yaml", "[0.1, 0.01]", "[0.1, 0.01, 0.0001]")
    output = project.run("dvc", "repro", "train@own_freeze")
    assert tried(output) == ["0.0001"]
    assert ran(output, "choose") == {"own_freeze"} and ran(output, "train") == set()
    differs = project.run("git", "diff", "--name-only").split()
    assert {name for name in differs if name.startswith(("recipes", "choices"))} == {
        "choices/own_freeze.yaml"}
    lines = project.run("git", "diff", "--", "choices").splitlines()
    assert any(re.match(r"\+- \{values: \{lr: 0.0001\}, cross_entropy: 1.*\}", line)
               for line in lines)
    no_file_of_a_trial_holds_test_predictions(project)

    # Gone by hand, they come back, and nothing is trained.
    for name in ("recipes", "choices"):
        (project.folder / name / "own_freeze.yaml").unlink()
    output = project.run("dvc", "repro", "train@own_freeze")
    assert tried(output) == [] and ran(output, "train") == set()
    assert project.run("git", "diff", "--name-only").split() == differs


def no_file_of_a_trial_holds_test_predictions(project):
    """What is kept of a trial is of validation images, and no model."""
    run = choosing.read(project.made / "pinned/own_freeze.yaml")
    for trial in trials.of_rung(run, range(3), 1):
        digest = replicate_digest(trial.recipe, trial.seed)
        kept = (project.folder.parent / "scratch/replicates").glob(f"{digest}-*")
        (file,) = kept
        finished = Finished.from_bytes(file.read_bytes()[:-32])  # without its own digest
        assert finished.validation_logits.shape == (6, 3)
        assert finished.logits.shape == (0, 3) and not finished.model


@pytest.mark.slow
def test_a_run_that_diverges_is_marked_failed_and_the_report_still_builds(project):
    project.edit("params.yaml", "own_lr: {lr: 0.02", "own_lr: {lr: 1.0e+30")
    # Its head alone reaches numbers that are huge, and finite.
    project.edit("params.yaml", "own_freeze: {freeze: last_only", "own_freeze: {freeze: last_only, "
                 "lr: 1.0e+30")
    output = project.run("dvc", "repro")
    assert ran(output, "train") == {"own_freeze", "own_lr"}
    assert output.count("warning: own_lr seed") == 2 and "diverged" in output
    metrics = project.folder / "metrics"
    assert set(files.read_json(metrics / "score.json")) == RUNS - {"own_lr"}
    assert "not finite" in files.read_json(metrics / "runs" / "own_lr.json")["failed"]
    for report in ("report.md", "_made/report.html"):
        assert "failed: the logits of seeds 1, 2" in (project.folder / report).read_text()


def test_quality_files_are_the_same_bytes_when_all_is_evaluated_again(project):
    def content():
        return {path.relative_to(project.folder): path.read_bytes()
                for path in project.folder.glob("metrics/**/*.json")}

    before = content()
    assert project.folder.joinpath("metrics/claims.json").is_file()
    (project.made / "runs" / ".DS_Store").write_text("of a file manager")
    project.run("dvc", "repro", "-f", "-s", "evaluate@base", "evaluate@own_lr", "summarize")
    assert not (project.made / "runs" / ".DS_Store").exists()
    assert content() == before


def test_clean_caches_and_a_kill_in_training_give_the_same_bytes(finished, mirror, tmp_path):
    project, _ = finished
    again = make_project(tmp_path / "again", mirror, tmp_path / "scratch")
    process = again.popen("dvc", "repro", "evaluate@own_lr", start_new_session=True)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "scratch").glob("replicates/*.epoch.pt")):
        assert process.poll() is None and time.monotonic() < deadline, "nothing to kill"
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list((again.made / "runs").rglob("*.npz"))
    assert "goes on after epoch" in again.run("dvc", "repro", "evaluate@own_lr")
    for name in ("scores/metrics.json", "predictions.npz", "model.safetensors"):
        one, other = (place.made / "runs" / "own_lr" / name for place in (project, again))
        assert one.read_bytes() == other.read_bytes()


BAD_PARAMS = [
    ("  base: {}", "  base: {freez: early}", "runs.base.freez: unknown knob (did you mean"),
    ("  base: {}", "  a.b: {}", "'a.b' is no name for a run"),
    ("  base: {}", "  a/b: {}", "'a/b' is no name for a run"),
    ("  base: {}", "  a b: {}", "'a b' is no name for a run"),
    ("\nlr: 0.01", "\nlr: 1e-3", "write 0.001"),
    ("dataset: tiny", "dataset: tyny", "did you mean 'tiny'?"),
    ("  base: {}", "  base: {freeze: [stem, stage1, stage2, head]}", "nothing is left to train"),
]


def stops(project, command: tuple[str, ...], words: str) -> str:
    """The output of a command that fails with one line about params.yaml."""
    status, output = project.try_run(*command)
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert status != 0
    assert len(errors) == 1 and "params.yaml: " in errors[0] and words in errors[0], output
    assert "Traceback" not in output
    return output


@pytest.mark.parametrize(("old", "new", "words"), BAD_PARAMS)
def test_bad_params_stop_the_plan(unplanned, old, new, words):
    project, plan = unplanned, unplanned.made / "plan" / "runs.yaml"
    before = plan.read_text()
    project.edit("params.yaml", old, new)
    stops(project, ("python", "stages/plan.py"), words)
    assert plan.read_text() == before


def test_bad_params_stop_before_anything_is_lost(project):
    old, new, words = BAD_PARAMS[0]
    before = pinned(project)
    project.edit("params.yaml", old, new)
    assert "Running stage 'train" not in stops(project, ("dvc", "repro"), words)
    assert pinned(project) == before


def test_params_without_runs_are_our_own_error_through_dvc_too(unplanned):
    for content in ("", "# nothing yet\n", "dataset: tiny\n"):
        (unplanned.folder / "params.yaml").write_text(content)
        stops(unplanned, ("dvc", "repro", "plan"), "runs")


def test_a_bad_download_never_becomes_an_output(mirror, tmp_path):
    project = make_project(tmp_path / "project", mirror, tmp_path / "scratch")
    broken = tmp_path / "mirror"
    for stage, name, damage in [
        ("fetch-data", "tiny.npz", lambda content: content[:-200]),
        ("fetch-data", "tiny.npz", None),
        ("fetch-weights", "tiny_a.pth", lambda content: content[:500] + b"!" + content[501:]),
    ]:
        shutil.copytree(mirror, broken, dirs_exist_ok=True)
        content = (broken / name).read_bytes()
        (broken / name).unlink()
        if damage:
            (broken / name).write_bytes(damage(content))
        project.environment["UNFREEZE_MIRROR"] = str(broken)
        status, output = project.try_run("dvc", "repro", stage)
        assert status != 0
        (error,) = [line for line in output.splitlines() if line.startswith("error: ")]
        assert "no source is left" in error and "Traceback" not in output
        assert not (project.made / "data" / "tiny").exists()
        assert not list((project.made / "weights").glob("*"))
    project.environment["UNFREEZE_MIRROR"] = str(mirror)
    project.run("dvc", "repro", "fetch-data", "fetch-weights")
    assert (project.made / "data" / "tiny").exists()
    assert list((project.made / "weights").glob("*"))


def add_study(project, name: str) -> Path:
    """A study in studies/NAME, as README.md says: a copy of the root's files, with the way back."""
    folder = project.folder / "studies" / name
    shutil.copytree(ROOT / "studies/fractions/.dvc", folder / ".dvc",
                    ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    text = (project.folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(text.replace("{root: .}", "{root: ../..}", 1))
    shutil.copy(project.folder / "params.yaml", folder)
    return folder


@pytest.mark.parametrize("compared", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_study_is_a_project_of_its_own_with_the_data_and_the_cache_of_the_root(
        project, compared):
    """By default each sees its own metrics alone; `compared`: experiments and plots too."""
    folder = add_study(project, "own")
    (folder / "params.yaml").write_text(
        "dataset: tiny\nfraction: 0.5\nimage_size: 8\nmodel: tiny_a\n"
        "runs: {only_here: {epochs: 1}}\n")
    within = Project(folder, project.folder / "no mirror", project.folder.parent / "scratch")
    output = within.run("dvc", "repro", "summarize")
    assert set(re.findall(r"^(\w+): copied from", output, re.MULTILINE)) == {"tiny", "tiny_a"}
    assert not (folder / ".dvc/cache").exists()
    project.run("git", "checkout", "-q", "-b", "studied")
    project.commit("study")
    assert "Running stage" not in within.run("dvc", "repro", "summarize")
    assert within.run("git", "status", "--porcelain", "--untracked-files=all") == ""

    output = within.run("dvc", "exp", "run", "evaluate", "-S", "runs.only_here.epochs=2")
    assert ran(output, "train") == {"only_here"}
    commands = [("metrics", "diff", "--all")]
    if compared:
        project.run("dvc", "exp", "run", "plan", "-S", "gamma=0.8")
        commands.append(("exp", "show", "--csv"))
    for place, here, there in ((project, "own_lr", "only_here"), (within, "only_here", "own_lr")):
        for command in commands:
            output = place.run("dvc", *command)
            columns = output.splitlines()[0] if command[0] == "exp" else output
            assert here in columns and there not in columns, command
            assert "failed to load" not in output and "WARNING" not in output, output
        if not compared:
            continue
        output = place.run("dvc", "plots", "diff", "HEAD")
        assert "index.html" in output and "failed to load" not in output, output
        assert "vega" in (place.folder / "dvc_plots" / "index.html").read_text()


@pytest.mark.parametrize("all_of_them", [
    False, pytest.param(True, marks=pytest.mark.slow)])
def test_no_command_touches_the_user_s_files(project, tmp_path, all_of_them):
    """By default one command of each kind; `tests/faults.py --only files` prints what was counted
    of all."""
    faults.command(tmp_path / "bin")
    path = project.environment["PATH"]
    project.environment["PATH"] = f"{tmp_path / 'bin'}:{path}"
    shutil.copytree(project.folder / ".dvc/cache", tmp_path / "cache")
    users = own_files.lay(project, tmp_path / "elsewhere")
    assert len(users) > 300
    for command, lost, _ in own_files.tried(project, users, tmp_path / "elsewhere", all_of_them):
        assert not lost, command
    # What git does not clean up, what gc has dropped, and links to what this test's folder had, for
    # the tests that come after.
    project.environment["PATH"] = path
    for file in users:
        file.unlink()
    (project.made / "runs/mine").rmdir()
    project.run("git", "checkout", "-q", "--", "params.yaml")
    project.run("python", "stages/plan.py")
    shutil.copytree(tmp_path / "cache", project.folder / ".dvc/cache", dirs_exist_ok=True)
