"""`unfreeze export`: a model as files that run without this project."""

import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torchvision.models import MobileNetV2

import tiny_models
import trained_study
from helpers import TINY, params, recipe_of
from trained_study import CLASSES, SEEDS, awkward, photo, saved
from unfreeze import files, models, places
from unfreeze import recipe as recipes
from unfreeze.data.photos.preprocess import preprocess
from unfreeze.data.reading.normalise import Normalisation
from unfreeze.errors import UserError
from unfreeze.fetching.assets import Asset
from unfreeze.models import weights
from unfreeze.models.facts import Model, Weights
from unfreeze.models.heads import IMAGENET_CLASSES
from unfreeze.params.settle import resolve
from unfreeze.recipe import PinnedWeights, Preprocessing
from unfreeze.training.assemble import assemble
from unfreeze.using import predict, trained
from unfreeze.using.export import exporting, folder, formats, layout, network
from unfreeze.using.export.exporting import TOLERANCE

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
FORMATS = formats.FORMATS if HAS_ONNX else ("safetensors", "pt2")
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="the extra `export` is not installed")

# What a fresh process does with a folder, this project being out of its reach. ONNX is asked before
# torch is imported: it needs none.
ALONE = """
import sys
sys.modules["unfreeze"] = None
sys.path.insert(0, ".")
import numpy as np
pixels = np.load("pixels.npy")
def opened(form):
    if form == "onnx":
        assert "torch" not in sys.modules
        import onnxruntime
        session = onnxruntime.InferenceSession("model.onnx")
        return lambda x: session.run(["logits"], {"pixels": x})[0]
    import torch
    if form == "pt2":
        model = torch.export.load("model.pt2").module()
    elif form == "safetensors":
        from model import load
        model = load()
    else:
        import timm
        model = timm.create_model("local-dir:.", pretrained=True).eval()
    return lambda x: model(torch.from_numpy(x)).detach().numpy()
for form in sys.argv[1:]:
    call = opened(form)
    np.save(form + ".npy", np.concatenate([call(pixels[:3]), call(pixels[3:4]), call(pixels[4:])]))
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(folder of the study, folder of its photos)"""
    with pytest.MonkeyPatch.context() as patch:
        made = tmp_path_factory.mktemp("whole")
        patch.setenv("UNFREEZE_SCRATCH", str(made / "scratch"))
        patch.setenv("UNFREEZE_WORKERS", "1")
        patch.setenv("UNFREEZE_DEVICE", "cpu")
        patch.setenv("UNFREEZE_PRECISION", "fp32")
        patch.setitem(models.by_model(), "tiny", TINY)
        images = trained_study.photos(made / "photos")
        yield trained_study.make(made / "flowers", images), images


@pytest.fixture(scope="module")
def exported(whole, tmp_path_factory):
    """(an export of the study, what was said)"""
    out = tmp_path_factory.mktemp("out") / "model"
    return out, exporting.export(whole[0], None, out, wanted=FORMATS, int8=HAS_ONNX)


