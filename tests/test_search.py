"""`search:` from params.yaml to the candidates in the plan, and all that is wrong with one."""

import math

import pytest

from helpers import message, params
from unfreeze.params import search
from unfreeze.params.knobs import KNOBS
from unfreeze.params.settle import resolve

LR = {"lr": [0.001, 0.01]}
RANGE = {"lr": {"from": 1e-4, "to": 1e-2}}


def candidates(written, **knobs):
    return [each.values for each in
            resolve(params(search=written, **knobs)).searches["base"].candidates]


# --- Grids and draws


def test_a_grid_is_every_combination_as_written():
    assert candidates({"lr": [0.01, 0.001], "freeze": ["none", {"last": 2}]}) == [
        {"lr": 0.01, "freeze": "none"}, {"lr": 0.01, "freeze": {"last": 2}},
        {"lr": 0.001, "freeze": "none"}, {"lr": 0.001, "freeze": {"last": 2}}]


def test_draws_lie_in_their_range_evenly_by_factors_where_rates_do():
    drawn = candidates({"lr": {"from": 1e-5, "to": 1e-1}, "label_smoothing": {
        "from": 0.0, "to": 0.5}, "epochs": {"from": 1, "to": 4}, "trials": 200})
    rates = sorted(math.log10(each["lr"]) for each in drawn)
    assert -5 <= rates[0] and rates[-1] <= -1
    assert abs(rates[100] + 3) < 0.4  # 1e-3 in the middle, not 0.05
    smoothing = sorted(each["label_smoothing"] for each in drawn)
    assert 0 <= smoothing[0] and smoothing[-1] <= 0.5 and abs(smoothing[100] - 0.25) < 0.06
    assert {each["epochs"] for each in drawn} == {1, 2, 3, 4}
    assert all(float(f"{each['lr']:.3g}") == each["lr"] for each in drawn)


def test_a_range_that_starts_at_0_is_drawn_evenly():
    drawn = candidates({"weight_decay": {"from": 0, "to": 1.0}, "trials": 100})
    assert abs(sorted(each["weight_decay"] for each in drawn)[50] - 0.5) < 0.15


def test_one_more_draw_leaves_the_others():
    lists = {**RANGE, "optimizer": ["sgd", "adam"]}
    fewer, more = (candidates({**lists, "trials": trials}) for trials in (5, 6))
    assert more[:5] == fewer and len(more) == 6
    other = candidates({**lists, "trials": 5}, search_seeds=[7])
    assert other != fewer


def test_draws_from_lists_alone_are_different():
    drawn = candidates({"lr": [0.1, 0.01, 0.001], "ema": [0.9, 0.99], "trials": 6})
    assert len({tuple(each.items()) for each in drawn}) == 6


# --- What a search settles


def test_every_candidate_is_settled_as_a_run_of_its_own_would_be():
    grid = {"model": ["resnet18", "mobilenet_v2"], "image_size": [96, "weights"]}
    plan = resolve(params(search=grid))
    for candidate in plan.searches["base"].candidates:
        alone = resolve(params({"base": dict(candidate.values)}, train_on="all")).runs["base"]
        run = candidate.run
        for part in ("training_knobs", "augmentations", "phases", "preprocessing", "weights",
                     "subsets", "decoded"):
            assert getattr(run, part) == getattr(alone, part) or part == "training_knobs"
        assert run.training_knobs == {**alone.training_knobs, "train_on": "train"}
    assert set(plan.weights) == {"resnet18-imagenet1k_v1", "mobilenet_v2-imagenet1k_v1"}
    assert plan.runs["base"] == plan.searches["base"].candidates[0].run


def test_photos_are_decoded_at_every_size_that_is_tried():
    plan = resolve(params({"base": {"search": {"image_size": [64, 96]}}}, dataset="cub200",
                          fraction=1.0, test_fraction=1.0))
    assert [each.image_size for each in plan.decoded.values()] == [64, 96]


def test_a_search_changes_nothing_of_other_runs():
    runs = {"base": {}, "other": {"tune": "bias"}}
    without, searched = resolve(params(runs)), resolve(params({**runs, "other": {
        "tune": "bias", "search": LR}}))
    assert searched.runs["base"] == without.runs["base"]
    assert list(searched.searches) == ["other"]
    more = resolve(params({**runs, "other": {"tune": "bias", "search": {"lr": [*LR["lr"], 0.1]}}}))
    assert more.runs["base"] == without.runs["base"]
    before, after = ([(each.values, each.run.training_knobs, each.run.phases)
                      for each in plan.searches["other"].candidates] for plan in (searched, more))
    assert after[:2] == before and len(after) == 3


