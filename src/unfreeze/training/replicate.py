"""One replicate of a run: a model trained from a recipe with one seed."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from unfreeze import environment, files, places
from unfreeze import recipe as recipes
from unfreeze.data.reading import arrays, maps
from unfreeze.data.reading.batches import Augmentation, Images, count_batches
from unfreeze.data.reading.mixing import mix
from unfreeze.errors import UserError
from unfreeze.training import compiled, cost, loop, movement, saved
from unfreeze.training.assemble import assemble
from unfreeze.training.checkpoint import Scratch
from unfreeze.training.devices import Device
from unfreeze.training.pieces import Pieces
from unfreeze.training.prefix import prefix_cache
from unfreeze.training.prefix.cut import NoCut, updating
from unfreeze.training.randomness import counter, generator
from unfreeze.training.regularise import Anchor, Average
from unfreeze.training.together import processes
from unfreeze.tuning import groups

# lr is that of the last step.
HISTORY = ("epoch", "phase", "lr", "train_loss", "train_accuracy", "validation_loss",
           "validation_accuracy", "seconds")


_WORST = (-1.0, 0.0)  # below every (accuracy, -loss) of validation


@dataclass(frozen=True)
class Inputs:
    """The folders that a recipe's digests refer to."""

    data: Path = places.DATA
    weights: Path = places.WEIGHTS
    subsets: Path = places.SUBSETS
    maps: Path = places.DECODED


def train(recipe: dict, seed: int, device: Device, inputs: Inputs, label: str) -> dict:
    """Train one replicate, or go on where an earlier try stopped, or return what one finished.

    Args:
        recipe: content of recipes/RUN.yaml.
        seed: one of its seeds.
        device: where.
        inputs: folders with the data, weights and subsets that the recipe names.
        label: for the progress bar.

    Returns:
        {"model": {name: tensor that differs from the pretrained one}, "logits": (N, classes)
        float32 of the test images, "validation_logits": (V, classes) float32, "validation_labels":
        (V,) int64, "history": a row an epoch with the fields of HISTORY, "movement": of
        `movement.rows`, "cost": {"seconds" of training, "images", "peak_memory_bytes"},
        "diverged": None}. Where training diverged (the loss or a logit is not finite), it stopped
        after that epoch, all logits are NaN, and "diverged" says how.

    Raises:
        UserError: an input is missing or not the one that the recipe names.
    """
    scratch = Scratch(recipes.replicate_digest(recipe, seed), device)
    done = scratch.load_done()
    if processes.same(done is not None) and done:
        print(f"{label}: finished before, taken from the scratch folder", flush=True)
        _warn(label, recipe, done)
        return done
    splits = _load_images(recipe, seed, device, inputs)
    training = Training(recipe, seed, device, inputs, splits, label)
    state = scratch.load_epoch()
    if processes.same(len(state["history"]) if state else 0) and state:
        training.load_state_dict(state)
        print(f"{label}: goes on after epoch {len(training.history)} of {training.epochs}",
              flush=True)

    device.reset_peak_memory()
    with tqdm(desc=label, total=training.epochs * training.batches,
              initial=len(training.history) * training.batches, unit="batch",
              disable=None) as bar:
        while not training.finished:
            row = training.epoch(bar.update)
            bar.set_postfix(loss=f"{row['train_loss']:.3f}",
                            accuracy=f"{row['train_accuracy']:.3f}")
            scratch.save_epoch(training.state_dict())
    model, history = training.result(), training.history
    logits = {split: _predict(model, splits[split], recipe, device)
              for split in ("test", "validation")}
    diverged = training.diverged or next(
        (f"the logits of the {split} images are not finite"
         for split, found in logits.items() if not found.isfinite().all()), None)
    if diverged:
        logits = {split: torch.full_like(found, torch.nan) for split, found in logits.items()}
    labels = splits["validation"].labels.cpu()
    result = {
        "model": saved.changed(model.state_dict(), training.initial),
        "logits": logits["test"],
        "validation_logits": logits["validation"],
        "validation_labels": labels,
        "history": history,
        "movement": movement.rows(model, training.initial, recipe["phases"]),
        "cost": {"seconds": sum(row["seconds"] for row in history),
                 "images": len(splits["train"]) * len(history),
                 "peak_memory_bytes": device.peak_memory()},
        "diverged": diverged,
    }
    scratch.save_done(result)
    if not diverged:
        accuracy = (f"validation accuracy {100 * _accuracy(logits['validation'], labels):.1f} %, "
                    if len(labels) else "")
        print(f"{label}: {accuracy}{result['cost']['seconds']:.0f} s of training", flush=True)
    _warn(label, recipe, result)
    return result


