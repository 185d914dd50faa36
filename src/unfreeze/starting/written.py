"""The files of a study."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from unfreeze import files
from unfreeze.data.photos.names import shown
from unfreeze.starting.look import Look
from unfreeze.starting.lora import RANK
from unfreeze.starting.settings import HEAD_EPOCHS, Setting
from unfreeze.words import count

# Rates of Adam, the first of them where few are tried. What is trained from random numbers, or is
# small beside the model, wants higher ones than what has been trained already.
_RATES = {"all": (0.0001, 0.0003, 0.001, 0.003), "new": (0.0003, 0.001, 0.003, 0.01)}
_NEW_LAYER = 0.003  # of the phase that trains nothing else
_COLUMN = 26  # of comments
LINES = 25  # of params.yaml, for which what can be done without is left out


@dataclass(frozen=True)
class Models:
    """What a study fine-tunes.

    Attributes:
        model: in all runs but one. other: in that one; "" for none.
        ranked: models and patterns that were asked to be ranked, as `rank` has them.
        lora_rank: that fits the model.
    """

    model: str
    other: str = ""
    ranked: tuple[str, ...] = ()
    lora_rank: int = RANK


def params(look: Look, dataset: str, models: Models, setting: Setting, rules: str,
           skip_broken: bool = False) -> str:
    """params.yaml, of LINES at most.

    Args:
        dataset: as the study names the images, from its folder.
        rules: path of the params.yaml that explains every knob, from there.
    """
    all_rates, new_rates = (json.dumps(_RATES[kind][:setting.rates]) for kind in ("all", "new"))
    first = max(1, setting.epochs // 2)
    rank = "" if models.lora_rank == RANK else (
        f"lora_rank: {models.lora_rank}, lora_alpha: {models.lora_rank}, ")
    knobs = [
        ("dataset", _text(dataset), f"{count(len(look.names), 'class', 'classes')}, "
         f"{sum(look.train):,} training and {sum(look.test):,} test images"),
        *[("skip_broken", "true", "what is no sound image is left out")] * skip_broken,
        ("fraction", f"{setting.fraction}", "of the training images; less to try things out"),
        ("test_fraction", "1.0", ""),
        ("validation", f"{setting.validation}", "share of the training images to choose by" + (
            ", where search_folds is 1" if setting.folds > 1 else "")),
        ("search_folds", f"{setting.folds}", "parts of the training images that take turns to be "
         "chosen by" if setting.folds > 1 else "there are enough to choose by them once"),
        ("image_size", f"{setting.image_size}", "pixels of the square that the model sees"),
        ("normalize", "weights", ""),
        ("model", models.model, f"or {_others(models.model)}: any of torchvision"),
        *[("rank", _names(models.ranked), "scored before any is trained")] * bool(models.ranked),
        ("seeds", f"{list(range(1, setting.seeds + 1))}", "trained models of each run"),
        ("epochs", f"{setting.epochs}", ""),
        ("batch_size", f"{setting.batch_size}", ""),
        *[("class_weights", "balanced", "a mistake about a rare class counts for more")]
        * (setting.score == "balanced_accuracy"),
        ("lr", "0.0003", "where a search names no other"),
        ("search", f"{{lr: {all_rates}}}", ""),
    ]
    lines = [
        f"# {_line(look.title)}: which fine-tuning is best? What each line may be: {rules}\n",
        *_lines(knobs),
        "runs:\n",
        "  full: {}\n",
        f"  head: {{freeze: last_only, epochs: {max(HEAD_EPOCHS, setting.epochs)}, "
        f"search: &late {{lr: {new_rates}}}}}\n",
        f"  head_then_all: {{phases: [{{freeze: last_only, epochs: {first}, lr: {_NEW_LAYER}}}, "
        f"{{epochs: {setting.epochs - first}}}]}}\n",
        "  last_stage: {freeze: {last: 1}, search: *late}\n",
        f"  lora: {{tune: lora, {rank}search: *late}}\n",
        *[f"  other_model: {{model: {models.other}}}\n"] * bool(models.other),
        'claims: ["[full, head_then_all, last_stage, lora] > head"]\n',
        *_lines([("score", setting.score, "what is compared" if setting.score == "accuracy" else
                  "each class counts the same, since their sizes differ tenfold"),
                 ("budget", "{}", "such as {activation_bytes: 100.0e+6, stored_bytes: 1.0e+6}")]),
    ]
    for key in ("rank: ", "budget: "):
        if len(lines) > LINES:
            lines = [line for line in lines if not line.startswith(key)]
    return "".join(lines)


def _lines(knobs: Iterable[tuple[str, str, str]]) -> list[str]:
    return [f"{f'{key}: {value}':<{_COLUMN - 1}} # {words}\n" if words else f"{key}: {value}\n"
            for key, value, words in knobs]


def _others(model: str) -> str:
    return ", ".join([each for each in ("resnet18", "resnet50", "vit_b_16") if each != model])


def _text(value: str) -> str:
    """A text as YAML reads it back, in one line."""
    text = yaml.safe_dump(value, allow_unicode=True, width=10**6).removesuffix("...\n").strip()
    return text if value.isprintable() and "\n" not in text else json.dumps(value)


def _names(patterns: tuple[str, ...]) -> str:
    """A list in YAML, in one line."""
    return yaml.safe_dump(list(patterns), default_flow_style=True, width=10**6).strip()


def _line(title: str) -> str:
    return shown(title)[:40]


def readme(name: str, look: Look, models: Models, setting: Setting, folder: str, command: str,
           private: bool) -> str:
    """README.md.

    Args:
        folder: of the study, from the project's. command: that made it.
        private: whether the photos are the user's own.
    """
    listed = ", ".join(f"{shown(each)} {train:,} + {test:,}" for each, train, test in zip(
        look.names[:20], look.train, look.test, strict=False))
    more = f", and {len(look.names) - 20:,} more" if len(look.names) > 20 else ""
    each_class = f"\nImages of each class (training + test): {listed}{more}.\n" * look.own
    more_seeds = list(range(1, setting.seeds + 3))
    chosen = (f"by cross-validation in {setting.folds} folds" if setting.folds > 1 else
              f"on {setting.validation:.0%} of the training images, held out")
    other = f"| other_model | everything of {models.other} instead |\n" if models.other else ""
    another = "resnet18" if models.model != "resnet18" else "resnet50"
    return f"""# {name}

