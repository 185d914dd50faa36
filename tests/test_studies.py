"""The studies declare what the write-ups did: every run, number and claim of tests/reported.yaml,
and small/ is the same study, scaled down.

To add a study, add its row to STUDIES.
"""

import functools
import importlib.util
import re
from collections import Counter
from dataclasses import dataclass, field

import pytest
import yaml

from helpers import ROOT, in_git
from unfreeze import files, models
from unfreeze.data import catalogue as datasets
from unfreeze.data import facts as data_facts
from unfreeze.models.facts import is_within
from unfreeze.params.knobs import KNOBS
from unfreeze.params.plan import ImageSource, Plan, Run
from unfreeze.params.settle import resolve
from unfreeze.recipe import Phase
from unfreeze.starting import written
from unfreeze.starting.look import look_at
from unfreeze.starting.settings import Setting, Sides, settings
from unfreeze.tuning import rules
from unfreeze.words import fixed

FACTS = yaml.safe_load((ROOT / "tests/reported.yaml").read_text())

# What a study may change to do with less time; which of them it does stands in the comment at the
# head of small/params.yaml.
SCALED = {"fraction", "test_fraction", "validation", "seeds", "epochs", "batch_size", "image_size",
          "gamma"}


@dataclass(frozen=True)
class Row:
    """What cannot be read off the facts of a study by a program.

    Attributes:
        claims: {claim, as the facts word it: the claims of params.yaml that test it, or
            "compare.PAIR" for what only a comparison layer by layer can show}.
        ours: the runs that the write-up does not have.
        runs: {run of the write-up: knobs that the facts state in words}; its keys are the runs
            where the facts list none.
        every: such knobs of every run of the write-up.
        small: whether there is a small/.
        classes: of one's own images, for a study that needs them.
    """

    claims: dict[str, tuple[str, ...]]
    ours: tuple[str, ...] = ()
    runs: dict[str, dict] = field(default_factory=dict)
    every: dict = field(default_factory=dict)
    small: bool = True
    classes: int | None = None