class Training:
    """A replicate on its way through the epochs of its phases.

    Attributes:
        history: a row for each epoch behind it.
        epochs: of all phases, should none end early. batches: of an epoch.
        initial: {name: tensor} as pretrained.
    """

    def __init__(self, recipe: dict, seed: int, device: Device, inputs: Inputs,
                 splits: dict[str, Images], label: str = "") -> None:
        knobs = self._knobs = recipe["knobs"]
        self._recipe, self._label = recipe, label
        self._phases = [phase for phase in recipe["phases"] if phase["epochs"]]
        self._classes = len(recipe["classes"])
        self._seed, self._device, self._splits = seed, device, splits
        self._augmentation = Augmentation(
            rotation=knobs["rotation"], crop_padding=knobs["crop_padding"], flip=knobs["flip"],
            policy=knobs["augment"])
        model, self.initial = assemble(recipe, seed, inputs.weights)
        self._model = model.to(device.torch, memory_format=torch.channels_last)
        self._average = Average(self._model, knobs["ema"])
        self._pieces = Pieces(self._model)
        self.history: list[dict] = []
        self.epochs = sum(phase["epochs"] for phase in self._phases)
        self.batches = count_batches(len(splits["train"]), knobs["batch_size"])
        self._steps = -(-self.batches // knobs["accumulate"])
        # Where it stands: phase, epoch in it, epochs since validation was best in it, best score.
        self._phase, self._epoch, self._waited = 0, 0, 0
        self._best: dict | None = None
        self._feeds: dict[str, prefix_cache.Feed] | None = None  # what the phase's epochs read
        self._trained = self._model  # what its steps use: the rest of the model, or compiled
        self._best_score, self._phase_score = _WORST, _WORST
        self._begin()

    @property
    def finished(self) -> bool:
        return self._phase == len(self._phases) or self.diverged is not None

    @property
    def diverged(self) -> str | None:
        """How the last epoch went wrong; None: it did not."""
        loss = self.history[-1]["train_loss"] if self.history else 0.0
        return None if np.isfinite(loss) else f"the loss of epoch {len(self.history)} is {loss}"

    def _begin(self) -> None:
        """What each phase starts with."""
        self._feeds = None
        if self.finished:
            return
        self._pieces.count = 1  # it may need less memory, or have statistics over a batch
        phase, knobs = self._phases[self._phase], self._knobs
        groups.freeze(self._model, phase["parts"])
        # The pull replaces weight decay, a pull to 0, where there is something to go back to.
        self._anchor = Anchor(self._model, self.initial, knobs["l2_sp"])
        self._optimizer = loop.make_optimizer(
            groups.parameter_groups(self._model, phase["parts"], phase["lr"],
                                    phase["weight_decay"],
                                    knobs.get("decay_biases_and_norms", True),
                                    self._anchor.names), knobs)

    def epoch(self, progress: Callable[[], None]) -> dict:
        """Train and validate for an epoch; its row of the history."""
        if self._feeds is None:
            with processes.first():  # whose outputs of frozen layers the others read
                self._feeds = self._feed()
            self._trained = self._maybe_compiled(self._feeds["train"].model)
        start, number = time.perf_counter(), len(self.history)
        phase, knobs, device = self._phases[self._phase], self._knobs, self._device
        train, validation = self._feeds["train"], self._feeds["validation"]
        torch.manual_seed(counter(self._seed, "dropout", number))
        self._set_training_mode()
        batches = train.images.shuffled(
            knobs["batch_size"], self._augmentation, generator(self._seed, "order", number))
        with compiled.clear_errors():
            loss, accuracy = loop.train_epoch(self._trained, self._optimizer, batches, device,
                                              self._step(number), progress, self._pieces)
        device.synchronize()
        seconds = time.perf_counter() - start
        if not self._epoch:  # the phase's first, to which its frozen layers' outputs belong
            seconds += train.seconds
        with self._average.applied():
            scores = _validate(validation.model, validation.images, 4 * knobs["batch_size"],
                               device)
            self._judge(*scores)
        lr = phase["lr"] * self._factor(self._steps - 1)
        row = dict(zip(HISTORY, (number + 1, self._phase + 1, lr, loss, accuracy, *scores,
                                 seconds), strict=True))
        self.history.append(row)
        self._epoch += 1
        if self._epoch == phase["epochs"] or (knobs["patience"]
                                              and self._waited == knobs["patience"]):
            self._phase, self._epoch = self._phase + 1, 0
            self._waited, self._phase_score = 0, _WORST
            self._begin()
        return row

    def _set_training_mode(self) -> None:
        loop.set_training_mode(self._model, self._knobs.get("frozen_batchnorm", "eval"))

    def _feed(self) -> dict[str, prefix_cache.Feed]:
        """{split: what the epochs of this phase read of it}: its images, or what frozen leading
        layers put out for them."""
        phase, knobs, changing = self._phases[self._phase], self._knobs, set()
        found = {split: prefix_cache.Feed(self._model, self._splits[split])
                 for split in ("train", "validation")}

        def cached(split: str, batch_size: int, augmentation: Augmentation | None) -> None:
            found[split] = prefix_cache.feed(
                self._model, self._splits[split], phase["epochs"], augmentation, batch_size,
                prefix_cache.identity_of(self._recipe, self._seed, split), self._device,
                self._label, changing)

        try:
            if next(self._model.parameters()).requires_grad:
                raise NoCut("no leading layer is frozen")
            if knobs["mixup"] or knobs["cutmix"]:
                raise NoCut("images are mixed with one another")
            self._set_training_mode()
            changing |= updating(self._model)
            cached("train", knobs["batch_size"], self._augmentation)
        except NoCut as reason:
            self._say(f"prefix cache off: {reason}")
            return found
        self._say(f"prefix cache {found['train'].said}")
        # An average may hold other leading layers: those of a phase before.
        if len(self._splits["validation"]) and not knobs["ema"]:
            self._model.eval()
            with suppress(NoCut):
                cached("validation", 4 * knobs["batch_size"], None)
        return found

    def _maybe_compiled(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model as the steps of this phase use it."""
        if environment.compiled() == "off":
            return model
        counted, phase = cost.of_phase(self._model, self._recipe), self._phases[self._phase]
        operations = ((counted["flops_forward"] + counted["flops_backward"])
                      * len(self._splits["train"]) * phase["epochs"])
        refusal = compiled.refusal(operations, self._device)
        self._say(f"torch.compile {f'off: {refusal}' if refusal else 'on'}")
        return model if refusal else compiled.Compiled(
            model, self._knobs["batch_size"], self._knobs["accumulate"], self._device)

    def _say(self, what: str) -> None:
        if self._label:
            tqdm.write(f"{self._label}: {what}")  # a line of its own beside the progress bar

    def _factor(self, step: int) -> float:
        """Multiplier of every learning rate at a step of the current epoch."""
        phase = self._phases[self._phase]
        return loop.schedule(phase, self._epoch) * loop.warmup(
            phase, self._epoch, step, self._steps)

    def _step(self, number: int) -> loop.Step:
        knobs = self._knobs
        random = generator(self._seed, "mix", number)

        def rate(step: int) -> None:
            for group in self._optimizer.param_groups:
                group["lr"] = group["base_lr"] * self._factor(step)

        def mixed(images: torch.Tensor, labels: torch.Tensor) -> tuple:
            if not (knobs["mixup"] or knobs["cutmix"]):
                return images, labels
            return mix(images, labels, self._classes, knobs["mixup"], knobs["cutmix"], random)

        return loop.Step(
            accumulate=knobs["accumulate"], label_smoothing=knobs["label_smoothing"],
            clip_norm=knobs["clip_norm"], rate=rate, mix=mixed, pull=self._anchor.pull,
            after=self._average.update)

    def _judge(self, loss: float | None, accuracy: float | None) -> None:
        """Remember the best epoch: highest validation accuracy, at equal accuracy lowest loss."""
        if loss is None:
            return
        score = (accuracy, -loss)
        self._waited = 0 if score > self._phase_score else self._waited + 1
        self._phase_score = max(self._phase_score, score)
        if self._knobs["select"] == "best" and score > self._best_score:
            self._best_score = score
            self._best = {name: tensor.clone() for name, tensor in
                          self._model.state_dict().items()}

    def result(self) -> torch.nn.Module:
        """The trained model: of the best epoch or of the last, averaged where `ema` says so."""
        if self._best is not None:
            saved.put(self._model, self._best)
        elif averaged := self._average.state_dict():
            saved.put(self._model, averaged)
        return self._model

    def state_dict(self) -> dict:
        return {
            "model": self._model.state_dict(),
            "optimizer": None if self.finished else self._optimizer.state_dict(),
            "average": self._average.state_dict(),
            "best": self._best,
            "place": (self._phase, self._epoch, self._waited, self._best_score,
                      self._phase_score),
            "history": self.history,
        }

    def load_state_dict(self, state: dict) -> None:
        saved.put(self._model, state["model"])
        self._average.load_state_dict(state["average"])
        self._best, self.history = state["best"], state["history"]
        (self._phase, self._epoch, self._waited, self._best_score, self._phase_score) = (
            state["place"])
        self._begin()
        if not self.finished:
            self._optimizer.load_state_dict(state["optimizer"])


def _warn(label: str, recipe: dict, result: dict) -> None:
    """A line on standard error where training diverged."""
    if result["diverged"] and not result["history"]:
        print(f"warning: {label}: {result['diverged']}; the run is marked failed", file=sys.stderr,
              flush=True)
    elif result["diverged"]:
        lr = recipe["phases"][result["history"][-1]["phase"] - 1]["lr"]
        print(f"warning: {label}: training diverged ({result['diverged']}); lr: {lr} is too high "
              "for this run, choose a lower one in params.yaml; the run is marked failed",
              file=sys.stderr, flush=True)


def _predict(model: torch.nn.Module, images: Images, recipe: dict, device: Device) -> torch.Tensor:
    """(N, classes) float32 logits, of no image too."""
    if not len(images):
        return torch.empty(0, len(recipe["classes"]))
    return loop.predict(model, images.batches(4 * recipe["knobs"]["batch_size"]), device)


def _validate(model: torch.nn.Module, images: Images, batch_size: int,
              device: Device) -> tuple[float | None, float | None]:
    if not len(images):
        return None, None
    logits = loop.predict(model, images.batches(batch_size), device)
    if not logits.isfinite().all():
        return np.nan, np.nan  # below every score, which a class found by chance might not be
    labels = images.labels.cpu()
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return loss.item(), _accuracy(logits, labels)


def _accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    return (logits.argmax(1) == labels).double().mean().item()


def test_labels(recipe: dict, inputs: Inputs) -> np.ndarray:
    """(N,) int64, the true classes of the test images; the same for every seed."""
    seed = next(iter(recipe["seeds"]))
    labels = arrays.load_labels(inputs.data / recipe["dataset"]["name"])
    return np.asarray(labels["test"][indices(recipe, seed, inputs.subsets)["test"]])


def _load_images(recipe: dict, seed: int, device: Device, inputs: Inputs) -> dict[str, Images]:
    """The three splits of a replicate, on the device; where nothing is trained, only the test
    images are read."""
    stored = maps.open_dataset(recipe["dataset"], inputs.data, inputs.maps)
    chosen = indices(recipe, seed, inputs.subsets)
    if not any(phase["epochs"] for phase in recipe["phases"]):
        stored["train"] = stored["test"]
        chosen |= {"train": [], "validation": []}
    return {
        split: Images(
            *stored["test" if split == "test" else "train"], chosen[split],
            recipe["knobs"]["image_size"], **recipe["normalization"], **recipe["transform"],
            device=device.torch, limit=environment.resized_limit(device.memory))
        for split in ("train", "validation", "test")
    }


def indices(recipe: dict, seed: int, subsets: Path) -> dict[str, list[int]]:
    """{split: indices of its images} of a replicate.

    Args:
        recipe: content of recipes/RUN.yaml.
        seed: one of its seeds.
        subsets: the folder subsets/.

    Raises:
        UserError: the file is missing or not the one that the recipe names.
    """
    subset = recipe["seeds"][seed]
    file = subsets / subset["subset"]
    if not file.is_file() or files.file_digest(file) != subset["digest"]:
        raise UserError(f"{file}: missing, or not the subset that the recipe names (digest "
                        f"{subset['digest'][:12]}...); run `dvc repro`")
    return files.read_json(file)
