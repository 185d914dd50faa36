"""One replicate of a run: a model trained from a recipe with one seed."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np
import torch
from tqdm import tqdm

from unfreeze import recipe as recipes
from unfreeze.data.reading import arrays
from unfreeze.data.reading.images import count_batches
from unfreeze.recipe import Recipe
from unfreeze.training import counting, evaluation, movement, saved
from unfreeze.training.checkpoint import Scratch
from unfreeze.training.devices import Device, set_threads
from unfreeze.training.finished import Cost, Finished
from unfreeze.training.phase import PhaseTraining
from unfreeze.training.place import Place
from unfreeze.training.setting import Inputs, Setting, indices, load_images, set_up
from unfreeze.training.together import reduce
from unfreeze.words import fixed, quantity

# lr is that of the last step.
HISTORY = ("epoch", "phase", "lr", "train_loss", "train_accuracy", "validation_loss",
           "validation_accuracy", "seconds")


def train(recipe: Recipe, seed: int, device: Device, inputs: Inputs, label: str) -> Finished:
    """Train one replicate, or go on where an earlier try stopped, or return what one finished.

    Args:
        recipe: of the run.
        seed: one of its seeds.
        device: where.
        inputs: folders with the data, weights and subsets that the recipe names.
        label: for the progress bar.

    Raises:
        UserError: an input is missing or not the one that the recipe names; or the environment
            does not allow as many threads as it names.
    """
    set_threads(recipe.knobs["threads"])
    scratch = Scratch(recipes.replicate_digest(recipe, seed), device)
    result = _load(scratch)
    all_have_it = reduce.same(result is not None)
    if result is not None and all_have_it:
        print(f"{label}: finished before, taken from the scratch folder", flush=True)
    else:
        splits = load_images(recipe, seed, device, inputs)
        setting = set_up(recipe, seed, device, inputs.weights, splits, label)
        result = finish(train_epochs(setting, scratch))
        scratch.save_done(result.content())
        _say_accuracy(label, result)
    _warn(label, recipe, result)
    return result


def _load(scratch: Scratch) -> Finished | None:
    """What an earlier try finished; None: nothing, or nothing of this version."""
    content = scratch.load_done()
    try:
        return content and Finished.of(content)
    except (TypeError, KeyError):
        return None


class Replicate:
    """A replicate on its way through the epochs of its phases.

    Args:
        setting: what its phases share; its model is trained in place.
        state: of `state_dict`, to go on from there; None: from the start.

    Attributes:
        history: a row for each epoch behind it, with the fields of HISTORY.
        best_epoch: the best of them on validation, from 1, where `select: best` keeps its weights.
        epochs: of all phases, should patience end none. batches: of an epoch.
        phase: what trains; None between two phases.
    """

    def __init__(self, setting: Setting, state: dict | None = None) -> None:
        recipe = setting.recipe
        self.setting = setting
        self._phases = [(phase, table, epochs) for phase, table, epochs in zip(
            recipe.phases, setting.tables, counting.epochs_of(recipe), strict=True) if epochs]
        self.epochs = sum(epochs for *_, epochs in self._phases)
        self.batches = count_batches(len(setting.splits["train"]), recipe.knobs["batch_size"])
        self.history: list[dict] = []
        self.phase: PhaseTraining | None = None
        self._place, self._best, self._optimizer_state = Place(), None, None
        self.best_epoch: int | None = None
        if state is not None:
            saved.put(setting.model, state["model"])
            setting.average.load_state_dict(state["average"])
            self.history, self._best = state["history"], state["best"]
            self.best_epoch = state["best_epoch"]
            self._place, self._optimizer_state = Place(**state["place"]), state["optimizer"]

    @property
    def finished(self) -> bool:
        """Whether no epoch is left, or none would help."""
        return self._place.phase == len(self._phases) or self.diverged is not None

    @property
    def diverged(self) -> str | None:
        """How the last epoch went wrong, or why there was no first; None: nothing did."""
        if self.setting.recipe.failed:
            return self.setting.recipe.failed
        loss = self.history[-1]["train_loss"] if self.history else 0.0
        return None if np.isfinite(loss) else f"the loss of epoch {len(self.history)} is {loss}"

    def epoch(self, progress: Callable[[], None]) -> dict:
        """Train and validate for an epoch; its row of the history.

        Args:
            progress: called after each batch.
        """
        number, place = len(self.history), self._place
        phase, table, epochs = self._phases[place.phase]
        if self.phase is None:
            self.phase = PhaseTraining(self.setting, phase, table, epochs)
            if self._optimizer_state is not None:
                self.phase.optimizer.load_state_dict(self._optimizer_state)
                self._optimizer_state = None
        trained = self.phase.train(place.epoch, number, progress)
        knobs = self.setting.recipe.knobs
        with self.setting.average.applied():
            scores = self.phase.validate()
            self._place = place.after_epoch(*scores)
            if knobs["select"] == "best" and self._place.best > place.best:
                self.best_epoch = number + 1
                self._best = {name: tensor.clone() for name, tensor in
                              self.setting.model.state_dict().items()}
        self.history.append(dict(zip(HISTORY, (
            number + 1, place.phase + 1, trained.lr, trained.loss, trained.accuracy, *scores,
            trained.seconds), strict=True)))
        is_patience_over = knobs["patience"] and self._place.waited == knobs["patience"]
        if self._place.epoch == epochs or is_patience_over:
            self._place, self.phase = self._place.after_phase(), None
        return self.history[-1]

    def state_dict(self) -> dict:
        """What a checkpoint holds."""
        return {
            "model": self.setting.model.state_dict(),
            "optimizer": self.phase and self.phase.optimizer.state_dict(),
            "average": self.setting.average.state_dict(),
            "best": self._best,
            "best_epoch": self.best_epoch,
            "place": asdict(self._place),
            "history": self.history,
        }

    def model(self) -> torch.nn.Module:
        """The trained model: of the best epoch or of the last, averaged where `ema` says so."""
        if self._best is not None:
            saved.put(self.setting.model, self._best)
        else:
            saved.put(self.setting.model, self.setting.average.tensors)
        return self.setting.model


def train_epochs(setting: Setting, scratch: Scratch) -> Replicate:
    """Train a replicate to its end, from where an earlier try stopped."""
    state = scratch.load_epoch()
    all_have_it = reduce.same(len(state["history"]) if state else 0)
    replicate = Replicate(setting, state if all_have_it else None)
    behind = len(replicate.history)
    if behind:
        print(f"{setting.label}: goes on after epoch {behind} of {replicate.epochs}", flush=True)
    setting.device.reset_peak_memory()
    with tqdm(desc=setting.label, total=replicate.epochs * replicate.batches,
              initial=behind * replicate.batches, unit="batch", disable=None) as bar:
        while not replicate.finished:
            row = replicate.epoch(bar.update)
            bar.set_postfix(loss=f"{fixed(row['train_loss'], 3)}",
                            accuracy=f"{fixed(row['train_accuracy'], 3)}")
            scratch.save_epoch(replicate.state_dict())
    return replicate


def finish(replicate: Replicate) -> Finished:
    """What `train` returns, of a replicate with no epoch left."""
    setting, model, history = replicate.setting, replicate.model(), replicate.history
    recipe, device, splits = setting.recipe, setting.device, setting.splits
    logits = {split: evaluation.predict(model, splits[split], recipe.knobs, len(recipe.classes),
                                        device)
              for split in ("test", "validation") if split in splits and not replicate.diverged}
    diverged = replicate.diverged or _not_finite(logits)
    if diverged:
        logits = {split: torch.full((len(images), len(recipe.classes)), torch.nan)
                  for split, images in splits.items() if split != "train"}
    return Finished(
        model=saved.changed(model.state_dict(), setting.initial) if recipe.tested else {},
        logits=logits.get("test", torch.empty(0, len(recipe.classes))),
        validation_logits=logits["validation"],
        validation_labels=splits["validation"].labels.cpu(),
        best_epoch=replicate.best_epoch,
        history=history,
        movement=movement.rows(model, setting.initial, setting.tables) if recipe.tested else [],
        cost=Cost(seconds=sum(row["seconds"] for row in history),
                  images=len(splits["train"]) * len(history),
                  peak_memory_bytes=device.peak_memory(),
                  device=device.name, precision=device.precision),
        diverged=diverged)


def _not_finite(logits: Mapping[str, torch.Tensor]) -> str | None:
    for split, values in logits.items():
        if not values.isfinite().all():
            return f"the logits of the {split} images are not finite"
    return None


def _say_accuracy(label: str, result: Finished) -> None:
    if result.diverged:
        return
    labels, logits = result.validation_labels, result.validation_logits
    accuracy = (
        f"validation accuracy {quantity(100 * evaluation.accuracy(logits, labels), '%')}, "
        if len(labels) else "")
    print(f"{label}: {accuracy}{quantity(result.cost.seconds, 's')} of training", flush=True)


def _warn(label: str, recipe: Recipe, result: Finished) -> None:
    """A line on standard error where training diverged."""
    if result.diverged and not result.history:
        print(f"warning: {label}: {result.diverged}; the run is marked failed", file=sys.stderr,
              flush=True)
    elif result.diverged:
        lr = recipe.phases[result.history[-1]["phase"] - 1].knobs["lr"]
        print(f"warning: {label}: training diverged ({result.diverged}); lr: {lr} is too high "
              "for this run, choose a lower one in params.yaml; the run is marked failed",
              file=sys.stderr, flush=True)


def test_labels(recipe: Recipe, inputs: Inputs) -> np.ndarray:
    """(N,) int64, the true classes of the test images; the same for every seed."""
    labels = arrays.load_labels(inputs.data / recipe.dataset.name)
    seed = next(iter(recipe.seeds))
    return np.asarray(labels["test"][indices(recipe, seed, inputs.subsets)["test"]])
