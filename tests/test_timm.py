"""timm's models: their facts beside the models as timm builds them, their weights, and the ways of
tuning on them."""

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import test_export
import test_methods
from helpers import message, params
from test_methods import built, insert, logits  # noqa: F401
from unfreeze import models
from unfreeze.data.reading.images import Images
from unfreeze.errors import UserError
from unfreeze.models import licence, official
from unfreeze.models.facts import is_within
from unfreeze.models.with_torch import divide_timm
from unfreeze.models.with_torch.outline import outline
from unfreeze.params import combinations
from unfreeze.params.settle import resolve
from unfreeze.ranking import features
from unfreeze.recipe import Preprocessing
from unfreeze.starting import lora as lora_of_new
from unfreeze.starting import ranking
from unfreeze.training import cost, loop
from unfreeze.tuning import groups, lean, methods, rules
from unfreeze.tuning.methods import lora

timm = pytest.importorskip("timm")
torch.set_num_threads(1)

# At least one of each way in which timm builds and describes models.
MANY = """beit_base_patch16_224 botnet26t_256 cait_xxs24_224 coat_lite_tiny convit_tiny
convnext_atto cs3darknet_focus_s davit_tiny deit_tiny_distilled_patch16_224 densenet121 dla34 dpn48b
edgenext_xx_small efficientformer_l1 efficientvit_b0 eva02_tiny_patch14_224 fastvit_t8
focalnet_tiny_srf ghostnet_050 hgnet_tiny hiera_tiny_224 inception_next_atto inception_v3 levit_128s
mambaout_femto maxvit_rmlp_pico_rw_256 mixer_s32_224 mobilenetv3_small_050 mobilenetv4_conv_small
mobilevit_xxs nest_tiny nf_resnet26 pit_ti_224 poolformer_s12 pvt_v2_b0 regnety_002 repvit_m0_9
resnet18 resnetv2_18 rexnet_100 swin_tiny_patch4_window7_224 swinv2_tiny_window8_256
tf_efficientnet_lite0 tiny_vit_5m_224 vgg11_bn vit_small_patch14_dinov2 vit_tiny_patch16_224
xcit_nano_12_p16_224""".split()
# Of these timm says too little.
UNDIVIDED = {"crossvit", "efficientvim", "gemma4_vit", "hrnet", "mobilenetv5", "mvitv2", "twins"}
# The shared test of ways of tuning, on images as small as these take.
TUNED = {"timm/resnet18": 64, "timm/tf_efficientnet_lite0": 64, "timm/mobilenetv3_small_050": 64,
         "timm/convnext_atto": 64, "timm/regnety_002": 64, "timm/vit_tiny_patch16_224": 32,
         "timm/deit_tiny_distilled_patch16_224": 32, "timm/beit_base_patch16_224": 32,
         "timm/eva02_tiny_patch14_224": 28, "timm/swinv2_tiny_window8_256": 64}
test_methods.SIZES |= TUNED
UNCALLED = ["timm/beit_base_patch16_224", "timm/eva02_tiny_patch14_224",
            "timm/swinv2_tiny_window8_256"]


def check_facts(name):
    facts = models.facts_of(name)
    order = [module for modules in facts.parts.values() for module in modules]
    side = timm.get_pretrained_cfg(name.removeprefix("timm/")).input_size[-1]
    model = outline(name, "original", 1000, side)
    owners = {tensor: [module for module in order if is_within(tensor, (module,))]
              for tensor, _ in model.named_parameters()}
    assert {tensor: found for tensor, found in owners.items() if len(found) != 1} == {}
    assert {found for (found,) in owners.values()} == {*order}
    stages = [part for part in facts.parts if part.startswith("stage")]
    hidden = ["hidden"] if "hidden" in facts.parts else []
    assert [*facts.parts] == ["stem", *(f"stage{i + 1}" for i in range(len(stages))), *hidden,
                              "head"]
    assert 2 <= len(stages) <= 5 and all(facts.parts.values())
    assert facts.parts["head"] == (facts.last, *facts.fresh.get("original", ()))
    for head in facts.parts["head"]:
        assert len(model.get_submodule(head).weight) == 1000


