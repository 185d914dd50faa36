"""What cannot go together although each knob by itself is allowed, whoever set which."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from unfreeze import models
from unfreeze.data import own as own_data
from unfreeze.data import subsets
from unfreeze.errors import Fault
from unfreeze.models import heads
from unfreeze.params import plugins, search
from unfreeze.params.facts import RunFacts, is_checkpoint
from unfreeze.params.faults import about
from unfreeze.params.knobs import CHOSEN_BY, KNOBS, PHASE_KNOBS

Knobs = Mapping[str, Any]


def check_weights_known(knobs: Knobs, facts: RunFacts) -> None:
    """What `weights` as a value stands for must be known."""
    for key in ("normalize", "image_size", "resize"):
        if knobs[key] == "weights" and facts.reference is None:
            raise Fault(key, f"weights: there are no official weights of {knobs['model']} to take "
                             "it from; set it without them")


def check(knobs: Knobs, facts: RunFacts, is_run: bool = True) -> None:
    """Check what depends on several knobs, or on facts.

    Args:
        knobs: of a run, image_size as a number. is_run: False for one that is not run.

    Raises:
        Fault: the first thing that does not go together.
    """
    _check_sizes(knobs, facts)
    with _enough(knobs["dataset"]):
        _check_subset(knobs, facts)
    _check_tuning(knobs, facts)
    _check_classifier(knobs, facts)
    if knobs["search"] and is_run:
        with _enough(knobs["dataset"]):
            search.check_images(knobs, facts.dataset)
    _check_validation(knobs, facts)
    if not knobs["epochs"]:
        _check_as_it_is(knobs, facts)


@contextmanager
def _enough(dataset: str) -> Iterator[None]:
    """Where images of one's own are too few for the settings of a study, others can be had."""
    try:
        yield
    except Fault as fault:
        if not own_data.is_own(dataset):
            raise
        raise Fault(fault.knob, f"{fault.problem}; or `unfreeze new NAME --images "
                                f"{shlex.quote(dataset)}` makes a study that fits these images"
                    ) from None


def _check_sizes(knobs: Knobs, facts: RunFacts) -> None:
    size, model, stem = knobs["image_size"], knobs["model"], knobs["stem"]
    if stem not in facts.model.strides:
        raise Fault("stem", f"{stem} is not made for {model}; allowed: "
                            f"{', '.join(facts.model.strides)}")
    smallest = facts.model.strides[stem]
    if size < smallest:
        raise Fault("image_size", f"{size} is too small for {model} with stem: {stem}; allowed: "
                                  f"{smallest} or more")
    for name, knob in KNOBS.items():
        if knob.at_most and knobs[name] > knobs[knob.at_most]:
            most = knobs[knob.at_most]
            raise Fault(name, f"{knobs[name]} is more than {knob.at_most}: {most}; allowed: 0 to "
                              f"{most}")
    if size % facts.model.multiple:
        raise Fault("image_size", f"{size} does not fit {model}, which cuts images into squares; "
                                  f"allowed: multiples of {facts.model.multiple}")
    with about("image_size"):
        models.check_size(model, stem, size)
    resize = facts.reference.resize if knobs["resize"] == "weights" else knobs["resize"]
    if resize != "square" and resize < size:
        raise Fault("resize", f"{resize} is smaller than image_size: {size}, which is cropped from "
                              f"it; allowed: {size} or more, or square")


def _check_subset(knobs: Knobs, facts: RunFacts) -> None:
    dataset = facts.dataset
    if dataset.classes is None:
        return
    if knobs["per_class"]:
        with about("per_class"):
            subsets.check_per_class(dataset.smallest, knobs["per_class"])
    else:
        with about("fraction"):
            subsets.check(dataset.train, dataset.classes, knobs["fraction"], knobs["validation"])
    with about("test_fraction"):
        subsets.check(dataset.test, dataset.classes, knobs["test_fraction"], 0)


def _check_tuning(knobs: Knobs, facts: RunFacts) -> None:
    needs = plugins.read_needs(CHOSEN_BY["tune"], knobs["tune"])
    if needs and not has(knobs, facts, needs[0]):
        raise Fault("tune", f"{knobs['tune']} has no place in {knobs['model']}: {needs[1]}")


def has(knobs: Knobs, facts: RunFacts, needed: str) -> bool:
    """Whether a model has what the NEEDS of a way of tuning name.

    Args:
        knobs: of the run, its `model` and `stem` among them.
        facts: of that model.
        needed: a field of `facts.model`, or transformers.FUNCTION (of models.with_torch), which is
            asked with the model.
    """
    module, _, name = needed.rpartition(".")
    if not module:
        return bool(getattr(facts.model, needed))
    # Here, since it imports torch: only who chooses such a way of tuning waits for it.
    from unfreeze.models.with_torch import transformers
    from unfreeze.models.with_torch.outline import outline

    model = outline(knobs["model"], knobs["stem"], 1, knobs["image_size"])
    return bool(getattr(transformers, name)(model))


def _check_classifier(knobs: Knobs, facts: RunFacts) -> None:
    """A head must fit what the model ends with, and one that keeps the classifier of official
    weights needs them to bring it."""
    if (knobs["head"], knobs["dropout"]) != ("replace", "model") and len(
            facts.model.parts["head"]) > 1:
        raise Fault("head", f"{knobs['head']} with dropout: {knobs['dropout']} is made for one "
                            f"classifier, and {knobs['model']} has "
                            f"{len(facts.model.parts['head'])}; allowed: replace, with dropout: "
                            "model")
    classes = _classes_of_weights(facts)
    if heads.keeps_classifier(knobs["head"]) and classes not in (None, heads.IMAGENET_CLASSES):
        raise Fault("head", f"{knobs['head']} keeps the classifier of the {heads.IMAGENET_CLASSES} "
                            f"classes of ImageNet, and the weights of {knobs['model']} bring "
                            + (f"one of {classes}" if classes else "none")
                            + "; choose replace or mlp")