STUDIES = {
    "layers": Row(
        claims={
            "fc-conv1 < fc": ("fc-conv1 < fc",),
            "layer3 > layer2 > layer4 > layer1": ("layer3 > layer2 > layer4 > layer1",),
            "layer1-layer4 > layer1-layer2; layer1-layer4 > layer3-layer4": (
                "layer1-layer4 > [layer1-layer2, layer3-layer4]",),
            "layer2-layer3 > layer1-layer2; layer2-layer3 > layer3-layer4": (
                "layer2-layer3 > [layer1-layer2, layer3-layer4]",),
            "full > every partially frozen run at 32": (
                "full > [fc, fc-conv1, layer1, layer2, layer3, layer4, layer1-layer4, "
                "layer2-layer3, layer1-layer2, layer3-layer4]",),
            "full-discriminative > full": ("full-discriminative > full",),
            "full-224 > full; vgg16-224 > vgg16-32": (
                "full-224 > full", "vgg16-224 > vgg16-32"),
            "vit-224 > every other run": (
                "vit-224 > [fc, fc-conv1, layer1, layer2, layer3, layer4, layer1-layer4, "
                "layer2-layer3, layer1-layer2, layer3-layer4, full, full-discriminative, full-224, "
                "vgg16-32, vgg16-224, scratch, scratch-stem]",),
            "full > scratch-stem": ("full > scratch-stem",),
            "scratch-stem > scratch": ("scratch-stem > scratch",),
        },
        ours=("fc-224", "fc-unfrozen", "lora", "l2-sp", "gradual"),
        every={"lr": 0.005},
    ),
    "fractions": Row(
        claims={
            "pretrained > scratch at each fraction": tuple(
                f"alexnet-{share} > alexnet-{share}-scratch" for share in (10, 20, 50)),
            "the pretrained-minus-scratch gap shrinks as the fraction grows "
            "(70.10, 49.77, 38.62)": (
                "gap(alexnet-10, alexnet-10-scratch) > gap(alexnet-20, alexnet-20-scratch) "
                "> gap(alexnet-50, alexnet-50-scratch)",),
            "resnet18-50 > vgg16-50": ("resnet18-50 > vgg16-50",),
            "freeze-none > freeze-early; freeze-none > freeze-middle; "
            "freeze-middle > freeze-last-only": (
                "freeze-none > [freeze-early, freeze-middle]",
                "freeze-middle > freeze-last-only"),
            "freeze-last-only trains about twice as fast per epoch as freeze-none": (
                "1.5 * freeze-last-only.seconds < freeze-none < 2.5 * freeze-last-only",),
        },
        ours=("resnet18-10", "resnet18-20", "resnet18-10-scratch", "resnet18-20-scratch",
              "resnet18-50-scratch"),
    ),
    "strategies": Row(
        claims={
            "cifar10-separate > cifar10-full; cub200-separate > cub200-full": (
                "cifar10-separate > cifar10-full", "cub200-separate > cub200-full"),
            "cifar10-separate > cifar10-last3": ("cifar10-separate > cifar10-last3",),
            "cifar10-full > cifar10-tinytl > cifar10-bias": (
                "cifar10-full > cifar10-tinytl > cifar10-bias",),
            "memory tinytl < last < full": tuple(
                f"cifar10-tinytl.{cost} < {last} < cifar10-full"
                for cost in ("activation_bytes_1", "activation_bytes")
                for last in ("cifar10-features", "cifar10-last3")),
            "cifar10-full > cifar10-scratch; cifar10-full > cifar10-scratch-long": (
                "cifar10-full > cifar10-scratch", "cifar10-full > cifar10-scratch-long"),
            "only the classifier's bias is similar between the from-scratch and the fine-tuned "
            "network": ("compare.scratch-and-full", "compare.scratch-long-and-full"),
        },
        ours=("cifar10-tinytl-batchnorm-train", "cifar10-last3-blocks",
              "cifar10-bias-random-classifier", "cifar10-lora"),
        every={"model": "mobilenet_v2", "head": "replace", "optimizer": "adam",
               "schedule": "exponential"},
        runs={
            "cifar10-full": {"dataset": "cifar10", "tune": "full", "freeze": "none"},
            "cifar10-tinytl": {"dataset": "cifar10", "tune": "tinytl", "tinytl_groups": 2,
                               "freeze": "none"},
            "cifar10-bias": {"dataset": "cifar10", "tune": "bias", "freeze": "none"},
            "cifar10-separate": {"dataset": "cifar10", "tune": "full", "freeze": "none"},
            "cifar10-last3": {"dataset": "cifar10", "tune": "full"},
            "cifar10-features": {"dataset": "cifar10", "freeze": "last_only"},
            "cifar10-scratch": {"dataset": "cifar10", "init": "scratch", "freeze": "none"},
            "cifar10-scratch-long": {"dataset": "cifar10", "init": "scratch", "freeze": "none"},
            "cub200-full": {"dataset": "cub200", "tune": "full", "freeze": "none"},
            **{f"{name}-separate": {"dataset": name, "tune": "full", "freeze": "none"}
               for name in ("cars196", "food101", "cifar100", "cub200")},
            "imagenet": {"dataset": "imagenet", "epochs": 0},
        },
    ),
    "sizes": Row(
        claims={
            "from scratch, resnet18 > resnet50 at 1/16; the difference shrinks as data grows": (
                "resnet18-sixteenth-scratch > resnet50-sixteenth-scratch",
                "gap(resnet18-sixteenth-scratch, resnet50-sixteenth-scratch) "
                "> gap(resnet18-half-scratch, resnet50-half-scratch) "
                "> gap(resnet18-all-scratch, resnet50-all-scratch)"),
            "pretrained > scratch at each model and fraction": tuple(
                f"{model}-{share} > {model}-{share}-scratch"
                for model in ("resnet18", "resnet50") for share in ("sixteenth", "half", "all")),
            "pretrained, resnet50 > resnet18 at all data": ("resnet50-all > resnet18-all",),
            "both ResNets > the plain CNN": (
                "[resnet18-all-scratch, resnet50-all-scratch] > cnn",
                "[resnet18-all, resnet50-all] > cnn"),
        },
        every={"dataset": "cifar10"},
        runs={
            **{f"{model}-{share}{suffix}": {"model": model, "fraction": fraction, "init": init}
               for model in ("resnet18", "resnet50")
               for share, fraction in (("sixteenth", 1 / 16), ("half", 1 / 2), ("all", 1.0))
               for suffix, init in (("", "pretrained"), ("-scratch", "scratch"))},
            "cnn": {"model": "cnn", "fraction": 1.0, "init": "scratch", "optimizer": "adam",
                    "lr": 3.0e-3},
        },
    ),
    "adaptation": Row(
        claims={"two phases > training everything at once": (
            "replace-two-phase > replace-direct", "append-two-phase > append-direct")},
        every={"model": "resnet50", "init": "IMAGENET1K_V2", "normalize": "weights",
               "resize": "weights", "image_size": 224},
        runs={f"{head}-{phases}": {"head": head} for head, phases in (
            ("replace", "two-phase"), ("append", "two-phase"), ("replace", "direct"),
            ("append", "direct"), ("replace", "head-only"))},
        small=False,
        classes=6,
    ),
}

