"""From the plan and what has been fetched, decoded and drawn to the recipe of each run, or of each
candidate of its search."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from unfreeze import environment, files, models, places, pool
from unfreeze.choosing.pinned import Candidate, Pinned
from unfreeze.data.reading import arrays, decoded
from unfreeze.errors import Fault, UserError
from unfreeze.expecting.costs import COSTS
from unfreeze.fingerprint.of_recipes import chosen_code, fingerprints, software_used
from unfreeze.models import weights
from unfreeze.params.equal_work import like
from unfreeze.params.faults import in_file, in_run
from unfreeze.params.knob import LARGEST
from unfreeze.params.knobs import KNOBS
from unfreeze.params.plan import OfficialWeights, Plan, Run
from unfreeze.recipe import (
    Phase,
    PinnedDataset,
    PinnedSubset,
    PinnedWeights,
    Recipe,
)
from unfreeze.training import counting
from unfreeze.words import quantity


def over_budget(plan: Plan, pinned: Mapping[str, Pinned]) -> str:
    """That the budget leaves no run, or one of several, as far as its costs are counted before
    anything is trained; "" where it leaves more.

    Args:
        pinned: as of `runs`.
    """
    costs = {name: _counted_costs(each.candidates[0]) for name, each in pinned.items()}
    limits = {cost: most for cost, most in plan.budget.items()
              if all(cost in found for found in costs.values())}
    within = [name for name, found in costs.items()
              if all(found[cost] <= most for cost, most in limits.items())]
    if not limits or len(pinned) < 2 or len(within) > 1:
        return ""
    told = ", ".join(f"{cost}: {quantity(most, COSTS[cost].unit)}"
                     for cost, most in limits.items())
    if within:
        return f"budget: of {len(pinned)} runs only {within[0]} keeps {told}"
    least = ", ".join(f"{quantity(min(found[cost] for found in costs.values()), COSTS[cost].unit)}"
                      for cost in limits)
    return f"budget: no run keeps {told}; the least that any takes is {least}"


def _counted_costs(candidate: Candidate) -> dict[str, float]:
    """{cost: of a replicate}, of those that are known before it is trained."""
    recipe = candidate.recipe
    content = counting.counted(recipe).cost(counting.epochs_of(recipe))
    content["operations"] = candidate.operations
    found = {}
    for name, cost in COSTS.items():
        with suppress(KeyError):
            found[name] = cost.of(content)
    return found


class Inputs:
    """What lies in the working folder for a plan.

    Args:
        train, source: as of `runs`.

    Raises:
        UserError: something is not there.
    """

    def __init__(self, plan: Plan, train: Path, source: Path) -> None:
        self._plan = plan
        self._cards = {name: arrays.read_card(places.DATA / name) for name in plan.datasets}
        self._photos = {name: decoded.read_card(places.DECODED / name) for name in plan.decoded}
        self._digests = {name: weights.tensors_digest(weights.read_arrays(
            weights.path(places.WEIGHTS, name))) for name in plan.weights}
        self._subsets = {file: _digest(places.SUBSETS / file) for file in plan.subsets}
        self._code = fingerprints(train, source)

    def subset(self, file: str) -> PinnedSubset:
        return PinnedSubset(file, self._subsets[file])

    def recipe(self, run: Run) -> Recipe:
        """Of a run, or of a candidate; threads and epochs as the plan has them."""
        return Recipe(
            knobs=run.training_knobs,
            augmentations=run.augmentations,
            phases=run.phases,
            preprocessing=run.preprocessing.settled(self._photos.get(run.decoded)),
            dataset=_dataset(run, self._cards[run.knobs["dataset"]], self._photos),
            weights=_weights(run, self._plan, self._digests) if run.weights else None,
            seeds={seed: self.subset(file) for seed, file in run.subsets.items()},
            software=software_used(run.training_knobs, run.augmentations),
            code=self._fingerprint(run))

    def _fingerprint(self, run: Run) -> str:
        try:
            return self._code.of(chosen_code(run.training_knobs, run.augmentations, run.phases))
        except ValueError as error:
            raise UserError(f"{places.PLAN}: {error}; run `dvc repro`, which writes the plan anew"
                            ) from None

    def images(self, recipe: Recipe) -> int:
        """That a replicate trains on, as many with every seed."""
        indices = files.read_json(places.SUBSETS / next(iter(recipe.seeds.values())).file)
        return len(indices["train"]) + (
            len(indices["validation"]) if recipe.knobs["train_on"] == "all" else 0)


def runs(plan: Plan, train: Path, source: Path) -> dict[str, Pinned]:
    """Each run of a plan, whose data, weights and subsets lie in the working folder, with its
    candidates.

    Args:
        train: the script that trains a run. source: src/, which holds the code that it imports.

    Raises:
        UserError: something is not there that earlier stages make, or work that `epochs` allows
            cannot be shared out.
    """
    pinned = Inputs(plan, train, source)
    _count_side_by_side(plan, pinned)
    made: dict[str, Pinned] = {}
    # A run may be like another one, which is like none.
    for name in sorted(plan.runs, key=lambda name: _is_like_another(plan, name)):
        with in_file("params.yaml"), in_run(f"runs.{name}", plan.runs[name].changes):
            made[name] = _run(plan, name, pinned, made)
    return {name: made[name] for name in plan.runs}


def _count_side_by_side(plan: Plan, inputs: Inputs) -> None:
    """Count what the recipes of a plan cost, a second or two for each kind, so that `counted` knows
    it. What cannot be counted is left to that, which is asked run by run and says whose it is."""
    searched = (each.run for search in plan.searches.values() for each in search.candidates)
    recipes = counting.uncounted(map(inputs.recipe, (*plan.runs.values(), *searched)))
    for _ in pool.run(_count, recipes, environment.workers()):
        pass


def _count(recipe: Recipe) -> None:
    with suppress(UserError):
        counting.counted(recipe)


def _run(plan: Plan, name: str, inputs: Inputs, made: Mapping[str, Pinned]) -> Pinned:
    search = plan.searches.get(name)
    if search is None:
        return Pinned((_candidate({}, plan.runs[name], inputs, made),), {},
                      KNOBS["choose_by"].default, 0, None)
    return Pinned(
        candidates=tuple(_candidate(each.values, each.run, inputs, made)
                         for each in search.candidates),
        trial_seeds={seed: tuple(map(inputs.subset, files))
                     for seed, files in search.subsets.items()},
        choose_by=search.choose_by, halving=search.halving, operations=search.operations,
        drawn_from=search.drawn_from)


def _candidate(values: Mapping[str, Any], run: Run, inputs: Inputs,
               made: Mapping[str, Pinned]) -> Candidate:
    """A run, or a candidate of its search, with the work of a replicate counted and all settled
    that goes by it: threads, and epochs by work."""
    recipe = inputs.recipe(run)
    counted, images = counting.counted(recipe), inputs.images(recipe)
    if recipe.knobs["threads"] == "auto":
        threads = counting.threads_for(counted.step_operations(recipe.knobs["batch_size"]))
        recipe = replace(recipe, knobs={**recipe.knobs, "threads": threads})
    for phase in recipe.phases:
        if isinstance(phase.knobs["epochs"], dict):
            recipe = _within(recipe, counted, images, phase.knobs["epochs"], made)
            break
    return Candidate(values, recipe, counted.operations(images, counting.epochs_of(recipe)))


def _within(recipe: Recipe, counted: counting.Counted, images: int, epochs: Mapping,
            made: Mapping[str, Pinned]) -> Recipe:
    """The recipe with as many epochs as counted work allows, in each phase without its own number:
    the most, but 1 at least.

    Args:
        images: that a replicate trains on. epochs: the value of the knob: that work, or the run
            whose work it is.

    Raises:
        Fault: the other run has no one amount of work, or the epochs are too few.
    """
    allowed = epochs["operations"] if "operations" in epochs else _work_of(epochs["like"], made)

    def with_epochs(number: int) -> Recipe:
        return replace(recipe, phases=tuple(
            Phase({**phase.knobs, "epochs": number})
            if isinstance(phase.knobs["epochs"], dict) else phase for phase in recipe.phases))

    def fits(number: int) -> bool:
        planned = counting.epochs_of(with_epochs(number))
        return counted.operations(images, planned) <= allowed

    most = 1
    while 2 * most <= LARGEST and fits(2 * most):
        most *= 2
    step = most
    while step := step // 2:
        most += step * fits(most + step)
    settled = with_epochs(most)
    for phase in settled.phases:
        warmup = phase.knobs["warmup_epochs"]
        if phase.knobs["epochs"] <= warmup and warmup:
            raise Fault("warmup_epochs", f"{warmup} leaves none of epochs: {most}, which is what "
                                         f"{epochs} allows; choose fewer, or allow more")
    if not fits(most):
        needed = counted.operations(images, counting.epochs_of(settled))
        print(f"warning: params.yaml: epochs: {epochs}: an epoch takes "
              f"{needed:.3g} operations, more than that; one is trained", file=sys.stderr,
              flush=True)
    return settled


def _work_of(run: str, made: Mapping[str, Pinned]) -> int:
    """The operations of a replicate of a run."""
    work = sorted({candidate.operations for candidate in made[run].candidates})
    if len(work) > 1:
        raise Fault("epochs", f"{{like: {run}}}: what {run} takes is not known before its search "
                              f"ends, {work[0]:.3g} to {work[-1]:.3g} operations; name another "
                              "run, or set {operations: number}")
    return work[0]


def _is_like_another(plan: Plan, name: str) -> bool:
    search = plan.searches.get(name)
    every = [each.run for each in search.candidates] if search else [plan.runs[name]]
    return any(like(phase.knobs["epochs"]) for run in every for phase in run.phases)


def _digest(file: Path) -> str:
    if not file.is_file():
        raise UserError(f"{file}: no such file; run `dvc repro`, which makes it")
    return files.file_digest(file)


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
    official = isinstance(source, OfficialWeights)
    return PinnedWeights(
        name=run.weights,
        digest=digests[run.weights],
        own=not official,
        unused=models.unused(source.model, source.key if official else None))