def refused(function, *arguments, **named) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments, **named)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def alone(script: str, *arguments, cwd: Path) -> str:
    """Run Python where this project cannot be imported."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run([sys.executable, "-c", script, *map(str, arguments)], cwd=cwd, check=True,
                          env=environment | {"OMP_NUM_THREADS": "1"}, text=True,
                          stdout=subprocess.PIPE).stdout


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


# --- Show 3: a picture is prepared as in training


def prepare_of(path: Path):
    spec = importlib.util.spec_from_file_location("prepare", path / "prepare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("resize", ["square", 18, 40])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_prepare_gives_the_pixels_of_training(tmp_path, resize, interpolation):
    wanted = Preprocessing(16, resize, interpolation, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    beside = Path(exporting.__file__).with_name("beside")
    shutil.copy(beside / "prepare.py", tmp_path)
    files.write_json(tmp_path / "config.json", {"unfreeze": {"preprocessing": {
        "image_size": 16, "resize": resize, "interpolation": interpolation,
        "mean": wanted.mean, "std": wanted.std}}})
    module = prepare_of(tmp_path)
    turned = [(f"turned {number}.png", exif(number)) for number in range(1, 9)]
    kinds = awkward(photo(3, 1)) | dict(turned)
    for name, content in kinds.items():
        file = tmp_path / name
        file.write_bytes(content)
        assert (module.square(file) == preprocess(content, wanted)).all(), name
    squares = np.stack([preprocess(content, wanted) for content in kinds.values()])
    expected = Normalisation(wanted, torch.device("cpu"))(torch.from_numpy(squares)).numpy()
    assert module.normalise(squares).tobytes() == np.ascontiguousarray(expected).tobytes()


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[0x0112] = orientation
    return saved(photo(orientation, 0), exif=data)


@pytest.mark.parametrize("content", [
    saved(Image.new("F", (4, 4), 0.5), "TIFF"),
    saved(Image.fromarray(np.full((4, 4), 4095, np.uint16))),  # 12 bits of 16, or a dark picture
], ids=["floating point", "12 of 16 bits"])
def test_prepare_refuses_what_training_refuses(exported, tmp_path, content):
    file = tmp_path / "a.tif"
    file.write_bytes(content)
    with pytest.raises(UserError):
        preprocess(content, Preprocessing(16, "square", "bilinear", (), ()))
    with pytest.raises(ValueError):
        prepare_of(exported[0]).square(file)


def test_the_example_says_what_predict_says(whole, exported):
    """Of photos that are turned, grey, CMYK, of 16 bits and transparent, in a process of its own
    that has only the folder."""
    study, images = whole
    paths = sorted((images / "test" / CLASSES[1]).iterdir())
    found = {picture.path: row for picture, row in zip(
        *(lambda p: (p.pictures, p.probabilities))(
            predict.predict(study, None, paths, seed=SEEDS[0])), strict=True)}
    runner = ("import sys, runpy; sys.modules['unfreeze'] = None; sys.path.insert(0, '.'); "
              "sys.argv = ['example.py', *sys.argv[1:]]; runpy.run_path('example.py')")
    lines = alone(runner, *paths, cwd=exported[0]).splitlines()
    assert len(lines) == len(paths)
    for path, line in zip(paths, lines, strict=True):
        row = found[str(path)]
        assert line.startswith(f"{path} {CLASSES[row.argmax()]} ")
        assert float(line.rpartition(" ")[2]) == pytest.approx(row.max(), abs=TOLERANCE)


# --- The folder


def test_what_the_folder_holds(exported):
    out, said = exported
    there = {path.name for path in out.iterdir()} - {"__pycache__"}  # of the example, once it ran
    expected = {"README.md", "config.json", "example.py", "prepare.py", "model.py",
                "model.safetensors", "model.pt2", "recipe.yaml"}
    assert there == expected | ({"model.onnx", "model.int8.onnx"} if HAS_ONNX else set())
    config = json.loads((out / "config.json").read_text())
    assert config["label_names"] == list(CLASSES) and config["num_classes"] == 3
    assert set(config["unfreeze"]["files"]) == there
    assert "seed 42" in said[0] and any("model.pt2" in line for line in said)
    assert len((out / "example.py").read_text().splitlines()) <= 16


def test_the_model_card(exported, whole):
    card = (exported[0] / "README.md").read_text()
    recipe = whole[0] / places.RECIPES / "base.yaml"
    for words in ("seed 42 of 42, 7", "accuracy ", " 95 % interval", "taken for",
                  files.file_digest(recipe), "random numbers",
                  "27 of the 36 training images of photos. Licence of the images: not stated",
                  "operations a seed", "The likeliest mistakes"):
        assert words in card, words
    if HAS_ONNX:
        assert "points less" in card


def test_an_earlier_export_is_replaced_and_nothing_else(whole, exported, tmp_path):
    study = whole[0]
    old = tmp_path / "old"
    shutil.copytree(exported[0], old)
    exporting.export(study, None, old, seed=SEEDS[1], wanted=["pt2"])
    assert not (old / "model.safetensors").exists()
    assert json.loads((old / "config.json").read_text())["unfreeze"]["seed"] == SEEDS[1]
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    (old / "notes.txt").write_text("mine")
    assert "notes.txt is not part of it and would be lost" in refused(
        exporting.export, study, None, old)
    (old / "notes.txt").unlink()
    (old / "README.md").write_text("mine")
    assert "README.md was changed" in refused(exporting.export, study, None, old)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.json").write_text("{}")
    for path in (mine, mine / "config.json"):
        assert "is there already" in refused(exporting.export, study, None, path)
    assert "no such folder" in refused(exporting.export, study, None, tmp_path / "a" / "b")
    assert (mine / "config.json").read_text() == "{}"


def test_an_edited_config_is_not_replaced(tmp_path):
    out, config = tmp_path / "out", {"label_names": ["r\u00e9d", "\u00fc"],
                                     "unfreeze": {"temperature": 1.1, "files": {}}}
    files.write_text(out / "model.py", "")
    files.write_json(out / "config.json", config)
    config["unfreeze"]["files"] = folder.digests(out)
    files.write_json(out / "config.json", config)
    folder.check(out)
    files.write_json(out / "config.json", config | {"label_names": ["red", "green"]})
    assert "config.json was changed since it was written and would be lost" in refused(
        folder.check, out)
    del config["unfreeze"]["files"]["config.json"]  # as before they were noted
    files.write_json(out / "config.json", config)
    assert "of an earlier version of unfreeze, of which nobody can tell" in refused(
        folder.check, out)


@pytest.mark.parametrize("file", ["model.pt2", "README.md"])
def test_a_full_disk_leaves_nothing_and_the_earlier_export(whole, exported, tmp_path, monkeypatch,
                                                           file):
    old = tmp_path / "old"
    shutil.copytree(exported[0], old)
    before = folder.digests(old)
    write = files.write_bytes

    def full(path, content):
        if path.name == file:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, content)

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(OSError):
        exporting.export(whole[0], None, old, wanted=["pt2"])
    assert folder.digests(old) == before and [path.name for path in tmp_path.iterdir()] == ["old"]


def test_another_model_than_the_trained_one_is_an_error(whole, tmp_path, monkeypatch):
    def other(run, seed):
        model = run.model(seed)
        model.head.bias.data[0] += 0.01
        return model.requires_grad_(False)

    monkeypatch.setattr(network, "plain", other)
    assert "differ from the trained model's by" in refused(
        exporting.export, whole[0], None, tmp_path / "out", wanted=["pt2"])
    assert list(tmp_path.iterdir()) == []


def test_models_that_are_not_those_that_were_tested_are_an_error(whole, tmp_path):
    copy = shutil.copytree(whole[0], tmp_path / "study")
    file = copy / places.RUNS / "base" / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    safetensors.torch.save_file({name: -tensor if "head" in name else tensor
                                 for name, tensor in tensors.items()}, file)
    assert "than when it was tested" in refused(exporting.export, copy, None, tmp_path / "out",
                                                wanted=["pt2"])
    assert not (tmp_path / "out").exists()


def test_without_its_packages_onnx_is_one_line(whole, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(formats.importlib.util, "find_spec",
                        lambda name: None if name == "onnxscript" else find(name))
    message = refused(exporting.export, whole[0], None, tmp_path / "out")
    assert "onnxscript is not here" in message or "are not here" in message
    assert "--formats safetensors,pt2" in message
    assert "add onnx to --formats" in refused(exporting.export, whole[0], None, tmp_path / "out",
                                              wanted=["pt2"], int8=True)


# --- Show 2: every model and every way of tuning

MODELS = {"mobilenet_v2": 64, "resnet18": 64, "vit_b_16": 32, "convnext_tiny": 64,
          "efficientnet_b0": 64}
TUNINGS = ("full", "bias", "norm", "lora", "dora", "ssf", "tinytl", "adaptformer", "convpass",
           "vpt")
STAY = ("tinytl", "adaptformer", "convpass", "vpt")  # the others are merged into the weights
HAVE_A_PLACE = {"tinytl": ("mobilenet_v2", "resnet18", "efficientnet_b0"),
                **dict.fromkeys(("adaptformer", "convpass", "vpt"), ("vit_b_16",))}


def _build_small(name, stem, classes, image_size):
    return MobileNetV2(classes, 0.25, [[1, 8, 1, 1], [6, 8, 2, 2]])


# MobileNetV2 with three blocks.
SMALL = SimpleNamespace(
    MODELS={"small_mobilenet": Model(
        parts={"stem": ("features.0",), "stage1": ("features.1",),
               "stage2": ("features.2", "features.3"), "stage3": ("features.4",),
               "head": ("classifier.1",)},
        strides={"original": 4}, last="classifier.1",
        weights={"V1": Weights(name="small", digest="", sha256_prefix="",
                               asset=Asset(title="small", url="http://127.0.0.1:9/s.pth"))},
        residual_blocks=("features.1", "features.2", "features.3"))},
    build=_build_small)


def untrained(study: Path, model: str, size: int, **knobs) -> trained.TrainedRun:
    """A run whose tensors are all other than at the start, as after training, so that a branch or
    an update that got lost would show."""
    knobs = {"model": model, "image_size": size, "seeds": [1]} | knobs
    start = {} if models.facts_of(model).weights else {"init": "scratch"}
    run = resolve(params(**knobs | start)).runs["base"]
    recipe = recipe_of(run, CLASSES, None if start else weights_of(
        study, model, size, run.knobs["stem"]))
    recipe = replace(recipe, preprocessing=replace(recipe.preprocessing, mean=(0.5,) * 3,
                                                   std=(0.25,) * 3))
    built, _ = assemble(recipe, 1, study / places.WEIGHTS)
    disturb(built, size)
    state = {f"1/{name}": tensor.contiguous() for name, tensor in built.state_dict().items()}
    recipes.write(study / places.RECIPES / "base.yaml", recipe)
    files.write_bytes(study / places.RUNS / "base" / "model.safetensors",
                      safetensors.torch.save(state))
    return trained.open_run(study, "base")


@torch.no_grad()
def disturb(model: torch.nn.Module, size: int) -> None:
    """Change every number, and let BatchNorm take its statistics, or nothing that an image shows
    would reach the end of a network that was never trained."""
    generator = torch.Generator().manual_seed(0)
    for tensor in model.parameters():
        spread = tensor.std() if tensor.numel() > 1 and tensor.std() > 0 else 0.3
        tensor += 0.3 * spread * torch.randn(tensor.shape, generator=generator)
    model.eval()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the mean over all that it sees
            layer.train()
    for _ in range(2):
        seen = model(torch.randn(8, 3, size, size, generator=generator))
    model.eval()
    if seen.std(dim=0).max() < 0.1:  # without BatchNorm: what the images show fades on the way
        last = [layer for layer in model.modules()
                if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d))][-1]
        factor = 1 / seen.std(dim=0).max()
        last.weight *= factor
        last.bias.copy_(factor * (last.bias - seen.mean(dim=0)))


def weights_of(study: Path, model: str, size: int, stem: str) -> PinnedWeights:
    """Made up, in the place of those that can't be had: what starts from none is trained whole."""
    torch.manual_seed(3)
    file = weights.path(study / places.WEIGHTS, "made-up")
    built = models.build(model, stem, IMAGENET_CLASSES, size).state_dict()
    files.write_bytes(file, safetensors.torch.save(
        {name: tensor.contiguous() for name, tensor in built.items()}))
    return PinnedWeights("made-up", weights.tensors_digest(weights.read_arrays(file)), own=False)


