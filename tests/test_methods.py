"""Every model with every tuning method that fits it: what holds for all of them."""

import copy
import functools
import math

import pytest
import torch
import torch.nn.functional as F

import tiny_models
from unfreeze import models
from unfreeze.errors import UserError
from unfreeze.models import heads
from unfreeze.models.facts import is_within
from unfreeze.models.with_torch import transformers
from unfreeze.training import cost, loop, saved
from unfreeze.training.devices import Device
from unfreeze.tuning import groups, lean, methods, rules
from unfreeze.tuning.methods import adaptformer, convpass, dora, lora, ssf, tinytl, vpt

CPU = Device(torch.device("cpu"), "fp32", "test")
# The smallest image at which no BatchNorm in training is left with one pixel of one image.
SIZES = {"cnn": 32, "mobilenet_v2": 64, "resnet18": 64, "vit_b_16": 32, "tiny_vit": 8}
# One of each other architecture.
SLOW = {"alexnet": 64, "resnet50": 64, "vgg16": 32, "convnext_tiny": 64, "densenet121": 64,
        "efficientnet_b0": 64, "efficientnet_v2_s": 64, "googlenet": 64, "inception_v3": 96,
        "maxvit_t": 224, "mnasnet0_5": 64,
        "mobilenet_v3_small": 64, "regnet_y_400mf": 64, "resnext50_32x4d": 64,
        "shufflenet_v2_x0_5": 64, "squeezenet1_1": 64, "swin_t": 64, "swin_v2_t": 64,
        "vgg11_bn": 32, "vit_b_32": 64, "wide_resnet50_2": 64}
SIZES |= SLOW
KNOBS = {"lora_rank": 2, "lora_alpha": 4, "lora_layers": "all", "tinytl_groups": 2,
         "adaptformer_width": 4, "adaptformer_scale": 0.5, "convpass_width": 3,
         "convpass_scale": 2.0, "vpt_depth": "deep", "vpt_tokens": 3}
CLASSES = 5


# What a method needs that a model may lack; to find it in every model would take seconds wherever
# this file is collected.
WITHOUT_NORM = {"alexnet", "cnn", "squeezenet1_1", "vgg16"}
WITHOUT_RESIDUAL = WITHOUT_NORM | {
    "convnext_tiny", "densenet121", "googlenet", "inception_v3", "maxvit_t", "shufflenet_v2_x0_5",
    "swin_t", "swin_v2_t", "tiny_vit", "vgg11_bn", "vit_b_16", "vit_b_32"}
WITH_TOKENS = {"tiny_vit", "vit_b_16", "vit_b_32"}
WITHOUT_BLOCKS = {*SIZES} - WITH_TOKENS - {"swin_t", "swin_v2_t"}


def fits(name: str, method: str) -> bool:
    return name not in {
        "tinytl": WITHOUT_RESIDUAL, "norm": WITHOUT_NORM, "adaptformer": WITHOUT_BLOCKS,
        "convpass": WITHOUT_BLOCKS, "vpt": {*SIZES} - WITH_TOKENS}.get(method, ())


def facts_of(name: str):
    return tiny_models.SMALL.MODELS.get(name) or models.facts_of(name)


def is_slow(name: str, method: str) -> bool:
    return name in SLOW or (name == "vit_b_16" and method != "lora")


PAIRS = [pytest.param(name, method, marks=[pytest.mark.slow] if is_slow(name, method) else [])
         for name in SIZES for method in methods.names() if fits(name, method)]


@pytest.fixture(scope="module")
def built():
    """A function from a model's name to it, built once and only while its tests run."""
    kept = {}

    def get(name):
        if name not in kept:
            kept.clear()
            torch.manual_seed(0)
            build = tiny_models.SMALL.build if name.startswith("tiny") else models.build
            kept[name] = build(name, "original", CLASSES, SIZES[name])
            # ViT's head starts at zero, behind which nothing would show.
            last = kept[name].get_submodule(facts_of(name).last)
            torch.nn.init.normal_(last.weight, std=0.05)
            # So does timm's last normalisation of a residual branch.
            for of_layer, parameter in kept[name].named_parameters():
                if of_layer.endswith("weight") and parameter.ndim == 1 and not parameter.any():
                    torch.nn.init.ones_(parameter)
        return copy.deepcopy(kept[name])

    return get


