"""From a trained run to a folder that runs without this project."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from unfreeze import environment, files, places
from unfreeze.data.reading.images import Images
from unfreeze.data.reading.splits import open_pinned
from unfreeze.errors import UserError
from unfreeze.plain import to_plain
from unfreeze.recipe import Recipe
from unfreeze.scoring.predictions import softmax
from unfreeze.training import devices
from unfreeze.training.inputs import indices
from unfreeze.using import scored, studies, trained
from unfreeze.using.export import card, folder, formats, layout, network
from unfreeze.using.export.card import Int8, Written
from unfreeze.using.export.layout import Layout
from unfreeze.using.trained import TrainedRun
from unfreeze.words import share

TOLERANCE = 1e-4  # of a probability
_CHECKED, _CALIBRATED = 256, 256  # images at most
_BATCH = 32
_ALIKE = 0.95  # of the test images, that must be named as they were
_MEMORY = 1 << 33  # bytes
_BESIDE = Path(__file__).with_name("beside")


def export(study: Path, run: str | None, to: Path, seed: int | None = None,
           wanted: Sequence[str] = formats.FORMATS, int8: bool = False) -> list[str]:
    """Write the model of one seed of a run, and what is needed to use it, into a folder.

    Args:
        study: its folder. run: the one that it recommends if None.
        to: the folder: new, empty, or an earlier export, which is replaced.
        seed: whose model; the first if None, which no score has a part in.
        wanted: of formats.FORMATS. int8: whether the ONNX model is quantised too.

    Returns:
        Lines that say what was written.

    Raises:
        UserError: of `studies.chosen`, `folder.check`, `formats.check_packages`; there is no such
            seed; a format cannot hold the model, or holds another one.
        OSError: no room is left on the disk. Nothing half-written is left behind.
    """
    if int8 and "onnx" not in wanted:
        raise UserError("--int8 is made from the ONNX model; add onnx to --formats")
    run = studies.chosen(study, run)
    folder.check(to)
    formats.check_packages([*wanted, *["int8"] * int8])
    opened = trained.open_run(study, run)
    seeds = opened.seeds
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise UserError(f"--seed {seed}: {run} has none; its seeds are "
                        f"{', '.join(map(str, seeds))}")
    with folder.replaced(to) as new:
        return _fill(new, opened, seed, wanted, int8)


class _Study:
    """The images of a seed's model.

    Attributes:
        test, train: how many there are; nothing is trained on where train is 0.
    """

    def __init__(self, run: TrainedRun, seed: int) -> None:
        recipe, inputs = run.recipe, run.inputs
        self._preprocessing = recipe.preprocessing
        self._stored = open_pinned(recipe.dataset, inputs.data, inputs.decoded)
        chosen = indices(recipe, seed, inputs.subsets)
        self._chosen = {"test": chosen["test"], "train": chosen["train"] if recipe.trains else []}
        self.test, self.train = len(self._chosen["test"]), len(self._chosen["train"])

    def images(self, split: str, most: int | None = None) -> Images:
        """So many images of a split, from all over it; None: all of them."""
        indices = np.asarray(self._chosen[split], np.int64)[self.places(split, most)]
        return Images(*self._stored[split], indices, self._preprocessing, torch.device("cpu"),
                      environment.resized_limit(_MEMORY))

    def places(self, split: str, most: int | None = None) -> np.ndarray:
        """The places of those images among the images of the split."""
        count = len(self._chosen[split])
        return np.unique(np.linspace(0, count - 1, min(count, most or count)).astype(int))


def _fill(new: Path, run: TrainedRun, seed: int, wanted: Sequence[str],
          int8: bool) -> list[str]:
    recipe, temperature = run.recipe, run.temperature(seed)
    scale = temperature or 1.0
    devices.set_threads(recipe.knobs["threads"])
    study = _Study(run, seed)
    if int8 and not study.train:
        raise UserError(f"--int8: its ranges are found on training images, and {run.name} was "
                        "trained on none (epochs: 0)")
    checked = _pixels(study.images("test", _CHECKED))
    model = run.model(seed)
    with torch.inference_mode():
        truth = softmax(_over(checked, lambda pixels: model(torch.from_numpy(pixels)).numpy())
                        / scale)
    place = run.predictions["seeds"].tolist().index(seed)
    scored_before = softmax(run.predictions["logits"][place] / scale)
    _check_scored(run, truth, scored_before[study.places("test", _CHECKED)])
    program = network.program(network.plain(run, seed), recipe.preprocessing.image_size)
    known = _layout(recipe, list(program.state_dict))
    exported = formats.Exported(program, known, recipe.classes, temperature)
    config = _config(run, seed, known, temperature)
    files.write_json(new / folder.CONFIG, config)  # which what lies beside reads
    for beside in sorted(_BESIDE.glob("*.py")):
        files.write_text(new / beside.name, beside.read_text(encoding="utf-8"))
    files.write_bytes(new / "recipe.yaml", _recipe_file(run).read_bytes())
    differences = {}
    for form in tqdm(wanted, desc="exporting", unit=" formats", disable=None):
        formats.write(form, exported, new)
        differences[form] = _difference(form, new, checked, truth, scale)
    labels = run.predictions["labels"]
    quantised = _quantise(new, study, scored_before, labels, scale) if int8 else None
    written = Written(
        run, seed, config, differences, len(truth), study.train,
        scored.scores(scored_before, labels)["accuracy"], quantised)
    for name, text in card.texts(written).items():
        files.write_text(new / name, text)
    config[folder.OURS]["files"] = folder.digests(new)
    files.write_json(new / folder.CONFIG, config)
    return card.lines(written)


def _recipe_file(run: TrainedRun) -> Path:
    return run.study / places.RECIPES / f"{run.name}.yaml"


def _pixels(images: Images) -> np.ndarray:
    """(N, 3, S, S) float32 of some images."""
    return np.concatenate([batch.contiguous().numpy() for batch, _ in images.batches(_BATCH)])


def _over(pixels: np.ndarray, model: formats.Model) -> np.ndarray:
    """(N, C) logits of N images, batch by batch; the last batch is one image at times."""
    return np.concatenate([model(pixels[start:start + _BATCH])
                           for start in range(0, len(pixels), _BATCH)])


def _check_scored(run: TrainedRun, truth: np.ndarray, before: np.ndarray) -> None:
    """Is this the model that the study's scores are of? Another machine, or a GPU's 10 or 8 bits,
    may name a picture in a hundred otherwise.

    Args:
        truth, before: (N, C), of the model as it is here, and as it was tested.
    """
    alike = float((truth.argmax(1) == before.argmax(1)).mean())
    if alike < _ALIKE:
        raise UserError(f"{studies.model_file(run.study, run.name)}: names {share(1 - alike)} of "
                        "the test images otherwise than when it was tested, so it is another "
                        "model, or its images are others; run `dvc repro`")


def _layout(recipe: Recipe, names: list[str]) -> Layout | None:
    """timm's layout, if the model is one that timm knows."""
    knobs = recipe.knobs
    if knobs["stem"] != "original" or knobs["head"] != "replace":
        return None
    return layout.of(knobs["model"], names, recipe.preprocessing.image_size)


