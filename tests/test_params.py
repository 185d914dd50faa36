import copy
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers import PINNED, ROOT, params
from unfreeze.data import catalogue as datasets
from unfreeze.data import photos
from unfreeze.data.catalogue import cifar10
from unfreeze.errors import UserError
from unfreeze.models import by_model
from unfreeze.models.facts import IMAGENET_MEAN, IMAGENET_STD
from unfreeze.params.knobs import KNOBS
from unfreeze.params.plan import (
    Checkpoint,
    Claim,
    Decoded,
    ImageSource,
    NotRun,
    OfficialWeights,
    Plan,
    Subset,
)
from unfreeze.params.settle import resolve
from unfreeze.plain import from_plain, to_plain

# Allowed values of each knob, all different from one another. What cannot go together is left to
# `goes_together` and to CONDITIONAL.
VALUES = {
    "skip_broken": [False, True], "fraction": [0.01, 0.05, 1.0], "per_class": [0, 10, 500],
    "validation": [0, 0.1, 0.5], "test_fraction": [0.01, 0.2, 1],
    "seeds": [[0], [42, 43], [2**31 - 1]], "image_size": [32, 64, 224],
    "resize": ["square", "weights", 256],
    "normalize": ["dataset", "weights"], "model": ["mobilenet_v2", "resnet18"],
    "init": ["pretrained", "IMAGENET1K_V1", "scratch"], "stem": ["original", "cifar"],
    "head": ["replace", "append", "mlp"], "head_width": [1, 256], "dropout": ["model", 0, 0.5],
    "freeze": ["none", "early", "middle", "last_only", [], ["stem", "stage1"], {"train": ["head"]},
               {"last": 0}, {"last": 4}],
    "frozen_batchnorm": ["eval", "train"], "tune": ["full", "bias", "norm", "lora", "tinytl"],
    "lora_rank": [1, 8], "lora_alpha": [0.5, 16], "lora_layers": ["all", ["*.conv1", "layer4.*"]],
    "tinytl_groups": [1, 2], "l2_sp": [0, 0.01],
    "phases": [[], [{}], [{"freeze": "last_only", "epochs": 9}, {"lr": 0.1, "lr_decay": 0.5}]],
    "epochs": [1, 3, 90], "batch_size": [2, 64], "accumulate": [1, 4],
    "optimizer": ["sgd", "adam", "adamw"], "lr": [1e-5, 0.001, 1],
    "lr_scale": [{}, {"stage2": 0.1}], "lr_decay": [0.65, 1], "momentum": [0, 0.9],
    "weight_decay": [0, 5e-4], "decay_biases_and_norms": [True, False],
    "schedule": ["constant", "cosine", "exponential"], "warmup_epochs": [0, 2],
    "gamma": [0.5, 1], "label_smoothing": [0, 0.1], "clip_norm": [0, 1.5], "ema": [0, 0.99],
    "select": ["last", "best"], "patience": [0, 3], "augment": ["none", "trivial", "rand"],
    "flip": [True, False], "crop_padding": [0, 4],
    "rotation": [0, 15.5, 180], "mixup": [0, 0.2], "cutmix": [0, 1],
}
CONDITIONAL = {name for name, knob in KNOBS.items() if knob.read_with}
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def goes_together(knobs):
    return not (
        (knobs["init"] == "scratch" and knobs["l2_sp"])
        or (not knobs["validation"] and (knobs["select"] == "best" or knobs["patience"]))
        or knobs["warmup_epochs"] >= knobs["epochs"])


def has_an_effect(own, knobs):
    if own.get("skip_broken") or ("fraction" in own and knobs["per_class"]):
        return False
    return "tune" not in own or knobs["tune"] == "full" or (
        knobs["init"] != "scratch"
        and knobs["freeze"] not in ("last_only", {"train": ["head"]}, {"last": 0}))


def some_knobs(keys):
    return st.fixed_dictionaries({}, optional={
        key: st.sampled_from(VALUES[key]) for key in sorted(keys)
    }).filter(lambda own: goes_together(PINNED | own) and has_an_effect(own, PINNED | own))


@QUICK
@given(some_knobs(VALUES), some_knobs(VALUES))
def test_override_wins_over_top_level_and_every_knob_is_settled(top, own):
    assume(goes_together(PINNED | top | own))
    assume(has_an_effect(own, PINNED | top | own))
    for key in CONDITIONAL:
        if any((PINNED | top | own)[other] not in needed
               for other, needed in KNOBS[key].read_with.items()):
            own.pop(key, None)
    given_params = params({"base": {}, "other": own}, **top)
    runs = resolve(given_params).runs
    assert list(runs) == ["base", "other"]
    for name, overrides in given_params["runs"].items():
        wanted = {key: value for key, value in given_params.items()
                  if key in KNOBS} | overrides
        assert runs[name].knobs == wanted
        assert runs[name].changes == overrides


@QUICK
@given(st.lists(some_knobs(set(VALUES) - CONDITIONAL), min_size=1, max_size=3), st.data())
def test_top_level_change_reaches_exactly_the_runs_that_inherit_it(overrides, data):
    runs = {f"run{i}": own for i, own in enumerate(overrides)}
    key = data.draw(st.sampled_from(sorted(VALUES)))
    value = data.draw(st.sampled_from([v for v in VALUES[key] if v != PINNED[key]]))
    for own in overrides:
        knobs = PINNED | {key: value} | own
        assume(goes_together(knobs) and has_an_effect(own, knobs))
    before, after = (resolve(p).runs for p in (params(runs), params(runs, **{key: value})))
    assert {name for name in runs if before[name] != after[name]} == {
        name for name, own in runs.items() if key not in own}


@QUICK
@given(some_knobs(set(VALUES) - CONDITIONAL))
def test_settling_leaves_its_input_alone_and_gives_what_yaml_can_hold(own):
    given_params = params({"base": own})
    kept = copy.deepcopy(given_params)
    plan = resolve(given_params)
    assert given_params == kept
    written = yaml.safe_load(yaml.safe_dump(to_plain(plan)))
    assert from_plain(Plan, written) == plan


def test_project_params_are_valid():
    real = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert set(resolve(real).runs) == set(real["runs"])


def test_every_knob_is_pinned_here():
    # A new knob needs a pinned value and a row of VALUES, or the properties above miss it.
    assert set(PINNED) == set(KNOBS)
    assert set(VALUES) == set(KNOBS) - {"dataset"}


def test_run_without_overrides_may_be_empty():
    assert resolve(params({"base": None})).runs == resolve(params()).runs


