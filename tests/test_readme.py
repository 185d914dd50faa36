"""The commands of README and docs/, run one after another as they stand there: README's on a folder
of photos, then those of docs/use-the-model.md on the study that they made; those of other pages on
a tiny study that has been run. tests/test_docs.py lists those that are not, and why."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.conftest import Project, make_project

import test_docs
from helpers import ROOT

# Instead of `make env`, which downloads gigabytes; and the study in a minute instead of an hour.
SHRUNK = {"model": "tiny_a", "image_size": 8, "normalize": "dataset", "epochs": 1, "batch_size": 8,
          "seeds": [1, 2], "rank": ["tiny_a"], "search": {},
          "search_folds": 1, "validation": 0.2, "claims": [],
          "runs": {"full": {}, "head": {"freeze": "last_only"}}}


@pytest.fixture
def home(tmp_path) -> Path:
    random = np.random.default_rng(0)
    for folder, photos in (("photos", 20), ("more-photos", 2)):
        for tint, name in enumerate(("daisy", "rose", "tulip")):
            place = tmp_path / "home" / folder / name
            place.mkdir(parents=True)
            for number in range(photos):
                pixels = random.integers(0, 160, (40, 50, 3))
                pixels[..., tint] += 90
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return tmp_path / "home"


@pytest.fixture
def project(tmp_path, mirror, home) -> Project:
    project = make_project(tmp_path / "project", mirror, tmp_path / "scratch")
    put_command(project, tmp_path / "bin")
    project.environment |= {"HOME": str(home), "BROWSER": "true"}
    return project


def put_command(project: Project, folder: Path) -> None:
    """`unfreeze` into a folder, as the Makefile writes it."""
    command = folder / "unfreeze"
    folder.mkdir()
    recipe = subprocess.run(
        ["make", "-n", "-W", "Makefile", "-o", ".venv/.made-from-requirements.lock",
         ".venv/bin/unfreeze"], cwd=ROOT,
        text=True, capture_output=True, check=True).stdout
    for here, there in ((f"{ROOT}/src", project.folder / "src"),
                        (f"{ROOT}/.venv/bin/python", sys.executable),
                        (" .venv/bin/unfreeze", f" {command}")):
        assert here in recipe
        recipe = recipe.replace(here, str(there))
    subprocess.run(recipe, shell=True, check=True)
    path = f"{folder}{os.pathsep}{project.environment['PATH']}"
    project.environment |= {"PATH": path}


def shrink(study: Path) -> None:
    params = study / "params.yaml"
    params.write_text(yaml.safe_dump(yaml.safe_load(params.read_text()) | SHRUNK))


def commands() -> list[str]:
    """Of its blocks, in their order."""
    text = (ROOT / "README.md").read_text()
    return [line for block in re.findall(r"^```\n(.*?)^```", text, re.S | re.M)
            for line in block.splitlines() if not re.match(r"make env|source ", line)]


@pytest.mark.slow
def test_the_commands_of_the_readme_do_what_it_says(project, home):
    said = {}
    folder = project.folder
    for line in commands():
        output = project.run("bash", "-c", f"cd {folder} && {line.split('  #')[0]}; "
                                           "status=$?; pwd > ~/folder; exit $status")
        folder = (home / "folder").read_text().strip()
        said[line.split("  #")[0].strip()] = output
        if line.startswith("unfreeze new"):
            shrink(project.folder / "studies/flowers")
            assert re.search(r"takes about \d+ minute", output)
    study = project.folder / "studies/flowers"
    assert "## Recommendation" in (study / "report.md").read_text()
    (named,) = (output for line, output in said.items() if line.startswith("unfreeze predict"))
    assert len(re.findall(r"^\S+\.png,", named, re.M)) == 6
    assert (home / "flowers-model").is_dir()
    (table,) = (output for line, output in said.items() if line.startswith("dvc exp show"))
    assert "epochs" in table
    project.run("git", "add", "-A")
    added = project.run("git", "diff", "--cached", "--name-only").splitlines()
    assert not [path for path in added if path.endswith((".png", ".jpg", ".html"))]
    use_the_model(project, home)


def use_the_model(project: Project, home: Path) -> None:
    """What docs/use-the-model.md has, typed where its photos lie."""
    shutil.copytree(home / "more-photos", project.folder / "photos")
    shutil.make_archive(str(project.folder / "photos"), "zip", home / "more-photos")
    (project.folder / "more").mkdir()
    shutil.copy(home / "photos/rose/1.png", project.folder / "more/one.jpg")
    lines = re.findall(r"^    (unfreeze .*)$", (ROOT / "docs/use-the-model.md").read_text(), re.M)
    assert len(lines) == 5
    for line in lines:
        if "export" in line and "--formats" not in line and not importlib.util.find_spec("onnx"):
            continue
        project.run("bash", "-c", f"cd {project.folder} && {line}")
    named = (project.folder / "named.csv").read_text()
    assert len(re.findall(r"^\S+\.(png|jpg),", named, re.M)) == 7
    assert (project.folder / "named.html").is_file()
    assert (project.folder / "flowers-model/model.safetensors").is_file()


PAGES = sorted({page for page, _, text in test_docs.commands()
                if page not in ("README.md", "docs/use-the-model.md")
                and not test_docs.why_not(page, text)})
# For models whose weights are not in the mirror folder of these tests.
HAD = {"mobilenet_v2": "tiny_a", "resnet18": "tiny_b"}


def test_pages_with_commands_that_are_run():
    assert {"docs/datasets.md", "docs/environment.md", "docs/many-runs.md", "docs/pipeline.md",
            "docs/search.md", "docs/which-model.md"} <= set(PAGES)


@pytest.fixture
def tiny(finished, tmp_path) -> Project:
    """The tiny default study, finished and committed; whatever is done to it is undone."""
    project, _ = finished
    before = dict(project.environment)
    put_command(project, tmp_path / "bin")
    yield project
    project.environment = before
    project.restore()


def prepare(page: str, project: Project, home: Path) -> None:
    """What a reader of a page has."""
    if page == "docs/datasets.md":
        shutil.copytree(home / "photos", project.folder / "path/to/folder")
    elif page == "docs/environment.md":
        shutil.copy(ROOT / "Makefile", project.folder)
    elif page == "docs/many-runs.md":
        project.run("dvc", "remote", "add", "-d", "ours", str(home / "remote"))
    elif page == "docs/pipeline.md":  # the default study pairs no runs of other seeds than `seeds`
        project.edit("params.yaml", "compare:\n  pair: [base, own_lr]\n", "")
    elif page == "docs/search.md":
        project.edit("params.yaml", "\nsearch: {}", "\nsearch: {lr: [0.003, 0.01]}")
        project.edit("params.yaml", "own_lr: {lr: 0.02, ", "own_lr: {")
    elif page == "docs/studies.md":
        shutil.copytree(ROOT / "studies/layers", project.folder / "studies/layers",
                        ignore=shutil.ignore_patterns("_made", "cache", "tmp"))
    elif page == "docs/which-model.md":
        project.edit("params.yaml", "\nruns:\n", "\nrank: [tiny_a, tiny_b]\nruns:\n")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_do_what_it_says(page, tiny, home):
    prepare(page, tiny, home)
    said = {}
    for of, folder, text in test_docs.commands():
        if of != page or test_docs.why_not(page, text):
            continue
        for theirs, ours in HAD.items():
            text = text.replace(theirs, ours)
        if "+rank=" in text:
            tiny.run("git", "checkout", "params.yaml")
        said[text] = tiny.run("bash", "-c", f"cd {folder} && {text}")
        if text.startswith("unfreeze new"):
            shrink(tiny.folder / "studies/flowers")
    made = {"docs/datasets.md": tiny.folder / "path/to/folder.dvc",
            "docs/many-runs.md": home / "remote/files",
            "docs/pipeline.md": tiny.folder / "dvc_plots/index.html"}
    print(*said.items(), sep="\n")
    assert page not in made or made[page].exists()
    if page == "docs/which-model.md":
        assert "tiny_b" in said["dvc repro rank"]
        assert "tiny_b" in (tiny.made / "ranked/models.csv").read_text()
    if page == "docs/environment.md":
        assert "Running stage 'train@base'" in said["dvc repro -f -s train@base"]
    if page == "docs/pipeline.md":
        assert "Running stage" not in [*said.values()][5]