OURS = ("photos", "models")  # no write-ups: one made by `unfreeze new`, one of both libraries


def runs_of_facts() -> list[tuple[str, str]]:
    """(study, run) of everything that a write-up ran."""
    return [(name, run) for name, row in STUDIES.items() for run in facts_of_runs(name, row)]


def facts_of_runs(name: str, row: Row) -> dict[str, dict]:
    listed = FACTS[name]["runs"]
    return ({run["id"]: run for run in listed} if isinstance(listed, list)
            else dict.fromkeys(row.runs, {}))


def folders() -> list[tuple[str, str]]:
    """(study, its folder seen from the root), published and small, of those that can be planned
    here."""
    here = [name for name in OURS if name != "models" or importlib.util.find_spec("timm")]
    small = {name: row.small for name, row in STUDIES.items()} | dict.fromkeys(here, True)
    return [(name, f"studies/{name}{'/small' * both}") for name in small
            for both in range(1 + small[name])]


def text(folder: str, file: str) -> str:
    return (ROOT / folder / file).read_text()


def params(folder: str) -> dict:
    return yaml.safe_load(text(folder, "params.yaml"))


def head_comment(folder: str) -> str:
    return re.match(r"(#.*\n)*", text(folder, "params.yaml"))[0]


@pytest.fixture(autouse=True)
def images_of_ones_own(monkeypatch):
    """As if the folder that a study asks for were there."""
    known = data_facts.facts_of

    def facts_of(dataset: str, skip_broken: bool) -> data_facts.Facts:
        if dataset in datasets.names():
            return known(dataset, skip_broken)
        classes = next(row.classes for name, row in STUDIES.items()
                       if row.classes and dataset in text(f"studies/{name}", "params.yaml"))
        return data_facts.Facts("own", ImageSource("photos"), classes, 1000, 1000, 100)

    monkeypatch.setattr(data_facts, "facts_of", facts_of)


@functools.cache
def settled(folder: str) -> Plan:
    """The plan of all runs, those that are declared but not run included."""
    given = params(folder)
    not_run = {run: {key: value for key, value in entry.items() if key != "why"}
               for run, entry in given.pop("not_run", {}).items()}
    return resolve(given | {"runs": given["runs"] | not_run}, f"{folder}/params.yaml")


def test_every_study_has_its_row():
    there = {path.parent.name for path in in_git("studies/*/params.yaml")}
    assert {*STUDIES, *OURS} == there
    small = {path.parent.parent.name for path in in_git("studies/*/small/params.yaml")}
    assert {name for name, row in STUDIES.items() if row.small} | {*OURS} == small


@pytest.mark.parametrize("folder", [folder for _, folder in folders()])
def test_its_pipeline_is_the_roots(folder):
    up = "/".join([".."] * len(folder.split("/")))
    own_lines, lines = (text(place, "dvc.yaml").splitlines(keepends=True)
                        for place in (folder, "."))
    assert len(own_lines) == len(lines)
    differ = [pair for pair in zip(own_lines, lines, strict=True) if len(set(pair)) > 1]
    assert differ == [(line.replace("{root: .}", f"{{root: {up}}}"), line) for _, line in differ]
    assert len(differ) == 1


