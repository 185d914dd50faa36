import copy
from dataclasses import replace

import pytest
import torch

from unfreeze import models
from unfreeze.training import loop
from unfreeze.training.devices import Device
from unfreeze.tuning import groups, rules

torch.set_num_threads(1)  # on tiny images more threads only wait for one another

CPU = Device(torch.device("cpu"), "fp32", "test")
KNOBS = {"lr": 0.01, "momentum": 0.9}
BN = torch.nn.modules.batchnorm._BatchNorm


@pytest.fixture(scope="module", params=["mobilenet_v2", "resnet18"])
def built(request):
    """(parts, a model to copy)."""
    torch.manual_seed(0)
    return (models.facts_of(request.param).parts,
            models.build(request.param, "original", 3, 32))


def train(model, rows, policy, optimizer="adam", epochs=2):
    """A few steps as a run makes them; the state dicts before and after."""
    groups.freeze(model, rows)
    before = copy.deepcopy(model.state_dict())
    steps = loop.make_optimizer(groups.parameter_groups(model, rows, KNOBS["lr"], 0.1),
                                KNOBS | {"optimizer": optimizer})
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for _ in range(epochs):
        loop.set_training_mode(model, policy)
        loop.train_epoch(model, steps, [(images, torch.arange(8) % 3)], CPU, loop.Step(),
                         lambda: None)
    return before, model.state_dict()


