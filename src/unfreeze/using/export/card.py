"""What is written beside the models for those who use them: README.md, a model card after Mitchell
et al. 2019 (https://arxiv.org/abs/1810.03993), and example.py."""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfreeze import files, models, places
from unfreeze.data.reading import arrays
from unfreeze.errors import UserError
from unfreeze.judging.statistics import Effect
from unfreeze.models.licence import worded
from unfreeze.scoring import confusion
from unfreeze.scoring.scores import SCORES
from unfreeze.using import scored
from unfreeze.using.export import folder, formats
from unfreeze.using.trained import TrainedRun
from unfreeze.words import count, fixed, interval, quantity

_UNIT = SCORES["accuracy"].unit
_MISTAKES = 5


@dataclass(frozen=True)
class Int8:
    """What quantising came to.

    Attributes:
        calibration: training images on which the ranges were found.
        accuracy: on all test images. lost: points of it that it has less than the model.
    """

    calibration: int
    accuracy: Effect
    lost: Effect


@dataclass(frozen=True)
class Written:
    """What was exported.

    Attributes:
        run, seed: whose model. config: content of config.json.
        differences: {format: largest difference of a probability from the trained model's}.
        checked: test images on which that was found. trained_on: training images of the model.
        accuracy: of the model, on all test images.
        int8: None where it was not quantised.
    """

    run: TrainedRun
    seed: int
    config: Mapping[str, Any]
    differences: Mapping[str, float]
    checked: int
    trained_on: int
    accuracy: Effect
    int8: Int8 | None

    @property
    def of_timm(self) -> bool:
        return self.config[folder.OURS]["layout"] == "timm"


_OPENED = {
    "onnx": ("import onnxruntime",
             'session = onnxruntime.InferenceSession(HERE / "model.onnx")',
             'session.run(["logits"], {"pixels": prepare(path)})[0][0]'),
    "pt2": ("import torch",
            'model = torch.export.load(HERE / "model.pt2").module()',
            "model(torch.from_numpy(prepare(path)))[0].numpy()"),
    "safetensors": ("import torch\nfrom model import load",
                    "model = load(HERE)",
                    "model(torch.from_numpy(prepare(path)))[0].numpy()"),
}
_EXAMPLE = """\
import sys
from pathlib import Path
import numpy as np
{imported}
from prepare import CONFIG, prepare

HERE = Path(__file__).parent
{opened}
for path in sys.argv[1:]:
    logits = {called} / {temperature}
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    print(path, CONFIG["label_names"][shares.argmax()], f"{{shares.max():.6f}}")
"""


def example(form: str, temperature: float | None) -> str:
    """example.py, with a model of that format."""
    imported, opened, called = _OPENED[form]
    return _EXAMPLE.format(imported=imported, opened=opened, called=called,
                           temperature=repr(temperature or 1.0))


def texts(written: Written) -> dict[str, str]:
    """{file: its content} of example.py and README.md."""
    form = next(form for form in _OPENED if form in written.differences)
    code = example(form, written.run.temperature(written.seed))
    return {"example.py": code, "README.md": _readme(written, form)}


def lines(written: Written) -> list[str]:
    """What to print."""
    said = [f"the model of {written.run.name}, seed {written.seed}: largest difference of a "
            f"probability from the trained model's on {count(written.checked, 'test image')}:"]
    said += [f"  {formats.FILES[form]:18} {found:.1e}"
             for form, found in written.differences.items()]
    said.append("accuracy on the test images: " + _accuracy(written.accuracy))
    if written.int8:
        said.append(f"  {formats.FILES['int8']:18} {_accuracy(written.int8.accuracy)}, "
                    f"{_lost(written.int8.lost)}")
    return said


def _accuracy(effect: Effect) -> str:
    return scored.worded("accuracy", effect)


def _lost(effect: Effect) -> str:
    """`0.4 points less (-0.2 to 1.1)`."""
    return (f"{quantity(effect.mean, 'points')} less "
            f"({interval(effect.low, effect.high, 'points')})")


def _readme(written: Written, form: str) -> str:
    run, recipe, ours = written.run, written.run.recipe, written.config[folder.OURS]
    size = recipe.preprocessing.image_size
    library = "library_name: timm\n" if written.of_timm else ""
    return f"""---
tags: [image-classification]
{library}license: other
---
# {_plain(recipe.knobs["model"])} that tells {count(len(recipe.classes), "class", "classes")} apart

The model of the run `{run.name}`, seed {written.seed} of \
{", ".join(map(str, recipe.seeds))}, fine-tuned and exported by unfreeze. Classes: \
{", ".join(map(_plain, recipe.classes))}.

## Use it

    {_install(form)}
    python example.py a-picture.jpg

`prepare.py` turns the file of a picture into what the model sees ({size} x {size} pixels), \
exactly as its training photos were prepared{_arrays_note(run)}. Other preparation gives other, \
silently worse, answers. Logits divided by {fixed(ours["temperature"] or 1.0, 4)} \
({"the temperature found on validation images" if ours["temperature"] else
  "no temperature is known: it may be surer than it should be"}) and put through softmax are \
probabilities.

| file | what it is | largest difference of a probability from the trained model |
|---|---|---|
{_table(written)}

{_other_ways(written)}
## How well it does

On the {written.accuracy.images:,} test images of its dataset, which it was not trained on: \
accuracy {_accuracy(written.accuracy)}, this model alone, 95 % interval over the images. \
{_all_seeds(run)}{_quantised(written)}

## Where it is wrong

{_mistakes(run)}

It always answers with one of its classes, whatever the picture shows. It was tested on images \
like those that it was trained on; of others nothing is known.

## Trained on

{_data(written)} {_weights(run)} How it was trained: recipe.yaml, SHA-256 \
{ours["recipe"]}; {", ".join(f"{name} {version}" for name, version in recipe.software.items())}.

## Cost

{_cost(run)}
"""


