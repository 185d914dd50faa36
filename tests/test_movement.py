"""How far a model has moved from its pretrained weights, against arithmetic by hand."""

import numpy as np
import pytest
import torch

from helpers import TINY
from unfreeze import models
from unfreeze.models.facts import Model
from unfreeze.training import movement
from unfreeze.tuning import groups, rules

torch.set_num_threads(1)  # on tiny tensors more threads only wait for one another

KNOBS = {"lora_rank": 2, "lora_alpha": 4, "lora_layers": "all", "tinytl_groups": 2}


def f32(*values):
    return np.array(values, np.float32)


def test_distance_by_hand():
    assert movement.distance([f32(3, 1), f32([5])], [f32(0, 1), f32([1])]) == (
        5, round(5 / 2**0.5, 6))
    assert movement.distance([f32(3, 4)], [f32(0, 0)]) == (5, None)
    assert movement.distance([f32(1, 2)], [f32(1, 2)]) == (0, 0)


def test_distance_is_in_float64():
    # The squares vanish in float32.
    assert movement.distance([f32(3e-30)], [f32(1e-30)])[1] == 2


def test_distance_of_what_diverged_is_not_a_number():
    assert np.isnan(movement.distance([f32(np.nan, 1)], [f32(1, 1)])).all()


def start(facts, build, size, tune="full", freeze="none"):
    """A model about to be trained: (it, what was pretrained, the tables of its phases)."""
    torch.manual_seed(0)
    model = build(size)
    tables = [rules.part_table(facts.parts, freeze, {}, tune=tune)]
    plain = dict(model.named_parameters())
    groups.insert(model, tables, facts, KNOBS, size)
    identities = {id(p) for name, p in plain.items() if not name.startswith(facts.last)}
    initial = {name: tensor.detach().clone()
               for name, tensor in model.state_dict(keep_vars=True).items()
               if id(tensor) in identities}
    return model, initial, tables


def start_tiny(tune="full", freeze="none"):
    return start(TINY.MODELS["tiny"], lambda size: TINY.build("tiny", "original", 3, size), 8,
                 tune, freeze)


def counts(model):
    found = {}
    for name, parameter in model.named_parameters():
        part = name.split(".")[0]
        found[part] = found.get(part, 0) + parameter.numel()
    return found


@torch.no_grad()
def test_each_part_by_hand():
    model, initial, tables = start_tiny(freeze="early")
    size = counts(model)
    model.stem[0].bias += 3  # 6 numbers
    model.stem[1].bias += 4  # 6 numbers
    model.stage2[0].weight *= 3
    model.head.weight += 100
    model.stage1[1].running_mean += 7
    found = movement.rows(model, initial, tables)
    distance = (6 * 9 + 6 * 16) ** 0.5
    norms = {part: sum(tensor.double().square().sum().item() for name, tensor in initial.items()
                       if name.startswith(part)) ** 0.5 for part in ("stem", "stage2")}
    weight = initial["stage2.0.weight"].double().norm().item()
    assert [row[:2] for row in found] == [(part, size[part])
                                          for part in ("stem", "stage1", "stage2")]
    assert [row[2:] for row in found] == [
        pytest.approx((distance, distance / norms["stem"]), abs=1e-5), (0, 0),
        pytest.approx((2 * weight, 2 * weight / norms["stage2"]), abs=1e-5)]
    assert all(value == round(value, 6) for row in found for value in row[2:])


def test_only_what_was_pretrained_counts():
    model, initial, tables = start_tiny()
    assert movement.rows(model, {}, tables) == []
    stem = {"stem.0.bias": initial["stem.0.bias"]}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 2
    assert [row[:3] for row in movement.rows(model, stem, tables)] == [
        ("stem", 6, round((6 * 4) ** 0.5, 6))]


@torch.no_grad()
def test_convolution_counts_with_what_lora_adds():
    model, initial, tables = start_tiny("lora")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert [row[2:] for row in movement.rows(model, initial, tables)] == [(0, 0)] * 3
    model.stage1[0].lora.up.weight.fill_(1)
    # (alpha / rank) B A with B all ones: twice the sum of A's rows, for each of 6 channels.
    added = 6**0.5 * (2 * model.stage1[0].lora.down.weight.sum(0)).norm().item()
    found = {row[0]: row[1:] for row in movement.rows(model, initial, tables)}
    assert found["stage1"][1] == pytest.approx(added, rel=1e-5)
    assert found["stage1"][0] == 6 * 6 * 9 + 3 * 6  # not the matrices of LoRA
    assert found["stem"][1:] == found["stage2"][1:] == (0, 0)
    assert "stage1.0.lora.up.weight" in before  # the model still has its updates
    assert model.state_dict().keys() == before.keys()


class Attention(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.stem = torch.nn.MultiheadAttention(8, 2)
        self.head = torch.nn.Linear(8, 3)


@torch.no_grad()
def test_attention_counts_with_what_lora_adds():
    facts = Model(parts={"stem": ("stem",), "head": ("head",)}, strides={}, last="head")
    model, initial, tables = start(facts, Attention, 8, "lora")
    before = initial["stem.parametrizations.in_proj_weight.original"]
    model.stem.parametrizations.in_proj_weight[0].up.fill_(1)
    moved = (model.stem.in_proj_weight - before).norm().item()
    assert moved > 1
    assert movement.rows(model, initial, tables) == [
        ("stem", 8 * 24 + 24 + 8 * 8 + 8, pytest.approx(moved, rel=1e-5), pytest.approx(
            moved / sum(tensor.square().sum().item() for tensor in initial.values()) ** 0.5,
            rel=1e-5))]


@torch.no_grad()
@pytest.mark.parametrize("tune", ["dora", "ssf"])
def test_a_convolution_counts_as_what_it_computes(tune):
    model, initial, tables = start_tiny(tune)
    assert [row[2:] for row in movement.rows(model, initial, tables)] == [(0, 0)] * 3
    layer = model.stage1[0]
    if tune == "dora":
        layer.parametrizations.weight[0].magnitude *= 3
    else:
        layer.ssf.scale += 2
        layer.bias -= layer.bias  # which it is scaled with
        initial["stage1.0.bias"].zero_()
    found = {row[0]: row[1:] for row in movement.rows(model, initial, tables)}
    key = "stage1.0.parametrizations.weight.original" if tune == "dora" else "stage1.0.weight"
    assert found["stage1"][1] == pytest.approx(2 * initial[key].norm().item(), rel=1e-5)
    assert found["stage1"][0] == 6 * 6 * 9 + 3 * 6
    assert found["stem"][1:] == found["stage2"][1:] == (0, 0)


@torch.no_grad()
def test_branches_of_tinytl_do_not_count():
    model, initial, tables = start(
        models.facts_of("resnet18"), lambda size: models.build("resnet18", "original", 3, size), 32,
        "tinytl")
    for name, parameter in model.named_parameters():
        if ".lite." in name:
            parameter += 1
    model.layer2[0].bn1.bias += 2
    found = movement.rows(model, initial, tables)
    assert {row[0]: row[2] for row in found} == {
        "stem": 0, "stage1": 0, "stage2": round((128 * 4) ** 0.5, 6), "stage3": 0, "stage4": 0}
    assert sum(row[1] for row in found) == sum(tensor.numel() for tensor in initial.values())
