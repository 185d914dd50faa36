import pytest

from unfreeze.errors import UserError
from unfreeze.models import families
from unfreeze.tuning import rules

RESNET = families()["resnet18"].MODELS["resnet18"].parts
MOBILENET = families()["mobilenet_v2"].MODELS["mobilenet_v2"].parts


def modules(parts):
    return [module for names in parts.values() for module in names]


def frozen(parts, freeze):
    return {row["module"] for row in rules.part_table(parts, freeze, {}) if not row["trainable"]}


def features(first, last):
    return {f"features.{i}" for i in range(first, last + 1)}


@pytest.mark.parametrize(("parts", "freeze", "expected"), [
    (RESNET, "none", set()),
    # As in the published freezing study; conv1 and bn1 stay trainable.
    (RESNET, "early", {"layer1", "layer2"}),
    (RESNET, "middle", {"layer2", "layer3"}),
    (RESNET, "last_only", {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
    (MOBILENET, "none", set()),
    (MOBILENET, "early", features(2, 6)),
    (MOBILENET, "middle", features(4, 13)),
    (MOBILENET, "last_only", features(0, 18)),
    (RESNET, [], set()),
    (RESNET, ["stem", "layer3"], {"conv1", "bn1", "layer3"}),
    (RESNET, ["bn1"], {"bn1"}),
    (MOBILENET, ["stage2", "features.5"], features(4, 6)),
    (RESNET, {"train": ["head"]}, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
    (RESNET, {"train": ["bn1", "stage4", "fc"]}, {"conv1", "layer1", "layer2", "layer3"}),
], ids=str)
def test_freeze_names_exactly_these_modules(parts, freeze, expected):
    assert frozen(parts, freeze) == expected


@pytest.mark.parametrize("parts", [RESNET, MOBILENET])
def test_table_has_a_row_a_module_stem_to_head(parts):
    rows = rules.part_table(parts, "early", {"head": 10})
    assert [row["module"] for row in rows] == modules(parts)
    assert all(row["module"] in parts[row["part"]] for row in rows)
    assert all(set(row) == {"part", "module", "trainable", "lr_scale"} for row in rows)


def test_train_and_freeze_are_complements():
    named = ["stage2", "conv1"]
    assert frozen(RESNET, {"train": named}) == set(modules(RESNET)) - frozen(RESNET, named)


@pytest.mark.parametrize("swap", [False, True])
def test_module_scale_beats_part_scale_in_any_order(swap):
    scale = {"stage1": 0.5, "features.3": 0.25}
    scale = dict(reversed(scale.items())) if swap else scale
    scales = {row["module"]: row["lr_scale"] for row in rules.part_table(MOBILENET, "none", scale)}
    assert (scales.pop("features.2"), scales.pop("features.3")) == (0.5, 0.25)
    assert set(scales.values()) == {1.0}


def test_frozen_rows_have_scale_0():
    rows = rules.part_table(RESNET, "early", {"layer4": 3})
    assert {row["module"]: row["lr_scale"] for row in rows} == {
        "conv1": 1, "bn1": 1, "layer1": 0, "layer2": 0, "layer3": 1, "layer4": 3, "fc": 1}


@pytest.mark.parametrize(("freeze", "lr_scale", "words"), [
    (["layer5"], {}, ["freeze", "'layer5'", "did you mean 'layer", "stage1", "fc"]),
    ({"train": ["haed"]}, {}, ["freeze", "'haed'", "did you mean 'head'"]),
    ("none", {"stagge1": 2}, ["lr_scale", "'stagge1'", "did you mean 'stage1'"]),
    ("none", {"layer": 2}, ["lr_scale", "'layer' matches no part"]),  # no prefixes
    (["stem", "stage1", "stage2", "stage3", "stage4", "head"], {}, ["freeze", "nothing is left"]),
    ({"train": []}, {}, ["freeze", "nothing is left"]),
])
def test_rule_without_a_match_or_an_effect_is_an_error(freeze, lr_scale, words):
    with pytest.raises(UserError) as caught:
        rules.part_table(RESNET, freeze, lr_scale)
    assert all(word in str(caught.value) for word in words)


def test_presets_halve_any_number_of_stages():
    parts = {"stem": ("s",)} | {f"stage{i}": (f"m{i}",) for i in range(1, 9)} | {"head": ("h",)}
    assert frozen(parts, "early") == {"m1", "m2", "m3", "m4"}
    assert frozen(parts, "middle") == {"m3", "m4", "m5", "m6"}