@pytest.mark.parametrize("folder", [folder for _, folder in folders()])
def test_it_is_a_dvc_project_as_the_root_is_and_shares_its_cache(folder):
    up = "/".join([".."] * len(f"{folder}/.dvc".split("/")))
    shared = text(".", ".dvc/config").replace("[cache]\n", f"[cache]\n    dir = {up}/.dvc/cache\n")
    assert text(folder, ".dvc/config") == shared
    for file in (".dvc/.gitignore", ".dvc/plots/README"):
        assert text(folder, file) == text(".", file)


@pytest.mark.parametrize("folder", [folder for _, folder in folders()])
def test_it_can_be_planned(folder):
    plan = resolve(params(folder), f"{folder}/params.yaml")
    assert set(plan.runs) == set(params(folder)["runs"])


@pytest.mark.parametrize(("name", "row"), STUDIES.items(), ids=list(STUDIES))
def test_it_has_every_run_and_says_which_are_ours(name, row):
    folder = f"studies/{name}"
    assert "not_run" not in params(folder)
    assert set(params(folder)["runs"]) == {*facts_of_runs(name, row), *row.ours}
    section = re.search(r"^runs:\n(.*?)^(?=\w)", text(folder, "params.yaml"), re.M | re.S)[1]
    entries = re.split(r"^  (?=[\w-]+:)", section, flags=re.M)
    marked = {entry.split(":")[0] for entry in entries if "# ours" in entry}
    assert marked == set(row.ours)


AUGMENTATION = {"augment": "none", "rotation": 0, "flip": False, "crop_padding": 0, "mixup": 0,
                "cutmix": 0}


def stated(facts: dict, run: dict) -> dict:
    """The knobs that the facts state for a run."""
    # What a run does not say holds for all; what nobody says is as usual.
    said = {"fraction": 1.0, "init": "pretrained", "stem": "original"} | facts | run
    knobs = {key: said[key] for key in ("fraction", "init", "stem", "model", "freeze", "epochs",
                                        "batch_size", "frozen_batchnorm") if said.get(key)}
    if said.get("dataset") in datasets.names():
        knobs["dataset"] = said["dataset"]
    if "size" in said:
        knobs["image_size"] = said["size"]
    if "optimizer" in said:
        optimizer = said["optimizer"]
        optimizer = optimizer if isinstance(optimizer, dict) else {"name": optimizer}
        knobs |= {"optimizer" if key == "name" else key: value for key, value in optimizer.items()}
    if "schedule" in said:
        schedule = said["schedule"]
        schedule = schedule if isinstance(schedule, dict) else {"name": schedule.split()[0]}
        knobs["schedule"] = schedule["name"]
        if "t_max" in schedule:
            knobs["epochs"] = schedule["t_max"]
    if "normalize" in said:
        knobs["normalization"] = said["normalize"]
    if "augment" in said:
        knobs |= AUGMENTATION | augmentation(said["augment"])
    return knobs


def augmentation(steps: list[str]) -> dict:
    knobs = {}
    for step in steps:
        if found := re.fullmatch(r"rotation (\d+) degrees", step):
            knobs["rotation"] = int(found[1])
        elif found := re.fullmatch(r"random crop \d+ with padding (\d+)", step):
            knobs["crop_padding"] = int(found[1])
        elif step == "horizontal flip":
            knobs["flip"] = True
        else:
            assert step.startswith("resize "), f"the test does not know the augmentation {step!r}"
    return knobs


@pytest.mark.parametrize(("name", "run"), runs_of_facts())
def test_its_runs_are_those_of_the_facts(name, run):
    facts, row = FACTS[name], STUDIES[name]
    said, found = facts_of_runs(name, row)[run], settled(f"studies/{name}").runs[run]
    # What the row says is how the words of the facts are meant.
    knobs = stated(facts, said) | row.every | row.runs.get(run, {})
    if "normalization" in knobs:
        made = found.preprocessing
        assert knobs.pop("normalization") == {"mean": list(made.mean), "std": list(made.std)}
    assert {key: found.knobs[key] for key in knobs} == knobs