@pytest.mark.parametrize("name", MANY)
def test_every_parameter_lies_in_exactly_one_part(name):
    check_facts(f"timm/{name}")


@pytest.mark.slow
@pytest.mark.parametrize("module", timm.list_modules())
def test_every_module_of_timm_divides_or_says_why_not(module):
    """With its smallest model, by what is built."""
    named = [name for name in timm.list_models(module=module)]
    if not named:
        pytest.skip("has no models")
    words = ("tiny", "nano", "pico", "atto", "femto", "xxs", "_xs", "small", "_s", "18", "_b0")
    name = next((each for word in words for each in named if word in each), named[0])
    if module in UNDIVIDED:
        with pytest.raises(UserError, match=f"^timm/{name}: cannot be divided into parts: "):
            models.facts_of(f"timm/{name}")
    else:
        check_facts(f"timm/{name}")


@pytest.mark.parametrize(("name", "theirs"), [
    ("timm/resnet18", "resnet18"), ("timm/mobilenetv2_100", "mobilenet_v2"),
    ("timm/vit_base_patch16_224", "vit_b_16"), ("timm/convnext_tiny", "convnext_tiny"),
    ("timm/efficientnet_b0", "efficientnet_b0"), ("timm/regnety_004", "regnet_y_400mf")])
def test_parts_are_those_of_torchvisions_twin(name, theirs):
    def sizes(model):
        facts = models.facts_of(model)
        state = dict(outline(model, "original", 1000, 224).named_parameters())
        return {part: sum(tensor.numel() for tensor_name, tensor in state.items()
                          if is_within(tensor_name, modules))
                for part, modules in facts.parts.items()}

    assert sizes(name) == sizes(theirs)


def test_a_new_head_starts_without_an_opinion():
    """timm's own of ten classes is as loud as its 1,280 features times 0.18 make it."""
    model = models.build("timm/tf_efficientnet_lite0", "original", 10, 64)
    assert timm.create_model("tf_efficientnet_lite0", num_classes=10).classifier.weight.std() > 0.15
    assert model.classifier.weight.abs().max() <= 1 / 1280**0.5
    assert model.classifier.weight.std() > 0.01


def test_size_crop_and_normalisation_are_of_timms_metadata():
    first, *_ = models.facts_of("timm/vit_small_patch14_dinov2.lvd142m").weights.items()
    key, weights = first
    assert (key, weights.crop, weights.resize, weights.interpolation, weights.classes) == (
        "lvd142m", 518, 518, "bicubic", 0)
    lite = models.official_weights("timm/tf_efficientnet_lite0", "in1k")
    assert (lite.mean, lite.std, lite.crop, lite.resize) == ((0.5,) * 3, (0.5,) * 3, 224, 256)
    assert lite.asset.url == ("https://huggingface.co/timm/tf_efficientnet_lite0.in1k/resolve/main/"
                              "model.safetensors")
    assert lite.asset.file == "tf_efficientnet_lite0.in1k.safetensors"
    squashed = models.official_weights("timm/beit3_base_patch16_224.in22k_ft_in1k",
                                       "in22k_ft_in1k")
    assert squashed.licence
    assert list(models.facts_of("timm/resnet18.tv_in1k").weights)[0] == "tv_in1k"


@pytest.mark.parametrize(("licence_of", "forbids"), [
    ("apache-2.0", False), ("cc-by-nc-4.0", True), ("fair-noncommercial-research-license", True),
    ("apple-amlr", True), ("dinov3-license", False), ("", False)])
def test_licences(licence_of, forbids):
    assert licence.forbids_commerce(licence_of) == forbids
    assert ("forbids" in licence.worded(licence_of)) == forbids


# Weights

