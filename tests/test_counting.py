"""What is counted of a recipe, without weights and images, beside what training does with both."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

import tiny_models
from helpers import ROOT, striped, tiny_recipe, tuned
from unfreeze import places
from unfreeze import recipe as recipes
from unfreeze.recipe import Chosen
from unfreeze.training import cost, counting, replicate
from unfreeze.training.assemble import assemble, tables
from unfreeze.training.counting import Counted, Part, Phase
from unfreeze.training.devices import Device
from unfreeze.training.prefix import feed
from unfreeze.training.setting import set_up
from unfreeze.tuning import groups

torch.set_num_threads(1)  # on tiny images more threads only wait for one another

CPU = Device(torch.device("cpu"), "fp32", "test")
TWO_PHASES = [{"freeze": "last_only", "epochs": 5}, {"freeze": ["stem"], "epochs": 4}]
CASES = {
    "all trains": {"freeze": "none"},
    "frozen layers": {"freeze": "last_only", "flip": False},
    "frozen layers, flips": {"freeze": {"train": ["stage2", "head"]}, "flip": True},
    "frozen layers, endless": {"freeze": "last_only", "rotation": 10},
    "frozen layers, mixed": {"freeze": "last_only", "mixup": 0.2},
    "statistics of a batch": {"freeze": {"train": ["stage2", "head"]}, "frozen_batchnorm": "train"},
    "a stem that trains": {"freeze": ["stage1"]},
    "phases": {"phases": TWO_PHASES},
    "head": {"head": "mlp", "head_width": 5, "freeze": "last_only"},
    "lora": {"tune": "lora", "lora_rank": 2},
    "attention": {"model": "tiny_vit", "freeze": {"train": ["stage2", "head"]}},
    "attention, lora": {"model": "tiny_vit", "tune": "lora", "lora_rank": 2, "freeze": ["stem"]},
    **{f"attention, {tune}": {"model": "tiny_vit", "tune": tune, "lora_rank": 2,
                              "freeze": {"last": 1}}
       for tune in ("dora", "ssf", "adaptformer", "convpass", "vpt")},
    "stochastic depth": {"model": "tiny_convnext", "freeze": {"train": ["stage2", "head"]}},
}


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    tiny_models.install(monkeypatch)
    monkeypatch.setattr(feed, "FLOPS_PER_BYTE", 0)  # tiny layers count as much as large ones
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path))


def pretrained(**knobs):
    """As from weights, which need not be there to count."""
    given = tiny_recipe(**{"epochs": 4} | knobs)
    return tuned(given, knobs.get("tune", "full"), lora_rank=2)


@pytest.mark.parametrize("case", CASES)
def test_counts_are_those_of_the_model_that_trains(case, monkeypatch):
    recipe = pretrained(**CASES[case])
    found = counting.counted(recipe)
    monkeypatch.setattr("unfreeze.training.assemble._load", lambda *_: [])
    model, _ = assemble(recipe, 1, places.WEIGHTS)
    for number, rows in enumerate(tables(recipe)):
        groups.freeze(model, rows)
        counted = cost.of_phase(model, recipe)
        assert {name: getattr(found.phases[number], name) for name in counted} == counted
        assert found.phases[number].parts == tuple(
            Part(*line) for line in groups.table(model, rows))


@pytest.mark.parametrize("case", CASES)
def test_what_counts_once_is_what_training_computes_once(case, monkeypatch):
    """And what training can compute once counts so."""
    monkeypatch.setattr("unfreeze.training.assemble._load", lambda *_: [])
    cuts, divide = [], feed.divide

    def watched(model, images, changing):
        parts, form = divide(model, images, changing)
        cuts.append(parts.flops)
        return parts, form

    recipe = pretrained(batch_size=4, **CASES[case])
    found = counting.counted(recipe)
    monkeypatch.setattr(feed, "divide", watched)
    size = recipe.preprocessing.image_size
    splits = {"train": striped(size, 9, CPU.torch), "validation": striped(size, 0, CPU.torch)}
    training = replicate.Replicate(set_up(recipe, 1, CPU, places.WEIGHTS, splits))
    once = []
    for phase in found.phases:
        cuts.clear()
        training.epoch(lambda: None)
        once.append(sum(cuts))
        assert (phase.flops_prefix if phase.variants < 4 else 0) == once[-1]
        while training.phase:
            training.epoch(lambda: None)
    assert any(once) == (case in (
        "frozen layers", "frozen layers, flips", "statistics of a batch", "phases", "head",
        "stochastic depth") or case.startswith("attention"))


def test_what_trains_is_told_with_the_rates_of_its_phase():
    recipe = pretrained(lr=0.1, weight_decay=0.25, lr_scale={"stage2": 10}, freeze=["stage1"])
    ((*lines,),) = counting.parts(counting.counted(recipe), recipe)
    found = {line[0]: dict(zip(counting.PARTS, line, strict=True)) for line in lines}
    assert {part: (line["tune"], line["lr"], line["weight_decay"]) for part, line in found.items()
            } == {"stem": ("full", 0.1, 0.25), "stage1": ("frozen", 0.0, 0.0),
                  "stage2": ("full", 1.0, 0.25), "head": ("full", 0.1, 0.25)}
    assert found["stage1"]["trained"] == 0 < found["stage1"]["parameters"]
    text = counting.as_text(lines).splitlines()
    assert len(text) == 5 and text[0].split() == list(counting.PARTS)
    assert text[2].split()[:5] == ["stage1", "stage1", "frozen", "0", "0"]


def test_a_frozen_prefix_counts_once_for_each_image_and_variant():
    phase = Phase((), 10, 5, flops_forward=100, flops_backward=50, flops_prefix=80, variants=2,
                  activation_bytes_1=1, activation_bytes=8)
    assert phase.operations(images=7, epochs=10) == 7 * (2 * 80 + 10 * (20 + 50))
    assert phase.operations(images=7, epochs=2) == 7 * 2 * 150  # nothing would be computed twice
    whole = replace(phase, flops_prefix=0)
    assert whole.operations(images=7, epochs=10) == 7 * 10 * 150
    assert Counted((phase, whole)).operations(7, [10, 1]) == 7 * (160 + 700 + 150)


def test_epochs_end_where_a_choice_says():
    recipe = pretrained(phases=[{"epochs": 3}, {"epochs": 2}, {"epochs": 4}])
    ends = {None: [3, 2, 4], 1: [1, 0, 0], 3: [3, 0, 0], 4: [3, 1, 0], 9: [3, 2, 4], 99: [3, 2, 4]}
    for epochs, expected in ends.items():
        assert counting.epochs_of(replace(recipe, chosen=Chosen(epochs, None))) == expected
    assert counting.epochs_of(recipe) == [3, 2, 4]


def test_operations_are_of_the_epochs_that_were_trained():
    recipe = pretrained(phases=[{"epochs": 3}, {"freeze": "last_only"}])
    counted = counting.counted(recipe)
    history = [{"phase": phase} for phase in (1, 1, 2)]  # patience ended both
    assert counting.operations(counted, recipe, history, 20) == counted.operations(20, [2, 1])
    assert counting.operations(counted, recipe, [], 20) == 0


def test_threads_go_by_the_work_of_a_step():
    assert [counting.threads_for(operations) for operations in (
        0, 10**10, 6 * 10**10, 1.5e11, 1.4e12, 1.5e12, 1e18)] == [1, 1, 1, 2, 2, 4, 4]
    counted = counting.counted(pretrained(phases=TWO_PHASES))
    passes = [phase.flops_forward + phase.flops_backward for phase in counted.phases]
    assert counted.step_operations(64) == 64 * max(passes) == 64 * passes[1]


def test_threads_that_the_recipe_leaves_open_are_settled(monkeypatch):
    monkeypatch.setattr(counting, "_THREADS_FROM", {2: 1})
    recipe = pretrained(threads=3)
    assert counting.with_threads(recipe) == recipe
    auto = replace(recipe, knobs={**recipe.knobs, "threads": "auto"})
    assert counting.with_threads(auto) == replace(recipe, knobs={**recipe.knobs, "threads": 2})


def test_it_is_counted_once_for_recipes_that_differ_in_what_costs_nothing(monkeypatch):
    first = pretrained(freeze="last_only")
    found = counting.counted(first)
    for other in (pretrained(freeze="last_only", lr=0.5, weight_decay=0.1, epochs=9, threads=2),
                  replace(first, tested=False, chosen=Chosen(1, 2.0)),
                  replace(first, knobs={**first.knobs, "threads": "auto"})):
        with monkeypatch.context() as patched:
            patched.setattr(cost, "of_recipe", None)
            assert counting.counted(other) == found
    for other in (pretrained(freeze="none"), pretrained(freeze="last_only", batch_size=9),
                  replace(first, code="other"), replace(first, software={"torch": "1"}),
                  replace(first, weights=None), pretrained(freeze="last_only", mixup=0.1)):
        with monkeypatch.context() as patched:
            patched.setattr(cost, "of_recipe", lambda recipe: Counted(()))
            assert counting.counted(other) == Counted(())


def test_damaged_counts_are_counted_again(tmp_path):
    found = counting.counted(pretrained())
    (file,) = (tmp_path / "counted").iterdir()
    for content in ("", "{}", '{"phases": [1]}'):
        file.write_text(content)
        assert counting.counted(pretrained()) == found


def test_what_is_known_needs_no_torch(tmp_path, monkeypatch):
    recipe = tiny_recipe(model="cnn", image_size=32)
    counting.counted(recipe)
    recipes.write(tmp_path / "base.yaml", recipe)
    check = ("import sys; from pathlib import Path; from unfreeze import recipe; "
             "from unfreeze.training import counting; "
             "counting.counted(recipe.read(Path(sys.argv[1]))); sys.exit('torch' in sys.modules)")
    assert subprocess.run(
        [sys.executable, "-c", check, tmp_path / "base.yaml"],
        env={"PYTHONPATH": str(ROOT / "src"), "UNFREEZE_SCRATCH": str(tmp_path)}).returncode == 0