def test_plan_lists_each_input_once_and_only_what_is_needed():
    plan = resolve(params({
        "a": {}, "b": {"freeze": "early"}, "c": {"model": "resnet18", "fraction": 0.1,
                                                 "seeds": [7], "init": "scratch"}}))
    assert plan.datasets == {"cifar10": ImageSource("arrays")}
    assert plan.weights == {
        "mobilenet_v2-imagenet1k_v1": OfficialWeights("mobilenet_v2", "IMAGENET1K_V1")}
    assert list(plan.subsets.values()) == [
        Subset("cifar10", seed, fraction, 0, validation=0.1, test_fraction=0.2)
        for seed, fraction in ((42, 0.05), (43, 0.05), (7, 0.1))]
    assert list(plan.subsets) == [file for run in ("a", "c")
                                  for file in plan.runs[run].subsets.values()]


def test_same_fraction_written_differently_is_the_same_subset():
    plan = resolve(params({"a": {"fraction": 1}, "b": {"fraction": 1.0}}))
    assert len(plan.subsets) == 2  # two seeds
    assert plan.runs["a"].subsets == plan.runs["b"].subsets


def test_normalisation_follows_its_knob():
    runs = resolve(params({"a": {}, "b": {"normalize": "weights"}})).runs
    assert [(run.preprocessing.mean, run.preprocessing.std) for run in runs.values()] == [
        (cifar10.MEAN, cifar10.STD), (IMAGENET_MEAN, IMAGENET_STD)]


def test_knobs_without_an_effect_change_no_recipe():
    runs = resolve(params({
        "plain": {}, "sgd": {"optimizer": "sgd"}, "frozen": {"freeze": "early"},
        "bias": {"tune": "bias"}, "mlp": {"head": "mlp"}, "lora": {"tune": "lora"},
        "tinytl": {"tune": "tinytl"}, "later": {"phases": [{}, {"freeze": "middle"}]},
        "decayed": {"weight_decay": 0.1}, "soon": {"phases": [{}, {"weight_decay": 0.1}]},
        "exponential": {"schedule": "exponential"}},
        momentum=0.5, frozen_batchnorm="train", decay_biases_and_norms=False, gamma=0.5,
        lora_rank=4, lora_alpha=4, tinytl_groups=1, head_width=8, lora_layers=["layer4.*"])).runs
    read = {name: {key for key, value in [*run.training_knobs.items(),
                                          *run.phases[0].knobs.items()]
                   if value == run.knobs[key] != KNOBS[key].default} for name, run in runs.items()}
    assert read == {
        "plain": set(), "sgd": {"optimizer", "momentum"}, "frozen": {"freeze", "frozen_batchnorm"},
        "bias": {"tune", "frozen_batchnorm"}, "mlp": {"head", "head_width"},
        "lora": {"tune", "lora_rank", "lora_alpha", "lora_layers", "frozen_batchnorm"},
        "tinytl": {"tune", "tinytl_groups", "frozen_batchnorm"}, "later": {"frozen_batchnorm"},
        "decayed": {"weight_decay", "decay_biases_and_norms"}, "soon": {"decay_biases_and_norms"},
        "exponential": {"schedule", "gamma"}}
    # Own knobs are there only where they are read; all others always.
    assert runs["lora"].training_knobs.keys() - runs["plain"].training_knobs.keys() == {
        "lora_rank", "lora_alpha", "lora_layers"}
    assert runs["exponential"].phases[0].knobs.keys() - runs["plain"].phases[0].knobs.keys() == {
        "gamma"}


def test_augmentations_are_those_that_are_on():
    runs = resolve(params({"plain": {}, "none": {"flip": False}, "more": {
        "rotation": 10, "augment": "rand", "crop_padding": 4}})).runs
    assert [run.augmentations for run in runs.values()] == [
        {"flip": True}, {},
        {"augment": "rand", "crop_padding": 4, "flip": True, "rotation": 10}]


def test_smallest_image_is_the_stride():
    for model, family in by_model().items():
        facts = family.MODELS[model]
        for stem, stride in facts.strides.items():
            own = {"model": model, "stem": stem, "init": "scratch"}
            resolve(params({"a": own | {"image_size": stride}}))
            smaller = stride - facts.multiple
            if smaller > 0:
                message(params({"a": own | {"image_size": smaller}}),
                        "too small", f"{stride} or more")


NAN, INFINITY = float("nan"), float("inf")

