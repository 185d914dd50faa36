import copy
import re
import subprocess
import sys

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import PINNED, ROOT, params
from unfreeze import config
from unfreeze.data.datasets import cifar10
from unfreeze.errors import UserError
from unfreeze.models import families
from unfreeze.models.facts import IMAGENET_MEAN, IMAGENET_STD

# Allowed values of each knob, all different from one another, that go together in any combination
# (`momentum` and `gamma` aside, which only some runs may name).
VALUES = {
    "fraction": [0.01, 0.05, 1.0], "validation": [0, 0.1, 0.5], "test_fraction": [0.01, 0.2, 1],
    "seeds": [[0], [42, 43], [2**31 - 1]], "image_size": [32, 64, 224],
    "normalize": ["dataset", "weights"], "model": ["mobilenet_v2", "resnet18"],
    "init": ["pretrained", "scratch"], "stem": ["original", "cifar"],
    "freeze": ["none", "early", "middle", "last_only", [], ["stem", "stage1"], {"train": ["head"]}],
    "frozen_batchnorm": ["eval", "train"], "epochs": [1, 3, 90], "batch_size": [2, 64],
    "optimizer": ["sgd", "adam", "adamw"], "lr": [1e-5, 0.001, 1],
    "lr_scale": [{}, {"stage2": 0.1}], "momentum": [0, 0.9], "weight_decay": [0, 5e-4],
    "schedule": ["constant", "cosine", "exponential"],
    "gamma": [0.5, 1], "label_smoothing": [0, 0.1], "flip": [True, False], "crop_padding": [0, 4],
    "rotation": [0, 15.5, 180],
}
CONDITIONAL = set(config.READ_ONLY_WITH)
QUICK = settings(max_examples=60, deadline=None)


def some_knobs(keys):
    return st.fixed_dictionaries({}, optional={key: st.sampled_from(VALUES[key])
                                               for key in sorted(keys)})


@QUICK
@given(some_knobs(VALUES), some_knobs(VALUES))
def test_override_wins_over_top_level_and_every_knob_is_settled(top, own):
    for key, (other, needed) in config.READ_ONLY_WITH.items():
        if (PINNED | top | own)[other] != needed:
            own.pop(key, None)
    given_params = params({"base": {}, "other": own}, **top)
    runs = config.resolve(given_params).runs
    assert list(runs) == ["base", "other"]
    for name, overrides in given_params["runs"].items():
        wanted = {key: value for key, value in given_params.items() if key != "runs"} | overrides
        assert {key: runs[name][key] for key in config.KNOBS} == wanted


@QUICK
@given(st.lists(some_knobs(set(VALUES) - CONDITIONAL), min_size=1, max_size=4), st.data())
def test_top_level_change_reaches_exactly_the_runs_that_inherit_it(overrides, data):
    runs = {f"run{i}": own for i, own in enumerate(overrides)}
    key = data.draw(st.sampled_from(sorted(VALUES)))
    value = data.draw(st.sampled_from([v for v in VALUES[key] if v != PINNED[key]]))
    before, after = (config.resolve(p).runs for p in (params(runs), params(runs, **{key: value})))
    assert {name for name in runs if before[name] != after[name]} == {
        name for name, own in runs.items() if key not in own}


@QUICK
@given(some_knobs(set(VALUES) - CONDITIONAL))
def test_resolve_leaves_its_input_alone_and_gives_plain_data(own):
    given_params = params({"base": own})
    kept = copy.deepcopy(given_params)
    runs = config.resolve(given_params).runs
    assert given_params == kept
    assert yaml.safe_load(yaml.safe_dump(runs)) == runs  # plan/runs.yaml can hold it


def test_project_params_are_valid():
    real = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert set(config.resolve(real).runs) == set(real["runs"])


def test_every_knob_is_pinned_here():
    # A new knob needs a pinned value and a row of VALUES, or the properties above miss it.
    assert set(PINNED) == set(config.KNOBS)
    assert set(VALUES) == set(config.KNOBS) - {"dataset"}


def test_run_without_overrides_may_be_empty():
    assert config.resolve(params({"base": None})).runs == config.resolve(params()).runs


def test_plan_lists_each_input_once_and_only_what_is_needed():
    plan = config.resolve(params({
        "a": {}, "b": {"freeze": "early"}, "c": {"model": "resnet18", "fraction": 0.1,
                                                 "seeds": [7], "init": "scratch"}}))
    assert plan.datasets == ["cifar10"]
    assert plan.weights == {"mobilenet_v2-imagenet1k_v1": "mobilenet_v2"}
    same = {"dataset": "cifar10", "validation": 0.1, "test_fraction": 0.2}
    assert list(plan.subsets.values()) == [same | {"fraction": 0.05, "seed": 42},
                                           same | {"fraction": 0.05, "seed": 43},
                                           same | {"fraction": 0.1, "seed": 7}]
    assert list(plan.subsets) == [file for run in ("a", "c")
                                  for file in plan.runs[run]["subsets"].values()]


