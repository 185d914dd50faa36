"""The script of studies/adaptation beside torchvision, with made-up weights and photos."""

import hashlib
import runpy
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from helpers import ROOT
from unfreeze import models
from unfreeze.errors import UserError
from unfreeze.fetching.assets import Asset

SCRIPT = ROOT / "studies/adaptation/top5.py"
MODEL = "mobilenet_v2"


@pytest.fixture(scope="module")
def script():
    path = list(sys.path)
    yield runpy.run_path(str(SCRIPT))
    sys.path[:] = path


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A whole model of torchvision's, and facts of its weights, which the mirror folder serves."""
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v2().eval()
    with torch.no_grad():
        model.classifier[1].weight.mul_(1000)  # so that some classes are likelier than others
    file = tmp_path / "mirror" / "made-up.pth"
    file.parent.mkdir()
    torch.save(model.state_dict(), file)
    monkeypatch.setenv("UNFREEZE_MIRROR", str(file.parent))
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    # Of those that crop differently from what is usual.
    official = replace(
        models.facts_of(MODEL).weights["IMAGENET1K_V2"], digest=None,
        asset=Asset(title="made up", url="http://127.0.0.1:9/made-up.pth"),
        sha256_prefix=hashlib.sha256(file.read_bytes()).hexdigest()[:8])
    return model, official


def photo(path, seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(coarse).resize((320, 260), Image.Resampling.BICUBIC).save(path)
    return path


def test_labels_and_probabilities_are_torchvisions(script, served, tmp_path):
    theirs, official = served
    transforms = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V2
    paths = [photo(tmp_path / f"{seed}.png", seed) for seed in range(2)]
    found = script["top5"](
        script["load"](MODEL, official, tmp_path / "weights"),
        np.stack([script["prepare"](path, official) for path in paths]), official)
    assert len(found) == len(paths)
    for path, ours in zip(paths, found, strict=True):
        with Image.open(path) as image, torch.inference_mode():
            best = theirs(transforms.transforms()(image)[None]).softmax(1)[0].topk(5)
        assert [label for label, _ in ours] == [
            transforms.meta["categories"][label] for label in best.indices]
        assert [probability for _, probability in ours] == pytest.approx(
            best.values.tolist(), abs=2e-3)
    assert found[0] != found[1]


def test_weights_are_kept_for_the_study(script, served, tmp_path, monkeypatch):
    theirs, official = served
    script["load"](MODEL, official, tmp_path / "weights")
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [
        "mobilenet_v2-imagenet1k_v2.safetensors"]
    monkeypatch.delenv("UNFREEZE_MIRROR")
    again = script["load"](MODEL, official, tmp_path / "weights")
    assert torch.equal(again.classifier[1].weight, theirs.classifier[1].weight)


def test_the_last_layer_is_the_classifier(script):
    names = [name for name, _ in script["last_layers"](torchvision.models.resnet18())]
    assert names[-2:] == ["avgpool", "fc"]


def test_init_names_official_weights(script):
    known = models.facts_of(MODEL).weights
    assert script["find"](MODEL, "pretrained") == known["IMAGENET1K_V1"]
    assert script["find"](MODEL, "IMAGENET1K_V2") == known["IMAGENET1K_V2"]
    with pytest.raises(UserError, match="init: 'scratch' names no official weights of "
                                        "mobilenet_v2; allowed here: IMAGENET1K_V1, IMAGENET1K_V2"):
        script["find"](MODEL, "scratch")
    with pytest.raises(UserError, match="init: 'pretrained' .* of cnn; allowed here: none"):
        script["find"]("cnn", "pretrained")


def test_what_is_no_photo_is_one_line(script, tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("no photo")
    for name, words in (("nothing.jpg", "cannot be read"), ("notes.txt", "no image")):
        monkeypatch.setattr(sys, "argv", ["top5.py", str(tmp_path / name)])
        with pytest.raises(SystemExit, match=f"^error: {tmp_path / name}: {words}"):
            script["run_stage"](script["main"])