# (a top-level change, words that the message must have besides the knob's name).
BAD_VALUES = [
    ({"dataset": "cifra10"}, ["'cifra10'", "did you mean 'cifar10'"]),
    ({"dataset": 10}, ["10 is not allowed"]),
    ({"model": "resnet81"}, ["'resnet81'", "did you mean 'resnet18'", "mobilenet_v2"]),
    ({"model": None}, ["None"]),
    ({"init": "pretrianed"}, ["'pretrianed'", "did you mean 'pretrained'", "scratch"]),
    ({"init": "IMAGENET1K_V3"}, ["'IMAGENET1K_V3'", "did you mean 'IMAGENET1K_V", "IMAGENET1K_V2",
                                 "path of a checkpoint"]),
    ({"init": None}, ["None is not allowed", "IMAGENET1K_V1"]),
    ({"head": "repalce"}, ["did you mean 'replace'", "append, mlp"]),
    ({"head_width": 0}, ["1 or more"]),
    ({"dropout": 1}, ["1 is not allowed", "model, or a number from 0 up to but not including 1"]),
    ({"dropout": "modle"}, ["did you mean 'model'"]),
    ({"dropout": "0.5"}, ["is text", "write 0.5"]),
    ({"tune": "biass"}, ["did you mean 'bias'", "full, lora, norm, tinytl"]),
    ({"lora_rank": 0}, ["1 or more"]),
    ({"lora_rank": 1.5}, ["1.5", "whole number"]),
    ({"lora_alpha": 0}, ["above 0"]),
    ({"lora_layers": []}, ["[] is not allowed", "all, or a list of names"]),
    ({"lora_layers": "layer4.*"}, ["'layer4.*' is not allowed", "list"]),
    ({"lora_layers": [4]}, ["[4]"]),
    ({"tinytl_groups": 0}, ["1 or more"]),
    ({"l2_sp": -0.01}, ["0 or more"]),
    ({"phases": {"epochs": 1}}, ["{'epochs': 1} is not allowed", "list of phases"]),
    ({"phases": None}, ["None is not allowed", "list of phases"]),
    ({"phases": ["last_only"]}, [" 1: 'last_only' is not allowed", "mapping", "freeze, epochs"]),
    ({"phases": [{}, None]}, [" 2: None is not allowed", "mapping"]),
    ({"phases": [{"epochs": 1}, {"frezee": "none"}]},
     [" 2: frezee: no knob of a phase", "did you mean 'freeze'", "warmup_epochs"]),
    ({"phases": [{"batch_size": 8}]}, [" 1: batch_size: no knob of a phase"]),
    ({"phases": [{"lr": 0}]}, [" 1: lr: 0 is not allowed", "above 0"]),
    ({"phases": [{"lr": "1e-3"}]}, [" 1: lr: '1e-3' is text", "write 0.001"]),
    ({"phases": [{"freeze": {"train": []}}]}, [" 1: freeze:", "nothing is left to train"]),
    ({"phases": [{}, {"freeze": ["stagee1"]}]}, [" 2: freeze: 'stagee1'", "'stage1'"]),
    ({"phases": [{"lr_scale": {"heda": 2}}]}, [" 1: lr_scale: 'heda'", "did you mean 'head'"]),
    ({"phases": [{"warmup_epochs": 3}]}, [" 1: warmup_epochs: 3 leaves none of epochs: 3"]),
    ({"phases": [{"gamma": 0.5}]}, [" 1: gamma: has no effect", "schedule: cosine"]),
    ({"warmup_epochs": 3}, ["3 leaves none of epochs: 3", "less than epochs"]),
    ({"warmup_epochs": -1}, ["0 or more"]),
    ({"accumulate": 0}, ["1 or more"]),
    ({"lr_decay": 0}, ["above 0"]),
    ({"lr_decay": 1.1}, ["at most 1"]),
    ({"decay_biases_and_norms": 0}, ["0 is not allowed", "true, false"]),
    ({"clip_norm": -1}, ["0 or more"]),
    ({"ema": 1}, ["not including 1"]),
    ({"select": "bets"}, ["did you mean 'best'", "last"]),
    ({"patience": -1}, ["0 or more"]),
    ({"augment": "trivail"}, ["did you mean 'trivial'", "none", "rand"]),
    ({"augment": None}, ["None is not allowed"]),
    ({"mixup": -0.2}, ["0 or more"]),
    ({"cutmix": INFINITY}, ["inf is not allowed"]),
    ({"image_size": "weight"}, ["did you mean 'weights'"]),
    ({"image_size": [64]}, ["[64] is not allowed", "weights, or a whole number"]),
    ({"resize": "squaer"}, ["did you mean 'square'", "weights"]),
    ({"resize": 0}, ["0 is not allowed"]),
    ({"resize": True}, ["True is not allowed"]),
    ({"resize": 63}, ["63 is smaller than image_size: 64", "64 or more, or square"]),
    ({"freeze": {"last": 5}}, ["asks for 5 stages and the model has 4", "0 to 4"]),
    ({"freeze": {"last": -1}}, ["{'last': -1} is not allowed", "{last:"]),
    ({"freeze": {"last": True}}, ["{'last': True} is not allowed"]),
    ({"freeze": {"last": 1, "train": ["stem"]}}, ["is not allowed"]),
    ({"freeze": {}}, ["{} is not allowed"]),
    ({"stem": "cifar10"}, ["'cifar10'", "did you mean 'cifar'", "original"]),
    ({"normalize": "weight"}, ["did you mean 'weights'"]),
    ({"frozen_batchnorm": "evel"}, ["did you mean 'eval'", "train"]),
    ({"optimizer": "addam"}, ["did you mean 'adam'", "sgd"]),
    ({"optimizer": ["adam"]}, ["['adam']"]),
    ({"schedule": "cosin"}, ["did you mean 'cosine'"]),
    ({"freeze": "erly"}, ["did you mean 'early'"]),
    ({"freeze": ["stagee2"]}, ["'stagee2' matches no part", "did you mean 'stage2'"]),
    ({"freeze": ["features.91"]}, ["matches no part", "did you mean 'features."]),
    ({"freeze": {"train": ["layer4"]}}, ["'layer4' matches no part"]),  # another model's name
    ({"freeze": {"tarin": ["head"]}}, ["{'tarin': ['head']} is not allowed", "{train:"]),
    ({"freeze": {"train": "head"}}, ["{'train': 'head'} is not allowed"]),
    ({"freeze": {"train": []}}, ["nothing is left to train"]),
    ({"freeze": ["stem", "stage1", "stage2", "stage3", "stage4", "head"]},
     ["nothing is left to train"]),
    ({"freeze": [4]}, ["[4] is not allowed"]),
    ({"lr_scale": {"heda": 10}}, ["'heda' matches no part", "did you mean 'head'"]),
    ({"lr_scale": {"head": 0}}, ["{'head': 0} is not allowed"]),
    ({"lr_scale": {"head": "10"}}, ["{'head': '10'} is not allowed"]),
    ({"lr_scale": [0.1]}, ["[0.1] is not allowed"]),
    ({"lr": "1e-3"}, ["'1e-3' is text", "write 0.001"]),
    ({"lr": "1e-5"}, ["'1e-5' is text", "write 1.0e-05"]),  # 1e-05 would be text to YAML again
    ({"lr": 0}, ["0 is not allowed", "above 0"]),
    ({"lr": -0.1}, ["-0.1"]),
    ({"lr": NAN}, ["nan is not allowed"]),
    ({"lr": INFINITY}, ["inf is not allowed"]),
    ({"lr": True}, ["True is not allowed"]),
    ({"lr": None}, ["None is not allowed"]),
    ({"lr": "fast"}, ["'fast' is not allowed"]),
    ({"fraction": 0}, ["0 is not allowed", "above 0"]),
    ({"fraction": -0.5}, ["-0.5"]),
    ({"fraction": 1.5}, ["1.5", "at most 1"]),
    ({"fraction": NAN}, ["nan"]),
    ({"fraction": True}, ["True"]),
    ({"fraction": "0.5"}, ["is text", "write 0.5"]),
    ({"fraction": 0.0001}, ["5", "10 classes", "larger"]),  # more classes than images
    ({"fraction": 0.0002, "validation": 0.5}, ["10 classes"]),
    ({"test_fraction": 0.0005}, ["5", "10 classes"]),
    ({"test_fraction": 0}, ["above 0"]),
    ({"validation": 1}, ["1 is not allowed", "not including 1"]),
    ({"validation": -0.1}, ["-0.1"]),
    ({"seeds": []}, ["[] is not allowed"]),
    ({"seeds": 42}, ["42 is not allowed", "list"]),
    ({"seeds": [1, 1]}, ["[1, 1]", "different"]),
    ({"seeds": [1.5]}, ["[1.5]"]),
    ({"seeds": [True]}, ["[True]"]),
    ({"seeds": [-1]}, ["[-1]"]),
    ({"seeds": [2**31]}, ["2147483647"]),
    ({"epochs": 0}, ["1 or more"]),
    ({"epochs": 1.5}, ["1.5", "whole number"]),
    ({"epochs": True}, ["True"]),
    ({"batch_size": 1}, ["2 or more"]),
    ({"image_size": 31}, ["31 is too small", "mobilenet_v2", "32 or more"]),
    ({"image_size": 0}, ["0 is not allowed"]),
    ({"momentum": 1}, ["not including 1"]),
    ({"weight_decay": -1}, ["0 or more"]),
    ({"gamma": 0}, ["above 0"]),
    ({"label_smoothing": 1.0}, ["not including 1"]),
    ({"flip": 1}, ["1 is not allowed", "true, false"]),
    ({"flip": "yes"}, ["'yes'", "true, false"]),
    ({"crop_padding": -1}, ["0 or more"]),
    ({"rotation": 181}, ["0 to 180"]),
]


