"""Every model with every tuning method that fits it: what holds for all of them."""

import copy

import pytest
import torch

from unfreeze import models
from unfreeze.errors import UserError
from unfreeze.models import heads
from unfreeze.models.facts import is_within
from unfreeze.training import loop, saved
from unfreeze.training.devices import Device
from unfreeze.tuning import groups, lean, methods, rules
from unfreeze.tuning.methods import lora, tinytl

CPU = Device(torch.device("cpu"), "fp32", "test")
# The smallest image at which no BatchNorm in training is left with one pixel of one image.
SIZES = {"cnn": 32, "mobilenet_v2": 64, "resnet18": 64, "vit_b_16": 32}
# One of each other architecture.
SLOW = {"alexnet": 64, "resnet50": 64, "vgg16": 32, "convnext_tiny": 64, "densenet121": 64,
        "efficientnet_b0": 64, "efficientnet_v2_s": 64, "googlenet": 64, "inception_v3": 96,
        "maxvit_t": 224, "mnasnet0_5": 64,
        "mobilenet_v3_small": 64, "regnet_y_400mf": 64, "resnext50_32x4d": 64,
        "shufflenet_v2_x0_5": 64, "squeezenet1_1": 64, "swin_t": 64, "swin_v2_t": 64,
        "vgg11_bn": 32, "vit_b_32": 64, "wide_resnet50_2": 64}
SIZES |= SLOW
KNOBS = {"lora_rank": 2, "lora_alpha": 4, "lora_layers": "all", "tinytl_groups": 2}
CLASSES = 5


# What a method needs that a model may lack; to find it in every model would take seconds wherever
# this file is collected.
WITHOUT_NORM = {"alexnet", "cnn", "squeezenet1_1", "vgg16"}
WITHOUT_RESIDUAL = WITHOUT_NORM | {
    "convnext_tiny", "densenet121", "googlenet", "inception_v3", "maxvit_t", "shufflenet_v2_x0_5",
    "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_16", "vit_b_32"}


def fits(name: str, method: str) -> bool:
    return name not in {"tinytl": WITHOUT_RESIDUAL, "norm": WITHOUT_NORM}.get(method, ())


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
            kept[name] = models.build(name, "original", CLASSES, SIZES[name])
            # ViT's head starts at zero, behind which nothing would show.
            last = kept[name].get_submodule(models.facts_of(name).last)
            torch.nn.init.normal_(last.weight, std=0.05)
        return copy.deepcopy(kept[name])

    return get


def insert(model, name, method, freeze="early", **knobs):
    facts = models.facts_of(name)
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
    assert {name for name in SIZES if not models.facts_of(name).residual_blocks} == WITHOUT_RESIDUAL


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_every_model_with_every_method(built, name, method):
    images = torch.randn(4, 3, SIZES[name], SIZES[name],
                         generator=torch.Generator().manual_seed(1))
    model = built(name)
    plain = logits(model, images)
    own = {parameter for parameter, _ in model.named_parameters()}

    rows = insert(model, name, method)
    assert torch.equal(logits(model, images), plain)  # the method starts as the identity

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
        "lora": lambda n: n not in own and "original" not in n,
        "tinytl": lambda n: (".lite." in n and not n.endswith("norm2.bias")) or (
            n in own and n.endswith("bias")),
    }[method]
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


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16"])
def test_lora_merges_into_the_weights(built, name):
    model = built(name)
    names = set(model.state_dict())
    insert(model, name, "lora", "none")
    with torch.no_grad():
        for n, parameter in model.named_parameters():
            if n not in names and "original" not in n:
                parameter.normal_(std=0.02)
    images = torch.randn(2, 3, SIZES[name], SIZES[name])
    tuned = logits(model, images)
    lora.merge(model)
    assert set(model.state_dict()) == names
    merged = logits(model, images)
    assert (merged - tuned).abs().max() < 1e-5
    assert (merged - logits(built(name), images)).abs().max() > 1e-3


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