def table(run: Run, phase: Phase) -> list[rules.Row]:
    return rules.phase_table(models.facts_of(run.knobs["model"]), run.knobs, phase.knobs,
                             run.knobs["init"] == "scratch")


def rates(run: Run) -> dict[str, float]:
    """{block: learning rate} of a run of one phase, 0 for what is frozen."""
    (phase,) = run.phases
    return {row.module: phase.knobs["lr"] * row.lr_scale for row in table(run, phase)}


@pytest.mark.parametrize(("name", "run"), [
    (name, run) for name, run in runs_of_facts()
    if {"train", "note", "lr"} & set(facts_of_runs(name, STUDIES[name])[run])])
def test_what_trains_and_how_fast_is_as_in_the_facts(name, run):
    facts, said = FACTS[name], facts_of_runs(name, STUDIES[name])[run]
    found = rates(settled(f"studies/{name}").runs[run])
    trained = {block for block, lr in found.items() if lr}
    if isinstance(said.get("train"), list):
        assert trained == {block for block in found if is_within(block, said["train"])}
    elif said.get("train") == "all" or said.get("freeze") == "none":
        assert trained == set(found)
    note = said.get("note", "")
    if note.startswith("freezes"):
        assert set(found) - trained == {block for block in found
                                        if is_within(block, re.findall(r"layer\d", note))}
    elif alone := re.fullmatch(r"trains (\w+) alone", note):
        assert trained == {alone[1]}
    if said.get("lr") == "discriminative":
        for part, lr in facts["discriminative_lr"].items():
            own_rates = [found[block] for block in found if is_within(block, [part])]
            assert own_rates == pytest.approx([lr] * len(own_rates)) and own_rates
    else:
        assert len({lr for lr in found.values() if lr}) == 1


@pytest.mark.parametrize("folder", ["studies/layers", "studies/layers/small"])
def test_gradual_unfreezing_trains_as_long_as_the_others(folder):
    runs = settled(folder).runs
    assert (sum(phase.knobs["epochs"] for phase in runs["gradual"].phases)
            == runs["full"].knobs["epochs"])


def test_small_fractions_are_in_the_published_ratio():
    large, small = (settled(f"studies/fractions{place}").runs for place in ("", "/small"))
    ratios = {round(small[name].knobs["fraction"] / run.knobs["fraction"], 9)
              for name, run in large.items()}
    assert len(ratios) == 1


@pytest.mark.parametrize("name", STUDIES)
def test_its_reported_numbers_are_those_of_the_facts(name):
    metrics = {"accuracy": "accuracy", "loss": "cross_entropy"}
    expected = {run: {metrics[key]: said[key] for key in metrics if said.get(key) is not None}
                for run, said in facts_of_runs(name, STUDIES[name]).items()}
    found = settled(f"studies/{name}").reported
    assert found == {run: numbers for run, numbers in expected.items() if numbers}


@pytest.mark.parametrize("name", STUDIES)
def test_its_seeds_begin_with_the_published_one(name):
    if seed := re.search(r"seed (\d+)", str(FACTS[name].get("subset"))):
        for run in settled(f"studies/{name}").runs.values():
            assert run.knobs["seeds"][0] == int(seed[1])


@pytest.mark.parametrize(("name", "row"), STUDIES.items(), ids=list(STUDIES))
def test_it_has_every_claim_and_says_which_are_ours(name, row):
    plan = settled(f"studies/{name}")
    assert set(row.claims) == set(FACTS[name]["claims"])
    theirs = {claim for claims in row.claims.values() for claim in claims}
    assert all(row.claims.values())
    found = {claim.claim for claim in plan.claims} | {f"compare.{pair}" for pair in plan.compare}
    assert theirs <= found
    for claim in plan.claims:
        assert claim.note.startswith("ours") == (claim.claim not in theirs), claim


