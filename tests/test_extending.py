"""docs/extending.md: what it says to add, taken from its examples, all of it added to a project at
once, and what comes of each."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import safetensors
import yaml

import warm
from conftest import ROOT, Project, ran
from unfreeze import files

PAGE = (ROOT / "docs/extending.md").read_text()
# By the pipeline, for git.
MADE = ("choices/", "dvc.lock", "metrics/", "plots/", "recipes/", "report.md")
# Changes code that every run reaches, so it comes after the others.
LAST = "Any other knob"


@dataclass(frozen=True)
class Example:
    """A block of the page: a file, or of language "diff" a change in one."""

    section: str
    file: str
    language: str
    content: str

    def put_into(self, folder: Path) -> None:
        path = folder / self.file
        if self.language != "diff":
            assert not path.exists(), f"{self.file} is there already"
            path.write_text(self.content)
            return
        text = "\n" + path.read_text()
        for hunk in self.content.split("@@\n"):
            old, new = ("\n" + "".join(line[1:] for line in hunk.splitlines(keepends=True)
                                       if line[0] in signs) for signs in (" -", " +"))
            assert text.count(old) == 1, f"{self.section}: {self.file} has not, once:{old}"
            text = text.replace(old, new)
        path.write_text(text[1:])


def examples() -> list[Example]:
    found = []
    for section in PAGE.split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        for block in re.finditer(r"^`([\w./]+)`[^\n]*:\n\n```(\w+)\n(.*?)^```$", text, re.M | re.S):
            found.append(Example(title, *block.groups()))
    assert len(found) == PAGE.count("\n```") / 2, "a block does not say which file it is"
    return found


EXAMPLES = examples()
OF_PROJECT = [example for example in EXAMPLES if "/" in example.file
              or example.file == "params.yaml"]


@dataclass(frozen=True)
class Extended:
    """A reproduced project in which all but the last was added, and which was reproduced again."""

    project: Project
    recipes: dict[str, str]  # before
    sources: set[str]  # what git names as new or changed, but for what the pipeline makes
    output: str

    def csv(self, name: str) -> list[dict[str, str]]:
        return files.read_csv(self.project.folder / name)


def recipes(project: Project) -> dict[str, str]:
    return {path.stem: path.read_text() for path in (project.folder / "recipes").glob("*.yaml")}


def sources(project: Project) -> set[str]:
    lines = project.run("git", "status", "--porcelain", "--untracked-files=all").splitlines()
    return {line[3:] for line in lines if not line[3:].startswith(MADE)}


@pytest.fixture(scope="module")
def extended(finished, mirror, tmp_path_factory):
    project, _ = finished
    before, official = recipes(project), tmp_path_factory.mktemp("official") / "files"
    shutil.copytree(mirror, official)
    project.environment["UNFREEZE_MIRROR"] = str(official)
    try:
        for example in EXAMPLES:
            if example not in OF_PROJECT:
                (official / example.file).write_text(example.content)
                subprocess.run([warm.python(), example.file], cwd=official, check=True)
            elif example.section != LAST:
                example.put_into(project.folder)
        output = project.run("dvc", "repro")
        yield Extended(project, before, sources(project), output)
    finally:
        project.environment["UNFREEZE_MIRROR"] = str(mirror)
        project.restore()


def test_each_takes_at_most_two_files_besides_params_yaml_and_no_dvc_yaml():
    for section in {example.section for example in OF_PROJECT}:
        touched = {example.file for example in OF_PROJECT if example.section == section}
        assert len(touched - {"params.yaml"}) <= 2, section
    assert not any("dvc" in example.file for example in EXAMPLES)


def test_the_table_names_the_files_of_the_examples():
    rows = dict(re.findall(r"^\| \[.*?\]\(#(.*?)\) \| (.*?) \|", PAGE, re.M))
    sections = {example.section.lower().replace(" ", "-"): [] for example in OF_PROJECT}
    for example in OF_PROJECT:
        sections[example.section.lower().replace(" ", "-")].append(example)
    assert rows.keys() == sections.keys() - {"all-of-it-in-a-study"}
    for section, row in rows.items():
        folders = {name.rpartition("/")[0] for name in re.findall("`([^`]*/[^`]*)`", row)}
        assert folders <= {example.file.removeprefix("src/unfreeze/").rpartition("/")[0]
                           for example in sections[section]}, section


PLAN = '''
import sys
import yaml
from unfreeze.errors import UserError
from unfreeze.params.settle import resolve

resolve(yaml.safe_load(open("params.yaml")))
for wrong, message in (
        ({"loha_scale": 2}, "runs.a.loha_scale: has no effect with tune: full; leave it out, or "
                            "set tune: loha"),
        ({"lora_rank": 2}, "set tune: dora or loha or lora"),
        ({"tune": "loha", "loha_scale": 0}, "loha_scale: 0 is not allowed"),
        ({"tune": "lohha"}, "did you mean 'loha'?"),
        ({"head_scale": 2}, "set head: scaled"),
        ({"phases": [{"step_drop": 0.5}]}, "set schedule: step"),
        ({"cutout": -1}, "cutout: -1 is not allowed"),
        ({"beta2": 1.0}, "beta2: 1.0 is not allowed"),
        ({"optimizer": "sgd", "beta2": 0.5}, "set optimizer: adam or adamw")):
    try:
        resolve({"runs": {"a": wrong}})
    except UserError as error:
        assert message in str(error), error
    else:
        raise AssertionError(wrong)
assert "torch" not in sys.modules
'''


def test_params_yaml_and_plan_know_the_knobs(tmp_path):
    """In a copy of this project, by its own test of params.yaml; plan does not import torch."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").mkdir()
    for name in ("params.yaml", "tests/helpers.py", "tests/test_params_knobs.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    for example in OF_PROJECT:
        example.put_into(tmp_path)
    for command in (["-c", PLAN], ["-m", "pytest", "-q", "tests/test_params_knobs.py"]):
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, text=True,
                              capture_output=True,
                              env=os.environ | {"PYTHONPATH": f"{tmp_path / 'src'}",
                                                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_was_added_is_trained_and_nothing_else(extended):
    assert ran(extended.output, "train") == {"multiplied", "striped"}
    now = recipes(extended.project)
    assert {run: now[run] for run in extended.recipes} == extended.recipes
    assert extended.sources == {example.file for example in OF_PROJECT if example.section != LAST}
    assert "up to date" in extended.project.run("dvc", "status")


def test_recipe_has_the_knobs_of_what_the_run_uses_and_of_nothing_else(extended):
    recipe = yaml.safe_load(recipes(extended.project)["multiplied"])
    assert {"tune": "loha", "loha_scale": 0.5, "lora_rank": 1, "head": "scaled",
            "head_scale": 3.0}.items() <= recipe["knobs"].items()
    assert not {"lora_alpha", "head_width", "tinytl_groups"} & recipe["knobs"].keys()
    assert recipe["augmentations"] == {"flip": True, "cutout": 3}
    first, second = recipe["phases"]
    assert (first["schedule"], first["step_drop"]) == ("step", 0.25)
    assert not {"gamma"} & first.keys() and not {"gamma", "step_drop"} & second.keys()


def test_method_head_and_schedule_train(extended):
    folder = extended.project.made / "runs/multiplied"
    assert {row["tune"] for row in files.read_csv(folder / "parts.csv")} == {"full", "loha"}
    assert [float(row["lr"]) for row in files.read_csv(folder / "history.csv")][:2] == [
        0.01, 0.0025]
    with safetensors.safe_open(folder / "model.safetensors", "np") as model:
        up = [name for name in model.keys() if name.endswith(".up")]
        assert len(up) == 3 and all(np.any(model.get_tensor(name)) for name in up)
        assert any("head.new" in name for name in model.keys())


def test_dataset_and_model_are_used(extended):
    recipe = yaml.safe_load(recipes(extended.project)["striped"])
    assert recipe["dataset"]["name"] == "stripes" and recipe["weights"] is None
    assert recipe["dataset"]["classes"] == ["level", "upright"]
    rows = files.read_csv(extended.project.made / "runs/striped/parts.csv")
    assert [row["part"] for row in rows] == ["stem", "stage1", "head"]
    assert files.read_json(extended.project.folder / "metrics/runs/striped.json")["accuracy"] >= 50


def test_score_and_cost_are_in_metrics_claims_and_tables(extended):
    metrics = extended.project.folder / "metrics"
    for run in recipes(extended.project):
        assert 0 < files.read_json(metrics / f"runs/{run}.json")["spherical"] <= 1
    verdicts = files.read_json(metrics / "claims.json")
    assert verdicts["multiplied.spherical > base"]["quantity"] == "spherical"
    assert verdicts["multiplied.moment_bytes < base"]["unit"] == "bytes"
    kinds = {row["name"]: row["kind"] for row in extended.csv("plots/tables/quantities.csv")}
    assert (kinds["spherical"], kinds["moment_bytes"]) == ("score", "cost")
    assert "spherical score" in (extended.project.folder / "report.md").read_text()


def test_table_pictures_and_section_are_in_both_reports(extended):
    folder = extended.project.folder
    assert {row["run"] for row in extended.csv("plots/tables/spread.csv")} == {
        *recipes(extended.project)}
    markdown = (folder / "report.md").read_text()
    page = (extended.project.made / "report.html").read_text()
    section = markdown.partition("## How far seeds lie apart\n")[2].partition("\n## ")[0]
    assert "points of accuracy" in section and "](plots/charts/spread.svg)" in section
    assert "](plots/charts/average.png)" in markdown.partition("## More pictures")[2]
    assert "How far seeds lie apart" in page and 'data-chart="plots/charts/spread.svg"' in page
    assert "The mean of up to 1,000 test images" in page
    for name in ("spread.svg", "average.png"):
        assert (folder / "plots/charts" / name).stat().st_size > 100


def test_any_other_knob_is_planned_checked_and_read(extended):
    """The last to be added: it changes the project."""
    project, before = extended.project, recipes(extended.project)
    for example in OF_PROJECT:
        if example.section == LAST:
            example.put_into(project.folder)
    project.edit("params.yaml", "multiplied: {", "multiplied: {beta2: 0.5, ")
    for stage in ("plan", "subset", "pin"):
        project.run("python", f"stages/{stage}.py")
    for run in before:
        project.run("python", "stages/choose.py", run)
    now = recipes(project)
    betas = {run: yaml.safe_load(recipe)["knobs"]["beta2"] for run, recipe in now.items()}
    assert betas == {run: 0.5 if run == "multiplied" else 0.999 for run in before}
    assert all(now[run] != before[run] for run in before)

    def losses() -> list[str]:
        rows = files.read_csv(project.made / "runs/multiplied/history.csv")
        return [row["train_loss"] for row in rows]

    with_default = losses()
    project.run("python", "stages/train.py", "multiplied")
    assert losses() != with_default
    assert sources(project) == {example.file for example in OF_PROJECT}
