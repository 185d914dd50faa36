"""What only a GPU can show. Run with -m cuda."""

import numpy as np
import pytest
import torch

from unfreeze import models
from unfreeze.data.batches import Augmentation, Images
from unfreeze.training import devices, loop
from unfreeze.training.randomness import generator
from unfreeze.tuning import groups, rules

pytestmark = pytest.mark.cuda
KNOBS = {"optimizer": "sgd", "lr": 0.01, "momentum": 0.9}


def train(name: str, stem: str, freeze: object) -> torch.Tensor:
    device = devices.pick()
    assert device.torch.type == "cuda"
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (96, 32, 32, 3), dtype=np.uint8), np.arange(96) % 10,
                    list(range(96)), 64, [0.5] * 3, [0.25] * 3, device.torch, 10**9)
    torch.manual_seed(0)
    family = models.family(name)
    model = family.build(name, stem, 10).to(device.torch, memory_format=torch.channels_last)
    parts = rules.part_table(family.MODELS[name].parts, freeze, {})
    groups.freeze(model, parts)
    optimizer = loop.make_optimizer(groups.parameter_groups(model, parts, 0.01, 0.0), KNOBS)
    augmentation = Augmentation(rotation=10, crop_padding=4, flip=True)
    for epoch in range(2):
        loop.set_training_mode(model, "eval")
        batches = images.shuffled(32, augmentation, generator(0, epoch))
        torch.manual_seed(epoch)
        loss, _ = loop.train_epoch(model, optimizer, batches, device, 0.0, lambda: None)
        assert np.isfinite(loss)
    return loop.predict(model, images.batches(48), device)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
@pytest.mark.parametrize("stem", ["original", "cifar"])
@pytest.mark.parametrize("freeze", ["none", "early", "last_only"])
def test_every_model_trains_deterministically(name, stem, freeze):
    assert torch.equal(train(name, stem, freeze), train(name, stem, freeze))
