"""Runs settled: whose knob it is, what follows from it, what travels on to recipes."""

import copy
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from helpers import PINNED, ROOT, message, params
from unfreeze.data.catalogue import cifar10
from unfreeze.models import by_model
from unfreeze.models.facts import IMAGENET_MEAN, IMAGENET_STD
from unfreeze.params.knobs import KNOBS
from unfreeze.params.plan import (
    Checkpoint,
    ImageSource,
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
    "validation": [0, 0.1, 0.5], "train_on": ["train", "all"], "test_fraction": [0.01, 0.2, 1],
    "seeds": [[0], [42, 43], [2**31 - 1]], "image_size": [32, 64, 224],
    "resize": ["square", "weights", 256],
    "normalize": ["dataset", "weights"], "model": ["mobilenet_v2", "resnet18"],
    "init": ["pretrained", "IMAGENET1K_V1", "scratch"], "stem": ["original", "cifar"],
    "head": ["replace", "append", "mlp"], "head_width": [1, 256], "dropout": ["model", 0, 0.5],
    "freeze": ["none", "early", "middle", "last_only", [], ["stem", "stage1"], {"train": ["head"]},
               {"last": 0}, {"last": 4}],
    "frozen_batchnorm": ["eval", "train"],
    "tune": ["full", "bias", "norm", "lora", "tinytl", "dora", "ssf"],
    "adaptformer_width": [1, 64], "adaptformer_scale": [0.1, 4], "convpass_width": [8, 16],
    "convpass_scale": [0.01, 10], "vpt_depth": ["deep", "shallow"], "vpt_tokens": [1, 50],
    "lora_rank": [1, 8], "lora_alpha": [0.5, 16], "lora_layers": ["all", ["*.conv1", "layer4.*"]],
    "tinytl_groups": [1, 2], "l2_sp": [0, 0.01],
    "phases": [[], [{}], [{"freeze": "last_only", "epochs": 9}, {"lr": 0.1, "lr_decay": 0.5}]],
    "epochs": [1, 3, 90], "batch_size": [2, 64], "accumulate": [1, 4],
    "threads": ["auto", 1, 2],
    "optimizer": ["sgd", "adam", "adamw"], "lr": [1e-5, 0.001, 1],
    "lr_scale": [{}, {"stage2": 0.1}], "lr_decay": [0.65, 1], "momentum": [0, 0.9],
    "weight_decay": [0, 5e-4], "decay_biases_and_norms": [True, False],
    "schedule": ["constant", "cosine", "exponential"], "warmup_epochs": [0, 2],
    "gamma": [0.5, 1], "label_smoothing": [0, 0.1],
    "class_weights": ["none", "balanced"], "clip_norm": [0, 1.5], "ema": [0, 0.99],
    "select": ["last", "best"], "patience": [0, 3], "augment": ["none", "trivial", "rand"],
    "flip": [True, False], "crop_padding": [0, 4],
    "rotation": [0, 15.5, 180], "mixup": [0, 0.2], "cutmix": [0, 1],
}
CONDITIONAL = {name for name, knob in KNOBS.items() if knob.read_with}
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def goes_together(knobs):
    return not (
        (knobs["init"] == "scratch" and knobs["l2_sp"])
        or ((not knobs["validation"] or knobs["train_on"] == "all")
            and (knobs["select"] == "best" or knobs["patience"]))
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
    assert set(VALUES) == set(KNOBS) - {
        "dataset", "search", *(name for name, knob in KNOBS.items() if knob.with_search)}


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
        "dora": {"tune": "dora"}, "tinytl": {"tune": "tinytl"},
        "later": {"phases": [{}, {"freeze": "middle"}]},
        "decayed": {"weight_decay": 0.1}, "soon": {"phases": [{}, {"weight_decay": 0.1}]},
        "exponential": {"schedule": "exponential"}},
        momentum=0.5, frozen_batchnorm="train", decay_biases_and_norms=False, gamma=0.5,
        lora_rank=4, lora_alpha=4, tinytl_groups=1, head_width=8, lora_layers=["layer4.*"],
        adaptformer_width=8, vpt_tokens=5, threads="auto", train_on="auto")).runs
    read = {name: {key for key, value in [*run.training_knobs.items(),
                                          *run.phases[0].knobs.items()]
                   if value == run.knobs[key] != KNOBS[key].default} for name, run in runs.items()}
    assert read == {
        "plain": set(), "sgd": {"optimizer", "momentum"}, "frozen": {"freeze", "frozen_batchnorm"},
        "bias": {"tune", "frozen_batchnorm"}, "mlp": {"head", "head_width"},
        "lora": {"tune", "lora_rank", "lora_alpha", "lora_layers", "frozen_batchnorm"},
        "dora": {"tune", "lora_rank", "lora_alpha", "lora_layers", "frozen_batchnorm"},
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


def test_a_number_as_dvc_writes_it_is_a_number():
    # `dvc exp run -S lr=0.00001` writes 1e-05, which YAML takes for text.
    run = resolve(params(lr="1e-05", lr_scale={"stem": "2e-05"},
                         phases=[{"lr": "3e-05"}, {}])).runs["base"]
    assert run.knobs["lr"] == 1e-5 and run.knobs["lr_scale"] == {"stem": 2e-5}
    assert [phase.knobs["lr"] for phase in run.phases] == [3e-5, 1e-5]


def test_plan_imports_no_torch():
    # It must answer at once.
    check = ("import sys; from unfreeze.params.settle import resolve; resolve({'runs': {'a': {}}});"
             "sys.exit('torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": str(ROOT / "src")})
    assert done.returncode == 0
