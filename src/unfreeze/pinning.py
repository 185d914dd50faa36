"""From the plan and what has been fetched, decoded and drawn to the recipe of each run."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from unfreeze import files, models, places
from unfreeze.data.reading import arrays, decoded
from unfreeze.errors import UserError
from unfreeze.fingerprint import Fingerprints
from unfreeze.models import weights
from unfreeze.params.knobs import AUGMENTATIONS_FOLDER, CHOSEN_BY
from unfreeze.params.plan import OfficialWeights, Plan, Run
from unfreeze.recipe import (
    PinnedDataset,
    PinnedSubset,
    PinnedWeights,
    Preprocessing,
    Recipe,
    software,
)

TEXTS = ("unfreeze.words",)  # what makes nothing but texts for people


def recipes(plan: Plan, train: Path, source: Path) -> dict[str, Recipe]:
    """The recipe of each run of a plan, whose data, weights and subsets lie in the working folder.

    Args:
        train: the script that trains a run. source: src/, which holds the code that it imports.

    Raises:
        UserError: something is not there that earlier stages make.
    """
    cards = {name: arrays.read_card(places.DATA / name) for name in plan.datasets}
    photos = {name: decoded.read_card(places.DECODED / name) for name in plan.decoded}
    digests = {name: weights.tensors_digest(weights.read_arrays(
        weights.path(places.WEIGHTS, name))) for name in plan.weights}
    subsets = {file: _digest(places.SUBSETS / file) for file in plan.subsets}
    fingerprints = Fingerprints(train, source, TEXTS)

    def recipe(run: Run) -> Recipe:
        return Recipe(
            knobs=_knobs(run),
            augmentations=run.augmentations,
            phases=run.phases,
            preprocessing=_preprocessing(run, photos),
            dataset=_dataset(run, cards[run.knobs["dataset"]], photos),
            weights=_weights(run, plan, digests) if run.weights else None,
            seeds={seed: PinnedSubset(file, subsets[file]) for seed, file in run.subsets.items()},
            software=_software(run),
            code=fingerprints.of(chosen_code(run)))

    return {name: recipe(run) for name, run in plan.runs.items()}


def chosen_code(run: Run) -> dict[str, set[str]]:
    """{package: names of the modules in it that a run chooses by its knobs}, of packages whose
    modules are found by name."""
    folders = {
        "models/families": {models.family(run.training_knobs["model"])},
        AUGMENTATIONS_FOLDER: set(run.augmentations),
        CHOSEN_BY["head"]: {run.training_knobs["head"]},
        # What is new in the model is trained in full whatever the way of tuning.
        CHOSEN_BY["tune"]: {"full", run.training_knobs["tune"]},
        CHOSEN_BY["schedule"]: {phase.knobs["schedule"] for phase in run.phases},
    }
    return {f"unfreeze.{folder.replace('/', '.')}": names for folder, names in folders.items()}


def _digest(file: Path) -> str:
    if not file.is_file():
        raise UserError(f"{file}: no such file; run `dvc repro`, which makes it")
    return files.file_digest(file)


def _knobs(run: Run) -> dict:
    threads = run.training_knobs["threads"]
    return {**run.training_knobs, "threads": 1 if threads == "auto" else threads}


def _preprocessing(run: Run, photos: Mapping[str, decoded.Card]) -> Preprocessing:
    """That of the plan; means and deviations of photos are known when they are decoded."""
    planned = run.preprocessing
    known = planned if planned.mean is not None else photos[run.decoded]
    return Preprocessing(
        planned.image_size, planned.resize, planned.interpolation,
        *(tuple(map(float, channels)) for channels in (known.mean, known.std)))


def _dataset(run: Run, card: Mapping, photos: Mapping[str, decoded.Card]) -> PinnedDataset:
    read = decoded.SPLITS if run.trains else ("test",)
    return PinnedDataset(
        name=run.knobs["dataset"],
        digest=card["digest"],
        classes=tuple(card["classes"]),
        decoded=run.decoded,
        decoded_digests={split: photos[run.decoded].digests[split] for split in read}
        if run.decoded else {})


def _weights(run: Run, plan: Plan, digests: Mapping[str, str]) -> PinnedWeights:
    source = plan.weights[run.weights]
    official = models.facts_of(run.training_knobs["model"]).weights
    # A checkpoint of the user's own may hold what any of the official ones does.
    alike = [official[source.key]] if isinstance(source, OfficialWeights) else official.values()
    return PinnedWeights(
        name=run.weights,
        digest=digests[run.weights],
        own=not isinstance(source, OfficialWeights),
        unused=tuple(sorted({module for each in alike for module in each.unused})))


def _software(run: Run) -> dict[str, str]:
    """Versions of what draws or changes numbers in a run."""
    draws = {"numpy": run.training_knobs["mixup"] or run.training_knobs["cutmix"],
             "pillow": "augment" in run.augmentations}
    return software() | {name: metadata.version(name) for name, used in draws.items() if used}