def insert(model, name, method, freeze="early", **knobs):
    facts = facts_of(name)
    rows = rules.part_table(facts.parts, freeze, {}, tune=method)
    groups.insert(model, [rows], facts, KNOBS | knobs, SIZES[name])
    lean.install(model)
    groups.freeze(model, rows)
    return rows


def logits(model, images):
    with torch.inference_mode():
        return model.eval()(images)


def moved(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.slow
def test_tinytl_is_tried_with_every_model_that_has_residual_blocks():
    assert {name for name in SIZES if not facts_of(name).residual_blocks} == WITHOUT_RESIDUAL


@pytest.mark.slow
def test_transformers_are_found_by_their_blocks(built):
    found = {name: built(name) for name in WITHOUT_BLOCKS if name not in ("maxvit_t", "vgg16")}
    assert not any(transformers.blocks(model) for model in found.values())
    for name in ("swin_t", *WITH_TOKENS):
        model = built(name)
        assert len(transformers.blocks(model)) == (2 if name == "tiny_vit" else 12)
        assert transformers.takes_tokens(model) == (name in WITH_TOKENS)


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_every_model_with_every_method(built, name, method):
    images = torch.randn(4, 3, SIZES[name], SIZES[name],
                         generator=torch.Generator().manual_seed(1))
    model = built(name)
    plain = logits(model, images)
    own = {parameter for parameter, _ in model.named_parameters()}

    rows = insert(model, name, method)
    # The method starts as the identity, but for prompts, to which some attention goes.
    assert torch.equal(logits(model, images), plain) == (method != "vpt")

    assigned = groups.assign(model, rows)  # raises unless each parameter lies in one block
    table = groups.table(model, rows)
    assert sum(row[-2] for row in table) == sum(p.numel() for p in model.parameters())
    trainable = {n for n, p in model.named_parameters() if p.requires_grad}
    assert sum(row[-1] for row in table) == sum(
        p.numel() for p in model.parameters() if p.requires_grad)
    assert all(not assigned[n].frozen for n in trainable)
    head = [row.module for row in rows if row.part == "head"]
    expected = {
        "full": lambda n: True,
        "bias": lambda n: n.endswith("bias"),
        "norm": lambda n: is_norm(model, n),
        "tinytl": lambda n: (".lite." in n and not n.endswith("norm2.bias")) or (
            n in own and n.endswith("bias")),
    }.get(method, lambda n: n not in own and "original" not in n)
    assert trainable == {
        n for n, row in assigned.items()
        if not row.frozen and (is_within(n, head) or expected(n))}

    initial = {n: t.clone() for n, t in model.state_dict().items()}
    optimizer = torch.optim.SGD(groups.parameter_groups(model, rows, 0.01, 0.01), momentum=0.9)
    loop.set_training_mode(model, "eval")
    for _ in range(2):
        loop.train_epoch(model, optimizer, [(images, torch.arange(4) % CLASSES)], CPU,
                         loop.Step(clip_norm=1.0), lambda: None)
    after = model.state_dict()
    changed = moved(initial, after)
    parameters = {n for n, _ in model.named_parameters()}
    assert changed & parameters == trainable
    # Under the policy eval, statistics move only where the weight beside them trains.
    for buffer in initial.keys() - parameters:
        owner, _, kind = buffer.rpartition(".")
        if kind in ("running_mean", "running_var"):
            assert (buffer in changed) == (f"{owner}.weight" in trainable), buffer

    stored = saved.changed(after, initial)
    assert trainable <= stored.keys()
    other = built(name)
    insert(other, name, method)
    saved.put(other, initial | stored)
    assert logits(model, images).isfinite().all()
    assert torch.equal(logits(other, images), logits(model, images))


def is_norm(model, parameter):
    owner = model.get_submodule(parameter.rpartition(".")[0])
    return any(kind.__name__ in ("BatchNorm2d", "LayerNorm") for kind in type(owner).mro())


def ramp(*shape):
    """Numbers that are easily made again."""
    count = torch.Size(shape).numel()
    return (torch.arange(count, dtype=torch.float64) * 0.7).sin().reshape(shape).float()


# Output and weight update (its first twelve numbers) of peft 0.21.2: LoraConfig(r=2, lora_alpha=6)
# on the same layer, input and matrices.
PEFT = [
    (torch.nn.Linear(4, 3), (2, 4),
     [-1.54079, 0.97084, 6.24272, 1.702, 1.13696, -4.5637],
     [0.51969, -0.78074, -1.67951, -1.75393, 1.1011, 1.25467, 1.02255, 0.51391, -0.67826, 0.71576,
      1.71448, 1.84819]),
    (torch.nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False), (1, 2, 4, 4),
     [-3.1787, 1.29589, -1.54803, -7.15633, -9.68667, 4.37958, -4.49839, -22.04418, 0.38555,
      -0.38483, 0.05751, 1.01078],
     [0.11807, 0.57904, 0.80213, 0.68243, 0.27622, -0.22543, -0.58661, -0.63743, -0.35401, 0.13037,
      0.58789, 0.80338]),
]


