"""What is declared of each knob, and the root's params.yaml, which lists them all."""

import re

import pytest
import yaml

from helpers import ROOT
from unfreeze.params import knobs, plugins
from unfreeze.params.knobs import KNOBS, PHASE_KNOBS
from unfreeze.params.sections import NAMES
from unfreeze.params.settle import resolve

TEXT = (ROOT / "params.yaml").read_text()
LISTED = yaml.safe_load(TEXT)
OF_THE_QUESTION = {"search"}  # what the root's study sets, whatever is declared


def comment(name: str) -> str:
    """The comment beside a knob of params.yaml, on one line."""
    lines = re.search(rf"^{name}: .*?(#.*(?:\n +#.*)*)$", TEXT, re.M)[1].splitlines()
    return " ".join(line.strip(" #") for line in lines)


def test_params_yaml_lists_every_knob_in_the_order_of_the_declarations():
    assert [name for name in LISTED if name not in NAMES] == list(KNOBS)


@pytest.mark.parametrize("knob", KNOBS.values(), ids=list(KNOBS))
def test_params_yaml_says_of_a_knob_what_is_declared(knob):
    assert type(LISTED[knob.name]) is type(knob.default)
    # Where the default study asks with another value, the default is said.
    assert LISTED[knob.name] == knob.default or f"Default {knob.default}" in comment(knob.name)
    assert knob.help in comment(knob.name) and knob.unit in comment(knob.name)
    if isinstance(knob.default, str) and "," in knob.allowed.words:
        first = knob.allowed.words.split(", or ")[0]
        names = [word for word in first.split(", ") if re.fullmatch(r"\w+", word)]
        assert all(re.search(rf"\b{word}\b", comment(knob.name)) for word in names)


def test_what_a_phase_may_set_stands_beside_phases():
    assert ", ".join(PHASE_KNOBS) in comment("phases")


@pytest.mark.parametrize("knob", KNOBS.values(), ids=list(KNOBS))
def test_declaration_fits(knob):
    assert knob.allowed.fits(knob.default)
    assert knob.help and "\n" not in knob.help
    assert all(other in KNOBS for other in knob.read_with)
    for other, values in knob.read_with.items():
        assert values and all(KNOBS[other].allowed.fits(value) for value in values)


def test_nothing_but_runs_must_be_there():
    assert resolve({"runs": {"base": {}}}) == resolve(
        knobs.defaults()
        | {"runs": {"base": {}}, "compare": {}, "claims": [], "budget": {}, "not_run": None})


@pytest.mark.parametrize("missing", [
    *(name for name in KNOBS if name not in OF_THE_QUESTION), "compare", "claims", "budget"])
def test_params_of_before_a_knob_was_there_go_on_working(missing):
    listed = LISTED | {"runs": {"base": {}}, "compare": {}, "claims": []}
    given = {key: value for key, value in listed.items() if key != missing}
    if missing in KNOBS:
        assert resolve(given) == resolve(listed | {missing: KNOBS[missing].default})
    else:
        assert not getattr(resolve(given), missing)


def test_a_study_of_five_lines():
    plan = resolve(yaml.safe_load("lr: 0.01\nruns:\n  all: {}\n  head: {freeze: last_only}\n"
                                  "claims: [all > head]\n"))
    assert list(plan.runs) == ["all", "head"] and len(plan.claims) == 1
    assert plan.runs["head"].knobs == {name: knob.default for name, knob in KNOBS.items()} | {
        "lr": 0.01, "freeze": "last_only"}


# Knobs of plugins

DORA = '''"""A method, of which only the declaration is read here."""

import torch  # would take a second

from unfreeze.params.knob import Knob, choice
from unfreeze.params.knob import whole as at_least

KNOBS = (Knob("dora_depth", 3, at_least(1), "of what it adds"), "lora_rank")


def insert(model):
    raise AssertionError
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "_PACKAGE", tmp_path)
    plugins._read.cache_clear()
    yield tmp_path
    plugins._read.cache_clear()


def test_knobs_of_plugins_are_read_without_importing_their_file(package):
    (package / "methods").mkdir()
    (package / "methods/__init__.py").write_text("raise AssertionError")
    (package / "methods/dora.py").write_text(DORA)
    (package / "methods/full.py").write_text("import nothing_that_is_there\n")
    assert plugins.names("methods") == ("dora", "full")
    depth, shared = plugins.read_knobs("methods", "dora")
    assert (depth.name, depth.default, shared) == ("dora_depth", 3, "lora_rank")
    assert depth.allowed.fits(1) and not depth.allowed.fits(0)
    assert plugins.read_knobs("methods", "full") == ()


def test_knobs_of_plugins_may_be_annotated(package):
    (package / "annotated.py").write_text(DORA.replace("KNOBS =", "KNOBS: tuple ="))
    assert len(plugins.read_knobs(".", "annotated")) == 2


def test_what_a_plugin_needs_of_a_model_is_read_the_same_way(package):
    (package / "dora.py").write_text(DORA + '\nNEEDS = ("residual_blocks", "it has no place")\n')
    (package / "full.py").write_text("")
    assert plugins.read_needs(".", "dora") == ("residual_blocks", "it has no place")
    assert plugins.read_needs(".", "full") is None


def test_knobs_of_plugins_that_need_more_are_refused(package):
    (package / "odd.py").write_text("import math\nKNOBS = (math.pi,)\n")
    with pytest.raises(ValueError, match="odd.py: KNOBS may use only"):
        plugins.read_knobs(".", "odd")


def test_a_knob_that_two_methods_read_has_an_effect_with_both(monkeypatch):
    names, read_knobs = plugins.names, plugins.read_knobs

    def names_with_other(folder):
        return (*names(folder), "other") if folder == "tuning/methods" else names(folder)

    def read_with_other(folder, name):
        return ("tinytl_groups", "momentum") if name == "other" else read_knobs(folder, name)

    monkeypatch.setattr(plugins, "names", names_with_other)
    monkeypatch.setattr(plugins, "read_knobs", read_with_other)
    found = knobs.collect()
    assert found["tinytl_groups"].read_with == {"tune": {"tinytl", "other"}}
    assert found["lora_rank"].read_with["tune"] >= {"lora", "dora"}
    assert found["lora_alpha"].read_with["tune"] >= {"lora", "dora"}
    assert found["momentum"].read_with == KNOBS["momentum"].read_with  # everyone's