def test_a_runs_own_search_stands_in_place_of_that_of_all():
    plan = resolve(params({"a": {}, "b": {"search": {"ema": [0.9, 0.99]}}, "c": {"search": {}}},
                          search=LR))
    assert {name: found.candidates[0].values for name, found in plan.searches.items()} == {
        "a": {"lr": 0.001}, "b": {"ema": 0.9}}


def test_what_is_not_run_is_not_searched():
    absent = {"vit": {"why": "slow", "model": "vit_b_16", "validation": 0, "seeds": [0]}}
    assert list(resolve(params(not_run=absent, search=LR, seeds=[5])).searches) == ["base"]
    message(params(not_run={"vit": {"why": "slow", "search": LR}}), "not_run.vit.search",
            "leave it out")


@pytest.mark.parametrize(("train_on", "searched", "settled"), [
    ("auto", {}, "train"), ("auto", LR, "all"), ("all", {}, "all"), ("train", LR, "train")])
def test_what_is_trained_on_goes_by_whether_there_was_a_search(train_on, searched, settled):
    run = resolve(params(search=searched, train_on=train_on)).runs["base"]
    assert run.training_knobs["train_on"] == settled and run.knobs["train_on"] == train_on


# --- What trials are scored on


def trial_files(**knobs):
    plan = resolve(params(search=LR, **knobs))
    (found,) = plan.searches.values()
    return plan, found.subsets


def test_many_validation_images_are_enough():
    plan, files = trial_files(validation=0.1, fraction=0.04, search_seeds=[0, 1])  # 200 images
    assert files == {seed: (f"cifar10-train0.04-val0.1-test0.2-seed{seed}.json",)
                     for seed in (0, 1)}
    assert {files[seed][0] for seed in (0, 1)} < set(plan.subsets)


def test_few_validation_images_mean_cross_validation():
    plan, files = trial_files(validation=0.1, fraction=0.039)
    assert len(files[0]) == search.FOLDS
    for number, file in enumerate(files[0]):
        drawn = plan.subsets[file]
        assert (drawn.fold, drawn.folds, drawn.seed) == (number, 5, 0)
        assert file == f"cifar10-train0.039-fold{number + 1}of5-seed0.json"
    assert len(trial_files(per_class=20, validation=0.1)[1][0]) == search.FOLDS
    assert len(trial_files(validation=0)[1][0]) == search.FOLDS
    assert len(trial_files(per_class=300, validation=0.1)[1][0]) == 1
    assert len(trial_files(fraction=1.0, search_folds=3)[1][0]) == 3


def test_folds_are_the_same_whatever_is_held_out_or_tested_otherwise():
    one, two = (trial_files(fraction=0.01, validation=validation, test_fraction=test)
                for validation, test in ((0.1, 0.2), (0.2, 0.5)))
    assert one[1] == two[1]
    (file, *_) = one[1][0]
    assert one[0].subsets[file] == two[0].subsets[file]


# --- Epochs by work


def test_epochs_may_be_given_as_work():
    plan = resolve(params({"base": {}, "cheap": {"freeze": "last_only", "epochs": {
        "like": "base"}}, "most": {"epochs": {"operations": 1e12}}}))
    assert plan.runs["cheap"].phases[0].knobs["epochs"] == {"like": "base"}
    assert plan.runs["most"].trains and plan.runs["cheap"].trains


def test_phases_without_epochs_of_their_own_take_them_by_work():
    run = resolve(params(phases=[{"freeze": "last_only", "epochs": 1}, {}],
                         epochs={"operations": 1e12})).runs["base"]
    assert [phase.knobs["epochs"] for phase in run.phases] == [1, {"operations": 1e12}]


