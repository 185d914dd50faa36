"""Every knob of params.yaml by its name, with its default: the general ones, which are declared
here, and those of heads, ways of tuning, schedules and augmentations, which their files declare.

The root's params.yaml lists them in this order, with these words.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from unfreeze.params import plugins
from unfreeze.params.knob import (
    BELOW_ONE,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    SWITCH,
    Allowed,
    Knob,
    choice,
    either,
    is_integer,
    is_names,
    is_number,
    whole,
)
from unfreeze.tuning import rules

# {knob that chooses a plugin: the folder of the plugins}; what those declare follows it.
CHOSEN_BY = {"head": "models/heads", "tune": "tuning/methods", "schedule": "training/schedules"}
AUGMENTATIONS_FOLDER = "data/reading/augmentations"  # each file declares its own switch
SCORES_FOLDER = "scoring/scores"  # only their names are needed here
_AUGMENTATIONS_FOLLOW = "patience"
_SEEDS = "a list of different whole numbers from 0 to 2147483647"


def _fits_freeze(value: Any) -> bool:
    if isinstance(value, dict):
        (key, inner), *more = value.items() or [(None, None)]
        return not more and ((key == "train" and is_names(inner))
                             or (key == "last" and is_integer(inner) and inner >= 0))
    return is_names(value) or (isinstance(value, str) and value in rules.PRESETS)


def _fits_seeds(value: Any) -> bool:
    return (isinstance(value, list) and len(value) > 0
            and all(is_integer(seed) and 0 <= seed < 2**31 for seed in value)
            and len(set(value)) == len(value))


def _fits_scales(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and is_number(scale) and scale > 0 for name, scale in value.items())


def _fits_epochs(value: Any) -> bool:
    if not isinstance(value, dict):
        return whole(0).fits(value)
    ((key, inner),) = value.items() if len(value) == 1 else [(None, None)]
    return ((key == "operations" and is_number(inner) and inner > 0)
            or (key == "like" and isinstance(inner, str)))


def _may_be_path(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value  # of which the system makes an exception


def _fits_resize(value: Any) -> bool:
    return value in ("square", "weights") or whole(1).fits(value)


def _plugins(knob: str) -> tuple[str, ...]:
    return plugins.names(CHOSEN_BY[knob])


_GENERAL = (
    # Data
    Knob("dataset", "cifar10", Allowed(
        "the name of a dataset, the path of a folder or an archive of images, or the address of an "
        "archive", _may_be_path),
        "a dataset of src/unfreeze/data/catalogue, or images of your own: the path of a folder "
        "with a sub-folder a class (perhaps within train/ and test/), or of a .zip or .tar of it, "
        "or the address of such an archive", training=False, searchable=False),
    Knob("skip_broken", False, SWITCH,
         "files among them that are no sound images: false (an error that lists them) | true (left "
         "out)", training=False, searchable=False),
    Knob("fraction", 0.02, FRACTION, "of the training images; above 0, at most 1",
         training=False, searchable=False, read_with={"per_class": frozenset({0})}),
    Knob("per_class", 0, whole(0), "of each class instead of a fraction; 0: off",
         unit="images", training=False, searchable=False),
    Knob("validation", 0.1, BELOW_ONE, "share of those held out for the curves; 0 for none",
         training=False, searchable=False),
    Knob("train_on", "auto", choice("auto", "all", "train"),
         "the images that the tested models are trained on: train (without those held out) | all "
         "(with them) | auto: all after a search, else train", searchable=False),
    Knob("test_fraction", 0.2, FRACTION,
         "of the test images; the same images for every run and seed", training=False,
         searchable=False),
    Knob("image_size", 64, either("weights", whole(1)),
         "of the square that the model sees | weights: as the weights' own",
         unit="pixels", training=False),
    Knob("resize", "square", Allowed(
        f"square, weights, or {whole(1).words}", _fits_resize, number=True),
        "square (straight to it) | pixels: of the shorter side, the middle is then cropped | "
        "weights: as the weights' own, with their interpolation", training=False),
    Knob("normalize", "dataset", choice("dataset", "weights"),
         "dataset | weights: whose mean and standard deviation", training=False),
    Knob("seeds", [42, 43], Allowed(_SEEDS, _fits_seeds),
        "one replicate each: initialisation, order, augmentation, subset", training=False,
        searchable=False),
    # Model
    Knob("model", "mobilenet_v2", Allowed(
        "the name of a model", lambda value: isinstance(value, str)),
        "any classification model of torchvision | timm/NAME: of timm | cnn"),
    Knob("init", "pretrained", Allowed(
        "pretrained, scratch, the name of official weights such as IMAGENET1K_V1, or the path of a "
        "checkpoint", _may_be_path),
        "pretrained (ImageNet, IMAGENET1K_V1 where there are several) | IMAGENET1K_V2 ... | "
        "scratch | path/to/checkpoint.safetensors or .pth", training=False),
    Knob("stem", "original", choice("original", "cifar"),
         "the first layers: original | cifar (for small images: lower stride)"),
    Knob("head", "replace", choice(*_plugins("head")),
         "the last layer: replace | append (ReLU and a new layer after the 1000-way classifier) | "
         "mlp (Linear, ReLU, Linear)"),
    Knob("dropout", "model", either("model", BELOW_ONE),
         "before the last layer, and wherever else its neighbours have it: model (what it has) | "
         "0 up to but not including 1"),
    # What is trained
    Knob("freeze", "none", Allowed(
        f"{', '.join(rules.PRESETS)}, a list of parts to freeze, {{train: [parts to train]}}, or "
        "{last: number of stages to train, with the head}", _fits_freeze),
         "none | early | middle | last_only | [parts to freeze] | {train: [parts]} | "
         "{last: number of stages to train, with the head}; "
         "early: stage1, stage2; middle: stage2, stage3; the stem trains in both; "
         "parts: stem, stage1 ... stage4, head, or the model's own names", phase=True),
    Knob("frozen_batchnorm", "eval", choice("eval", "train"),
         "eval (keeps its statistics) | train (goes on updating them)"),
    Knob("tune", "full", choice(*_plugins("tune")),
         "how what is not frozen is tuned: full | bias | norm | lora | dora | ssf | tinytl, in "
         "transformers also adaptformer | convpass | vpt; in full whatever starts anew: the head, "
         "a new stem, all with init: scratch"),
    Knob("l2_sp", 0.0, NOT_NEGATIVE,
         "pull of pretrained parameters to where they started (L2-SP); weight_decay then acts on "
         "the new ones only", idle_with={"init": frozenset({"scratch"})}, by_factors=True),
    # How it is trained
    Knob("phases", [], Allowed(
        "a list of phases, such as [{freeze: last_only, epochs: 1}, {freeze: none}]",
        lambda value: isinstance(value, list)),
        "one after another, as in [{freeze: last_only, epochs: 1}, {epochs: 2}]", training=False),
    Knob("epochs", 3, Allowed(
        f"{whole(0).words}, {{operations: number above 0}}, or {{like: run}}", _fits_epochs,
        number=True),
        "0: pretrained weights (of ImageNet on its 1000 classes) or a checkpoint are tested as "
        "they are | {operations: 1.0e+13}: as many as that counted work allows, at least 1 | "
        "{like: run}: as many as what another run takes allows", phase=True),
    Knob("batch_size", 64, whole(2), "a step, unless accumulate is above 1", unit="images"),
    Knob("accumulate", 1, whole(1),
         "a step: the gradient is that of one batch of all of them", unit="batches"),
    Knob("threads", "auto", either("auto", whole(1)),
         "of the processor for a replicate, which its numbers depend on: auto (by the operations "
         "of a step, the same on every machine) | 1 or more", searchable=False),
    Knob("optimizer", "adam", choice("sgd", "adam", "adamw"), "sgd | adam | adamw"),
    Knob("lr", 0.001, POSITIVE, "learning rate", phase=True, by_factors=True),
    Knob("lr_scale", {}, Allowed("{part: multiplier above 0}", _fits_scales),
         "{part: multiplier of lr}: discriminative learning rates", phase=True),
    Knob("lr_decay", 1.0, FRACTION,
         "another way to them: multiplier a part, counted from the head back, where lr_scale says "
         "nothing", phase=True),
    Knob("momentum", 0.9, BELOW_ONE, "of sgd", read_with={"optimizer": frozenset({"sgd"})}),
    Knob("weight_decay", 0.0, NOT_NEGATIVE, "decoupled with adamw", phase=True,
         by_factors=True),
    Knob("decay_biases_and_norms", True, SWITCH,
         "false: weight decay spares biases and normalisation"),
    Knob("schedule", "cosine", choice(*_plugins("schedule")),
         "constant | cosine (to 0) | exponential, stepped once an epoch", phase=True),
    Knob("warmup_epochs", 0, whole(0),
         "first epochs in which the learning rate rises from 0, step by step", phase=True),
    Knob("label_smoothing", 0.0, BELOW_ONE, "0 up to but not including 1"),
    Knob("class_weights", "none", choice("none", "balanced"),
         "of the loss: none | balanced (each class by the inverse of its share of the training "
         "images)"),
    Knob("clip_norm", 0.0, NOT_NEGATIVE, "largest norm of the gradient; 0: not clipped"),
    Knob("ema", 0.0, BELOW_ONE,
         "decay a step of an average of the weights, which is what is tested; 0: off"),
    Knob("select", "last", choice("last", "best"),
         "last | best: the epoch whose weights are kept; best: highest accuracy on validation, at "
         "equal accuracy lowest cross-entropy"),
    Knob("patience", 0, whole(0),
         "without a better validation score (as for best) that end a phase; 0: off",
         unit="epochs"),
    Knob("mixup", 0.0, NOT_NEGATIVE,
         "alpha of Beta(alpha, alpha), the weights of two mixed images; 0: off"),
    Knob("cutmix", 0.0, NOT_NEGATIVE,
         "the same for the area of a box pasted from another; 0: off"),
    # Which settings
    Knob("search", {}, Allowed(
        "a mapping of knobs to candidates, such as {lr: [0.0003, 0.001, 0.003]}, or {}",
        lambda value: isinstance(value, dict)),
        "{} (none) | {knob: [candidates], ...}: every combination is tried, and the best on "
        "validation is trained anew and tested", training=False, searchable=False),
    Knob("search_seeds", [0], Allowed(_SEEDS, _fits_seeds),
         "one trial each of every candidate; none of them among seeds", training=False,
         searchable=False, with_search=True),
    Knob("search_folds", "auto", either("auto", whole(1)),
         "1: a trial is scored on the validation images | 2 or more: by cross-validation, a "
         "training each | auto: 1 where validation is known to have 200 images or more, else 5",
         training=False, searchable=False, with_search=True),
    Knob("choose_by", "cross_entropy", Allowed(
        f"cross_entropy, or another score: {', '.join(plugins.names(SCORES_FOLDER))}",
        lambda value: isinstance(value, str) and value in plugins.names(SCORES_FOLDER)),
        "the score on validation that decides: cross_entropy (after temperature scaling, the "
        "steadiest) | accuracy ...", training=False, searchable=False, with_search=True),
)


def plugin_knobs() -> dict[str, dict[str, tuple[str, ...]]]:
    """{knob that chooses a plugin: {plugin: names of the knobs that it reads}}."""
    return {chooser: {name: tuple(knob if isinstance(knob, str) else knob.name
                                  for knob in plugins.read_knobs(folder, name))
                      for name in plugins.names(folder)}
            for chooser, folder in CHOSEN_BY.items()}


def _declared(folder: str) -> Iterator[Knob]:
    for name in plugins.names(folder):
        yield from (knob for knob in plugins.read_knobs(folder, name) if isinstance(knob, Knob))


def _in_order() -> Iterator[Knob]:
    readers = plugin_knobs()
    for knob in _GENERAL:
        yield knob
        if knob.name in CHOSEN_BY:
            for declared in _declared(CHOSEN_BY[knob.name]):
                values = frozenset(name for name, names in readers[knob.name].items()
                                   if declared.name in names)
                yield replace(declared, phase=knob.phase,
                              read_with={knob.name: values, **declared.read_with})
        if knob.name == _AUGMENTATIONS_FOLLOW:
            yield from _declared(AUGMENTATIONS_FOLDER)


def collect() -> dict[str, Knob]:
    """Every knob by its name.

    Raises:
        ValueError: one is declared twice, or named by a plugin and declared nowhere.
    """
    declared: dict[str, Knob] = {}
    for knob in _in_order():
        if knob.name in declared:
            raise ValueError(f"the knob {knob.name} is declared twice")
        declared[knob.name] = knob
    for plugin, names in (pair for chosen in plugin_knobs().values() for pair in chosen.items()):
        for name in names:
            if name not in declared:
                raise ValueError(f"{name}, in the KNOBS of {plugin}, is declared nowhere")
    return declared


KNOBS: dict[str, Knob] = collect()
PLUGIN_KNOBS = plugin_knobs()
AUGMENTATIONS: tuple[str, ...] = tuple(knob.name for knob in _declared(AUGMENTATIONS_FOLDER))
# What an entry of `phases` may set; what it does not set it takes from the run.
PHASE_KNOBS: tuple[str, ...] = tuple(name for name, knob in KNOBS.items() if knob.phase)
_OF_PLUGINS = frozenset(knob.name for folder in CHOSEN_BY.values() for knob in _declared(folder))
# What training reads besides the phases and the augmentations, but for knobs of plugins.
TRAINING_KNOBS: tuple[str, ...] = tuple(
    name for name, knob in KNOBS.items()
    if knob.training and not knob.phase and name not in AUGMENTATIONS and name not in _OF_PLUGINS)


def defaults() -> dict[str, Any]:
    """{knob: what it is where params.yaml does not set it}."""
    return {name: knob.default for name, knob in KNOBS.items()}