def message(given_params, *words):
    """The error's text, which is one line and has these words."""
    with pytest.raises(UserError) as caught:
        resolve(given_params)
    text = str(caught.value)
    assert text.startswith("params.yaml: ") and len(text.splitlines()) == 1
    for word in words:
        assert word in text
    return text


@pytest.mark.parametrize(("change", "words"), BAD_VALUES, ids=lambda part: str(part)[:50])
def test_bad_value_is_named_with_what_is_allowed(change, words):
    message(params(**change), next(iter(change)), *words)
    # The same of a run's own value, which is named with its run. The base must not be wrong.
    message(params({"mine": change}), f"runs.mine.{next(iter(change))}", *words)


BAD_SHAPES = [
    (params(frezee="early"), ["frezee: unknown knob", "did you mean 'freeze'"]),
    (params() | {"run": {}}, ["run: unknown knob", "did you mean 'runs'"]),
    (params() | {5: 1}, ["5: unknown knob"]),
    (params({"mine": {"frezee": "early"}}), ["runs.mine.frezee: unknown", "did you mean 'freeze'"]),
    (params({"mine": {"runs": {}}}), ["runs.mine.runs: unknown knob"]),
    (params({"mine": {"optimizer": "adam", "momentum": 0.5}}),
     ["runs.mine.momentum", "optimizer: adam", "optimizer: sgd"]),
    (params({"mine": {"momentum": 0.5}}), ["runs.mine.momentum", "no effect"]),
    (params({"mine": {"gamma": 0.5}}), ["runs.mine.gamma", "schedule: cosine", "exponential"]),
    *((params({"mine": {key: value}}), [f"runs.mine.{key}", "has no effect", f"{other}: {needed}"])
      for key, value, other, needed in [
          ("head_width", 8, "head", "mlp"), ("lora_rank", 2, "tune", "lora"),
          ("lora_alpha", 2, "tune", "lora"), ("lora_layers", "all", "tune", "lora"),
          ("tinytl_groups", 1, "tune", "tinytl")]),
    *((params({"mine": own | {"tune": "bias"}}), ["runs.mine.tune", "has no effect", "freeze less"])
      for own in ({"freeze": "last_only"}, {"phases": [{"freeze": "last_only"}]},
                  {"freeze": {"train": ["conv1", "head"]}, "model": "resnet18", "stem": "cifar"})),
    *((params({"mine": {"phases": [{key: value}, {key: value}], key: value}}),
       [f"runs.mine.{key}", "has no effect", "every phase sets"])
      for key, value in [("freeze", "none"), ("epochs", 2), ("lr", 0.1), ("lr_scale", {}),
                         ("lr_decay", 0.5), ("weight_decay", 0.1), ("schedule", "constant"),
                         ("warmup_epochs", 0)]),
    (params({"mine": "early"}), ["runs.mine", "'early' is not allowed", "mapping"]),
    (params({"mine": ["early"]}), ["runs.mine", "mapping"]),
    (params({}), ["runs", "at least one run"]),
    (params() | {"runs": None}, ["runs", "at least one run"]),
    (params() | {"runs": ["base"]}, ["runs", "at least one run"]),
    *((params({name: {}}), ["runs", repr(name), "letters"])
      for name in ("v1.5", "a/b", "two words", "", "ünlaut", "new\n", 5, True, None)),
    ({key: value for key, value in params().items() if key != "runs"}, ["runs: is missing"]),
    (None, ["mapping"]),
    ([], ["mapping"]),
    ("freeze: early", ["mapping"]),
]


@pytest.mark.parametrize(("wrong", "words"), BAD_SHAPES, ids=lambda part: str(part)[-60:])
def test_bad_shape_is_named(wrong, words):
    message(wrong, *words)


@pytest.mark.parametrize(("text", "words"), [
    (f"lr: 0x{'f' * 6000}", ["lr: a number of thousands of digits is not allowed"]),
    (f"seeds: [0x{'f' * 6000}]", ["seeds: a number of thousands of digits is not allowed"]),
    ("epochs: 2147483648", ["epochs: 2147483648 is not allowed", "at most 2147483647"]),
    ("freeze: &a [*a]", ["nested too deeply", "an anchor in it (&name) contains itself"]),
    ("claims: &a {claim: *a}", ["nested too deeply"]), ("&a [*a]", ["nested too deeply"])])
def test_endless_values_are_one_line(text, words):
    message(yaml.safe_load(text), *words)


# What each knob allows by itself but not beside another, whoever sets which.
TOGETHER = [
    ({"validation": 0, "select": "best"}, "select", ["best", "validation: 0", "select: last"]),
    ({"validation": 0, "patience": 2}, "patience", ["2", "validation: 0", "patience: 0"]),
    ({"warmup_epochs": 1, "epochs": 1}, "warmup_epochs", ["1 leaves none of epochs: 1"]),
    ({"resize": 200, "image_size": "weights"}, "resize", ["200 is smaller than image_size: 224"]),
    ({"resize": "weights", "image_size": 257}, "resize", ["256 is smaller than image_size: 257"]),
    ({"model": "vit_b_16", "image_size": 72}, "image_size", ["72", "vit_b_16", "multiples of 16"]),
    ({"model": "vit_b_16", "stem": "cifar"}, "stem", ["cifar is not made", "original"]),
    ({"model": "vit_b_16", "tune": "tinytl"}, "tune", ["tinytl", "vit_b_16", "bias or lora"]),
    ({"model": "cnn", "init": "pretrained"}, "init", ["no pretrained weights of cnn", "scratch"]),
    ({"model": "cnn", "init": "IMAGENET1K_V1"}, "init", ["'IMAGENET1K_V1' is not allowed"]),
    *(({"model": "cnn", "init": "scratch", key: "weights"}, key, ["no official weights of cnn"])
      for key in ("normalize", "image_size", "resize")),
    ({"init": "none/such.pth"}, "init", ["'none/such.pth' is no file", ".safetensors"]),
    ({"init": "such.safetensors"}, "init", ["'such.safetensors' is no file"]),
    ({"init": "tests/helpers.py"}, "init", ["'tests/helpers.py' is no file", ".pth"]),
]