@pytest.mark.parametrize(("runs", "words"), [
    ({"base": {"epochs": {"like": "base"}}}, ["{like: base}: is this run itself"]),
    ({"base": {"epochs": {"like": "bsae"}}, "basic": {}},
     ["runs.base.epochs", "'bsae' is no run", "allowed: basic"]),
    ({"base": {"epochs": {"like": "vit"}}}, ["vit is under not_run"]),
    ({"base": {"epochs": {"like": "b"}}, "b": {"search": {"epochs": [3, 10]}}},
     ["the epochs of b are searched", "{operations: number}"]),
    ({"base": {"epochs": {"like": "b"}}, "b": {"epochs": {"like": "base"}}},
     ["b is itself like base"]),
    ({"base": {"epochs": {"like": "b"}}, "b": {"epochs": {"like": "c"}}, "c": {}}, ["name c"]),
    ({"base": {"search": {"epochs": [3, {"like": "bsae"}]}}},
     ["runs.base.search.epochs: {like: bsae}"]),
    ({"base": {"phases": [{"epochs": {"operations": 1e12}}]}},
     ["runs.base.phases 1: epochs", "in a phase"]),
    ({"base": {"epochs": {"operations": 0}}}, ["runs.base.epochs: {'operations': 0}", "above 0"]),
    ({"base": {"epochs": {"operations": 1e12, "like": "b"}}}, ["runs.base.epochs", "like: run"]),
])
def test_work_that_cannot_be_told_is_named(runs, words):
    message(params(runs, not_run={"vit": {"why": "slow"}}), *words)


def test_what_tests_a_model_as_it_is_takes_no_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.pth").write_bytes(b"one")
    as_it_is = {"epochs": 0, "init": "mine.pth"}
    message(params({"base": {"epochs": {"like": "b"}}, "b": as_it_is}), "b tests a model as it is")
    message(params({"b": as_it_is | {"search": LR}}), "runs.b.search", "epochs: 0")


# --- What is wrong


@pytest.mark.parametrize(("written", "words"), [
    ([1], ["search: [1] is not allowed", "mapping"]),
    ({"lrr": [1, 2]}, ["search.lrr: unknown knob", "did you mean 'lr'"]),
    ({"trial": 3, "lr": [1, 2]}, ["search.trial: unknown knob", "'trials'"]),
    ({"seeds": [[1], [2]]}, ["search.seeds: cannot be searched", "on the same images"]),
    ({"search": [{}, {}]}, ["search.search: cannot be searched"]),
    ({"lr": [0.1]}, ["search.lr: [0.1] is one candidate", "set lr: 0.1"]),
    ({"lr": []}, ["search.lr: [] is not allowed", "list of candidates"]),
    ({"lr": 0.1}, ["search.lr: 0.1 is not allowed", "list of candidates"]),
    ({"lr": [0.1, -1]}, ["search.lr: -1 is not allowed", "above 0"]),
    ({"lr": [0.1, "1"]}, ["search.lr: '1' is text to YAML", "write 1"]),
    ({"freeze": ["early", "erly"]}, ["search.freeze: 'erly' is not allowed", "'early'"]),
    ({"lr": [0.1, 0.1]}, ["come to the same recipe", "leave one out"]),
    ({"lr": [1, 1.0]}, ["come to the same recipe"]),
    ({"momentum": [0.5, 0.9]}, ["search.momentum: has no effect with optimizer: adam"]),
    ({"frozen_batchnorm": ["eval", "train"]}, ["search.frozen_batchnorm: has no effect"]),
    ({**RANGE, "frozen_batchnorm": ["eval", "train"], "trials": 4},
     ["search.frozen_batchnorm: has no effect"]),
    (RANGE, ["search.lr", "is a range", "add trials"]),
    ({"lr": {"from": 1e-2, "to": 1e-4}, "trials": 3}, ["search.lr: from 0.01 to 0.0001 is empty"]),
    ({"lr": {"from": 0, "to": 1}, "trials": 3}, ["search.lr.from: 0 is not allowed"]),
    ({"lr": {"from": 0.1}, "trials": 3}, ["search.lr", "range", "to:"]),
    ({"dropout": {"from": "model", "to": 0.5}, "trials": 3}, ["search.dropout.from", "number"]),
    ({"tune": {"from": "full", "to": "bias"}, "trials": 3}, ["search.tune", "no number"]),
    ({"epochs": [0, 3]}, ["search.epochs: 0 tests a model as it is"]),
    ({"epochs": {"from": 0, "to": 3}, "trials": 3}, ["search.epochs.from: 0"]),
    ({**LR, "trials": 3}, ["search.trials: 3 is more than the 2 candidates"]),
    ({**RANGE, "trials": 1}, ["search.trials: 1 is not allowed", "2 or more"]),
    ({**RANGE, "trials": 10**6}, ["search.trials: 1000000"]),
    ({**LR, "operations": "1e13"}, ["search.operations: '1e13' is text"]),
    ({**LR, "operations": -1}, ["search.operations: -1"]),
    ({**LR, "halving": 1}, ["search.halving: 1"]),
    ({**LR, "halving": 3}, ["search.halving: 3 needs as many candidates"]),
    ({"lr": [1, 2, 3, 4], "halving": 4}, ["search.halving: 4 needs as many epochs"]),
    ({"trials": 3}, ["search: names no knob"]),
    ({"image_size": [64, 16]}, ["search.image_size: 16 is too small"]),
    ({"warmup_epochs": [1, 5]}, ["search.warmup_epochs: 5 leaves none of epochs: 3"]),
    ({"phases": [[], [{"lrr": 1}]]}, ["search.phases: 1: lrr: no knob of a phase"]),
    ({"lr": [0.001 * (1 + n) for n in range(40)], "ema": [0.01 * n for n in range(40)]},
     ["makes 1,600 candidates", "trials: 20"]),
])
def test_what_is_wrong_with_a_search_is_one_line(written, words):
    text = message(params({"mine": {"search": written}}), *words)
    assert text.startswith("params.yaml: runs.mine.search")