def _install(form: str) -> str:
    return "pip install pillow numpy " + {
        "onnx": "onnxruntime", "pt2": "torch", "safetensors": "torch safetensors"}[form]


def _arrays_note(run: TrainedRun) -> str:
    if run.recipe.dataset.decoded:
        return ""
    return (" (within two levels of 255: that dataset is kept as small arrays, which torch "
            "resizes, and pictures are resized by Pillow)")


def _table(written: Written) -> str:
    words = {"safetensors": "the numbers; config.json and model.py say how they are used",
             "pt2": "a torch.export program, for any number of pictures at once",
             "onnx": "ONNX, input `pixels`, output `logits`, any number of pictures at once"}
    rows = [f"| {formats.FILES[form]} | {words[form]} | {found:.1e} |"
            for form, found in written.differences.items()]
    if written.int8:
        rows.append(f"| {formats.FILES['int8']} | ONNX with weights and activations of 8 bits | "
                    "see below |")
    return "\n".join(rows)


def _other_ways(written: Written) -> str:
    if "safetensors" not in written.differences:
        return ""
    text = "`model.py` runs `model.safetensors` with torch alone: `from model import load`."
    if written.of_timm:
        text += (" timm builds the same network by the folder: "
                 '`timm.create_model("local-dir:THIS-FOLDER", pretrained=True)`.')
    return text + "\n"


def _all_seeds(run: TrainedRun) -> str:
    """What the report says of the run, over all its seeds."""
    table = run.study / places.TABLES / "scores.csv"
    if not table.is_file():
        return ""
    row = next((row for row in files.read_csv(table)
                if row["run"] == run.name and row["metric"] == "accuracy"), None)
    if row is None or not row["low"]:
        return ""
    low, high = float(row["low"]), float(row["high"])
    return (f"Over all {row['n']} seeds of the run: {quantity(float(row['mean']), _UNIT)} "
            f"({interval(low, high, _UNIT)}, over images and seeds).")


def _quantised(written: Written) -> str:
    if not written.int8:
        return ""
    return (f"\n\n`{formats.FILES['int8']}`, whose ranges were found on "
            f"{count(written.int8.calibration, 'training image')}: accuracy "
            f"{_accuracy(written.int8.accuracy)}, {_lost(written.int8.lost)}.")


def _mistakes(run: TrainedRun) -> str:
    arrays_ = run.predictions
    found = confusion.likeliest_mistakes(confusion.matrix(arrays_["logits"], arrays_["labels"]))
    if not found:
        return "On its test images it makes no mistake, over all seeds of the run."
    classes = run.recipe.classes
    rows = [f"- {_plain(classes[actual])}, taken for {_plain(classes[taken])}: "
            f"{fixed(percent, 1)} % of its test images" for actual, taken, percent in
            found[:_MISTAKES]]
    return "The likeliest mistakes, over all seeds of the run:\n\n" + "\n".join(rows)


def _data(written: Written) -> str:
    name = written.run.recipe.dataset.name
    try:
        card = arrays.read_card(written.run.study / places.DATA / name)
    except UserError:
        return f"The dataset {_plain(name)}, whose card is not here."
    source = str(card.get("source", ""))
    is_public = source.startswith("http")
    if name.startswith("own-") and source and not is_public:
        name = Path(source).name  # what its owner calls it; where it lies is nobody's business
    return (f"{written.trained_on:,} of the {card['train']:,} training images of {_plain(name)}"
            + f" ({source})" * is_public
            + f". Licence of the images: {_plain(card.get('licence', 'not stated'))}. Citation: "
            f"{_plain(card.get('citation', 'not stated')).rstrip('.')}.")


def _weights(run: TrainedRun) -> str:
    weights = run.recipe.weights
    if weights is None:
        return "It started from random numbers, not from pretrained weights."
    if weights.own:
        return (f"It started from a checkpoint of the user's own ({_plain(weights.name)}), whose "
                "licence is not known here.")
    if weights.name.startswith("timm-"):
        known = models.stated(run.recipe.knobs["model"], weights.name)
        return (f"It started from timm's weights {_plain(weights.name.removeprefix('timm-'))}, "
                f"under {_plain(worded(known.licence))}.")
    swag = "swag" in weights.name
    return (f"It started from torchvision's weights {_plain(weights.name)}" + (
        ", released under CC BY-NC 4.0." if swag else
        ", trained on ImageNet, whose terms of access allow non-commercial research and education "
        "only; what that means for models trained on it, nobody has settled."))


def _cost(run: TrainedRun) -> str:
    cost = files.read_json(run.study / places.RUNS / run.name / "cost.json")
    said = []
    if "parameters_total" in cost:
        said.append(f"It has {quantity(cost['parameters_total'], 'parameters')}, of which "
                    f"{cost.get('parameters_trainable', 0):,} were trained.")
    if "flops_forward" in cost:
        said.append(f"A picture takes {quantity(cost['flops_forward'], 'operations')}.")
    if "operations" in cost:
        said.append(f"Training took {quantity(cost['operations'], 'operations')} a seed.")
    return " ".join(said)


def _plain(text: object) -> str:
    """A name as text of Markdown, whatever is in it, on one line."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"[\\`*\[\]|~#]|(?<!\w)_|_(?!\w)", r"\\\g<0>", line)