@pytest.mark.parametrize(("knobs", "key", "words"), TOGETHER, ids=lambda part: str(part)[:50])
def test_what_cannot_go_together_is_refused_whoever_sets_it(knobs, key, words):
    message(params(**knobs), f"params.yaml: {key} (of runs.base): ", *words)
    message(params({"mine": knobs}), f"params.yaml: runs.mine.{key}: ", *words)
    rest = {name: value for name, value in knobs.items() if name != key}
    message(params({"mine": rest}, **{key: knobs[key]}), f"params.yaml: {key} (of runs.mine): ",
            *words)


def test_method_that_tunes_nothing_changes_no_recipe():
    runs = {"probe": {"freeze": "last_only"}, "base": {}}
    plain, tuned = (resolve(params(runs, tune=tune)).runs for tune in ("full", "lora"))
    assert plain["probe"].training_knobs == tuned["probe"].training_knobs
    assert plain["probe"].phases == tuned["probe"].phases
    assert plain["base"].training_knobs != tuned["base"].training_knobs


def test_pull_to_pretrained_weights_leaves_out_runs_without_any():
    runs = {"base": {}, "scratch": {"init": "scratch"}}
    settled = resolve(params(runs, l2_sp=0.1)).runs
    assert [run.training_knobs["l2_sp"] for run in settled.values()] == [0.1, 0]
    message(params({"mine": {"init": "scratch", "l2_sp": 0.1}}), "params.yaml: runs.mine.l2_sp",
            "0.1", "init: scratch", "leave it out")


@pytest.mark.parametrize(("compare", "words"), [
    ({"pair": ["base", "bsae"]}, ["compare.pair", "'bsae' is no run", "did you mean 'base'"]),
    ({"pair": ["base", "base"]}, ["compare.pair", "list of two runs"]),
    ({"pair": ["base"]}, ["compare.pair", "list of two runs"]),
    ({"pair": "base"}, ["compare.pair", "'base' is not allowed"]),
    ({"pair": ["base", 5]}, ["compare.pair", "list of two runs"]),
    ({"pair": ["base", "resnet"]}, ["compare.pair", "base is a mobilenet_v2", "resnet a resnet18"]),
    ({"pair": ["base", "seven"]}, ["compare.pair", "base and seven have no seed in common",
                                   "[42, 43] and [7]"]),
    ({"a/b": ["base", "early"]}, ["compare", "'a/b'", "letters"]),
    (["base", "early"], ["compare", "mapping", "or {}"]), (None, ["compare", "mapping"])])
def test_pairs_that_cannot_be_compared_are_refused(compare, words):
    runs = {"base": {}, "early": {"freeze": "early"}, "resnet": {"model": "resnet18"},
            "seven": {"seeds": [7]}}
    message(params(runs, compare=compare), *words)


def test_pairs_are_kept():
    runs = {"base": {}, "early": {"freeze": "early"}}
    compare = {"a-1": ["base", "early"], "b": ["early", "base"]}
    assert resolve(params(runs, compare=compare)).compare == {
        "a-1": ("base", "early"), "b": ("early", "base")}


def test_init_names_weights():
    plan = resolve(params({
        "first": {}, "named": {"init": "IMAGENET1K_V1"}, "second": {"init": "IMAGENET1K_V2"},
        "none": {"init": "scratch"}}))
    assert [run.weights for run in plan.runs.values()] == [
        "mobilenet_v2-imagenet1k_v1"] * 2 + ["mobilenet_v2-imagenet1k_v2", ""]
    assert plan.weights == {f"mobilenet_v2-imagenet1k_v{n}": OfficialWeights(
        "mobilenet_v2", f"IMAGENET1K_V{n}") for n in (1, 2)}


