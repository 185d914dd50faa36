import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unfreeze.errors import UserError
from unfreeze.models import by_model, heads
from unfreeze.tuning import methods, rules

RESNET = by_model()["resnet18"].MODELS["resnet18"].parts
MOBILENET = by_model()["mobilenet_v2"].MODELS["mobilenet_v2"].parts
VIT = by_model()["vit_b_16"].MODELS["vit_b_16"].parts
CNN = by_model()["cnn"].MODELS["cnn"].parts  # two stages, and hidden layers before the head


def modules(parts):
    return [module for names in parts.values() for module in names]


def frozen(parts, freeze):
    return {row.module for row in rules.part_table(parts, freeze, {}) if row.frozen}


def scales(parts, lr_scale, lr_decay=1.0):
    return {row.module: row.lr_scale
            for row in rules.part_table(parts, "none", lr_scale, lr_decay)}


def features(first, last):
    return {f"features.{i}" for i in range(first, last + 1)}


def layers(*numbers):
    return {f"layer{number}.{block}" for number in numbers for block in (0, 1)}


def encoder(first, last):
    return {f"encoder.layers.encoder_layer_{i}" for i in range(first, last + 1)}


STEM = {"conv1", "bn1"}


@pytest.mark.parametrize(("parts", "freeze", "expected"), [
    (RESNET, "none", set()),
    # As in the published freezing study; conv1 and bn1 stay trainable.
    (RESNET, "early", layers(1, 2)),
    (RESNET, "middle", layers(2, 3)),
    (RESNET, "last_only", STEM | layers(1, 2, 3, 4)),
    (MOBILENET, "none", set()),
    (MOBILENET, "early", features(2, 6)),
    (MOBILENET, "middle", features(4, 13)),
    (MOBILENET, "last_only", features(0, 18)),
    (CNN, "last_only", set(modules(CNN)[:-1])),
    (RESNET, [], set()),
    (RESNET, ["stem", "layer3"], STEM | layers(3)),
    (RESNET, ["layer3.1"], {"layer3.1"}),
    (RESNET, ["bn1"], {"bn1"}),
    (MOBILENET, ["stage2", "features.5"], features(4, 6)),
    (MOBILENET, ["features.1"], {"features.1"}),  # and not features.10 to features.18
    (MOBILENET, ["features"], features(0, 18)),
    (VIT, ["encoder.layers"], encoder(0, 11)),
    (VIT, ["encoder"], encoder(0, 11) | {"encoder.pos_embedding", "encoder.ln"}),
    (RESNET, {"train": ["head"]}, STEM | layers(1, 2, 3, 4)),
    (RESNET, {"train": ["bn1", "stage4", "fc"]}, {"conv1"} | layers(1, 2, 3)),
    (RESNET, {"train": ["layer4.1"]}, {*STEM, "layer4.0", "fc"} | layers(1, 2, 3)),
    (RESNET, {"last": 0}, STEM | layers(1, 2, 3, 4)),
    (RESNET, {"last": 1}, STEM | layers(1, 2, 3)),
    (RESNET, {"last": 4}, STEM),
    (VIT, {"last": 1}, {"class_token", "conv_proj", "encoder.pos_embedding"} | encoder(0, 8)),
    (CNN, {"last": 0}, {"features.0", "features.3", "features.6"}),  # hidden layers train too
    (CNN, {"last": 1}, {"features.0", "features.3"}),
])
def test_freeze_names_exactly_these_modules(parts, freeze, expected):
    assert frozen(parts, freeze) == expected


@pytest.mark.parametrize("parts", [RESNET, MOBILENET])
def test_table_has_a_row_a_module_stem_to_head(parts):
    rows = rules.part_table(parts, "early", {"head": 10})
    assert [row.module for row in rows] == modules(parts)
    assert all(row.module in parts[row.part] for row in rows)


def some_rules(parts, values):
    names = sorted({*parts, *modules(parts), *(module.split(".")[0] for module in modules(parts))})
    return st.dictionaries(st.sampled_from(names), values, max_size=5)


TABLES = [heads.parts(by_model()[name].MODELS[name], head)
          for name in ("resnet18", "mobilenet_v2", "vit_b_16", "vgg16")
          for head in ("replace", "append")]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_rules_give_each_block_one_row_and_scale_0_to_the_frozen_only(data):
    parts = data.draw(st.sampled_from(TABLES))
    named = list(data.draw(some_rules(parts, st.none())))
    freeze = data.draw(st.one_of(
        st.sampled_from([*rules.PRESETS, named, {"train": named}]),
        st.builds(lambda count: {"last": count}, st.integers(0, len(rules.stages(parts))))))
    lr_scale = data.draw(some_rules(parts, st.floats(1e-6, 100)))
    lr_decay = data.draw(st.floats(0.01, 1))
    tune = data.draw(st.sampled_from(methods.names()))
    try:
        rows = rules.part_table(parts, freeze, lr_scale, lr_decay, tune)
    except UserError as error:
        assert "nothing is left to train" in str(error) and isinstance(freeze, list | dict)
        return
    assert [(row.part, row.module) for row in rows] == [
        (part, module) for part, names in parts.items() for module in names]
    assert any(not row.frozen for row in rows)
    for row in rows:
        assert (row.lr_scale == 0) == row.frozen
        assert row.tune in (None, "full" if row.part == "head" else tune)
    # Rates do not decide what trains, nor does freezing decide the rates of what does.
    free = scales(parts, lr_scale, lr_decay)
    assert all(row.lr_scale in (0, free[row.module]) for row in rows)
    assert {row.module for row in rows if row.frozen} == frozen(parts, freeze)


