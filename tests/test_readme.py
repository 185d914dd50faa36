"""The README's commands, one after another as they stand there, on a folder of photos; and then
those of docs/use-the-model.md on the study that they made."""

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

from helpers import ROOT

# Instead of `make env`, which downloads gigabytes; and the study in a minute instead of an hour.
SHRUNK = {"model": "tiny_a", "image_size": 8, "normalize": "dataset", "epochs": 1, "batch_size": 8,
          "seeds": [1, 2], "search": {}, "search_folds": 1, "validation": 0.2, "claims": [],
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
    command = tmp_path / "bin/unfreeze"
    command.parent.mkdir()
    # As the Makefile writes it.
    recipe = subprocess.run(
        ["make", "-n", "-o", ".venv/.made-from-requirements.lock", ".venv/bin/unfreeze"], cwd=ROOT,
        text=True, capture_output=True, check=True).stdout
    for here, there in ((f"{ROOT}/.venv/bin/python", sys.executable), (str(ROOT), project.folder),
                        (" .venv/bin/unfreeze", f" {command}")):
        recipe = recipe.replace(here, str(there))
    subprocess.run(recipe, shell=True, check=True)
    path = f"{command.parent}{os.pathsep}{project.environment['PATH']}"
    project.environment |= {"HOME": str(home), "PATH": path, "BROWSER": "true"}
    return project


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
            params = project.folder / "studies/flowers/params.yaml"
            params.write_text(yaml.safe_dump(yaml.safe_load(params.read_text()) | SHRUNK))
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
