"""From the plan and what is made to the recipes."""

import functools
import pickle
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers import ROOT, params
from unfreeze import files, pinning, places
from unfreeze.choosing.pinned import read, write
from unfreeze.choosing.pinned import trial as of_candidate
from unfreeze.data.reading import decoded
from unfreeze.errors import UserError
from unfreeze.fingerprint import of_recipes
from unfreeze.models import weights
from unfreeze.params.plan import Checkpoint
from unfreeze.params.settle import resolve

RUNS = {"base": {}, "mixed": {"mixup": 0.2, "augment": "rand"},
        "scratch": {"init": "scratch", "model": "resnet18"}}
TENSORS = {"fc.weight": np.ones((2, 2), np.float32)}


@pytest.fixture(scope="module", autouse=True)
def _code_is_read_once():
    """No test here changes it, and to read it takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pinning, "fingerprints", functools.cache(pinning.fingerprints))
        yield


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """Shared, so that work is counted once."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def plan(tmp_path, monkeypatch, scratch):
    """A plan, and what its runs need, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(scratch))
    made = resolve(params(RUNS))
    files.write_json(places.DATA / "cifar10/card.json",
                     {"digest": "d1", "classes": ["ant", "bee"]})
    for number, name in enumerate(made.subsets):
        files.write_json(places.SUBSETS / name,
                         {"train": [*range(900)], "validation": [*range(100)], "test": [number]})
    for name in made.weights:
        weights.path(places.WEIGHTS, name).parent.mkdir(parents=True, exist_ok=True)
        save_file(TENSORS, weights.path(places.WEIGHTS, name))
    return made


def all_pinned(plan):
    return pinning.runs(plan, ROOT / "stages/train.py", ROOT / "src")


def pinned(plan):
    """{run: its recipe}, before any work is counted."""
    inputs = pinning.Inputs(plan, ROOT / "stages/train.py", ROOT / "src")
    return {name: inputs.recipe(run) for name, run in plan.runs.items()}


def test_recipe_holds_what_the_run_settles_and_digests_of_what_it_reads(plan):
    run, made = plan.runs["base"], pinned(plan)["base"]
    assert (made.knobs, made.augmentations, made.phases) == (
        run.training_knobs, run.augmentations, run.phases)
    assert (made.dataset.name, made.dataset.digest, made.classes) == ("cifar10", "d1",
                                                                      ("ant", "bee"))
    assert (made.dataset.decoded, made.dataset.decoded_digests) == ("", {})
    assert made.preprocessing.mean == run.preprocessing.mean
    assert made.weights.digest == weights.tensors_digest(TENSORS)
    assert not made.weights.own
    assert {seed: subset.file for seed, subset in made.seeds.items()} == run.subsets
    assert {subset.digest for subset in made.seeds.values()} == {
        files.file_digest(places.SUBSETS / name) for name in run.subsets.values()}


def test_weights_are_none_from_scratch(plan):
    assert pinned(plan)["scratch"].weights is None


def test_software_is_what_decides_the_numbers(plan):
    made = pinned(plan)
    assert set(made["base"].software) == {"torch", "torchvision"}
    assert set(made["mixed"].software) == {"torch", "torchvision", "numpy", "pillow"}


def test_what_is_counted_side_by_side_can_go_to_another_process(plan):
    for made in pinned(plan).values():
        assert pickle.loads(pickle.dumps((pinning._count, made))) == (pinning._count, made)


def test_code_is_that_of_the_family(plan):
    made = pinned(plan)
    assert made["base"].code != made["scratch"].code
    run = plan.runs["scratch"]
    assert of_recipes.chosen_code(run.training_knobs, run.augmentations, run.phases) == {
        "unfreeze.models.families": {"resnet"}, "unfreeze.models.heads": {"replace"},
        "unfreeze.tuning.methods": {"full"}, "unfreeze.training.schedules": {"cosine"},
        "unfreeze.data.reading.augmentations": {"flip"}}


def of_photos(plan, **changes):
    """The plan with the run `base` on decoded photos."""
    run = plan.runs["base"]
    photos = replace(run, decoded="photos", preprocessing=replace(
        run.preprocessing, mean=None, std=None), **changes)
    decoded.write_card(places.DECODED / "photos", decoded.Card(
        "cifar10", "d1", 64, "square", "bilinear", {"train": "t1", "test": "t2"},
        (0.5, 0.5, 1), (1, 0.25, 0.5)))
    return replace(plan, runs={"base": photos}, decoded={"photos": None})


def test_means_of_photos_are_those_found_when_they_were_decoded(plan):
    made = pinned(of_photos(plan))["base"]
    assert made.preprocessing.mean == (0.5, 0.5, 1.0)
    assert repr(made.preprocessing.std) == "(1.0, 0.25, 0.5)"
    assert made.dataset.decoded == "photos"
    assert made.dataset.decoded_digests == {"train": "t1", "test": "t2"}


def test_what_only_tests_reads_the_test_photos_alone(plan):
    run = plan.runs["base"]
    untrained = tuple(replace(phase, knobs={**phase.knobs, "epochs": 0}) for phase in run.phases)
    made = pinned(of_photos(plan, phases=untrained))["base"]
    assert made.dataset.decoded_digests == {"test": "t2"}


def test_a_checkpoint_of_ones_own_may_hold_what_any_official_one_does(plan):
    run = plan.runs["base"]
    (name,) = {run.weights}
    own = Checkpoint("mobilenet_v2", "original", 64, "mine.pt", "x")
    made = pinned(replace(plan, weights={**plan.weights, name: own}))["base"]
    assert made.weights.own


@pytest.mark.parametrize("missing", ["data/cifar10/card.json", "weights", "subsets"])
def test_what_is_not_there_is_one_line(plan, missing):
    path = places.MADE / missing
    for file in [path] if path.is_file() else path.iterdir():
        file.unlink()
    with pytest.raises(UserError, match="dvc repro"):
        pinned(plan)


# --- Searches, and what is settled by counted work


SEARCHED = {
    "base": {}, "grid": {"search": {"lr": [0.01, 0.001], "image_size": [48, 32]}},
    "cheap": {"freeze": "last_only", "epochs": {"like": "base"}},
    "within": {"epochs": {"operations": 1e12}}, "large": {"image_size": 224, "batch_size": 512},
    "by_hand": {"threads": 3}}


@pytest.fixture
def searched(plan):
    """The plan of those runs, and what they need."""
    made = resolve(params(SEARCHED, model="cnn", init="scratch", image_size=32, threads="auto",
                          train_on="auto", search_seeds=[3, 4], search_folds=5))
    for number, name in enumerate(made.subsets):
        files.write_json(places.SUBSETS / name,
                         {"train": [*range(900)], "validation": [*range(100)], "test": [number]})
    return made


def test_a_search_is_pinned_candidate_by_candidate(searched):
    made = all_pinned(searched)
    run, grid = searched.runs["grid"], made["grid"]
    assert [each.values for each in grid.candidates] == [
        {"lr": lr, "image_size": size} for lr in (0.01, 0.001) for size in (48, 32)]
    assert (grid.choose_by, grid.halving, grid.operations) == ("cross_entropy", 0, None)
    for each in grid.candidates:
        assert {seed: subset.file for seed, subset in each.recipe.seeds.items()} == run.subsets
        assert each.recipe.preprocessing.image_size == each.values["image_size"]
        assert each.recipe.phases[0].knobs["lr"] == each.values["lr"]
        assert each.recipe.knobs["train_on"] == "all" and each.recipe.tested
    large, small = (grid.candidates[place].operations for place in (0, 1))
    assert large > small and [each.operations for each in grid.candidates] == [large, small] * 2
    # 1,000 images instead of 900: those held out are trained on at last.
    assert small == made["base"].candidates[0].operations * 10 // 9
    assert {seed: [subset.file for subset in subsets]
            for seed, subsets in grid.trial_seeds.items()} == {
        seed: list(names) for seed, names in searched.searches["grid"].subsets.items()}
    for subsets in grid.trial_seeds.values():
        assert len(subsets) == 5
        assert all(subset.digest == files.file_digest(places.SUBSETS / subset.file)
                   for subset in subsets)


def test_a_trial_is_not_tested_and_keeps_its_fold_to_itself(searched):
    grid = all_pinned(searched)["grid"]
    trial = of_candidate(grid.candidates[0].recipe, 3, grid.trial_seeds[3][1])
    assert trial.seeds == {3: grid.trial_seeds[3][1]} and not trial.tested
    assert trial.knobs["train_on"] == "train"
    assert replace(trial, knobs=grid.candidates[0].recipe.knobs, tested=True,
                   seeds=grid.candidates[0].recipe.seeds) == grid.candidates[0].recipe


def test_a_run_without_a_search_is_pinned_as_if_there_were_none(searched):
    alone = replace(searched, runs={"base": searched.runs["base"]}, searches={})
    beside = all_pinned(searched)["base"]
    assert not beside.searched and all_pinned(alone) == {"base": beside}


def test_what_is_pinned_can_be_read_again(searched, tmp_path):
    for name, run in all_pinned(searched).items():
        write(tmp_path / f"{name}.yaml", run)
        assert read(tmp_path / f"{name}.yaml") == run
    (tmp_path / "grid.yaml").write_text("candidates: {}\n")
    with pytest.raises(UserError, match="grid.yaml: is no pinned run of this version"):
        read(tmp_path / "grid.yaml")


def test_epochs_by_work_are_the_most_that_it_allows(searched):
    made = all_pinned(searched)

    def pinned_epochs(name):
        candidate = made[name].candidates[0]
        return candidate.recipe.phases[0].knobs["epochs"], candidate.operations

    (epochs, base), (more, within), (many, cheap) = map(
        pinned_epochs, ("base", "within", "cheap"))
    assert epochs == 3 and more == int(1e12 // (base / 3)) and within == base / 3 * more
    assert many > 100 and cheap <= base < cheap * (many + 1) / many


def test_one_epoch_is_trained_even_where_work_allows_none(searched, capsys):
    few = replace(searched, runs={"within": with_epochs(searched, {"operations": 10})}, searches={})
    (candidate,) = all_pinned(few)["within"].candidates
    assert candidate.recipe.phases[0].knobs["epochs"] == 1
    assert "operations, more than that; one is trained" in capsys.readouterr().err


def with_epochs(plan, epochs, **knobs):
    run = plan.runs["base"]
    return replace(run, phases=tuple(replace(phase, knobs={**phase.knobs, "epochs": epochs,
                                                           **knobs}) for phase in run.phases))


def test_a_warmup_that_outlasts_the_epochs_is_one_line(searched):
    few = replace(searched, searches={}, runs={"within": with_epochs(
        searched, {"operations": 10}, warmup_epochs=2)})
    with pytest.raises(UserError, match=r"params.yaml: warmup_epochs \(of runs.within\): 2 leaves "
                                        "none of epochs: 1"):
        all_pinned(few)


def test_work_like_that_of_a_search_among_different_ones_is_one_line(searched):
    like = replace(searched, runs={**searched.runs, "cheap": with_epochs(
        searched, {"like": "grid"})})
    with pytest.raises(UserError, match="params.yaml: epochs .of runs.cheap.: {like: grid}: what "
                                        "grid takes is not known"):
        all_pinned(like)


def test_threads_go_by_the_work_of_a_step(searched):
    made = all_pinned(searched)
    assert {name: made[name].candidates[0].recipe.knobs["threads"] for name in (
        "base", "large", "by_hand")} == {"base": 1, "large": 2, "by_hand": 3}


def test_a_budget_that_leaves_next_to_nothing_is_told(plan):
    runs = {"base": {"freeze": "last_only"}, "large": {"model": "resnet18"},
            "scratch": {"init": "scratch", "model": "resnet18"}}
    planned = resolve(params(runs))
    for name in planned.subsets:
        files.write_json(places.SUBSETS / name, {"train": [1], "validation": [2], "test": [3]})
    for name in planned.weights:
        save_file(TENSORS, weights.path(places.WEIGHTS, name))
    made = all_pinned(planned)
    for budget, words in [
        ({}, ""), ({"activation_bytes": 1e12}, ""), ({"seconds": 1.0}, ""),
        ({"parameters_total": 1e5}, "budget: no run keeps parameters_total: 100,000 parameters; "
                                    "the least that any takes is "),
        ({"parameters_total": 5e6, "operations": 1e20}, "budget: of 3 runs only"),
    ]:
        within = resolve(params(runs, budget=budget))
        assert within.runs == planned.runs
        said = pinning.over_budget(within, made)
        assert said.startswith(words) and bool(said) == bool(words), budget