def test_a_knob_is_set_or_searched():
    message(params({"mine": {"search": LR, "lr": 0.1}}), "runs.mine.lr: 0.1 is searched")
    message(params({"mine": {"lr": 0.1}}, search=LR), "runs.mine.lr: 0.1 is searched",
            "set search: {} in this run")
    message(params({"mine": {"search": LR, "phases": [{"lr": 0.1}]}}),
            "runs.mine.search.lr: has no effect, because every phase sets lr")


def test_a_search_of_all_runs_that_one_does_not_read_says_what_to_do():
    text = message(params({"a": {"optimizer": "sgd"}, "b": {}}, search={"momentum": [0.5, 0.9]}),
                   "search.momentum (of runs.b): has no effect")
    assert text.endswith("or set search: {} in this run")


@pytest.mark.parametrize(("own", "words"), [
    ({"search": LR, "seeds": [5, 0]}, ["search_seeds (of runs.mine): 0 is among seeds: [5, 0]"]),
    ({"search": LR, "validation": 0, "search_folds": 1},
     ["runs.mine.search_folds: 1 scores trials on validation images", "validation: 0 leaves none"]),
    ({"search": LR, "per_class": 5, "validation": 0.1, "search_folds": 1},
     ["runs.mine.search_folds: 1 scores trials"]),
    ({"search": LR, "per_class": 1, "validation": 0}, ["search_folds (of runs.mine): 5 folds need",
                                                       "two of each class"]),
    ({"search_seeds": [3]}, ["runs.mine.search_seeds: has no effect", "nothing is searched"]),
    ({"choose_by": "accuracy"}, ["runs.mine.choose_by: has no effect"]),
    ({"search": LR, "choose_by": "acuracy"}, ["runs.mine.choose_by: 'acuracy'", "accuracy"]),
    ({"search": LR, "select": "best", "train_on": "train", "validation": 0},
     ["runs.mine.select: best looks at validation images"]),
    ({"select": "best", "train_on": "all"},
     ["runs.mine.select: best looks at validation images, and train_on: all"]),
])
def test_what_a_search_needs_besides(own, words):
    message(params({"mine": own}), *words)


def test_a_fold_tells_the_best_epoch_where_no_images_are_held_out():
    plan = resolve(params({"mine": {"search": LR, "select": "best", "validation": 0}},
                          train_on="auto"))
    assert plan.runs["mine"].training_knobs["select"] == "best"


def test_what_is_searchable():
    assert {name for name in KNOBS if name not in search.SEARCHABLE} == {
        "dataset", "skip_broken", "fraction", "per_class", "validation", "train_on",
        "test_fraction", "seeds", "threads", "search", "search_seeds", "search_folds", "choose_by"}


def test_a_run_whose_model_is_searched_is_in_no_pair():
    runs = {"a": {}, "b": {"search": {"model": ["resnet18", "mobilenet_v2"]}}}
    message(params(runs, compare={"pair": ["a", "b"]}), "compare.pair: the model of b is searched")


# --- By what runs are compared


def test_score_margin_and_worth():
    plan = resolve(params(score="balanced_accuracy", margin=0, worth=0.5))
    assert (plan.score, plan.margin, plan.worth) == ("balanced_accuracy", 0, 0.5)
    given = params()
    for name in ("score", "margin", "worth"):
        del given[name]
    plan = resolve(given)
    assert (plan.score, plan.margin, plan.worth) == ("accuracy", 1, 2)
    message(params(margin=-1), "params.yaml: margin: -1 is not allowed", "0 or more")
    message(params(worth=0), "params.yaml: worth: 0 is not allowed", "above 0")
    message(params(score="acc"), "params.yaml: score: 'acc' is not allowed", "accuracy")