@pytest.mark.parametrize(("layer", "shape", "output", "update"), PEFT, ids=["linear", "conv"])
@torch.no_grad()
def test_lora_agrees_with_peft(layer, shape, output, update):
    for parameter in layer.parameters():
        parameter.copy_(ramp(*parameter.shape))
    ours = lora.LowRank(layer, rank=2, alpha=6)
    ours.down.weight.copy_(ramp(*ours.down.weight.shape) + 0.1)
    ours.up.weight.copy_(ramp(*ours.up.weight.shape) - 0.2)
    x = ramp(*shape)
    close = {"rtol": 1e-5, "atol": 2e-5}
    torch.testing.assert_close((layer(x) + ours(x)).flatten(), torch.tensor(output), **close)
    torch.testing.assert_close(ours.weight().flatten()[:12], torch.tensor(update), **close)


@pytest.mark.parametrize("method", [lora, dora, ssf], ids=["lora", "dora", "ssf"])
@pytest.mark.parametrize("name", [
    "resnet18", "tiny_vit", *(pytest.param(name, marks=pytest.mark.slow) for name in (
        "vit_b_16", "convnext_tiny", "swin_t", "swin_v2_t", "efficientnet_b0", "maxvit_t"))])
def test_updates_merge_into_the_weights(built, name, method):
    model = built(name)
    names = set(model.state_dict())
    insert(model, name, method.__name__.rpartition(".")[2], "none")
    with torch.no_grad():
        for n, parameter in model.named_parameters():
            if n not in names and "original" not in n:
                parameter += 0.02 * torch.randn(parameter.shape)
    images = torch.randn(2, 3, SIZES[name], SIZES[name])
    tuned = logits(model, images)
    twin = copy.deepcopy(model)
    method.merge(model)
    assert set(model.state_dict()) == names
    assert torch.equal(logits(twin, images), tuned)  # a copy stays as it was
    assert not any(hook.__module__.startswith("unfreeze.") for layer in model.modules()
                   for hook in layer._forward_hooks.values())
    merged, plain = logits(model, images), logits(built(name), images)
    assert (merged - tuned).abs().max() < 1e-5 * tuned.abs().max().clamp(min=1)
    assert (merged - plain).abs().max() > 1e-3


def test_lora_layers_are_those_named(built):
    model = built("resnet18")
    rows = insert(model, "resnet18", "lora", "none", lora_layers=["layer4.*", "*.conv2"])
    found = {n.split(".lora")[0] for n, p in model.named_parameters()
             if p.requires_grad and ".lora." in n}
    assert rows and found == {f"layer4.{i}.conv{j}" for i in (0, 1) for j in (1, 2)} | {
        "layer4.0.downsample.0", *(f"layer{i}.{j}.conv2" for i in (1, 2, 3) for j in (0, 1))}