def check(run: trained.TrainedRun, out: Path, ways) -> None:
    """Write a run in all formats, and compare each in a fresh process with the trained model."""
    size = run.recipe.preprocessing.image_size
    pixels = np.random.default_rng(0).standard_normal((6, 3, size, size), np.float32)
    with torch.inference_mode():
        truth = softmax(run.model(1)(torch.from_numpy(pixels)).numpy())
    assert np.ptp(truth, axis=0).max() > 0.01, "what is in the images makes no difference"
    program = network.program(network.plain(run, 1), size)
    known = exporting._layout(run.recipe, list(program.state_dict))
    exported = formats.Exported(program, known, run.recipe.classes, None)
    out.mkdir()
    files.write_json(out / "config.json", exporting._config(run, 1, known, None))
    np.save(out / "pixels.npy", pixels)
    for form in ways:
        if form != "timm":
            formats.write(form, exported, out)
    alone(ALONE, *sorted(ways), cwd=out)  # onnx is before those that import torch
    differences = {form: np.abs(softmax(np.load(out / f"{form}.npy")) - truth).max()
                   for form in ways}
    print({form: f"{found:.1e}" for form, found in differences.items()})  # shown by pytest -s
    assert all(found <= TOLERANCE for found in differences.values()), differences


@pytest.mark.slow
def test_one_model_in_every_format(tmp_path, monkeypatch):
    """With branches and layers that save memory in training, which the exporters know nothing of.
    By default every format is tried on `exported`, and branches by the test below."""
    monkeypatch.setitem(models.by_model(), "small_mobilenet", SMALL)
    run = untrained(tmp_path, "small_mobilenet", 16, tune="tinytl")
    assert any(".lite." in name for name in run.model(1).state_dict())
    check(run, tmp_path / "out", FORMATS)