def moved(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


# weight_decay is on, momentum and Adam's moments too: none may reach a frozen parameter.
@pytest.mark.parametrize(("freeze", "optimizer"), [
    ("none", "adam"), ("early", "sgd"), ("middle", "adamw"), ("last_only", "adam"),
    ({"train": ["stem", "stage4"]}, "sgd")], ids=str)
def test_exactly_the_trainable_parameters_move(built, freeze, optimizer):
    parts, model = built[0], copy.deepcopy(built[1])
    rows = rules.part_table(parts, freeze, {})
    before, after = train(model, rows, "eval", optimizer)
    trainable = tuple(f"{row.module}." for row in rows if not row.frozen)
    names = {name for name, _ in model.named_parameters()}
    assert moved(before, after) & names == {name for name in names if name.startswith(trainable)}
    # The running statistics too: under the policy eval, a frozen part is a fixed function.
    assert all(name.startswith(trainable) for name in moved(before, after))


@pytest.mark.parametrize("policy", ["eval", "train"])
def test_policy_decides_for_frozen_batchnorm_statistics(built, policy):
    parts, model = built[0], copy.deepcopy(built[1])
    rows = rules.part_table(parts, "early", {})
    before, after = train(model, rows, policy)
    frozen = tuple(f"{row.module}." for row in rows if row.frozen)
    statistics = {f"{name}.{buffer}" for name, module in model.named_modules()
                  if isinstance(module, BN) for buffer, _ in module.named_buffers()}
    still = {name for name in statistics if name.startswith(frozen)}
    assert still and statistics - still
    assert moved(before, after) & statistics == (
        statistics if policy == "train" else statistics - still)


@pytest.mark.parametrize("policy", ["eval", "train"])
def test_policy_decides_for_frozen_batchnorm_only(built, policy):
    # Dropout and trainable BatchNorm train under both; an earlier eval mode is forgotten.
    parts, model = built[0], copy.deepcopy(built[1]).eval()
    rows = rules.part_table(parts, "early", {})
    groups.freeze(model, rows)
    loop.set_training_mode(model, policy)
    for name, module in model.named_modules():
        is_frozen_bn = isinstance(module, BN) and not module.weight.requires_grad
        assert module.training == (policy == "train" or not is_frozen_bn), name


def test_each_parameter_has_the_rate_of_its_row(built):
    parts, model = built
    last = next(reversed(parts["stage4"]))
    rows = rules.part_table(parts, ["stage1"], {"head": 10, "stage4": 0.5, last: 0.25})
    groups.freeze(model, rows)
    made = groups.parameter_groups(model, rows, 0.2, 0.3)
    rates = {id(p): group["lr"] for group in made for p in group["params"]}
    assert sum(len(group["params"]) for group in made) == len(rates)  # none twice
    assigned = groups.assign(model, rows)
    for name, parameter in model.named_parameters():
        row = assigned[name]
        assert rates.get(id(parameter)) == (
            None if row.frozen else 0.2 * row.lr_scale)
    assert {group["lr"] for group in made} == ({0.2, 2.0, 0.05, 0.1} if len(parts["stage4"]) > 1
                                               else {0.2, 2.0, 0.05})
    assert all(group["base_lr"] == group["lr"] and group["weight_decay"] == 0.3 for group in made)


def decays(model, rows, **options):
    """{parameter: weight decay} of what trains."""
    groups.freeze(model, rows)
    found = {id(parameter): group["weight_decay"]
             for group in groups.parameter_groups(model, rows, 0.1, 0.3, **options)
             for parameter in group["params"]}
    return {name: found[id(p)] for name, p in model.named_parameters() if p.requires_grad}


def test_weight_decay_may_spare_biases_and_norms(built):
    parts, model = built
    rows = rules.part_table(parts, "early", {"head": 10})
    assert set(decays(model, rows).values()) == {0.3}
    weights = {name for name, value in decays(model, rows, decay_biases_and_norms=False).items()
               if value == 0.3}
    # Of convolutional networks, weights of convolutions and linear layers have two or more axes.
    assert weights == {n for n, p in model.named_parameters() if p.requires_grad and p.ndim > 1}


def test_weight_decay_spares_what_is_named(built):
    parts, model = built
    rows = rules.part_table(parts, "none", {})
    named = [name for name, _ in model.named_parameters()][3:7]
    assert [name for name, value in decays(model, rows, undecayed=named).items()
            if not value] == named


def test_method_decides_what_trains_and_the_head_trains_in_full(built):
    parts, model = built
    rows = rules.part_table(parts, {"train": ["stage1", "head"]}, {}, tune="bias")
    groups.freeze(model, rows)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {n for n, p in model.named_parameters()
                       if n.startswith(parts["head"][0])
                       or (n.startswith(parts["stage1"]) and n.endswith(".bias"))}


def test_phases_forget_one_another(built):
    parts, model = built
    for freeze in ("last_only", "none", "early", "last_only"):
        rows = rules.part_table(parts, freeze, {})
        groups.freeze(model, rows)
        assigned = groups.assign(model, rows)
        assert all(p.requires_grad == (not assigned[n].frozen)
                   for n, p in model.named_parameters())


def test_method_goes_into_every_block_that_trains_in_some_phase(built):
    parts, model = built[0], copy.deepcopy(built[1])
    phases = [rules.part_table(parts, {"train": ["head", stage]}, {}, tune="lora")
              for stage in ("stage2", "stage4")]
    knobs = {"lora_rank": 1, "lora_alpha": 1, "lora_layers": "all"}
    groups.insert(model, phases, models.facts_of("resnet18"), knobs, 32)  # all layers are called
    blocks = {row.module for name, _ in model.named_parameters() if ".lora." in name
              for row in phases[0] if name.startswith(f"{row.module}.")}
    assert blocks == {*parts["stage2"], *parts["stage4"]}


def test_larger_scale_moves_further(built):
    parts, model = built[0], copy.deepcopy(built[1])
    head = parts["head"][0]
    plain, scaled = (
        train(copy.deepcopy(model), rules.part_table(parts, "last_only", scale), "eval", "sgd", 1)
        for scale in ({}, {"head": 10}))
    (name,) = [n for n in plain[0] if n.startswith(head) and n.endswith("bias")]
    # One step of SGD is linear in the rate.
    torch.testing.assert_close((scaled[1][name] - scaled[0][name]),
                               10 * (plain[1][name] - plain[0][name]), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("change", "words"), [
    (lambda rows: rows[1:], "lies in 0 modules"),
    (lambda rows: [*rows, rows[0]], "lies in 2 modules"),
    (lambda rows: [*rows, replace(rows[0], module="nowhere")], "without a parameter: nowhere"),
])
def test_family_file_with_a_mistake_is_refused(built, change, words):
    parts, model = built
    with pytest.raises(ValueError, match=words):
        groups.assign(model, change(rules.part_table(parts, "none", {})))


def test_module_name_is_no_prefix_of_another():
    # features.1 does not own features.14.
    rows = rules.part_table(models.facts_of("mobilenet_v2").parts, "none", {})
    with torch.device("meta"):
        assigned = groups.assign(models.build("mobilenet_v2", "original", 2, 32), rows)
    assert assigned["features.14.conv.3.weight"].module == "features.14"


def test_table_counts_every_parameter_once(built):
    parts, model = built
    rows = rules.part_table(parts, "early", {"head": 10, parts["stage4"][-1]: 2})
    groups.freeze(model, rows)
    fields = ("part", "modules", "tune", "lr_scale", "parameters", "trained")
    lines = [dict(zip(fields, line, strict=True)) for line in groups.table(model, rows)]
    assert sum(line["parameters"] for line in lines) == sum(p.numel() for p in model.parameters())
    assert list(dict.fromkeys(line["part"] for line in lines)) == list(parts)
    head, stage1 = lines[-1], next(line for line in lines if line["part"] == "stage1")
    assert (head["tune"], head["lr_scale"]) == ("full", 10)
    assert head["trained"] == head["parameters"] > 0
    assert (stage1["tune"], stage1["lr_scale"]) == ("frozen", 0)
    assert stage1["trained"] == 0 < stage1["parameters"]