@pytest.mark.parametrize(("name", "knobs", "words"), [
    ("resnet18", {"lora_layers": ["nosuch*"]}, ["lora_layers", "nosuch*", "matches no"]),
    ("resnet18", {"lora_rank": 100}, ["lora_rank: 100", "larger than conv1", "64 or less"]),
    ("vit_b_16", {"lora_rank": 800}, ["lora_rank: 800", "768 or less"])])
def test_lora_without_a_place_is_refused(built, name, knobs, words):
    with pytest.raises(UserError) as caught:
        insert(built(name), name, "lora", "none", **knobs)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_method_that_finds_nothing_is_refused(built):
    with pytest.raises(UserError, match="tune: norm finds nothing to train"):
        insert(built("cnn"), "cnn", "norm")


# Of peft 0.21.2: LoraConfig(use_dora=True, r=2, lora_alpha=6) on the same layer, input and
# matrices: output, merged weight (its first twelve numbers), and the gradients of lengths, of B and
# of A (its first twelve numbers) for a loss that is the sum of the squares of the output.
DORA = [
    (torch.nn.Linear(4, 3), (2, 4),
     [[-1.92195, 0.92152, 2.88834, 2.12304, 1.06256, -1.02309],
      [0.64825, -0.17029, -0.86576, -1.11107, 1.21924, 0.7674, 0.12818, -0.3978, -0.47399,
       0.26516, 0.85836, 1.02663],
      [10.51513, 0.93338, 10.4571],
      [-67.92705, 52.39249, -0.2996, 1.694, 19.64257, -14.50067],
      [0.25914, 4.50275, 6.62865, 5.63699, 3.97694, -8.50096, -16.98072, -17.47419]]),
    (torch.nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False), (1, 2, 4, 4),
     [[-1.89282, 0.77167, -0.92181, -4.26139, -1.86061, 0.84123, -0.86405, -4.23422, 1.30582,
       -1.3034, 0.19477, 3.42344],
      [0.07031, 0.72841, 1.06445, 0.92038, 0.36396, -0.34312, -0.86831, -0.9646, -0.5867, 0.08765,
       0.74129, 1.06681],
      [14.97617, 14.75565, 9.79371],
      [80.14621, 79.72804, 25.67033, 25.5361, -361.04962, -359.36566],
      [-3.01789, -7.36079, -8.59643, -2.02338, 2.07648, 7.69735, 3.92581, 1.22021, -5.27104,
       7.2762, 3.01479, -2.93961]]),
]


@pytest.mark.parametrize(("layer", "shape", "expected"), DORA, ids=["linear", "conv"])
def test_dora_agrees_with_peft(layer, shape, expected):
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(ramp(*parameter.shape))
    ours = dora.Decomposed(layer.weight, 1, rank=2, alpha=6)
    with torch.no_grad():
        ours.magnitude += 0.1
        ours.down.copy_((ramp(2, *layer.weight.shape[1:]) + 0.1).flatten(1))
        ours.up.copy_(ramp(len(layer.weight), 2) - 0.2)
    torch.nn.utils.parametrize.register_parametrization(layer, "weight", ours)
    output = layer(ramp(*shape))
    (output ** 2).sum().backward()
    for found, numbers in zip((output, layer.weight, ours.magnitude.grad, ours.up.grad,
                               ours.down.grad), expected, strict=True):
        torch.testing.assert_close(found.flatten()[:12], torch.tensor(numbers),
                                   rtol=1e-4, atol=1e-4)


def test_dora_keeps_weights_without_a_direction():
    weight = torch.zeros(3, 4)
    weight[0] = 1
    decomposed = dora.Decomposed(weight, 1, rank=2, alpha=2)
    assert torch.equal(decomposed(weight), weight)
    decomposed(weight).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in decomposed.parameters())