class Twin:
    """Weights of timm's resnet18 as the hub's file has them, in a mirror folder."""

    def __init__(self, folder):
        torch.manual_seed(0)
        self.model = timm.create_model("resnet10t", num_classes=1000).eval()
        self.facts = models.official_weights("timm/resnet10t", "c3_in1k")
        self.file = folder / "resnet10t.c3_in1k.safetensors"
        safetensors.torch.save_file(self.model.state_dict(), self.file)


@pytest.fixture
def twin(tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("UNFREEZE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    divide_timm.facts.cache_clear()
    yield Twin(tmp_path / "mirror")
    divide_timm.facts.cache_clear()


def test_weights_come_from_the_mirror_and_later_ones_must_be_those_of_the_first_fetch(
        tmp_path, twin):
    file, recipes = tmp_path / "w.safetensors", tmp_path / "recipes"
    recipes.mkdir()
    official.fetch(official.noted(twin.facts, recipes), file, file)
    assert official.is_there(file, twin.facts)
    taken = models.fit_weights("timm/resnet10t", safetensors.torch.load_file(file), 64)
    model = models.build("timm/resnet10t", "original", 1000, 64).eval()
    model.load_state_dict(taken)
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(logits(model, images), logits(twin.model, images))

    from unfreeze.models import weights as stored
    digest = stored.tensors_digest(stored.read_arrays(file))
    (recipes / "base.yaml").write_text(json.dumps({"weights": {"name": twin.facts.name,
                                                               "digest": digest}}))
    noted = official.noted(twin.facts, recipes)
    assert noted.digest == digest and official.is_there(file, noted)
    file.unlink()
    changed = {name: tensor + 1 for name, tensor in twin.model.state_dict().items()}
    safetensors.torch.save_file(changed, twin.file)
    with pytest.raises(UserError, match="SHA-256 over the tensors expected .* delete") as caught:
        official.fetch(noted, file, file)
    assert not file.exists() and len(str(caught.value).splitlines()) == 1


class Gated(BaseHTTPRequestHandler):
    """A hub that gives weights to those who have accepted their licence."""

    content = b""

    def do_GET(self):  # noqa: N802
        allowed = self.headers.get("Authorization") == "Bearer hf_mine"
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Length", str(len(self.content) if allowed else 0))
        self.end_headers()
        self.wfile.write(self.content if allowed else b"")

    def log_message(self, *_):
        pass


def test_gated_weights_say_what_opens_them(tmp_path, twin, monkeypatch):
    file, Gated.content = tmp_path / "w.safetensors", twin.file.read_bytes()
    monkeypatch.delenv("UNFREEZE_MIRROR")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gated)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        divide_timm.facts.cache_clear()
        gated = models.official_weights("timm/resnet10t", "c3_in1k")
        with pytest.raises(UserError, match="401.*accept the licence at https://huggingface.co/timm"
                                            "/resnet10t.c3_in1k and name your token in HF_TOKEN"
                           ) as caught:
            official.fetch(gated, file, file)
        assert not file.exists() and len(str(caught.value).splitlines()) == 1
        monkeypatch.setenv("HF_TOKEN", "hf_mine")
        official.fetch(gated, file, file)
        assert official.is_there(file, gated)
    finally:
        server.shutdown()
        server.server_close()


def test_the_package_of_efficientnet_lite0_is_read_by_position(tmp_path):
    """A file of the same kind with made-up numbers; the real one is read by the slow test."""
    state = outline("timm/tf_efficientnet_lite0", "original", 1000, 224).state_dict()
    made = {f"theirs.{number}": torch.zeros(tensor.shape, dtype=tensor.dtype)
            for number, tensor in enumerate(state.values())}
    named = official._named_as("timm/tf_efficientnet_lite0", made, "here")
    assert list(named) == list(state)
    made.popitem()
    with pytest.raises(UserError, match="here: its 295 tensors are not those of timm/tf_eff"):
        official._named_as("timm/tf_efficientnet_lite0", made, "here")


@pytest.mark.slow
def test_efficientnet_lite0_of_the_package_index(tmp_path, monkeypatch):
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    facts = models.official_weights("timm/tf_efficientnet_lite0", "in1k")
    unreachable = replace(facts, asset=replace(facts.asset, url="http://127.0.0.1:9/x"))
    file = tmp_path / "w.safetensors"
    official.fetch(unreachable, file, file)
    assert official.is_there(file, facts)


def test_weights_fit_another_size():
    model = timm.create_model("vit_tiny_patch16_224", num_classes=1000)
    fitted = models.fit_weights("timm/vit_tiny_patch16_224", model.state_dict(), 64)
    ours = models.build("timm/vit_tiny_patch16_224", "original", 1000, 64)
    ours.load_state_dict(fitted)
    assert fitted["pos_embed"].shape == (1, 17, 192)
    assert torch.equal(fitted["pos_embed"][:, 0], model.pos_embed[:, 0])


# Bad input

@pytest.mark.parametrize(("knobs", "words"), [
    ({"model": "timm/resnt18"}, ["model (of runs.base): 'timm/resnt18' is no model of timm",
                                 "did you mean 'timm/resnet18'?"]),
    ({"model": "timm/resnet18.nope"}, ["has no weights 'nope'", "a1_in1k"]),
    ({"model": "timm/hrnet_w18_small"}, ["timm/hrnet_w18_small: cannot be divided into parts"]),
    ({"model": "timm/vit_tiny_patch16_224", "image_size": 50},
     ["image_size (of runs.base): 50 does not fit", "multiples of 16"]),
    ({"model": "timm/maxvit_tiny_tf_224", "image_size": 100},
     ["image_size (of runs.base): 100 does not fit timm/maxvit_tiny_tf_224", "its own is 224"]),
    ({"model": "timm/vit_small_patch14_dinov2", "image_size": 56, "head": "append"},
     ["head (of runs.base): append keeps", "bring none"]),
    ({"model": "timm/deit_tiny_distilled_patch16_224", "image_size": 64, "head": "mlp"},
     ["head (of runs.base): mlp", "has 2", "allowed: replace"]),
    ({"model": "timm/coatnet_0_224", "image_size": 224},
     ["init (of runs.base): there are no pretrained weights", "init: scratch"]),
    ({"model": "timm/vit_tiny_patch16_224", "stem": "cifar"},
     ["stem (of runs.base): cifar is not made for"]),
])
def test_bad_input_is_one_line_at_plan_time(knobs, words):
    text = message(params(**knobs), *words)
    assert len(text) < 700


def test_without_timm_the_message_says_how_to_get_it(monkeypatch):
    family = models._family("timm_zoo")
    family._timm.cache_clear(), family.config_of.cache_clear()
    monkeypatch.setattr(family.importlib.util, "find_spec", lambda name: None)
    try:
        with pytest.raises(UserError, match="need the package timm.*make env-all"):
            family.config_of("timm/resnet18")
    finally:
        family._timm.cache_clear(), family.config_of.cache_clear()


def test_weights_that_forbid_commerce_are_warned_of():
    plan = resolve(params({"base": {"model": "timm/convnextv2_atto"}, "other": {}}))
    (line,) = [line for line in plan.warnings if "licence" in line or "forbids" in line]
    assert line.startswith("base starts from weights of timm/convnextv2_atto under cc-by-nc-4.0")


# Which model, before training any

def test_rank_takes_patterns_of_timms_models_and_of_their_weights(monkeypatch):
    given = params({"base": {}}, image_size=64)
    plan = resolve(given | {"rank": ["mobilenet_v2", "timm/tf_efficientnet_lite[01]",
                                     "timm/resnet18.a[12]_in1k", "mobilenet_v[23]*"]})
    assert list(plan.rank) == [
        "mobilenet_v2", "timm/tf_efficientnet_lite0", "timm/tf_efficientnet_lite1",
        "timm/resnet18.a1_in1k", "timm/resnet18.a2_in1k", "mobilenet_v3_large",
        "mobilenet_v3_small"]
    assert plan.rank["timm/resnet18.a2_in1k"].weights == "timm-resnet18.a2_in1k"
    message(given | {"rank": ["timm/nothing*"]}, "rank 1", "'timm/nothing*' fits no model")
    message(given | {"rank": ["timm/*"]}, "rank 1", "models, each of which is fetched")
    monkeypatch.setattr(models._family("timm_zoo"), "_timm", lambda: without_timm())
    message(given | {"rank": ["timm/vit_tiny*"]}, "rank 1", "need the package timm", "make env-all")


def without_timm():
    raise UserError("models called timm/... need the package timm: `make env-all` installs it")


def test_new_ranks_a_model_of_timm_where_it_is_installed(monkeypatch):
    assert ranking.candidates() == ("mobilenet_v2", "resnet18", "timm/tf_efficientnet_lite0")
    assert lora_of_new._RANK.name == "lora_rank"
    assert lora_of_new.rank_for("timm/tf_efficientnet_lite0") == 8
    monkeypatch.setattr(ranking.importlib.util, "find_spec", lambda name: None)
    assert ranking.candidates() == ("mobilenet_v2", "resnet18")


@pytest.mark.parametrize("name", ["timm/test_efficientnet", "timm/test_vit"])
def test_features_are_what_goes_into_the_classifier(tmp_path, name):
    torch.manual_seed(0)
    theirs = timm.create_model(name.removeprefix("timm/")).eval()
    safetensors.torch.save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    model = features.load(name, tmp_path / "w.safetensors", 160)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 160, 160, 3), np.uint8)
    prepared = Preprocessing(160, "square", "bilinear", (0.5,) * 3, (0.25,) * 3)
    images = Images(pixels, np.arange(3) % 2, range(3), prepared, torch.device("cpu"), 1 << 30)
    found = features.of_images(model, images, test_methods.CPU)
    ((batch, _),) = images.batches(3)
    with torch.inference_mode():
        expected = theirs.forward_head(theirs.forward_features(batch), pre_logits=True)
    torch.testing.assert_close(found.values, expected.double())
    assert found.probabilities.shape == (3, 1000)