@pytest.mark.parametrize("name", ["mine.pth", "./deep/mine.safetensors"])
def test_checkpoint_of_ones_own_is_named_by_its_content(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    names = []
    for content in (b"one", b"two"):
        (tmp_path / name).write_bytes(content)
        plan = resolve(params({"base": {"init": name, "stem": "cifar"}}))
        ((weights, source),) = plan.weights.items()
        digest = hashlib.sha256(content).hexdigest()
        assert weights == plan.runs["base"].weights == f"own-mobilenet_v2-cifar-{digest[:12]}"
        assert source == Checkpoint("mobilenet_v2", "cifar", 64, str(Path(name)), digest)
        names.append(weights)
    assert names[0] != names[1]


def test_sizes_may_follow_the_weights():
    def sizes(**knobs):
        made = resolve(params(**knobs)).runs["base"].preprocessing
        return made.image_size, made.resize, made.interpolation

    assert sizes() == (64, "square", "bilinear")
    assert sizes(resize=80) == (64, 80, "bilinear")
    both = {"image_size": "weights", "resize": "weights"}
    assert sizes(**both) == (224, 256, "bilinear")
    assert sizes(init="IMAGENET1K_V2", **both) == (224, 232, "bilinear")
    assert sizes(init="scratch", **both) == (224, 256, "bilinear")  # as the first ones
    assert sizes(model="vit_b_16", init="IMAGENET1K_SWAG_E2E_V1", **both) == (384, 384, "bicubic")
    # An image of our own size has nothing to do with the weights' interpolation.
    assert sizes(model="vit_b_16", init="IMAGENET1K_SWAG_E2E_V1") == (64, "square", "bilinear")


def test_phase_takes_from_the_run_what_it_does_not_set():
    run = resolve(params(
        phases=[{"freeze": "last_only", "epochs": 1, "lr": 0.1},
                {"schedule": "exponential", "gamma": 0.5, "lr_scale": {"stem": 0.5},
                 "weight_decay": 0.2, "warmup_epochs": 1}, {}],
        epochs=4, weight_decay=0.1)).runs["base"]
    first, second, third = (phase.knobs for phase in run.phases)
    plain = {"freeze": "none", "epochs": 4, "lr": 0.001, "lr_scale": {}, "lr_decay": 1.0,
             "weight_decay": 0.1, "schedule": "cosine", "warmup_epochs": 0}
    assert first == plain | {"freeze": "last_only", "epochs": 1, "lr": 0.1}
    assert second == plain | {"schedule": "exponential", "gamma": 0.5, "lr_scale": {"stem": 0.5},
                              "weight_decay": 0.2, "warmup_epochs": 1}
    assert third == plain


def test_run_without_phases_is_one_phase():
    plain, named = (resolve(params(phases=phases, freeze="early", lr=0.1)).runs["base"]
                    for phases in ([], [{}]))
    assert plain.phases == named.phases and len(plain.phases) == 1


def test_method_for_what_starts_anew_has_no_effect():
    message(params({"mine": {"init": "scratch", "tune": "lora"}}), "runs.mine.tune: has no effect")


def test_crop_no_larger_than_the_image():
    message(params({"mine": {"crop_padding": 65}}), "runs.mine.crop_padding: 65", "0 to 64")


@pytest.mark.parametrize("key", [k for k, knob in KNOBS.items() if knob.allowed.number])
def test_number_written_as_text_is_told_a_spelling_that_works(key):
    good, text = 1e-5, "1e-5"
    if key in ("epochs", "batch_size", "image_size", "crop_padding", "resize", "head_width",
               "lora_rank", "tinytl_groups", "accumulate", "patience", "per_class"):
        good, text = 64, "64"
    elif key == "warmup_epochs":
        good, text = 2, "2"
    elif key in ("fraction", "test_fraction"):
        good, text = 0.05, "5e-2"
    advice = re.search(r"write (\S+)$", message(params(**{key: text}), "is text"))[1]
    assert resolve(params(**{key: yaml.safe_load(advice)})).runs["base"].knobs[key] == good


def test_a_number_as_dvc_writes_it_is_a_number():
    # `dvc exp run -S lr=0.00001` writes 1e-05, which YAML takes for text.
    run = resolve(params(lr="1e-05", lr_scale={"stem": "2e-05"},
                         phases=[{"lr": "3e-05"}, {}])).runs["base"]
    assert run.knobs["lr"] == 1e-5 and run.knobs["lr_scale"] == {"stem": 2e-5}
    assert [phase.knobs["lr"] for phase in run.phases] == [3e-5, 1e-5]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_text_that_is_no_finite_number_is_not_recommended(text):
    assert "write" not in message(params(lr=text), "lr")


def test_unknown_key_of_two_lines_stays_on_one_line():
    message(params() | {"two\nlines": 1}, "unknown knob")


def test_suggestion_looks_past_capitals():
    message(params(optimizer="adamW"), "did you mean 'adamw'")  # and not adam


def test_huge_whole_number_is_a_clear_error():
    message(params(fraction=10**400), "fraction", "at most 1")


@pytest.fixture
def five(tmp_path, monkeypatch):
    """The name of a dataset of five classes."""
    (tmp_path / "five.py").write_text(
        "KIND = 'arrays'\nCOUNT, TRAIN, TEST = 5, 1000, 500\nMEAN = STD = (0.5, 0.5, 0.5)\n")
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path)])
    return "five"


def test_claims_budget_and_reported_numbers_are_kept():
    plan = resolve(params(
        {"base": {"reported": 93.7}, "early": {"freeze": "early", "reported": {
            "accuracy": 90, "cross_entropy": 0.3}}, "late": {}},
        claims=["base  > early", {"claim": "base.seconds < [early, late]", "note": "why\nnot"}],
        budget={"seconds": 15, "stored_bytes": 1.0e6}))
    assert plan.claims == (Claim("base > early", ""),
                           Claim("base.seconds < [early, late]", "why not"))
    assert plan.budget == {"seconds": 15, "stored_bytes": 1e6}
    assert plan.reported == {"base": {"accuracy": 93.7},
                             "early": {"accuracy": 90, "cross_entropy": 0.3}}


def test_reported_numbers_change_no_run():
    plain, told = (resolve(params({"base": {}, "early": {"freeze": "early"} | own}))
                   for own in ({}, {"reported": 50}))
    assert plain.runs == told.runs and told.runs["early"].changes == {"freeze": "early"}
    assert told.reported == {"early": {"accuracy": 50}} and plain.reported == {}


@pytest.mark.parametrize(("sections", "words"), [
    ({"claims": ["early > base", "base > erly"]},
     ["claims 2: 'base > erly': character 8: 'erly' is no run", "did you mean 'early'"]),
    ({"claims": [{"claim": "base > ", "note": "n"}]}, ["claims 1: 'base >': character 7"]),
    ({"claims": ["base > early", "base >  early"]}, ["claims 2: 'base > early' is there already"]),
    ({"claims": "base > early"}, ["claims: 'base > early' is not allowed", "list of claims", "[]"]),
    ({"claims": None}, ["claims: None is not allowed"]),
    ({"claims": [5]}, ["claims 1: 5 is not allowed", "{claim: text, note: text}"]),
    ({"claims": [{"note": "n"}]}, ["claims 1", "claim: text"]),
    ({"claims": [{"claim": "base > early", "not": "n"}]}, ["claims 1", "note: text"]),
    # What YAML makes of {claim: gap(base, early) > 1}.
    ({"claims": [{"claim": "gap(base", "early) > 1": None}]}, ["claims 1", "in quotes"]),
    ({"claims": ["five.top5 > 90"]}, ["claims 1: 'five.top5 > 90': top5 is always 100 for five",
                                      "has 5 classes", "use accuracy"]),
    ({"budget": {"second": 15}}, ["budget: 'second' is no cost", "did you mean 'seconds'",
                                  "activation_bytes"]),
    ({"budget": {"accuracy": 15}}, ["budget: 'accuracy' is no cost"]),
    ({"budget": {5: 15}}, ["budget: 5 is no cost"]),
    ({"budget": {"seconds": 0}}, ["budget.seconds: 0 is not allowed", "above 0"]),
    ({"budget": {"seconds": "15"}}, ["budget.seconds: '15' is text", "write 15"]),
    ({"budget": {"seconds": True}}, ["budget.seconds: True"]),
    ({"budget": {"seconds": None}}, ["budget.seconds: None"]),
    ({"budget": []}, ["budget: [] is not allowed", "mapping of costs", "or {}"]),
])
def test_bad_claims_and_budgets_are_named(five, sections, words):
    message(params({"base": {}, "early": {"freeze": "early"}, "five": {"dataset": five}},
                   **sections), *words)