def test_ssf_is_behind_every_layer_with_weights(built):
    model = built("mobilenet_v2")
    insert(model, "mobilenet_v2", "ssf", "none")
    own = [path for path, layer in model.named_modules() if isinstance(
        layer, torch.nn.Conv2d | torch.nn.BatchNorm2d)]
    scaled = [path.removesuffix(".ssf") for path, layer in model.named_modules()
              if isinstance(layer, ssf.ScaleShift)]
    assert scaled == own and len(own) == 104
    # Two numbers a channel, and one where the shift behind the normalisation does the same.
    channels = sum(len(model.get_submodule(path).weight) for path in own)
    added = sum(p.numel() for n, p in model.named_parameters() if ".ssf." in n)
    assert added == channels + channels // 2


@torch.no_grad()
def test_ssf_scales_and_shifts_what_a_layer_puts_out():
    x = torch.randn(2, 8, 3, 3)
    for layer, shape in ((torch.nn.Conv2d(8, 4, 1), (4, 1, 1)), (torch.nn.Linear(3, 4), (4,)),
                         (torch.nn.Conv2d(8, 4, 1, bias=False), (4, 1, 1))):
        plain, behind = layer(x), ssf.ScaleShift(layer)
        for parameter in behind.parameters():
            parameter.copy_(ramp(4))
        expected = (1 + ramp(4)).view(shape) * plain
        if layer.bias is not None:
            expected += ramp(4).view(shape)
        torch.testing.assert_close(behind(plain), expected)


def block_and_input(built, method, **knobs):
    """A block of a small ViT with its method's numbers changed, and what it may see."""
    model = built("tiny_vit")
    insert(model, "tiny_vit", method, "none", **knobs)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape)
    return model.eval(), model.encoder.layers[0], torch.randn(2, 5, 8)


@torch.no_grad()
def test_adaptformer_is_beside_the_mlp(built):
    model, block, x = block_and_input(built, "adaptformer")
    inner = x + block.self_attention(*[block.ln_1(x)] * 3, need_weights=False)[0]
    normed, adapter = block.ln_2(inner), block.adapter
    mlp = block.mlp[3](F.gelu(block.mlp[0](normed)))
    expected = inner + mlp + 0.5 * adapter.up(F.relu(adapter.down(normed)))
    torch.testing.assert_close(block(x), expected)
    added = sum(p.numel() for p in adapter.parameters())
    assert added == (8 * 4 + 4) + (4 * 8 + 8)


@torch.no_grad()
def test_convpass_is_beside_attention_and_mlp(built):
    model, block, x = block_and_input(built, "convpass")

    def bypass(branch, x):
        x = F.gelu(branch.down(x))
        patches = branch.conv(x[:, 1:].mT.reshape(2, 3, 2, 2)).flatten(2).mT
        alone = branch.conv(x[:, :1].mT.reshape(2, 3, 1, 1)).flatten(2).mT
        return 2.0 * branch.up(F.gelu(torch.cat([alone, patches], 1)))

    normed = block.ln_1(x)
    attention = F.multi_head_attention_forward(
        *[normed.transpose(0, 1)] * 3, 8, 2, block.self_attention.in_proj_weight,
        block.self_attention.in_proj_bias, None, None, False, 0.0,
        block.self_attention.out_proj.weight, block.self_attention.out_proj.bias,
        training=False, need_weights=False)[0].transpose(0, 1)
    inner = x + attention + bypass(block.bypass_attention, normed)
    normed = block.ln_2(inner)
    mlp = block.mlp[3](F.gelu(block.mlp[0](normed)))
    torch.testing.assert_close(block(x), inner + mlp + bypass(block.bypass_mlp, normed))
    added = sum(p.numel() for p in block.bypass_mlp.parameters())
    assert added == (8 * 3 + 3) + (9 * 3 * 3 + 3) + (3 * 8 + 8)


@torch.no_grad()
@pytest.mark.parametrize("side", [2, 4])
def test_convpass_sees_images_as_they_lie(side):
    """Tokens of a sequence, with and without a class token, as those of a map."""
    torch.manual_seed(0)
    branch = convpass.Bypass(6, 4, 1.0, first=0)
    torch.nn.init.normal_(branch.up.weight)
    torch.nn.init.normal_(branch.conv.weight)
    maps = torch.randn(2, side, side, 6)
    expected = branch(maps)
    torch.testing.assert_close(branch(maps.flatten(1, 2)), expected.flatten(1, 2))
    branch.first = 1
    tokens = torch.cat([torch.randn(2, 1, 6), maps.flatten(1, 2)], 1)
    torch.testing.assert_close(branch(tokens)[:, 1:], expected.flatten(1, 2))