# A trained model in use

@pytest.mark.parametrize(("name", "size", "tune"), [
    ("timm/test_efficientnet", 64, "lora"),
    *(pytest.param(*row, marks=pytest.mark.slow) for row in (
        ("timm/tf_efficientnet_lite0", 64, "lora"), ("timm/resnet18", 64, "full"),
        ("timm/convnext_atto", 64, "norm"),
        ("timm/vit_tiny_patch16_224", 32, "lora"), ("timm/eva02_tiny_patch14_224", 28, "lora"),
        ("timm/swinv2_tiny_window8_256", 64, "lora"),
        ("timm/deit_tiny_distilled_patch16_224", 32, "bias"),
        ("timm/mobilenetv3_small_050", 64, "tinytl")))])
def test_timm_loads_what_is_exported_with_equal_logits(tmp_path, name, size, tune):
    """In a process of its own, that cannot import this project; and so does model.py beside it,
    which needs torch alone. A model with branches has no place in timm."""
    ways = ["safetensors", *["timm"] * (tune != "tinytl")]
    rank = {"lora_rank": 2} if tune == "lora" else {}  # a layer of Swin-V2 sees two numbers
    test_export.check(test_export.untrained(tmp_path, name, size, tune=tune, **rank),
                      tmp_path / "out", ways)


