"""From the plan and what has been fetched, decoded and drawn to the recipe of each run."""

from collections.abc import Mapping
from pathlib import Path

from unfreeze import files, models, places
from unfreeze.data.reading import arrays, decoded
from unfreeze.errors import UserError
from unfreeze.fingerprint.of_recipes import chosen_code, fingerprints, software_used
from unfreeze.models import weights
from unfreeze.params.plan import OfficialWeights, Plan, Run
from unfreeze.recipe import (
    PinnedDataset,
    PinnedSubset,
    PinnedWeights,
    Preprocessing,
    Recipe,
)


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
    code = fingerprints(train, source)

    def recipe(run: Run) -> Recipe:
        return Recipe(
            knobs=_knobs(run),
            augmentations=run.augmentations,
            phases=run.phases,
            preprocessing=_preprocessing(run, photos),
            dataset=_dataset(run, cards[run.knobs["dataset"]], photos),
            weights=_weights(run, plan, digests) if run.weights else None,
            seeds={seed: PinnedSubset(file, subsets[file]) for seed, file in run.subsets.items()},
            software=software_used(run.training_knobs, run.augmentations),
            code=code.of(chosen_code(run.training_knobs, run.augmentations, run.phases)))

    return {name: recipe(run) for name, run in plan.runs.items()}


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
