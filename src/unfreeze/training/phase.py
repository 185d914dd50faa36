"""A phase of a replicate's training."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from unfreeze import environment
from unfreeze.data.reading.augmentation import Chain
from unfreeze.data.reading.images import count_batches
from unfreeze.data.reading.mixing import mix
from unfreeze.recipe import Phase
from unfreeze.training import compiled, cost, evaluation, loop, schedules
from unfreeze.training.prefix import feed
from unfreeze.training.randomness import counter, generator
from unfreeze.training.regularise import Anchor
from unfreeze.training.setting import Setting
from unfreeze.training.together import reduce
from unfreeze.tuning import groups
from unfreeze.tuning.rules import Row


@dataclass(frozen=True)
class Trained:
    """What an epoch of training came to.

    Attributes:
        lr: of its last step. loss, accuracy: means over its images, the accuracy in 0..1.
        seconds: that it took, of the device's clock; of a phase's first epoch with what its frozen
            layers' outputs took.
    """

    lr: float
    loss: float
    accuracy: float
    seconds: float


class PhaseTraining:
    """What a phase trains with, made anew for each: what requires a gradient, optimizer, anchor,
    what epochs read, and the model as its steps use it.

    Args:
        setting: of the replicate; its model is as the phase before left it.
        phase: one that trains.
        table: of its parts.
        epochs: after which it ends, perhaps fewer than its schedule is planned for.

    Attributes:
        optimizer: over what trains.
    """

    def __init__(self, setting: Setting, phase: Phase, table: list[Row], epochs: int) -> None:
        self._setting, self._phase, knobs = setting, phase.knobs, setting.recipe.knobs
        self._epochs = epochs
        setting.micro_batches.count = 1  # it may need less memory, or have statistics over a batch
        groups.freeze(setting.model, table)
        # The pull replaces weight decay, a pull to 0, where there is something to go back to.
        self._anchor = Anchor(setting.model, setting.initial, knobs["l2_sp"])
        self.optimizer = loop.make_optimizer(
            groups.parameter_groups(setting.model, table, self._phase["lr"],
                                    self._phase["weight_decay"], knobs["decay_biases_and_norms"],
                                    self._anchor.names), knobs)
        batches = count_batches(len(setting.splits["train"]), knobs["batch_size"])
        self._steps = -(-batches // knobs["accumulate"])
        self._augmentation = Chain(setting.recipe.augmentations)
        self._class_weights = None if knobs["class_weights"] == "none" else loop.balanced(
            setting.splits["train"].labels, len(setting.recipe.classes))
        with reduce.first():  # whose outputs of frozen layers the others read
            self._feeds = feed.of_phase(setting, epochs, self._augmentation)
        self._model = self._maybe_compiled()

    def _maybe_compiled(self) -> torch.nn.Module:
        model, setting = self._feeds["train"].model, self._setting
        if environment.compiled() == "off":
            return model
        counted = cost.of_phase(setting.model, setting.recipe)
        operations = ((counted["flops_forward"] + counted["flops_backward"])
                      * len(setting.splits["train"]) * self._epochs)
        refusal = compiled.refusal(operations, setting.device)
        setting.say(f"torch.compile {f'off: {refusal}' if refusal else 'on'}")
        if refusal:
            return model
        knobs = setting.recipe.knobs
        return compiled.Compiled(model, knobs["batch_size"], knobs["accumulate"], setting.device)

    def train(self, epoch: int, number: int, progress: Callable[[], None]) -> Trained:
        """Train for an epoch.

        Args:
            epoch: in the phase, from 0. number: in the replicate, from 0.
            progress: called after each batch.
        """
        setting, train = self._setting, self._feeds["train"]
        knobs, device = setting.recipe.knobs, setting.device
        start = device.clock()
        torch.manual_seed(counter(setting.seed, "dropout", number))
        loop.set_training_mode(setting.model, knobs["frozen_batchnorm"])
        batches = train.images.shuffled(
            knobs["batch_size"], self._augmentation,
            lambda purpose: generator(setting.seed, purpose, number))
        with compiled.clear_errors():
            loss, accuracy = loop.train_epoch(self._model, self.optimizer, batches, device,
                                              self._step(epoch, number), progress,
                                              setting.micro_batches)
        seconds = device.clock() - start
        if epoch == 0:
            seconds += train.seconds
        return Trained(self._phase["lr"] * self._factor(epoch, self._steps - 1), loss, accuracy,
                       seconds)

    def predict(self) -> torch.Tensor:
        """(V, classes) logits of the validation images, as of `evaluation.predict`."""
        validation, setting = self._feeds["validation"], self._setting
        return evaluation.predict(validation.model, validation.images, setting.recipe.knobs,
                                  len(setting.recipe.classes), setting.device)

    def _factor(self, epoch: int, step: int) -> float:
        """Multiplier of every learning rate at a step of an epoch."""
        return schedules.multiplier(self._phase, epoch) * loop.warmup(
            self._phase["warmup_epochs"], epoch, step, self._steps)

    def _step(self, epoch: int, number: int) -> loop.Step:
        setting, knobs = self._setting, self._setting.recipe.knobs
        random = generator(setting.seed, "mix", number)

        def rate(step: int) -> None:
            for group in self.optimizer.param_groups:
                group["lr"] = group["base_lr"] * self._factor(epoch, step)

        def mixed(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            if not (knobs["mixup"] or knobs["cutmix"]):
                return images, labels
            return mix(images, labels, len(setting.recipe.classes), knobs["mixup"], knobs["cutmix"],
                       random)

        return loop.Step(
            accumulate=knobs["accumulate"], label_smoothing=knobs["label_smoothing"],
            class_weights=self._class_weights, clip_norm=knobs["clip_norm"], rate=rate, mix=mixed,
            pull=self._anchor.pull, after=setting.average.update)