def test_train_and_freeze_are_complements():
    named = ["stage2", "conv1"]
    assert frozen(RESNET, {"train": named}) == set(modules(RESNET)) - frozen(RESNET, named)


@pytest.mark.parametrize("swap", [False, True])
def test_module_scale_beats_part_scale_in_any_order(swap):
    scale = {"stage1": 0.5, "features.3": 0.25}
    scale = dict(reversed(scale.items())) if swap else scale
    found = scales(MOBILENET, scale)
    assert (found.pop("features.2"), found.pop("features.3")) == (0.5, 0.25)
    assert set(found.values()) == {1.0}


@pytest.mark.parametrize("swap", [False, True])
def test_the_more_exact_name_wins_in_any_order(swap):
    scale = {"stage4": 0.1, "layer4": 0.2, "layer4.1": 0.3, "fc": 2}
    scale = dict(reversed(scale.items())) if swap else scale
    found = scales(RESNET, scale)
    assert (found["layer4.0"], found["layer4.1"], found["fc"], found["conv1"]) == (0.2, 0.3, 2, 1)


def test_rates_decay_a_part_from_the_head_back():
    found = scales(RESNET, {}, 0.5)
    assert {found[module] for module in layers(4)} == {0.5}
    assert [found[module] for module in ("fc", "layer3.0", "layer2.1", "layer1.0", "bn1")] == [
        1, 0.25, 0.125, 0.0625, 0.03125]


def test_scale_beats_decay():
    found = scales(RESNET, {"stage3": 1, "layer2.1": 7}, 0.5)
    assert [found[module] for module in ("layer3.0", "layer2.0", "layer2.1")] == [1, 0.125, 7]


def test_frozen_rows_have_scale_0():
    rows = rules.part_table(RESNET, "early", {"layer4": 3})
    assert {row.module: row.lr_scale for row in rows} == {
        "conv1": 1, "bn1": 1, "fc": 1, **dict.fromkeys(layers(1, 2), 0),
        **dict.fromkeys(layers(3), 1), **dict.fromkeys(layers(4), 3)}


def test_method_is_for_what_neither_starts_anew_nor_is_the_head():
    rows = rules.part_table(RESNET, "early", {}, tune="lora", new=("conv1",))
    assert {row.module for row in rows if row.tune == "full"} == {"conv1", "fc"}
    assert {row.tune for row in rows} == {"full", "lora", None}
    assert {row.module for row in rows if row.frozen} == layers(1, 2)
    assert rules.methods_used([rows]) == {"full", "lora"}


@pytest.mark.parametrize(("freeze", "lr_scale", "words"), [
    (["layer5"], {}, ["freeze", "'layer5'", "did you mean 'layer", "stage1", "fc"]),
    ({"train": ["haed"]}, {}, ["freeze", "'haed'", "did you mean 'head'"]),
    ("none", {"stagge1": 2}, ["lr_scale", "'stagge1'", "did you mean 'stage1'"]),
    ("none", {"layer": 2}, ["lr_scale", "'layer' matches no part"]),  # no half names
    ("none", {"layer1.0.conv1": 2}, ["lr_scale", "'layer1.0.conv1' matches no part"]),
    ("none", {"layer1.": 2}, ["lr_scale", "'layer1.' matches no part"]),
    (["stem", "stage1", "stage2", "stage3", "stage4", "head"], {}, ["freeze", "nothing is left"]),
    ({"train": []}, {}, ["freeze", "nothing is left"]),
    ({"last": 5}, {}, ["freeze", "5 stages and the model has 4", "0 to 4"]),
])
def test_rule_without_a_match_or_an_effect_is_an_error(freeze, lr_scale, words):
    with pytest.raises(UserError) as caught:
        rules.part_table(RESNET, freeze, lr_scale)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_presets_halve_any_number_of_stages():
    parts = {"stem": ("s",)} | {f"stage{i}": (f"m{i}",) for i in range(1, 9)} | {"head": ("h",)}
    assert frozen(parts, "early") == {"m1", "m2", "m3", "m4"}
    assert frozen(parts, "middle") == {"m3", "m4", "m5", "m6"}