@torch.no_grad()
@pytest.mark.parametrize("depth", ["deep", "shallow"])
def test_prompts_are_tokens(built, depth):
    model, _, _ = block_and_input(built, "vpt", vpt_depth=depth)
    first, second = model.encoder.layers
    plain = copy.deepcopy(model)
    for block in plain.encoder.layers:
        block._forward_hooks.clear()
        block._forward_pre_hooks.clear()
    images = torch.randn(2, 3, 8, 8)
    x = torch.cat([model.class_token.expand(2, -1, -1), model._process_input(images)], 1)
    x = x + model.encoder.pos_embedding
    # Behind the class token, as in the paper.
    x = plain.encoder.layers[0](torch.cat(
        [x[:, :1], first.prompts.tokens.expand(2, -1, -1), x[:, 1:]], 1))
    if depth == "deep":
        x = torch.cat([x[:, :1], second.prompts.tokens.expand(2, -1, -1), x[:, 4:]], 1)
    x = plain.encoder.layers[1](x)
    expected = model.heads(model.encoder.ln(x)[:, 0])
    torch.testing.assert_close(logits(model, images), expected)
    prompts = [n for n, _ in model.named_parameters() if n.endswith("prompts.tokens")]
    assert len(prompts) == (2 if depth == "deep" else 1)
    bound = math.sqrt(6 / (3 * 16 + 8))
    assert 0.8 * bound < vpt.Prompts(50, 8, 48).tokens.abs().max() <= bound


def test_methods_start_where_training_starts(built):
    """Of a ViT whose first layer is frozen, only the second gets what a method adds."""
    for method in ("adaptformer", "convpass", "vpt"):
        model = built("tiny_vit")
        own = {name for name, _ in model.named_parameters()}
        insert(model, "tiny_vit", method, {"last": 1})
        added = {name for name, _ in model.named_parameters()} - own
        assert added and all(".encoder_layer_1." in name for name in added), added
        assert logits(model, torch.randn(2, 3, 8, 8)).shape == (2, CLASSES)


@pytest.mark.parametrize("method", ["adaptformer", "convpass", "vpt"])
def test_blocks_without_a_place_are_refused(built, method):
    with pytest.raises(UserError, match=f"tune: {method} finds nothing to train in class_token"):
        insert(built("tiny_vit"), "tiny_vit", method, {"train": ["stem", "head"]})


def test_what_is_no_square_of_patches_is_refused(built, monkeypatch):
    model, facts = built("tiny_vit"), facts_of("tiny_vit")
    # As if there were no class token.
    monkeypatch.setattr(convpass.transformers, "first_tokens", lambda model: 0)
    with pytest.raises(UserError) as caught:
        convpass.insert(model, ["encoder"], facts, KNOBS, 8)
    assert "what encoder.layers.encoder_layer_0.self_attention sees, (5, 8)" in str(caught.value)


def test_widths_of_the_papers():
    """AdaptFormer-64 on ViT-B/16 adds 1.19 million parameters, Convpass 0.33 million."""
    facts = models.facts_of("vit_b_16")
    for method, module, knobs, added in (
            ("adaptformer", adaptformer, {"adaptformer_width": 64, "adaptformer_scale": 0.1},
             12 * (2 * 768 * 64 + 64 + 768)),
            ("convpass", convpass, {"convpass_width": 8, "convpass_scale": 0.1},
             24 * (2 * 768 * 8 + 8 + 768 + 9 * 64 + 8))):
        with torch.device("meta"):
            model = models.build("vit_b_16", "original", CLASSES, 224)
            before = sum(p.numel() for p in model.parameters())
            module.insert(model, ["encoder"], facts, knobs, 224)
        assert sum(p.numel() for p in model.parameters()) - before == added, method