Which fine-tuning of {models.model} is best for {shown(look.title)}?
There are {count(len(look.names), "class", "classes")}, with {sum(look.train):,} images to train on
and {sum(look.test):,} to test on ({look.split}).

```
{command}
cd {folder}
dvc repro
```

The first line made this study, the others answer it: report.md says what to do and how sure that
is, `_made/report.html` the same with charts. [params.yaml](params.yaml) is the question; what each
of its knobs may be stands in the params.yaml of the project.

| run | what is trained |
|---|---|
| full | everything, from ImageNet's weights |
| head | a new last layer, on features that stay as they are |
| head_then_all | the new layer first, then everything |
| last_stage | the last quarter of the layers, and the new layer |
| lora | an update of low rank beside every layer, and the new layer |
{other}
Each finds its learning rate among {setting.rates}, {chosen}; then it is trained with
{setting.seeds} other seeds and tested. Images are seen at {setting.image_size} pixels.
{each_class}
```
dvc exp run -S model={another}           # another model
{_other_size(setting.image_size)}
dvc exp run -S 'seeds={more_seeds}'  # two more models of each run
dvc repro                              # after images have changed too
```
{_PRIVATE if private else ""}"""


def _other_size(side: int) -> str:
    """An experiment with images that are larger, or smaller where they are large already."""
    command, words = (("image_size=224", "larger images") if side < 224 else
                      ("image_size=128", "smaller images, in less time"))
    return f"{f'dvc exp run -S {command}':<39} # {words}"


_PRIVATE = """
The photos stay where they are. Git tracks numbers, charts and the report, and no picture that
shows a photo (`-S +share_photos=true` for those too); a `dvc push` would carry the trained models
and the photos at the size that models see, to the remote that you name.
"""


def write(folder: Path, home: Path, at: Path, texts: dict[str, str]) -> None:
    """All files of a study.

    Args:
        folder: to be filled. home: the project. at: where the folder will be.
    """
    up = os.path.relpath(home, at)
    pipeline = _read(home / "dvc.yaml").replace("{root: .}", f"{{root: {up}}}", 1)
    config = _read(home / ".dvc/config").replace(
        "[cache]\n", f"[cache]\n    dir = {os.path.relpath(home / '.dvc/cache', at / '.dvc')}\n", 1)
    for name in (".dvc/.gitignore", ".dvc/plots/README"):
        files.write_text(folder / name, _read(home / name))
    for name, text in {"dvc.yaml": pipeline, ".dvc/config": config, **texts}.items():
        files.write_text(folder / name, text)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