def test_updates_are_merged_and_branches_stay(tmp_path, monkeypatch):
    """What torch's own layers give is what the trained model gives, whose updates and branches do
    something."""
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    monkeypatch.setitem(models.by_model(), "small_mobilenet", SMALL)
    for tune, part in (("lora", "lora"), ("dora", "parametrizations"), ("ssf", "ssf"),
                       ("tinytl", "lite"), ("bias", "")):
        run = untrained(tmp_path, "small_mobilenet", 32, tune=tune)
        tuned, plain = run.model(1), network.plain(run, 1)
        kinds = {type(layer).__module__.partition(".")[0] for layer in plain.modules()}
        assert kinds - {"torch", "torchvision"} == ({"unfreeze"} if tune == "tinytl" else set())
        assert any(part in name for name in tuned.state_dict())
        with torch.inference_mode():
            expected, found = tuned(pixels), plain(pixels)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
            for name, parameter in tuned.named_parameters():
                if part and f".{part}." in name:
                    parameter.zero_()
            assert not part or (tuned(pixels) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("tune", ["ssf", "adaptformer", "convpass", "vpt"])
def test_what_tunes_a_transformer_is_in_its_program(tmp_path, monkeypatch, tune):
    facts = replace(tiny_models.SMALL.MODELS["tiny_vit"], weights=SMALL.MODELS[
        "small_mobilenet"].weights)
    monkeypatch.setitem(models.by_model(), "tiny_vit", SimpleNamespace(
        MODELS={"tiny_vit": facts}, build=tiny_models.SMALL.build))
    run = untrained(tmp_path, "tiny_vit", 8, tune=tune)
    tuned, plain = run.model(1), network.plain(run, 1)
    assert any(type(layer).__module__.startswith("unfreeze.")
               for layer in plain.modules()) == (tune in STAY)
    pixels = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = tuned(pixels)
        torch.testing.assert_close(plain(pixels), expected, rtol=1e-4, atol=1e-4)
    found = network.program(plain, 8).module()(pixels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def brief(tmp_path):
    """A folder that goes with the test: a model in all formats takes up to 2 GB."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("tune", TUNINGS)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_and_way_of_tuning_in_every_format(brief, model, tune):
    if model not in HAVE_A_PLACE.get(tune, MODELS):
        pytest.skip("has no place for it")
    ways = [*FORMATS]
    if tune not in STAY and importlib.util.find_spec("timm"):
        ways.append("timm")
    fits = {"lora_rank": 4} if model == "efficientnet_b0" and tune in ("lora", "dora") else {}
    check(untrained(brief, model, MODELS[model], tune=tune, **fits), brief / "out", ways)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "knobs"), [
    ("cnn", {"image_size": 32}), ("vgg11", {"image_size": 64}), ("alexnet", {"image_size": 100}),
    ("resnet18", {"stem": "cifar"}), ("resnet18", {"head": "mlp"}),
    ("resnet18", {"dropout": 0.5}), ("mobilenet_v2", {"head": "append"}),
    ("swin_t", {"tune": "lora"}), ("densenet121", {}), ("regnet_y_400mf", {}),
    ("mobilenet_v3_small", {}), ("shufflenet_v2_x0_5", {}), ("squeezenet1_1", {}),
], ids=str)
def test_other_models_heads_and_stems(brief, model, knobs):
    size = knobs.get("image_size", 64)
    check(untrained(brief, model, **{"size": size} | {
        key: value for key, value in knobs.items() if key != "image_size"}),
        brief / "out", FORMATS)


@pytest.mark.slow
def test_timms_layout_has_timms_names_and_shapes():
    timm = pytest.importorskip("timm")
    for architectures, _, first, last, arguments in layout._FAMILIES:
        for model, architecture in architectures.items():
            with torch.device("meta"):
                theirs = timm.create_model(architecture, num_classes=3, **arguments(64))
                ours = models.build(model, "original", 3, 64).state_dict()
            named = layout.of(model, list(ours), 64)
            shapes = {named.tensors[name]: tuple(
                (tensor.flatten() if named.tensors[name].endswith(".gamma") else tensor).shape)
                for name, tensor in ours.items()}
            assert shapes == {name: tuple(tensor.shape)
                              for name, tensor in theirs.state_dict().items()}, model
            assert theirs.get_submodule(first) is not None
            assert theirs.get_submodule(last).out_features == 3


def test_branches_and_other_heads_have_no_place_in_timm(tmp_path):
    run = untrained(tmp_path, "resnet18", 32, tune="tinytl")
    assert exporting._layout(run.recipe, list(network.plain(run, 1).state_dict())) is None
    assert layout.of("resnet18", ["fc.hidden.weight"], 32) is None
    assert layout.of("vgg16", ["features.0.weight"], 32) is None
