"""One replicate of a run: a model trained from a recipe with one seed."""

from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np
import torch
from tqdm import tqdm

from unfreeze import recipe as recipes
from unfreeze.data.reading.images import count_batches
from unfreeze.recipe import Recipe
from unfreeze.training import counting, evaluation, movement, saved
from unfreeze.training.checkpoint import Scratch
from unfreeze.training.devices import Device, set_threads
from unfreeze.training.finished import FINISHED_BEFORE, HISTORY, Cost, Finished
from unfreeze.training.inputs import Inputs
from unfreeze.training.phase import PhaseTraining
from unfreeze.training.place import Place
from unfreeze.training.setting import Setting, load_images, set_up
from unfreeze.training.together import reduce
from unfreeze.words import fixed, quantity


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
    scratch = Scratch(recipes.replicate_digest(recipe, seed), device.arithmetic,
                      writes=reduce.rank() == 0)
    known = scratch.load_done()
    result = known and Finished.from_bytes(known)
    all_have_it = reduce.same(result is not None)
    if result is not None and all_have_it:
        print(f"{label}: {FINISHED_BEFORE}", flush=True)
    else:
        splits = load_images(recipe, seed, device, inputs)
        setting = set_up(recipe, seed, device, inputs.weights, splits, label)
        result = finish(train_epochs(setting, scratch))
        scratch.save_done(result.to_bytes())
        _say_accuracy(label, result)
    result.warn(label, recipe)
    return result


class Replicate:
    """A replicate on its way through the epochs of its phases.

    Args:
        setting: what its phases share; its model is trained in place.
        state: of `state_dict`, to go on from there; None: from the start.

    Attributes:
        history: a row for each epoch behind it, with the fields of HISTORY.
        best_epoch: the best of them on validation, from 1, where `select: best` keeps its weights.
        validation_logits: (V, classes) of the validation images, by the weights that are kept so
            far; None: not known yet.
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
        self.validation_logits: torch.Tensor | None = None
        if state is not None:
            saved.put(setting.model, state["model"])
            setting.average.load_state_dict(state["average"])
            self.history, self._best = state["history"], state["best"]
            self.best_epoch = state["best_epoch"]
            self.validation_logits = state["validation_logits"]
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
            logits = self.phase.predict() if self._is_validated(place, epochs) else None
            scores = (None, None) if logits is None else evaluation.scores(
                logits, self.setting.splits["validation"])
            self._place = place.after_epoch(*scores)
            if knobs["select"] == "best" and self._place.best > place.best:
                self.best_epoch = number + 1
                self._best = {name: tensor.clone() for name, tensor in
                              self.setting.model.state_dict().items()}
        if self._best is None or self.best_epoch == number + 1:
            self.validation_logits = logits
        self.history.append(dict(zip(HISTORY, (
            number + 1, place.phase + 1, trained.lr, trained.loss, trained.accuracy, *scores,
            trained.seconds), strict=True)))
        is_patience_over = knobs["patience"] and self._place.waited == knobs["patience"]
        if self._place.epoch == epochs or is_patience_over:
            self._place, self.phase = self._place.after_phase(), None
        return self.history[-1]

    def _is_validated(self, place: Place, epochs: int) -> bool:
        """Whether anybody asks how good the model is after an epoch: of a trial, of which no curve
        is drawn, only after the last one, unless an earlier one may turn out to be it."""
        recipe = self.setting.recipe
        last = place.phase + 1 == len(self._phases) and place.epoch + 1 == epochs
        return (last or recipe.tested or recipe.knobs["select"] == "best"
                or recipe.knobs["patience"] > 0)

    def state_dict(self) -> dict:
        """What a checkpoint holds."""
        return {
            "model": self.setting.model.state_dict(),
            "optimizer": self.phase and self.phase.optimizer.state_dict(),
            "average": self.setting.average.state_dict(),
            "best": self._best,
            "best_epoch": self.best_epoch,
            "validation_logits": self.validation_logits,
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
    logits = {}
    if replicate.validation_logits is not None:
        logits["validation"] = replicate.validation_logits
    for split in () if replicate.diverged else ("test", "validation"):
        if split in splits and split not in logits:
            logits[split] = evaluation.predict(model, splits[split], recipe.knobs,
                                               len(recipe.classes), device)
    diverged = replicate.diverged or _not_finite(logits)
    if diverged:
        logits = {split: torch.full((len(images), len(recipe.classes)), torch.nan)
                  for split, images in splits.items() if split != "train"}
    return Finished(
        model={name: tensor.numpy() for name, tensor in
               saved.changed(model.state_dict(), setting.initial).items()} if recipe.tested else {},
        logits=logits.get("test", torch.empty(0, len(recipe.classes))).numpy(),
        validation_logits=logits["validation"].numpy(),
        validation_labels=splits["validation"].labels.cpu().numpy(),
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
        f"validation accuracy {quantity(100 * (logits.argmax(1) == labels).mean(), '%')}, "
        if len(labels) else "")
    print(f"{label}: {accuracy}{quantity(result.cost.seconds, 's')} of training", flush=True)