def test_same_fraction_written_differently_is_the_same_subset():
    plan = config.resolve(params({"a": {"fraction": 1}, "b": {"fraction": 1.0}}))
    assert len(plan.subsets) == 2  # two seeds
    assert plan.runs["a"]["subsets"] == plan.runs["b"]["subsets"]


def test_normalisation_follows_its_knob():
    runs = config.resolve(params({"a": {}, "b": {"normalize": "weights"}})).runs
    assert runs["a"]["normalization"] == {"mean": list(cifar10.MEAN), "std": list(cifar10.STD)}
    assert runs["b"]["normalization"] == {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}


def test_training_knobs_leave_out_what_is_not_read():
    runs = config.resolve(params({"plain": {}, "all": {
        "optimizer": "sgd", "momentum": 0.5, "schedule": "exponential", "gamma": 0.5,
        "freeze": "early"}})).runs
    plain, everything = (config.training_knobs(runs[name]) for name in ("plain", "all"))
    assert set(everything) - set(plain) == {"momentum", "gamma", "frozen_batchnorm"}
    assert (everything["momentum"], everything["gamma"]) == (0.5, 0.5)
    # They reach training through the parts, the subset, the normalisation and the weights.
    assert set(config.KNOBS) - set(everything) == {
        "dataset", "fraction", "validation", "test_fraction", "seeds", "normalize", "freeze",
        "lr_scale"}


def test_smallest_image_is_the_stride():
    for model, family in families().items():
        for stem, stride in family.MODELS[model].strides.items():
            own = {"model": model, "stem": stem}
            config.resolve(params({"a": own | {"image_size": stride}}))
            with pytest.raises(UserError, match=f"too small.*{stride} or more"):
                config.resolve(params({"a": own | {"image_size": stride - 1}}))


NAN, INFINITY = float("nan"), float("inf")

# (a top-level change, words that the message must have besides the knob's name).
BAD_VALUES = [
    ({"dataset": "cifra10"}, ["'cifra10'", "did you mean 'cifar10'"]),
    ({"dataset": 10}, ["10 is not allowed"]),
    ({"model": "resnet81"}, ["'resnet81'", "did you mean 'resnet18'", "mobilenet_v2"]),
    ({"model": None}, ["None"]),
    ({"init": "pretrianed"}, ["'pretrianed'", "did you mean 'pretrained'", "scratch"]),
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
        config.resolve(given_params)
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
    (params({"mine": "early"}), ["runs.mine", "'early' is not allowed", "mapping"]),
    (params({"mine": ["early"]}), ["runs.mine", "mapping"]),
    (params({}), ["runs", "at least one run"]),
    (params() | {"runs": None}, ["runs", "at least one run"]),
    (params() | {"runs": ["base"]}, ["runs", "at least one run"]),
    *((params({name: {}}), ["runs", repr(name), "letters"])
      for name in ("v1.5", "a/b", "two words", "", "ünlaut", "new\n", 5, True, None)),
    *(({key: value for key, value in params().items() if key != gone}, [f"{gone} is missing"])
      for gone in ("lr", "freeze", "runs", "seeds")),
    (None, ["mapping"]),
    ([], ["mapping"]),
    ("freeze: early", ["mapping"]),
]


@pytest.mark.parametrize(("wrong", "words"), BAD_SHAPES, ids=lambda part: str(part)[-60:])
def test_bad_shape_is_named(wrong, words):
    message(wrong, *words)


@pytest.mark.parametrize("key", [k for k, knob in config.KNOBS.items() if knob.number])
def test_number_written_as_text_is_told_a_spelling_that_works(key):
    good, text = 1e-5, "1e-5"
    if key in ("epochs", "batch_size", "image_size", "crop_padding"):
        good, text = 64, "64"
    elif key in ("fraction", "test_fraction"):
        good, text = 0.05, "5e-2"
    advice = re.search(r"write (\S+)$", message(params(**{key: text}), "is text"))[1]
    assert config.resolve(params(**{key: yaml.safe_load(advice)})).runs["base"][key] == good


def test_a_number_as_dvc_writes_it_is_a_number():
    # `dvc exp run -S lr=0.00001` writes 1e-05, which YAML takes for text.
    plan = config.resolve(params(lr="1e-05", lr_scale={"stem": "2e-05"}))
    assert plan.runs["base"]["lr"] == 1e-5
    assert plan.runs["base"]["lr_scale"] == {"stem": 2e-5}


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_text_that_is_no_finite_number_is_not_recommended(text):
    assert "write" not in message(params(lr=text), "lr")


def test_unknown_key_of_two_lines_stays_on_one_line():
    message(params() | {"two\nlines": 1}, "unknown knob")


def test_suggestion_looks_past_capitals():
    message(params(optimizer="adamW"), "did you mean 'adamw'")  # and not adam


def test_huge_whole_number_is_a_clear_error():
    message(params(fraction=10**400), "fraction", "at most 1")


def test_config_imports_no_torch():
    # `plan` must answer at once.
    check = "import sys, unfreeze.config; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": str(ROOT / "src")})
    assert done.returncode == 0
