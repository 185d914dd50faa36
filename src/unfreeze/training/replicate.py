"""One replicate of a run: a model trained from a recipe with one seed."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from unfreeze import environment, files, models
from unfreeze import recipe as recipes
from unfreeze.data import arrays
from unfreeze.data.batches import Augmentation, Images, count_batches
from unfreeze.errors import UserError
from unfreeze.models import weights
from unfreeze.training import loop, saved
from unfreeze.training.checkpoint import Scratch
from unfreeze.training.devices import Device
from unfreeze.training.randomness import counter, generator
from unfreeze.tuning import groups

HISTORY = ("epoch", "lr", "train_loss", "train_accuracy", "validation_loss",
           "validation_accuracy", "seconds")


@dataclass(frozen=True)
class Inputs:
    """The folders that a recipe's digests refer to."""

    data: Path = Path("data")
    weights: Path = Path("weights")
    subsets: Path = Path("subsets")


def build_model(recipe: dict, seed: int, inputs: Inputs) -> torch.nn.Module:
    """The model as training finds it: initialised, pretrained tensors copied in, parts frozen."""
    knobs = recipe["knobs"]
    family = models.family(knobs["model"])
    torch.manual_seed(counter(seed, "initialisation"))
    model = family.build(knobs["model"], knobs["stem"], len(recipe["classes"]))
    initial = saved.pretrained(recipe, inputs.weights)
    if initial:
        facts = family.MODELS[knobs["model"]]
        fresh = (*facts.parts["head"], *facts.fresh.get(knobs["stem"], ()))
        weights.load_into(model, initial, fresh,
                          str(weights.path(inputs.weights, recipe["weights"]["name"])))
    groups.freeze(model, recipe["parts"])
    return model


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
        float32 of the test images, "history": a row an epoch with the fields of HISTORY, "cost":
        {"seconds" of training, "images", "peak_memory_bytes"}}.

    Raises:
        UserError: an input is missing or not the one the recipe names, or the loss diverged.
    """
    scratch = Scratch(recipes.replicate_digest(recipe, seed), device)
    if done := scratch.load_done():
        print(f"{label}: finished before, taken from the scratch folder", flush=True)
        return done
    knobs = recipe["knobs"]
    splits = _load_images(recipe, seed, device, inputs)
    augmentation = Augmentation(knobs["rotation"], knobs["crop_padding"], knobs["flip"])
    model = build_model(recipe, seed, inputs).to(device.torch, memory_format=torch.channels_last)
    optimizer = loop.make_optimizer(
        groups.parameter_groups(model, recipe["parts"], knobs["lr"], knobs["weight_decay"]), knobs)
    history: list[dict] = []
    if state := scratch.load_epoch():
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        history = state["history"]
        print(f"{label}: goes on after epoch {len(history)} of {knobs['epochs']}", flush=True)

    device.reset_peak_memory()
    batch_size, n = knobs["batch_size"], len(splits["train"])
    per_epoch = count_batches(n, batch_size)
    with tqdm(desc=label, total=knobs["epochs"] * per_epoch, initial=len(history) * per_epoch,
              unit="batch", disable=None) as bar:
        for epoch in range(len(history), knobs["epochs"]):
            start = time.perf_counter()
            factor = loop.schedule(knobs, epoch)
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * factor
            torch.manual_seed(counter(seed, "dropout", epoch))
            loop.set_training_mode(model, knobs.get("frozen_batchnorm", "eval"))
            batches = splits["train"].shuffled(batch_size, augmentation,
                                               generator(seed, "order", epoch))
            loss, accuracy = loop.train_epoch(model, optimizer, batches, device,
                                              knobs["label_smoothing"], bar.update)
            device.synchronize()
            seconds = time.perf_counter() - start
            if not np.isfinite(loss):
                raise _diverged(label, knobs, f"the loss of epoch {epoch + 1} is {loss}")
            row = (epoch + 1, knobs["lr"] * factor, loss, accuracy,
                   *_validate(model, splits["validation"], batch_size, device), seconds)
            history.append(dict(zip(HISTORY, row, strict=True)))
            bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{accuracy:.3f}")
            scratch.save_epoch({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                                "history": history})
    logits = loop.predict(model, splits["test"].batches(4 * batch_size), device)
    if not logits.isfinite().all():
        raise _diverged(label, knobs, "the logits of the test images are not finite")
    result = {
        "model": saved.changed(model.state_dict(), saved.pretrained(recipe, inputs.weights)),
        "logits": logits,
        "history": history,
        "cost": {"seconds": sum(row["seconds"] for row in history),
                 "images": n * knobs["epochs"], "peak_memory_bytes": device.peak_memory()},
    }
    scratch.save_done(result)
    return result


def _diverged(label: str, knobs: dict, how: str) -> UserError:
    return UserError(f"{label}: training diverged ({how}); lr: {knobs['lr']} is too high for this "
                     "run, choose a lower one in params.yaml")


def _validate(model: torch.nn.Module, images: Images, batch_size: int,
              device: Device) -> tuple[float | None, float | None]:
    if not len(images):
        return None, None
    logits = loop.predict(model, images.batches(4 * batch_size), device)
    labels = images.labels.cpu()
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return loss.item(), (logits.argmax(1) == labels).double().mean().item()


def test_labels(recipe: dict, inputs: Inputs) -> np.ndarray:
    """(N,) int64, the true classes of the test images; the same for every seed."""
    seed = next(iter(recipe["seeds"]))
    dataset = arrays.load(inputs.data / recipe["dataset"]["name"])
    return np.asarray(dataset.test_labels[_indices(recipe, seed, inputs)["test"]])


def _load_images(recipe: dict, seed: int, device: Device, inputs: Inputs) -> dict[str, Images]:
    """The three splits of a replicate, on the device."""
    folder = inputs.data / recipe["dataset"]["name"]
    if arrays.read_card(folder)["digest"] != recipe["dataset"]["digest"]:
        raise UserError(f"{folder}: is not the dataset that the recipe names (digest "
                        f"{recipe['dataset']['digest'][:12]}...); run `dvc repro`")
    dataset = arrays.load(folder)
    indices = _indices(recipe, seed, inputs)
    return {
        split: Images(
            *((dataset.test_images, dataset.test_labels) if split == "test"
              else (dataset.train_images, dataset.train_labels)),
            indices[split], recipe["knobs"]["image_size"], **recipe["normalization"],
            device=device.torch, limit=environment.resized_limit(device.memory),
        )
        for split in ("train", "validation", "test")
    }


def _indices(recipe: dict, seed: int, inputs: Inputs) -> dict:
    subset = recipe["seeds"][seed]
    file = inputs.subsets / subset["subset"]
    if not file.is_file() or files.file_digest(file) != subset["digest"]:
        raise UserError(f"{file}: missing, or not the subset that the recipe names (digest "
                        f"{subset['digest'][:12]}...); run `dvc repro`")
    return files.read_json(file)