# What each method adds and trains in a layer of tiny_vit (8 channels, an MLP of 16, 5 tokens of
# 3 x 4 x 4 pixels each), with the numbers of KNOBS.
ADDED = {
    # Up to 2 x (inputs + outputs) for query, key, value, projection, and both layers of the MLP.
    "lora": 4 * 2 * 16 + 2 * 2 * 24,
    # That, and a length for each output.
    "dora": 4 * 2 * 16 + 2 * 2 * 24 + 4 * 8 + 16 + 8,
    # A scale and a shift for each output of these and of both normalisations.
    "ssf": 2 * (4 * 8 + 16 + 8 + 2 * 8),
    "adaptformer": (8 * 4 + 4) + (4 * 8 + 8),
    "convpass": 2 * ((8 * 3 + 3) + (9 * 3 * 3 + 3) + (3 * 8 + 8)),
    "vpt": 3 * 8,
}


@pytest.mark.parametrize("method", ADDED)
def test_parameters_that_a_method_adds(built, method):
    model = built("tiny_vit")
    before = sum(p.numel() for p in model.parameters())
    rows = insert(model, "tiny_vit", method, ["stem", "stage2"])
    assert sum(p.numel() for p in model.parameters()) - before == ADDED[method]
    trained = {line[0]: line[-1] for line in groups.table(model, rows)}
    head = 8 * CLASSES + CLASSES
    assert trained == {"stem": 0, "stage1": ADDED[method], "stage2": 0, "head": head}


@pytest.mark.parametrize(("name", "method"), [
    ("resnet18", "dora"), ("mobilenet_v2", "ssf"), *(("tiny_vit", method) for method in ADDED)])
def test_what_a_method_costs_is_what_a_real_step_takes(built, name, method):
    """Operations and what is kept between the passes, counted on shapes, as on real tensors."""
    model, side = built(name), SIZES[name]
    insert(model, name, method)
    prepare = functools.partial(loop.set_training_mode, frozen_batchnorm="eval")
    counted = cost.count(model, side, 2, CLASSES, prepare)
    prepare(model)
    real = cost.run_step(model, torch.randn(2, 3, side, side), CLASSES)
    assert counted["activation_bytes"] == real.activation_bytes > 0
    assert counted["flops_forward"] == round(real.flops_forward / 2)
    assert counted["flops_backward"] == round(real.flops_backward / 2)


def test_tinytl_groups_must_divide_the_channels(built):
    with pytest.raises(UserError, match="tinytl_groups: 5 does not divide the 64 channels"):
        insert(built("resnet18"), "resnet18", "tinytl", "none", tinytl_groups=5)


def test_tinytl_branch_is_the_papers():
    # 24 channels at 32 x 32 pixels, halved by pooling, then by the stride.
    branch = tinytl.LiteResidual(24, 40, stride=2, side=32, groups=2)
    assert branch.conv1.weight.shape == (24, 12, 5, 5) and branch.conv1.stride == (2, 2)
    assert branch.conv2.weight.shape == (40, 24, 1, 1)
    branch.norm2.weight.data.fill_(1)
    assert branch(torch.randn(2, 24, 32, 32), (16, 16)).shape == (2, 40, 16, 16)
    kernels = [tinytl.LiteResidual(8, 8, 1, side, 2).conv1.kernel_size[0]
               for side in (2, 4, 6, 8, 10, 14)]
    assert kernels == [1, 1, 3, 3, 5, 5]  # no larger than what is left after pooling


def test_tinytl_joins_the_residual_sum_before_its_relu(built):
    model = built("resnet18")
    insert(model, "resnet18", "tinytl", "none")
    block = model.layer1[0]
    torch.nn.init.ones_(block.lite.norm2.weight)
    x = torch.randn(2, 64, 16, 16)
    with torch.no_grad():
        model.eval()
        main = block.bn2._forward_hooks.popitem()
        inner = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
        expected = torch.relu(inner + block.lite(x, (16, 16)) + x)
        block.bn2._forward_hooks[main[0]] = main[1]
        torch.testing.assert_close(block(x), expected)


