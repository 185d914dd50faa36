from dataclasses import replace

import pytest
import safetensors.torch
import torch

from helpers import TINY, tiny_recipe
from unfreeze import models
from unfreeze.errors import UserError
from unfreeze.models import heads, weights
from unfreeze.training.assemble import assemble

torch.set_num_threads(1)  # on tiny images more threads only wait for one another


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(models.by_model(), "tiny", TINY)


def stored(folder, classes=1000, name="tiny-v1"):
    """Weights of the tiny model in a folder: (digest, tensors)."""
    torch.manual_seed(9)
    tensors = TINY.build("tiny", "original", classes, 8).state_dict()
    tensors = {key: tensor for key, tensor in tensors.items() if not weights.is_counter(key)}
    file = weights.path(folder, name)
    safetensors.torch.save_file(tensors, file)
    return weights.tensors_digest(weights.read_arrays(file)), tensors


def backbone(tensors):
    """Names of what is taken over: all but the head, and the counters, which no file holds."""
    return {name for name in tensors if not name.startswith("head.")} | {
        f"{part}.1.num_batches_tracked" for part in ("stem", "stage1")}


def parameters(model):
    return {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("knobs", [
    {}, {"head": "mlp", "head_width": 4}, {"dropout": 0.5}, {"tune": "lora", "lora_rank": 2},
    {"tune": "bias", "freeze": "early"}], ids=str)
def test_all_but_the_head_comes_from_the_weights(tmp_path, knobs):
    digest, tensors = stored(tmp_path)
    model, initial = assemble(tiny_recipe(digest, **knobs), 1, tmp_path)
    assert initial.keys() == backbone(tensors)
    state = model.state_dict()
    for name, tensor in initial.items():
        assert torch.equal(tensor, tensors.get(name, torch.tensor(0))), name
        assert torch.equal(tensor, state[name]), name
        assert tensor.data_ptr() != state[name].data_ptr()  # training must not reach it
    assert model.eval()(torch.zeros(2, 3, 8, 8)).shape == (2, 3)


def test_appended_head_keeps_the_classifier(tmp_path):
    digest, tensors = stored(tmp_path)
    model, initial = assemble(tiny_recipe(digest, head="append"), 1, tmp_path)
    assert torch.equal(initial["head.classifier.weight"], tensors["head.weight"])
    assert "head.new.weight" in parameters(model) - initial.keys()
    images = torch.randn(2, 3, 8, 8)
    plain = TINY.build("tiny", "original", 1000, 8)
    plain.load_state_dict(tensors, strict=False)
    torch.testing.assert_close(model.eval()(images),
                               model.head.new(plain.eval()(images).relu()))


def test_scratch_has_nothing_pretrained(tmp_path):
    assert assemble(tiny_recipe(), 1, tmp_path)[1] == {}


def test_seed_decides_what_starts_anew_and_nothing_else(tmp_path):
    recipe = tiny_recipe(stored(tmp_path)[0], tune="lora", lora_rank=2)
    one, same, other = (assemble(recipe, seed, tmp_path)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    differing = {name for name in one if not torch.equal(one[name], other[name])}
    assert differing == {"head.weight", "head.bias", *(
        f"{block}.0.lora.down.weight" for block in ("stem", "stage1", "stage2"))}


def test_seed_means_the_same_with_and_without_weights(tmp_path):
    # So that from scratch and pretrained differ by the weights alone.
    digest, _ = stored(tmp_path)
    scratch, pretrained = (assemble(recipe, 1, tmp_path)[0].state_dict()
                           for recipe in (tiny_recipe(), tiny_recipe(digest)))
    assert torch.equal(scratch["head.weight"], pretrained["head.weight"])


def own(recipe):
    return replace(recipe, weights=replace(recipe.weights, own=True))


@pytest.mark.parametrize(("classes", "taken"), [(3, True), (5, False)])
def test_checkpoint_of_ones_own_brings_its_head_if_it_fits(tmp_path, classes, taken):
    digest, tensors = stored(tmp_path, classes)
    model, initial = assemble(own(tiny_recipe(digest)), 1, tmp_path)
    assert ("head.weight" in initial) == taken
    fits = model.state_dict()["head.weight"].shape == tensors["head.weight"].shape
    assert fits == taken and (not taken or torch.equal(model.head.weight, tensors["head.weight"]))
    # Official weights never do, whatever they were trained on.
    assert "head.weight" not in assemble(tiny_recipe(digest), 1, tmp_path)[1]


def test_nothing_that_starts_anew_counts_as_pretrained(tmp_path, monkeypatch):
    # The head that the checkpoint filled gives way to another; what takes its place in memory is
    # not pretrained. Of so many new parameters some do.
    def attach(model, *rest, real=heads.attach):
        real(model, *rest)
        model.more = torch.nn.ParameterList(torch.zeros(1) for _ in range(2000))

    monkeypatch.setattr(heads, "attach", attach)
    digest, tensors = stored(tmp_path, classes=3)
    _, initial = assemble(own(tiny_recipe(digest, head="mlp", head_width=4)), 1, tmp_path)
    assert initial.keys() == backbone(tensors)


def refused(recipe, folder, *words):
    with pytest.raises(UserError) as caught:
        assemble(recipe, 1, folder)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_other_weights_are_refused(tmp_path):
    digest, _ = stored(tmp_path)
    refused(tiny_recipe("0" * 64), tmp_path, "tiny-v1.safetensors", "is not what the recipe names",
            "0" * 12)
    refused(tiny_recipe(digest), tmp_path / "none", "tiny-v1.safetensors: missing")


def test_weights_of_another_model_are_refused(tmp_path):
    file = weights.path(tmp_path, "tiny-v1")
    safetensors.torch.save_file({"stem.0.weight": torch.zeros(6, 3, 3, 3)}, file)
    digest = weights.tensors_digest(weights.read_arrays(file))
    refused(tiny_recipe(digest), tmp_path, "does not fit the model", "missing stem.0.bias")