@pytest.mark.parametrize(("name", "run"), runs_of_facts())
def test_its_readme_has_the_reported_number_beside_the_run(name, run):
    said = facts_of_runs(name, STUDIES[name])[run]
    numbers = [said[key] for key in ("accuracy", "loss", "seconds_per_epoch")
               if said.get(key) is not None]
    lines = [line for line in text(f"studies/{name}", "README.md").splitlines()
             if line.startswith(f"| {run} |")]
    assert lines, f"no row of a table begins with {run}"
    cells = {number for line in lines for number in re.findall(r"[\d.]+", line.partition(run)[2])}
    for number in numbers:
        assert any(float(cell) == number for cell in cells if re.fullmatch(r"\d+(\.\d+)?", cell))


def test_the_curves_of_fractions_are_those_that_were_printed():
    printed = FACTS["fractions"]["curves"]
    for folder in ("studies/fractions", "studies/fractions/small"):
        ours = settled(folder).reported_curves
        assert {run: list(curve) for run, curve in ours.items()} == {
            run: curve["accuracy"] for run, curve in printed.items()}


@pytest.mark.parametrize("name", [name for name, row in STUDIES.items() if row.small])
def test_small_is_the_same_study_scaled_down(name):
    published, folder = f"studies/{name}", f"studies/{name}/small"
    large, small = settled(published), settled(folder)
    assert set(small.runs) == set(large.runs)
    assert small.claims == large.claims
    assert small.reported == large.reported
    assert small.budget == large.budget
    not_run = params(folder).get("not_run", {})
    assert all(entry["why"] for entry in not_run.values())
    assert small.compare == {pair: runs for pair, runs in large.compare.items()
                             if not set(runs) & set(not_run)}
    changed = set()
    for run, there in large.runs.items():
        here = small.runs[run]
        changed |= {key for key in KNOBS if key != "phases" and here.knobs[key] != there.knobs[key]}
        assert list(map(unscaled, here.phases)) == list(map(unscaled, there.phases))
    assert changed <= SCALED
    named = set(re.findall(r"\w+", head_comment(folder)))
    assert changed <= named, "the comment at the head names what is scaled"


def unscaled(phase: Phase) -> dict:
    return {key: value for key, value in phase.knobs.items()
            if key not in ("epochs", "warmup_epochs", "gamma")}


# What only one study has

SEPARATE = [run for run in STUDIES["strategies"].runs if run.endswith("-separate")]


@pytest.mark.parametrize("run", SEPARATE)
def test_separate_rates_are_those_of_the_facts(run):
    assert all(words in FACTS["strategies"]["separate_lr"] for words in (
        "classifier lr x 1.0", "features[-5:]) lr x 0.6", "deeper layers lr x 0.4"))
    settled_run = settled("studies/strategies").runs[run]
    features = [f"features.{i}" for i in range(19)]
    expected = dict.fromkeys(features, 0.4) | dict.fromkeys(features[-5:], 0.6)
    found = rates(settled_run)
    assert found == pytest.approx({block: scale * settled_run.knobs["lr"] for block, scale in
                                   (expected | {"classifier.1": 1.0}).items()})


def test_strategies_share_their_rate_and_weight_decay():
    runs = settled("studies/strategies").runs.values()
    assert len({(run.knobs["lr"], run.knobs["weight_decay"]) for run in runs}) == 1


@pytest.mark.parametrize("folder", ["studies/strategies", "studies/strategies/small"])
def test_only_the_long_training_from_scratch_is_longer(folder):
    runs = settled(folder).runs
    full, scratch, long = (runs[f"cifar10-{name}"].knobs
                           for name in ("full", "scratch", "scratch-long"))
    assert scratch["epochs"] == full["epochs"] < long["epochs"]
    last = [run["gamma"] ** (run["epochs"] - 1) for run in (full, long)]
    assert last == pytest.approx([0.13, 0.13], rel=0.1), "how far lr falls"


@pytest.mark.parametrize(("run", "blocks"), [
    ("cifar10-last3", ["features.17", "features.18", "classifier.1"]),
    ("cifar10-last3-blocks", ["features.16", "features.17", "features.18", "classifier.1"]),
])
def test_last_layers_are_the_last_blocks(run, blocks):
    found = rates(settled("studies/strategies").runs[run])
    assert [block for block, lr in found.items() if lr] == blocks == list(found)[-len(blocks):]


