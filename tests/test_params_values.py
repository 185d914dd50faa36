"""What params.yaml may not say, in one line each: values, shapes, and what cannot go together."""

import re

import pytest
import yaml

from helpers import message, params
from unfreeze.params.knobs import KNOBS
from unfreeze.params.settle import resolve

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
    ({"tune": "biass"}, ["did you mean 'bias'", "full, lora, norm, ssf, tinytl"]),
    ({"lora_rank": 0}, ["1 or more"]),
    ({"lora_rank": 1.5}, ["1.5", "whole number"]),
    ({"lora_alpha": 0}, ["above 0"]),
    ({"lora_layers": []}, ["[] is not allowed", "all, or a list of names"]),
    ({"lora_layers": "layer4.*"}, ["'layer4.*' is not allowed", "list"]),
    ({"lora_layers": [4]}, ["[4]"]),
    ({"tinytl_groups": 0}, ["1 or more"]),
    *(({name: value}, [f"{value} is not allowed", words]) for name, value, words in [
        ("adaptformer_width", 0, "1 or more"), ("adaptformer_scale", 0, "above 0"),
        ("convpass_width", 2.5, "a whole number"), ("convpass_scale", -1, "above 0"),
        ("vpt_tokens", 0, "1 or more")]),
    ({"vpt_depth": "deeep"}, ["did you mean 'deep'", "shallow"]),
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
    ({"lr": "fast" * 999}, ["lr: 'fastfast", "(3,798 characters)", "fast' is not allowed"]),
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
          ("head_width", 8, "head", "mlp"), ("lora_rank", 2, "tune", "dora or lora"),
          ("lora_alpha", 2, "tune", "dora or lora"), ("lora_layers", "all", "tune", "dora or lora"),
          ("tinytl_groups", 1, "tune", "tinytl"), ("vpt_tokens", 5, "tune", "vpt"),
          ("adaptformer_width", 8, "tune", "adaptformer"),
          ("convpass_scale", 0.1, "tune", "convpass")]),
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
    *(({"tune": tune}, "tune", [f"{tune} has no place in mobilenet_v2", "dora, lora or ssf"])
      for tune in ("adaptformer", "convpass", "vpt")),
    ({"model": "swin_t", "tune": "vpt"}, "tune", ["vpt has no place in swin_t", "absolute"]),
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


def test_crop_no_larger_than_the_image():
    message(params({"mine": {"crop_padding": 65}}), "runs.mine.crop_padding: 65", "0 to 64")


@pytest.mark.parametrize("key", [k for k, knob in KNOBS.items() if knob.allowed.number])
def test_number_written_as_text_is_told_a_spelling_that_works(key):
    good, text = 1e-5, "1e-5"
    if key in ("epochs", "batch_size", "image_size", "crop_padding", "resize", "head_width",
               "lora_rank", "tinytl_groups", "adaptformer_width", "convpass_width", "vpt_tokens",
               "accumulate", "patience", "per_class", "threads",
               "search_folds"):
        good, text = 64, "64"
    elif key == "warmup_epochs":
        good, text = 2, "2"
    elif key in ("fraction", "test_fraction"):
        good, text = 0.05, "5e-2"
    searched = {"search": {"lr": [0.1, 0.2]}} if KNOBS[key].with_search else {}
    advice = re.search(r"write (\S+)$", message(params(**{key: text}), "is text"))[1]
    plan = resolve(params(**searched, **{key: yaml.safe_load(advice)}))
    assert plan.runs["base"].knobs[key] == good


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_text_that_is_no_finite_number_is_not_recommended(text):
    assert "write" not in message(params(lr=text), "lr")


def test_unknown_key_of_two_lines_stays_on_one_line():
    message(params() | {"two\nlines": 1}, "unknown knob")


def test_suggestion_looks_past_capitals():
    message(params(optimizer="adamW"), "did you mean 'adamw'")  # and not adam


def test_huge_whole_number_is_a_clear_error():
    message(params(fraction=10**400), "fraction", "at most 1")