def _difference(form: str, new: Path, pixels: np.ndarray, truth: np.ndarray,
                scale: float) -> float:
    """The largest difference of a probability between a model that was written and the trained one.

    Raises:
        UserError: it is larger than TOLERANCE.
    """
    model = formats.load(form, new)
    found = float(np.abs(softmax(_over(pixels, model) / scale) - truth).max())
    if not found <= TOLERANCE:  # nor is it where it is no number
        raise UserError(f"{formats.FILES[form]}: its probabilities differ from the trained model's "
                        f"by {found:.2g} on test images, and {TOLERANCE:g} at most is allowed; "
                        "nothing was written. Leave this format out with --formats")
    return found


def _quantise(new: Path, study: _Study, before: np.ndarray, labels: np.ndarray,
              scale: float) -> Int8:
    """Write the INT8 model, and measure on all test images what it loses.

    Args:
        before: (N, C) probabilities of the trained model. labels: (N,).
    """
    calibration = study.images("train", _CALIBRATED)
    formats.quantise(new, _pixels(calibration))
    model, found = formats.load("int8", new), []
    with tqdm(desc="INT8 on test images", total=study.test, unit=" images", disable=None) as bar:
        for pixels, _ in study.images("test").batches(_BATCH):
            found.append(model(pixels.contiguous().numpy()))
            bar.update(len(pixels))
    probabilities = softmax(np.concatenate(found) / scale)
    scores = scored.scores(probabilities, labels)
    return Int8(len(calibration), scores["accuracy"], scored.lost(before, probabilities, labels))


def _config(run: TrainedRun, seed: int, known: Layout | None, temperature: float | None) -> dict:
    """config.json: timm's, where it knows the model, and what it has no words for."""
    recipe, wanted = run.recipe, run.recipe.preprocessing
    size = wanted.image_size
    squeezed = wanted.resize == "square"
    config = {
        "architecture": known.architecture if known else recipe.knobs["model"],
        "num_classes": len(recipe.classes),
        "label_names": list(recipe.classes)}
    if known:
        config |= {"model_args": dict(known.arguments)} if known.arguments else {}
        config["pretrained_cfg"] = {
            "custom_load": False, "input_size": [3, size, size], "fixed_input_size":
            "img_size" in known.arguments, "interpolation": wanted.interpolation,
            "crop_pct": 1.0 if squeezed else size / wanted.resize,
            "crop_mode": "squash" if squeezed else "center",
            "mean": list(wanted.mean), "std": list(wanted.std),
            "num_classes": len(recipe.classes), "first_conv": known.first or None,
            "classifier": known.last}
    return config | {folder.OURS: {
        "model": recipe.knobs["model"], "run": run.name, "seed": seed,
        "layout": "timm" if known else "torchvision", "temperature": temperature,
        "preprocessing": to_plain(wanted),
        "recipe": files.file_digest(_recipe_file(run)),
        "software": dict(recipe.software), "files": {}}}
