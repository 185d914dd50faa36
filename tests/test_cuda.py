"""What only a GPU can show. Run with -m cuda."""

from functools import partial

import numpy as np
import pytest
import torch

from unfreeze import models
from unfreeze.data.batches import Augmentation, Images
from unfreeze.data.mixing import mix
from unfreeze.training import devices, loop
from unfreeze.training.randomness import generator
from unfreeze.training.regularise import Average
from unfreeze.tuning import frozen, groups, rules

pytestmark = pytest.mark.cuda
KNOBS = {"optimizer": "sgd", "lr": 0.01, "momentum": 0.9}


def train(name: str, stem: str, freeze: object, tune: str = "full", policy: str = "none",
          **step) -> torch.Tensor:
    device = devices.pick()
    assert device.torch.type == "cuda"
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (96, 32, 32, 3), dtype=np.uint8), np.arange(96) % 10,
                    list(range(96)), 64, [0.5] * 3, [0.25] * 3, device.torch, 10**9)
    torch.manual_seed(0)
    facts = models.facts_of(name)
    parts = rules.part_table(facts.parts, freeze, {}, tune=tune)
    model = models.build(name, stem, 10, 64)
    groups.insert(model, [parts], facts, {"lora_rank": 2, "lora_alpha": 2, "lora_layers": "all",
                                          "tinytl_groups": 2, "image_size": 64})
    frozen.install(model)
    model = model.to(device.torch, memory_format=torch.channels_last)
    groups.freeze(model, parts)
    average = Average(model, 0.9)
    optimizer = loop.make_optimizer(groups.parameter_groups(model, parts, 0.01, 0.0), KNOBS)
    augmentation = Augmentation(rotation=10, crop_padding=4, flip=True, policy=policy)
    for epoch in range(2):
        loop.set_training_mode(model, "eval")
        batches = images.shuffled(32, augmentation, generator(0, epoch))
        torch.manual_seed(epoch)
        random = generator(0, "mix", epoch)
        loss, _ = loop.train_epoch(
            model, optimizer, batches, device, loop.Step(
                after=average.update, **step,
                mix=partial(mix, classes=10, mixup=0.2, cutmix=1.0, random=random)),
            lambda: None)
        assert np.isfinite(loss)
    logits = loop.predict(model, images.batches(48), device)
    with average.applied():
        return torch.cat([logits, loop.predict(model, images.batches(48), device)])


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
@pytest.mark.parametrize("stem", ["original", "cifar"])
@pytest.mark.parametrize("freeze", ["none", "early", "last_only"])
def test_every_model_trains_deterministically(name, stem, freeze):
    assert torch.equal(train(name, stem, freeze), train(name, stem, freeze))


@pytest.mark.parametrize(("name", "tune"), [
    ("resnet18", "bias"), ("mobilenet_v2", "norm"), ("resnet18", "lora"), ("vit_b_16", "lora"),
    ("mobilenet_v2", "tinytl")])
def test_every_method_trains_deterministically(name, tune):
    options = {"accumulate": 2, "clip_norm": 1.0, "label_smoothing": 0.1, "policy": "trivial"}
    assert torch.equal(train(name, "original", "none", tune, **options),
                       train(name, "original", "none", tune, **options))