# Ways of tuning

@pytest.mark.parametrize(("name", "method"), [
    pytest.param(name, method, marks=[] if (name, method) == (
        "timm/tf_efficientnet_lite0", "lora") else [pytest.mark.slow])
    for name in TUNED for method in methods.names()])
def test_the_shared_test_of_ways_of_tuning(built, name, method):  # noqa: F811
    needs = getattr(methods.method(method), "NEEDS", None)
    given = {"model": name, "stem": "original", "image_size": TUNED[name]}
    if needs and not combinations.has(given, SimpleNamespace(model=models.facts_of(name)),
                                      needs[0]):
        pytest.skip("has no place for it")
    test_methods.test_every_model_with_every_method(built, name, method)


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if "eva02" in name else [pytest.mark.slow]) for name in UNCALLED])
def test_lora_reaches_weights_that_the_model_reads_and_layers_it_does_not_call(
        built, name):  # noqa: F811
    model, size = built(name), TUNED[name]
    insert(model, name, "lora", "none")
    images = torch.randn(2, 3, size, size)
    before = logits(model, images)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    loop.train_epoch(model.train(), optimizer, [(images, torch.arange(2))],
                     test_methods.CPU, loop.Step(), lambda: None)
    updates = {path: module for path, module in model.named_modules()
               if isinstance(module, lora.LowRank | lora.LowRankWeight)}
    assert {path.partition(".parametrizations")[0] for path in updates if "qkv" in path} == {
        *models.facts_of(name).uncalled}
    ups = {path: (module.up.weight if isinstance(module, lora.LowRank) else module.up)
           for path, module in updates.items()}
    after = {path: up.detach().clone() for path, up in ups.items()}
    for up in ups.values():
        nn.init.zeros_(up)
    for path, up in ups.items():  # each by itself
        up.data.copy_(after[path])
        assert not torch.equal(logits(model, images), before), path
        nn.init.zeros_(up)