@pytest.mark.parametrize(("reported", "words"), [
    (None, ["accuracy: None is not allowed", "0 to 100"]), (101, ["accuracy: 101", "0 to 100"]),
    ("93", ["accuracy: '93' is text", "write 93"]), ({"ecee": 1}, ["'ecee' is no metric", "'ece'"]),
    ({"seconds": 1}, ["'seconds' is no metric", "brier"]), ([93], ["accuracy: [93]"]),
    ({"cross_entropy": -1}, ["cross_entropy: -1", "0 or more"]),
    ({"top5": 99}, ["top5 is always 100", "5 classes"])])
def test_bad_reported_number_is_named(five, reported, words):
    message(params({"mine": {"dataset": five, "reported": reported}}),
            "params.yaml: runs.mine.reported", *words)


def test_reported_numbers_belong_to_a_run():
    message(params() | {"reported": 90}, "reported: unknown knob")
    message(params({"mine": {"reportd": 90}}), "runs.mine.reportd", "did you mean 'reported'")


ABSENT = {"why": "no\nweights", "model": "vit_b_16", "image_size": "weights", "reported": 98.4}


def test_runs_that_are_not_run_change_nothing_but_what_may_be_claimed():
    runs = {"base": {}, "early": {"freeze": "early"}}
    without = resolve(params(runs))
    plan = resolve(params(runs, not_run={"vit": ABSENT, "vgg": {"why": "slow"}}, claims=[
        "vit > base", "v* > early", "base > [early, vgg]"]))
    assert plan.not_run == {
        "vit": NotRun("no weights", {"model": "vit_b_16", "image_size": "weights"}),
        "vgg": NotRun("slow", {})}
    assert plan.reported == {"vit": {"accuracy": 98.4}} and len(plan.claims) == 3
    for part in ("runs", "datasets", "decoded", "weights", "subsets", "compare"):
        assert getattr(plan, part) == getattr(without, part)
    assert without.not_run == resolve(params(runs, not_run=None)).not_run == {}


def test_what_is_not_run_needs_no_files():
    plan = resolve(params(not_run={
        name: {"why": "not here"} | own for name, own in {
            "mine": {"init": "no/such/model.pth"}, "photos": {"dataset": "no/such/folder"},
            "birds": {"dataset": "cub200", "image_size": 224}}.items()}))
    assert list(plan.not_run) == ["mine", "photos", "birds"]
    assert list(plan.datasets) == ["cifar10"]


@pytest.mark.parametrize(("entries", "words"), [
    ({"base": {"why": "w"}}, ["not_run.base: is under runs too"]),
    ({"vit": {"model": "vit_b_16"}}, ["not_run.vit: says no `why`"]),
    ({"vit": None}, ["not_run.vit: says no `why`"]),
    ({"vit": {"why": " "}}, ["not_run.vit.why: ' ' is not allowed", "text"]),
    ({"vit": {"why": True}}, ["not_run.vit.why: True"]),
    ({"a.b": {"why": "w"}}, ["not_run: 'a.b' is no name for a run"]),
    ({"vit": ABSENT | {"modle": "cnn"}}, ["not_run.vit.modle: unknown knob", "'model'"]),
    ({"vit": ABSENT | {"model": "vit_b_61"}}, ["not_run.vit.model: ", "'vit_b_16'"]),
    ({"vit": ABSENT | {"image_size": 100}}, ["not_run.vit.image_size: 100", "multiples of 16"]),
    ({"vit": ABSENT | {"freeze": ["stge1"]}}, ["not_run.vit.freeze: 'stge1'", "'stage1'"]),
    ({"vit": ABSENT | {"momentum": 0.5}}, ["not_run.vit.momentum: has no effect"]),
    ({"vit": ABSENT | {"dataset": "cifra10"}}, ["not_run.vit.dataset: 'cifra10'"]),
    ({"vit": ABSENT | {"reported": 101}}, ["not_run.vit.reported.accuracy: 101"]),
    (["vit"], ["not_run: ['vit'] is not allowed", "mapping", "why"]),
])
def test_bad_runs_that_are_not_run_are_named(entries, words):
    message(params(not_run=entries), *words)


def test_sections_with_runs_that_are_not_run():
    absent = {"not_run": {"vit": ABSENT}}
    message(params(**absent, claims=["vot > base"]), "'vot' is no run", "'vit'")
    message(params(**absent, compare={"pair": ["base", "vit"]}),
            "compare.pair: vit is under not_run")
    message(params({"base": {"why": "w"}}), "runs.base.why: unknown knob")


def test_plan_imports_no_torch():
    # It must answer at once.
    check = ("import sys; from unfreeze.params.settle import resolve; resolve({'runs': {'a': {}}});"
             "sys.exit('torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": str(ROOT / "src")})
    assert done.returncode == 0


# Datasets