def test_copy_of_a_model_uses_its_own_branches(built):
    model = built("mobilenet_v2")
    insert(model, "mobilenet_v2", "tinytl", "none")
    twin = copy.deepcopy(model)
    images = torch.randn(2, 3, 64, 64)
    before = logits(model, images)
    torch.nn.init.ones_(twin.features[5].lite.norm2.weight)
    assert not torch.equal(logits(twin, images), before)
    assert torch.equal(logits(model, images), before)


def frozen_batchnorm():
    layer = torch.nn.BatchNorm2d(6).eval()
    torch.nn.init.uniform_(layer.weight)
    torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    return layer


@pytest.mark.parametrize(("make", "share"), [
    (frozen_batchnorm, 0.1),
    (lambda: torch.nn.Conv2d(6, 4, 3, stride=2, padding=1), 0.1),
    (lambda: torch.nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, bias=False), 0.1),
    (torch.nn.ReLU, 0.25), (lambda: torch.nn.ReLU6(inplace=True), 0.25)],
    ids=["batchnorm", "conv", "depthwise", "relu", "relu6"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_frozen_layers_train_as_torchs_and_keep_less(make, share, layout):
    torch.manual_seed(0)
    plain = make()
    if hasattr(plain, "weight"):
        plain.weight.requires_grad_(False)
    ours = copy.deepcopy(plain)
    lean.install(torch.nn.Sequential(ours))
    lean.mask_activations(torch.nn.Sequential(ours), ["0"])
    assert type(ours) is not type(plain)
    x = (4 * torch.randn(8, 6, 16, 16)).to(memory_format=layout)
    kept, outputs = [], []
    for module in (plain, ours):
        source, tensors = x.clone().requires_grad_(), []
        with torch.autograd.graph.saved_tensors_hooks(
                lambda t, to=tensors: (to.append(t), t)[1], lambda t: t):
            y = module(source * 1.0)
        (y ** 2).sum().backward()
        state = {p.untyped_storage()._cdata for p in module.state_dict().values()}
        kept.append(sum(t.nbytes for t in tensors
                        if t.untyped_storage()._cdata not in state))
        own = [p.grad for p in module.parameters() if p.requires_grad]
        outputs.append((y, source.grad, *own))
    for one, other in zip(*outputs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-3)
    assert kept[1] <= share * x.nbytes < x.nbytes <= kept[0]


def test_unfrozen_layers_are_torchs_own():
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    ours = copy.deepcopy(plain)
    lean.install(ours)
    x = torch.randn(2, 3, 8, 8)
    for model in (plain, ours):
        (model(x) ** 2).sum().backward()
    for one, other in zip(plain.parameters(), ours.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vit_b_16"])
@pytest.mark.parametrize("head", heads.names())
@pytest.mark.parametrize("dropout", ["model", 0.3])
def test_heads(name, head, dropout):
    facts = models.facts_of(name)
    torch.manual_seed(0)
    with torch.device("meta"):
        model = models.build(name, "original", heads.outputs(head, CLASSES), SIZES[name])
        heads.attach(model, facts, CLASSES, {"head": head, "head_width": 16, "dropout": dropout})
        assert model(torch.empty(2, 3, SIZES[name], SIZES[name])).shape == (2, CLASSES)
    rows = rules.part_table(heads.parts(facts, head), "last_only", {})
    groups.freeze(model, rows)
    trained = {n: tuple(p.shape) for n, p in model.named_parameters() if p.requires_grad}
    features = {"resnet18": 512, "mobilenet_v2": 1280, "vit_b_16": 768}[name]
    assert sorted(trained.values()) == sorted({
        "replace": [(CLASSES, features), (CLASSES,)],
        "append": [(CLASSES, 1000), (CLASSES,)],
        "mlp": [(16, features), (16,), (CLASSES, 16), (CLASSES,)]}[head])
    drops = [m.p for n, m in model.named_modules()
             if isinstance(m, torch.nn.Dropout)
             and is_within(n, ["fc", "classifier", "heads"])]
    if dropout != "model":
        assert 0.3 in drops
    else:
        assert drops == ([0.2] if name == "mobilenet_v2" else [])
