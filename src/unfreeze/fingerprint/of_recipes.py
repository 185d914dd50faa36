"""The code and the software that decide a recipe's numbers: what pin writes, and what training
compares with what is at hand."""

import json
from collections.abc import Iterable
from functools import partial
from importlib import metadata
from pathlib import Path

from unfreeze import models
from unfreeze.data.reading import checked
from unfreeze.errors import UserError
from unfreeze.fingerprint import Fingerprints
from unfreeze.params.knobs import AUGMENTATIONS_FOLDER, CHOSEN_BY
from unfreeze.recipe import Knobs, Phase, Recipe, software

# What decides no number, although training reaches it: it makes texts for people, says that another
# recipe is to be made, or how a process ended.
UNCOUNTED = ("unfreeze.words", "unfreeze.fingerprint", "unfreeze.fingerprint.of_recipes",
             "unfreeze.supervision")


def fingerprints(script: Path, source: Path) -> Fingerprints:
    """Of the script that trains a run.

    Args:
        source: src/, which holds the code that it imports.
    """
    return Fingerprints(script, source, UNCOUNTED)


def chosen_code(knobs: Knobs, augmentations: Iterable[str],
                phases: Iterable[Phase]) -> dict[str, set[str]]:
    """{package: names of the modules in it that a recipe chooses by its knobs}, of packages whose
    modules are found by name."""
    folders = {
        "models/families": {models.family(knobs["model"])},
        AUGMENTATIONS_FOLDER: set(augmentations),
        CHOSEN_BY["head"]: {knobs["head"]},
        # What is new in the model is trained in full whatever the way of tuning.
        CHOSEN_BY["tune"]: {"full", knobs["tune"]},
        CHOSEN_BY["schedule"]: {phase.knobs["schedule"] for phase in phases},
    }
    return {f"unfreeze.{folder.replace('/', '.')}": names for folder, names in folders.items()}


def software_used(knobs: Knobs, augmentations: Iterable[str]) -> dict[str, str]:
    """Versions of what draws or changes numbers in a run."""
    draws = {"numpy": knobs["mixup"] or knobs["cutmix"], "pillow": "augment" in augmentations,
             "timm": knobs["model"].startswith(models.OF_TIMM)}
    return software() | {name: metadata.version(name) for name, used in draws.items() if used}


def check(what: str | Path, recipe: Recipe, script: Path, source: Path) -> None:
    """Is a recipe that of the software and the code at hand?

    Args:
        what: the recipe is called, such as its file. script, source: as of `fingerprints`.

    Raises:
        UserError: training it here would give what another recipe means.
    """
    for name, here in software_used(recipe.knobs, recipe.augmentations).items():
        pinned = recipe.software.get(name, "no")
        if pinned != here:
            raise UserError(f"{what}: the recipe was made with {name} {pinned}, and {here} is "
                            "installed here; run `dvc repro`, which makes it anew, or `make env`, "
                            "which installs what requirements.lock names")
    chosen = chosen_code(recipe.knobs, recipe.augmentations, recipe.phases)
    choice = json.dumps({package: sorted(names) for package, names in chosen.items()})
    if not checked.once([script, *sorted(source.rglob("*.py"))], f"{recipe.code} {choice}",
                        partial(_is_code, recipe.code, script, source, chosen)):
        raise UserError(f"{what}: the recipe was made of other code than lies in {source} now; run "
                        "`dvc repro`, which makes it anew")


def _is_code(code: str, script: Path, source: Path, chosen: dict[str, set[str]]) -> bool:
    try:
        return fingerprints(script, source).of(chosen) == code
    except ValueError:  # a plug-in is gone
        return False
