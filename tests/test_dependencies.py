"""Each stage of dvc.yaml depends on the code that decides what it writes: its own script and the
modules that this imports, whose folders dvc.yaml names."""

import ast
import functools
import pkgutil
from pathlib import Path

import pytest
import yaml

from helpers import ROOT
from unfreeze.fingerprint import of_recipes
from unfreeze.judging import leftovers
from unfreeze.params.knobs import AUGMENTATIONS_FOLDER, CHOSEN_BY

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

# What decides nothing of what a stage writes: how a script starts and ends, what errors say, where
# things lie (its outputs are in dvc.yaml too), how many processes work, and with what instructions.
FREE = {"__init__.py", "choosing/__init__.py", "data/__init__.py", "ranking/__init__.py",
        "scoring/__init__.py",
        "bytecode.py", "environment.py", "errors.py", "instructions.py", "places.py", "pool.py",
        "stage.py", "supervision.py"}
# The form of plan/, for those who read it: if that changes, the files do.
FORM = {"params/__init__.py", "params/plan.py", "params/race.py", "plain.py", "recipe.py"}
# What plan/ is checked against where it is read: which scores and costs there are.
FORM |= {"expecting/__init__.py", "expecting/costs.py", "scoring/predictions.py",
         "scoring/score.py", "scoring/scores/__init__.py"}
# What has no part in it, though it is imported.
NOT_READ = {
    # Lists of addresses beside facts; numbers in errors and warnings.
    "plan": {"fetching/assets.py", "words.py"},
    "pin": {"words.py", "expecting/__init__.py", "expecting/costs.py"},
    # How its trials are trained side by side, and which values a knob may have: of what is to be
    # added to a search. What training reaches is in the recipes.
    "choose": {"params/check.py", "words.py", *(
        f"ahead/{file.name}" for file in (ROOT / "src/unfreeze/ahead").glob("*.py"))},
    "fetch-data": {"words.py"},
    # What is printed; which values a head's knobs may have; what the package is about.
    "rank": {"words.py", "params/knob.py", "training/__init__.py"},
    "decode": {"fetching/__init__.py", "fetching/assets.py", "fetching/sources.py", "words.py"},
    # What cards count, whoever makes them.
    "plot": {f"data/photos/{name}.py" for name in (
        "__init__", "archive", "collection", "folders", "kinds", "levels", "links", "names",
        "parquet", "pixels", "preprocess", "table")},
}


def dependencies(stage: str) -> list[str]:
    """The code that a stage depends on, seen from ROOT."""
    named = STAGES[stage].get("do", STAGES[stage])["deps"]
    return [path.removeprefix("${root}/") for path in named if path.startswith("${root}/")]


def covered(path: str, stage: str) -> bool:
    return any(Path(path).is_relative_to(each) for each in dependencies(stage))


@functools.cache
def imports(file: Path) -> frozenset[Path]:
    """The modules of the package that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    paths = [ROOT / "src" / Path(*name.split(".")) for name in names
             if name.partition(".")[0] == "unfreeze"]
    return frozenset(file for path in paths
                     for file in (path / "__init__.py", path.with_suffix(".py")) if file.exists())


def reached(script: Path) -> set[str]:
    """The modules that a script imports, and those that they import, below src/unfreeze."""
    found, waiting = set(), [script]
    while waiting:
        for file in imports(waiting.pop()) - found:
            found.add(file)
            waiting.append(file)
    return {str(file.relative_to(ROOT / "src/unfreeze")) for file in found}


# Trains a run as its recipe says; compares two; writes that it trained ahead, and nothing else.
ON_NO_CODE = ("train", "compare", "trials", "replicates")


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in ON_NO_CODE])
def test_a_stage_depends_on_what_it_imports(stage):
    script = STAGES[stage].get("do", STAGES[stage])["cmd"].split()[1].removeprefix("${root}/")
    assert covered(script, stage)
    exempt = FREE | NOT_READ.get(stage, set()) | (FORM - {"recipe.py"} if stage == "pin" else FORM)
    if stage == "choose":
        exempt |= reached(ROOT / "stages/train.py")
    missing = {module for module in reached(ROOT / script) - exempt
               if not covered(f"src/unfreeze/{module}", stage)}
    assert not missing, f"{stage} in dvc.yaml (and its copies) lacks them, or their folders"


def test_dependencies_are_there():
    for stage in STAGES:
        for path in dependencies(stage):
            assert (ROOT / path).exists(), path


def test_pin_depends_on_all_code_that_any_run_may_reach():
    folders = ("models/families", AUGMENTATIONS_FOLDER, *(
        CHOSEN_BY[knob] for knob in ("head", "tune", "schedule")))
    everything = {f"unfreeze.{folder.replace('/', '.')}": {
        module.name for module in pkgutil.iter_modules([str(ROOT / "src/unfreeze" / folder)])}
        for folder in folders}
    code = of_recipes.fingerprints(ROOT / "stages/train.py", ROOT / "src")
    modules = {name.partition(":")[0] for name in code.reached(everything)}
    assert "unfreeze.training.loop" in modules
    for module in modules:
        file = Path("src", *module.split("."))
        if module.partition(".")[0] != "unfreeze":
            file = Path("stages", module)
        file = file / "__init__.py" if (ROOT / file).is_dir() else file.with_suffix(".py")
        assert covered(str(file), "pin"), f"pin in dvc.yaml (and its copies) lacks {file}"


def test_what_is_cleared_of_a_run_that_is_gone_is_what_its_stages_write():
    outs = {out.removeprefix("_made/runs/${key}/") for stage in ("train", "evaluate")
            for out in STAGES[stage]["do"]["outs"]}
    assert outs == {name.partition("/")[0] for name in leftovers.OF_A_RUN}


def test_train_depends_on_its_recipe_alone():
    assert STAGES["train"]["do"]["deps"] == ["recipes/${key}.yaml"]


@pytest.mark.parametrize(("folder", "stages"), [
    ("reporting/sections", {"plot"}),
    ("judging", {"summarize"}),  # and plot, which reads what that writes
    ("comparing", {"compare"}),
    ("scoring", {"plan", "choose", "evaluate", "summarize"}),
])
def test_a_change_of_code_concerns_the_stages_that_it_is_about(folder, stages):
    assert {stage for stage in STAGES if covered(f"src/unfreeze/{folder}", stage)} == stages