def test_an_update_without_a_gradient_is_refused(built, monkeypatch):  # noqa: F811
    name = "timm/eva02_tiny_patch14_224"
    model, facts = built(name), models.facts_of(name)
    rows = rules.part_table(facts.parts, "none", {}, tune="lora")
    # As if nobody had told LoRA that the model reads these weights.
    groups.insert(model, [rows], replace(facts, uncalled=()), test_methods.KNOBS, TUNED[name])
    groups.freeze(model, rows)
    with pytest.raises(UserError, match=r"blocks\.0\.attn\.qkv\.lora gets no gradient"):
        cost.count(model, TUNED[name], 2, 5)


def test_lora_merges_into_convolutions_that_pad_by_the_size(built):  # noqa: F811
    name = "timm/tf_efficientnet_lite0"
    model = built(name)
    names = set(model.state_dict())
    insert(model, name, "lora", "none")
    assert any("conv_stem.parametrizations" in key for key in model.state_dict())
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key not in names and "original" not in key:
                parameter.normal_(std=0.02)
    images = torch.randn(2, 3, 64, 64)
    tuned = logits(model, images)
    lora.merge(model)
    assert set(model.state_dict()) == names
    assert (logits(model, images) - tuned).abs().max() < 1e-4


def test_frozen_layers_of_timm_train_as_timms_and_keep_less():
    """Bias tuning with and without the lean kinds: same gradients, less kept."""
    from unfreeze.models.with_torch import timm_layers

    torch.manual_seed(0)
    plain = timm.create_model("tf_efficientnet_lite0", num_classes=3).eval()
    lean_one = models.build("timm/tf_efficientnet_lite0", "original", 3, 64).eval()
    lean_one.load_state_dict(plain.state_dict())
    lean.install(lean_one)
    lean.mask_activations(lean_one, [""] + [name for name, _ in lean_one.named_children()])
    kinds = {type(layer) for layer in lean_one.modules()}
    assert {*timm_layers.LEAN.values()} <= kinds
    images, kept, gradients = torch.randn(2, 3, 64, 64), [], []
    for model in (plain, lean_one):
        for key, parameter in model.named_parameters():
            parameter.requires_grad_(key.endswith("bias"))
        held = []
        state = {tensor.untyped_storage()._cdata for tensor in model.state_dict().values()}
        with torch.autograd.graph.saved_tensors_hooks(
                lambda t, held=held: (held.append(t), t)[1], lambda t: t):
            loss = (model(images) ** 2).sum()
        loss.backward()
        kept.append(sum(t.nbytes for t in held if t.untyped_storage()._cdata not in state))
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    assert kept[1] < 0.5 * kept[0]