def _classes_of_weights(facts: RunFacts) -> int | None:
    """Of the classifier of the official weights that a run starts from; None: of no such ones."""
    return facts.model.weights[facts.weights_key].classes if facts.weights_key else None


def _check_validation(knobs: Knobs, facts: RunFacts) -> None:
    validation, per_class = knobs["validation"], knobs["per_class"]
    held_out = subsets.number_held_out(per_class, validation)
    trains_on_all = knobs["train_on"] == "all" or (knobs["train_on"] == "auto" and knobs["search"])
    for key, off in (("select", "last"), ("patience", 0)):
        if knobs[key] == off:
            continue
        if trains_on_all and not knobs["search"]:
            raise Fault(key, f"{knobs[key]} looks at validation images, and train_on: all trains "
                             f"on them; set {key}: {off}, or train_on: train")
        if trains_on_all and search.folds(knobs, facts.dataset) > 1:
            continue  # a fold's images are looked at, and how long to train is handed on
        wants = f"{knobs[key]} looks at validation images, and validation: "
        if not validation:
            raise Fault(key, f"{wants}0 leaves none; set {key}: {off}, or validation: 0.1")
        if per_class and not held_out:
            raise Fault(key, f"{wants}{validation} leaves none of per_class: {per_class}; set "
                             f"{key}: {off}, or a larger validation")
    if per_class and held_out == per_class:
        raise Fault("validation", f"{validation} leaves none of per_class: {per_class} to train "
                                  "on; choose a smaller one")


def _check_as_it_is(knobs: Knobs, facts: RunFacts) -> None:
    """A model that is not trained must be whole: `epochs: 0`."""
    start, classes = "0 tests a model as it is", facts.dataset.classes
    if knobs["init"] == "scratch":
        raise Fault("epochs", f"{start}, and init: scratch has nothing to test; allowed: 1 or more")
    if knobs["phases"]:
        raise Fault("epochs", f"{start}, without phases; set phases: [], or epochs: 1 or more")
    if knobs["head"] != "replace":
        raise Fault("epochs", f"{start}, and head: {knobs['head']} starts anew; set head: replace, "
                              "which then keeps the model's own")
    theirs = _classes_of_weights(facts)
    if theirs == 0:
        raise Fault("epochs", f"{start}, and the weights of {knobs['model']} bring no classifier; "
                              "allowed: 1 or more")
    if not is_checkpoint(knobs["init"]) and classes not in (None, theirs):
        of = " of ImageNet" if theirs == heads.IMAGENET_CLASSES else ""
        raise Fault("epochs", f"{start}, and that of init: {knobs['init']} is for the "
                              f"{theirs} classes{of}, not for the "
                              f"{classes} of {knobs['dataset']}; allowed: 1 or more, or a "
                              "checkpoint of your own")
    if not is_checkpoint(knobs["init"]) and facts.model.fresh.get(knobs["stem"]):
        raise Fault("epochs", f"{start}, and stem: {knobs['stem']} starts anew; set stem: original")


def no_effect(key: str, other: str, knobs: Knobs) -> Fault:
    """The fault of a knob that nothing reads with the value that another has.

    Args:
        other: one that it is read with.
    """
    needed = " or ".join(map(str, sorted(KNOBS[key].read_with[other])))
    return Fault(key, f"has no effect with {other}: {knobs[other]}; leave it out, or set {other}: "
                      f"{needed}")


def check_effects(knobs: Knobs, changes: Knobs, methods: set[str]) -> None:
    """A run's own knob that nothing reads is a mistake.

    Args:
        knobs: of a run. changes: of these, what it sets itself.
        methods: those by which its blocks train.

    Raises:
        Fault: the first such knob.
    """
    phases: Sequence[Knobs] = knobs["phases"]
    for key in changes:
        if KNOBS[key].with_search and not knobs["search"]:
            raise Fault(key, "has no effect, because nothing is searched; leave it out, or add a "
                             "search")
        for other, needed in KNOBS[key].read_with.items():
            setters = (phases or [{}]) if KNOBS[key].phase else [{}]
            if not any(phase.get(other, knobs[other]) in needed for phase in setters):
                raise no_effect(key, other, knobs)
        for other, values in KNOBS[key].idle_with.items():
            if knobs[other] in values and knobs[key] != KNOBS[key].default:
                raise Fault(key, f"{knobs[key]} has no effect with {other}: {knobs[other]}; leave "
                                 "it out")
    if "tune" in changes and knobs["tune"] not in methods:
        raise Fault("tune", "has no effect, because nothing trains but what starts anew, which is "
                            "tuned in full; leave it out, or freeze less")
    for key in PHASE_KNOBS:
        if key in changes and phases and all(key in phase for phase in phases):
            raise Fault(key, f"has no effect, because every phase sets {key}; leave it out")
    if changes.get("skip_broken") and not own_data.is_own(knobs["dataset"]):
        raise Fault("skip_broken", f"has no effect with dataset: {knobs['dataset']}, whose files "
                                   "are verified; leave it out")