@pytest.fixture
def pets(tmp_path, monkeypatch):
    """A working folder with `pets`, 10 images of each of two classes, and a scratch folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (8 + number, 9), (number, 100 * label, 0)).save(
                tmp_path / "pets" / name / f"{number}.png")
    return tmp_path / "pets"


def own(**knobs):
    return params(**{"fraction": 1, "test_fraction": 1} | knobs)


def test_arrays_are_as_ever():
    plan = resolve(params())
    assert plan.decoded == {} and plan.runs["base"].decoded == ""
    assert list(plan.subsets) == ["cifar10-train0.05-val0.1-test0.2-seed42.json",
                                  "cifar10-train0.05-val0.1-test0.2-seed43.json"]


def test_images_of_ones_own_are_known_by_their_content(pets):
    plan = resolve(own(dataset="pets"))
    (name, source), = plan.datasets.items()
    run = plan.runs["base"]
    assert name == f"own-pets-{source.digest[:12]}" == run.knobs["dataset"]
    assert source == ImageSource("photos", path="pets", digest=source.digest)
    assert run.classes == 2 and run.preprocessing.mean is None
    assert run.decoded == f"{name}-square-bilinear-64"
    assert plan.decoded == {
        run.decoded: Decoded(name, 64, "square", "bilinear", ("train", "test"))}
    pets.rename(pets.with_name("other"))
    moved = resolve(own(dataset="./other/"))
    assert list(moved.datasets) == [name.replace("pets", "other")]
    (pets.with_name("other") / "cat" / "0.png").unlink()
    assert list(resolve(own(dataset="other")).datasets) != list(moved.datasets)


@pytest.mark.parametrize("other", [
    {"skip_broken": True}, {"dataset": "./pets/"}, {"dataset": "pets/../pets"}])
def test_images_that_two_runs_name_in_two_ways_are_one_dataset(pets, other):
    plan = resolve(params({"base": {}, "other": other}, dataset="pets", fraction=1,
                          test_fraction=1))
    assert {run.knobs["dataset"] for run in plan.runs.values()} == set(plan.datasets)
    assert len(plan.datasets) == 1


def test_a_link_to_a_folder_is_not_followed_to_see_whether_images_changed(pets):
    (pets / "cat" / "all").symlink_to("/")
    with pytest.raises(UserError, match="cat/all"):
        resolve(own(dataset="pets"))


@pytest.mark.parametrize("knobs, words", [
    ({"dataset": "https://[x/y.zip"}, "'https://[x/y.zip' is no address"),
    ({"dataset": "a\0/b"}, r"dataset: 'a\x00/b' is not allowed"),
    ({"init": "a\0/b.pt"}, r"init: 'a\x00/b.pt' is not allowed")])
def test_what_is_no_path_and_no_address_is_said_so(pets, knobs, words):
    with pytest.raises(UserError) as caught:
        resolve(own(**{"dataset": "pets"} | knobs))
    assert words in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_images_are_read_once_as_long_as_they_do_not_change(pets, monkeypatch):
    before = resolve(own(dataset="pets"))
    monkeypatch.setattr(photos, "scan", None)
    assert resolve(own(dataset="pets", lr=0.5)).datasets == before.datasets


def test_photos_are_decoded_for_each_size_and_way_of_resizing(pets):
    plan = resolve(params({
        "a": {}, "b": {"lr": 0.1}, "c": {"image_size": 32},
        "d": {"resize": "weights", "image_size": "weights", "normalize": "weights"}},
        dataset="pets", fraction=1, test_fraction=1))
    (name,) = plan.datasets
    assert sorted(plan.decoded) == [f"{name}-256-bilinear-224", f"{name}-square-bilinear-32",
                                    f"{name}-square-bilinear-64"]
    assert plan.runs["d"].preprocessing.mean == IMAGENET_MEAN


def test_an_address_is_known_by_itself_until_it_is_fetched():
    address = "https://example.org/a%20b/My pets.tar.gz?download=1"
    plan = resolve(params(dataset=address))
    (name, source), = plan.datasets.items()
    assert re.fullmatch(r"own-My-pets-[0-9a-f]{12}", name)
    assert source == ImageSource("photos", url=address)
    assert plan.runs["base"].classes is None
    assert name not in resolve(params(dataset=address, skip_broken=True)).datasets


@pytest.mark.parametrize(("knobs", "words"), [
    ({"dataset": "no/such"}, ["dataset (of runs.base): 'no/such' is no folder or archive"]),
    ({"dataset": "pets.zip"}, ["'pets.zip' is no folder or archive", ".tar.xz"]),
    ({"dataset": "https://example.org/pets"}, ["is no address of an archive", ".zip"]),
    ({"dataset": "pets", "per_class": 9}, ["per_class", "9 is more than the 8 training images"]),
    ({"dataset": "pets", "fraction": 0.05}, ["fraction (of runs.base)", "of 16 images leaves 1"]),
    ({"dataset": "pets", "test_fraction": 0.2}, ["test_fraction", "of 4 images leaves 1"]),
    ({"dataset": "pets", "claims": ["base.top5 > 1"]}, ["has 2 classes"]),
    ({"dataset": "empty"}, ["empty: holds no images"]),
    ({"dataset": "pets/cat"}, ["pets/cat"]),
])
def test_bad_images_of_ones_own_are_named(pets, knobs, words):
    (pets.parent / "empty").mkdir()
    message(own(**knobs), *words)


@pytest.mark.parametrize(("change", "words"), [
    ({"per_class": 5001}, ["per_class: 5001 is more than the 5000"]),
    ({"per_class": -1}, ["per_class: -1 is not allowed"]),
    ({"per_class": 5, "fraction": 0.1}, ["runs.mine.fraction: has no effect with per_class: 5"]),
    ({"per_class": 5, "select": "best"}, ["runs.mine.select", "leaves none of per_class: 5"]),
    ({"per_class": 2, "validation": 0.9999999}, ["leaves none of per_class: 2 to train on"]),
    ({"skip_broken": True}, ["runs.mine.skip_broken: has no effect with dataset: cifar10"]),
])
def test_bad_few_shots_are_named(change, words):
    message(params({"mine": change}), *words)


def test_per_class_takes_the_place_of_the_fraction():
    plan = resolve(params({"a": {"per_class": 5}, "b": {}}, seeds=[1]))
    assert plan.subsets == {
        "cifar10-each5-val0.1-test0.2-seed1.json": Subset("cifar10", 1, 1.0, 5, 0.1, 0.2),
        "cifar10-train0.05-val0.1-test0.2-seed1.json": Subset("cifar10", 1, 0.05, 0, 0.1, 0.2)}


# epochs: 0

def test_a_model_as_it_is_trains_nothing_and_needs_no_training_images():
    plan = resolve(params(dataset="imagenet", epochs=0, normalize="weights"))
    run = plan.runs["base"]
    assert not run.trains and run.augmentations == {}
    (made,) = plan.decoded.values()
    assert made.splits == ("test",)
    for order in (("a", "b"), ("b", "a")):
        runs = {name: {"a": {"epochs": 0}, "b": {}}[name] for name in order}
        both = resolve(params(runs, dataset="imagenet", normalize="weights"))
        (made,) = both.decoded.values()
        assert made.splits == ("train", "test")


def test_a_model_as_it_is_does_not_depend_on_how_others_are_trained():
    runs = [resolve(params({"base": {"epochs": 0}}, dataset="imagenet", normalize="weights",
                           **knobs)).runs["base"]
            for knobs in ({}, {"freeze": "early", "lr": 0.1, "schedule": "exponential",
                               "weight_decay": 0.1, "flip": False, "tune": "bias"})]
    assert runs[0].phases == runs[1].phases
    assert runs[0].training_knobs == runs[1].training_knobs
    assert runs[0].augmentations == runs[1].augmentations


@pytest.mark.parametrize(("change", "words"), [
    ({"init": "scratch"}, ["runs.mine.epochs: 0 tests a model as it is", "init: scratch"]),
    ({"phases": [{"epochs": 1}]}, ["without phases"]),
    ({"head": "append"}, ["head: append starts anew"]),
    ({"model": "resnet18", "stem": "cifar"}, ["stem: cifar starts anew"]),
    ({"dataset": "cifar10"}, ["for the 1000 classes of ImageNet, not for the 10 of cifar10"]),
])
def test_a_model_that_is_not_whole_is_not_tested_as_it_is(change, words):
    message(params({"mine": {"epochs": 0} | change}, dataset="imagenet", normalize="weights"),
            *words)


def test_no_phase_has_0_epochs():
    message(params({"mine": {"phases": [{"epochs": 0}, {}]}}), "phases 1: epochs: 0")
