"""Training refuses a recipe that other code or other software has made."""

import shutil
from dataclasses import replace

import pytest

from helpers import ROOT, tiny_recipe
from unfreeze.data.reading import checked
from unfreeze.errors import UserError
from unfreeze.fingerprint import of_recipes

FILE = "recipes/base.yaml"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of what training runs."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("src/unfreeze", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def check(project, tmp_path, monkeypatch):
    """Checks a recipe as the stage train does, with a scratch folder of its own, and as if the
    files had been there for long."""
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path))
    real = checked.time.time_ns
    monkeypatch.setattr(checked.time, "time_ns", lambda: real() + 10**10)
    return lambda recipe: of_recipes.check(FILE, recipe, project / "stages/train.py",
                                           project / "src")


@pytest.fixture(scope="module")
def recipe(project):
    made = tiny_recipe(model="mobilenet_v2", image_size=64, mixup=0.2)
    code = of_recipes.fingerprints(project / "stages/train.py", project / "src").of(
        of_recipes.chosen_code(made.knobs, made.augmentations, made.phases))
    return replace(made, code=code, software=of_recipes.software_used(
        made.knobs, made.augmentations))


def refused(check, recipe, *words):
    with pytest.raises(UserError) as caught:
        check(recipe)
    line = str(caught.value)
    assert line.startswith(f"{FILE}: ") and "`dvc repro`" in line and "\n" not in line
    for word in words:
        assert word in line


def test_recipe_of_now_is_not_refused_and_code_is_read_once(check, recipe, monkeypatch):
    check(recipe)
    monkeypatch.setattr(of_recipes, "fingerprints", None)  # not asked again
    check(recipe)


@pytest.mark.parametrize("name", ["torch", "numpy"])
def test_other_software_is_one_line(check, recipe, name):
    software = recipe.software
    refused(check, replace(recipe, software=software | {name: "1.2.3"}), f"{name} 1.2.3",
            software[name], "make env")
    refused(check, replace(recipe, software={key: version for key, version in software.items()
                                             if key != name}), f"{name} no")


def test_other_code_is_one_line(check, recipe, project):
    check(recipe)
    loop = project / "src/unfreeze/training/loop.py"
    text = loop.read_text()
    loop.write_text(text.replace("zero_grad(set_to_none=True)", "zero_grad()"))
    refused(check, recipe, "other code")
    loop.write_text(f"{text}\n# a comment\n")
    check(recipe)
    loop.write_text(text)
    refused(check, replace(recipe, code="0" * 64), "other code")


def test_code_of_a_plug_in_that_is_gone_is_one_line(check, recipe):
    knobs = {**recipe.knobs, "head": "gone"}
    refused(check, replace(recipe, knobs=knobs), "other code")