def test_readme_of_strategies_has_the_published_memory():
    lines = text("studies/strategies", "README.md").splitlines()
    for row, memory in FACTS["strategies"]["memory_mb"].items():
        numbers = [f"{megabytes:,}" for megabytes in memory.values()]
        assert any(line.startswith(f"| {row} ") and all(f" {number} " in line for number in numbers)
                   for line in lines), row


@pytest.mark.parametrize("head", ["replace", "append"])
def test_two_phases_train_the_new_layer_and_then_everything(head):
    runs = settled("studies/adaptation").runs
    first, second = runs[f"{head}-two-phase"].phases
    (direct,) = runs[f"{head}-direct"].phases
    assert [row.part for row in table(runs[f"{head}-two-phase"], first)
            if not row.frozen] == ["head"]
    # But for its epochs the second phase is what the direct run does.
    assert unscaled(second) == unscaled(direct)
    assert first.knobs["epochs"] + second.knobs["epochs"] == direct.knobs["epochs"]


def test_the_head_alone_is_trained_as_in_the_first_phase():
    runs = settled("studies/adaptation").runs
    (alone,) = runs["replace-head-only"].phases
    assert unscaled(alone) == unscaled(runs["replace-two-phase"].phases[0])


def test_photos_are_prepared_as_the_write_up_says():
    assert "resize 232, crop 224, bilinear" in FACTS["adaptation"]["model"]
    for run in settled("studies/adaptation").runs.values():
        made = run.preprocessing
        assert (made.image_size, made.resize, made.interpolation) == (224, 232, "bilinear")


@pytest.mark.parametrize("folder", [folder for name, folder in folders() if name == "photos"])
def test_ours_are_as_unfreeze_new_makes_them(folder):
    """What a machine's speed decides stands in params.yaml, and the rest follows from it."""
    images = look_at("pizza_steak_sushi")
    given, up = params(folder), "/".join([".."] * len(folder.split("/")))
    made = Setting(given["fraction"], given["image_size"], given["epochs"], given["batch_size"],
                   given["validation"], given["search_folds"], len(given["search"]["lr"]),
                   len(given["seeds"]), given["score"])
    assert made in settings(images, Sides(224))
    assert text(folder, "params.yaml") == written.params(
        images, "pizza_steak_sushi", written.Models(given["model"]), made, f"{up}/params.yaml")
    command = re.search(r"^unfreeze new .*$", text(folder, "README.md"), re.M)[0]
    assert text(folder, "README.md") == written.readme(
        folder.split("/")[-1], images, written.Models(given["model"]), made, folder, command,
        private=False)


@pytest.mark.parametrize("name", [name for name, row in STUDIES.items() if row.small])
def test_intervals_that_the_readme_gives_are_those_of_what_was_run(name):
    said = text(f"studies/{name}", "README.md").partition("## What the small study says")[2]
    found = re.findall(r"(-?\d+\.\d) to (-?\d+\.\d)\b", " ".join(said.split()))
    assert found or name == "sizes"
    there = set()
    for row in files.read_csv(ROOT / f"studies/{name}/small/plots/tables/claims.csv"):
        if row["low"]:
            low, high = float(row["low"]), float(row["high"])
            there |= {(fixed(low, 1), fixed(high, 1)), (fixed(-high, 1), fixed(-low, 1))}
    assert set(found) <= there


@pytest.mark.parametrize("file", sorted(ROOT.glob("studies/*/small/plots/tables/claims.csv")),
                         ids=str)
def test_docs_count_the_verdicts_of_what_was_run(file):
    verdicts = {row["number"]: row["claim_verdict"] for row in files.read_csv(file)}
    name = file.relative_to(ROOT).parts[1]
    (line,) = [line for line in (ROOT / "docs/studies.md").read_text().splitlines()
               if line.startswith(f"| [{name}](../studies/")]
    said = {verdict: int(count) for count, verdict in re.findall(r"(\d+) ([a-z ]+?)(?:,| \|)",
                                                                 line.rsplit(" | ", 1)[1])}
    assert said == Counter("hold" if each == "holds" else each for each in verdicts.values())
