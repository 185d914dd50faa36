"""Pairs, claims, a budget, reported numbers, and runs that are not run."""


import pytest

from helpers import message, params
from unfreeze.data import catalogue as datasets
from unfreeze.params.plan import (
    Claim,
    NotRun,
)
from unfreeze.params.settle import resolve


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


def test_a_reported_curve_is_kept_apart_from_the_scores():
    plan = resolve(params({"base": {"reported": {"accuracy": 90, "train_accuracy": [40, 81.5]}}}))
    assert plan.reported == {"base": {"accuracy": 90}}
    assert plan.reported_curves == {"base": (40, 81.5)}


@pytest.mark.parametrize(("curve", "words"), [
    (81.5, ["runs.base.reported.train_accuracy: 81.5 is not allowed", "a number an epoch"]),
    ([40, 101], ["runs.base.reported.train_accuracy 2", "101"])])
def test_a_curve_that_is_none_is_refused(curve, words):
    message(params({"base": {"reported": {"train_accuracy": curve}}}), *words)


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
    ({"a" * 101: {"why": "w"}}, ["is no name for a run", "101 characters are too many"]),
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
