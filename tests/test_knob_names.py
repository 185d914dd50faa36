"""A knob has one name, from params.yaml over plan and recipe to the code that reads it, and goes
that way as the user wrote it."""

import ast
import functools
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from helpers import ROOT
from unfreeze.data.reading import augmentations
from unfreeze.params import plugins
from unfreeze.params.knob import Knob
from unfreeze.params.knobs import AUGMENTATIONS, CHOSEN_BY, KNOBS, PHASE_KNOBS
from unfreeze.params.plan import Run
from unfreeze.params.settle import resolve

OF_PLUGINS = sorted({
    knob.name for folder in CHOSEN_BY.values() for name in plugins.names(folder)
    for knob in plugins.read_knobs(folder, name) if isinstance(knob, Knob)})
# What mappings of knobs are called where they are read.
MAPPINGS = {"knobs", "training_knobs", "phase", "_phase", "changes", "params", "first", "second"}

# A value other than the default, where neither a number nor another choice is one.
OTHERS = {"dataset": "cifar100", "image_size": 96, "resize": 70, "seeds": [7], "model": "resnet18",
          "init": "scratch", "dropout": 0.25, "freeze": {"last": 2}, "lora_layers": ["features.*"],
          "phases": [{"epochs": 1}, {"epochs": 2, "freeze": "early"}], "lr_scale": {"head": 2.0},
          "tinytl_groups": 4, "tune": "bias", "search": {"clip_norm": [0.5, 1.5]},
          "search_seeds": [3]}
# Without which a knob has no effect, besides what it declares itself.
BESIDES = {"frozen_batchnorm": {"freeze": "early"}, "decay_biases_and_norms": {"weight_decay": 0.1},
           "warmup_epochs": {"epochs": 3}, "tune": {"freeze": "none"},
           **dict.fromkeys(("adaptformer_width", "adaptformer_scale", "convpass_width",
                            "convpass_scale", "vpt_depth", "vpt_tokens"), {"model": "vit_b_16"})}


@functools.cache
def all_nodes() -> dict[Path, list[ast.AST]]:
    """Of every module of this project."""
    return {path.relative_to(ROOT): list(ast.walk(ast.parse(path.read_text()))) for path in sorted(
        chain((ROOT / "src").rglob("*.py"), (ROOT / "stages").glob("*.py")))}


def other(name: str) -> Any:
    knob = KNOBS[name]
    if name in OTHERS:
        return OTHERS[name]
    words = knob.allowed.words.split(", ") if isinstance(knob.default, str) else []
    return next(value for value in (True, False, 2, 0.25, *words)
                if knob.allowed.fits(value) and value != knob.default)


def run_with(name: str) -> Run:
    """A run under another value of that knob, with all that gives it an effect."""
    needed = {key: sorted(values)[0] for key, values in KNOBS[name].read_with.items()}
    if KNOBS[name].with_search:
        needed["search"] = OTHERS["search"]
    return resolve({**needed, **BESIDES.get(name, {}), name: other(name),
                    "runs": {"base": {}}}).runs["base"]


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_travels_under_its_name_as_written(name):
    run = run_with(name)
    assert run.knobs[name] == other(name) != KNOBS[name].default
    places = [run.training_knobs, run.augmentations, *(phase.knobs for phase in run.phases)]
    assert all(words.keys() <= KNOBS.keys() for words in places)
    if name in AUGMENTATIONS and not augmentations.is_on(other(name)):
        assert not any(name in words for words in places)
    elif KNOBS[name].training:
        assert [words[name] for words in places if name in words] == [other(name)]
    else:
        assert not any(name in words for words in places)


def declarations() -> Iterator[str]:
    for nodes in all_nodes().values():
        for node in nodes:
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Knob":
                yield node.args[0].value


def test_every_knob_is_declared_once():
    assert sorted(declarations()) == sorted(KNOBS)


def key_of(node: ast.AST) -> str | None:
    """`lr` of `knobs["lr"]`, of whatever mapping of knobs; also of `float(knobs["lr"])`."""
    if isinstance(node, ast.Call) and len(node.args) == 1 and isinstance(node.func, ast.Name):
        node = node.args[0]
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        mapping = getattr(node.value, "id", getattr(node.value, "attr", None))
        return node.slice.value if mapping in MAPPINGS else None
    return None


def test_every_knob_is_read_by_its_name():
    """What training reads, by code outside params/; an augmentation is the file of its name."""
    read = {path: {key_of(node) for node in nodes} for path, nodes in all_nodes().items()}
    for name, knob in KNOBS.items():
        if name in AUGMENTATIONS:
            assert name in augmentations.names()
            continue
        readers = [path for path, names in read.items() if name in names
                   and not (knob.training and "params" in path.parts)]
        assert readers, f"{name} is declared and never read"


def test_no_mapping_holds_a_knob_under_another_name():
    for path, nodes in all_nodes().items():
        for node in nodes:
            pairs = []
            if isinstance(node, ast.Dict):
                pairs = [(key.value, value) for key, value in zip(
                    node.keys, node.values, strict=True) if isinstance(key, ast.Constant)]
            elif isinstance(node, ast.Assign):
                pairs = [(target.slice.value, node.value) for target in node.targets
                         if isinstance(target, ast.Subscript)
                         and isinstance(target.slice, ast.Constant)]
            for key, value in pairs:
                assert key_of(value) in (None, key), f"{path}:{node.lineno}: {key}"


@pytest.mark.parametrize("name", OF_PLUGINS)
def test_what_a_plugin_declares_stands_in_files_of_plugins_alone(name):
    holders = {path for path, nodes in all_nodes().items() for node in nodes
               if isinstance(node, ast.Constant) and node.value == name}
    assert holders and all(
        any(path.is_relative_to(f"src/unfreeze/{folder}") for folder in CHOSEN_BY.values())
        for path in holders), holders


def test_phases_set_what_is_said_to_be_theirs():
    run = run_with("phases")
    assert all(phase.knobs.keys() <= {*PHASE_KNOBS} for phase in run.phases)
    assert [phase.knobs["freeze"] for phase in run.phases] == ["none", "early"]
