"""Very small models of the kinds that the tiny one of helpers.py is not: attention, and stochastic
depth. `install` puts them among the models, for tests of training."""

from types import SimpleNamespace

from helpers import TINY
from unfreeze import models
from unfreeze.models.facts import Model

SIZE = 8  # pixels of their images


def _build(name, stem, classes, image_size):
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt
    from torchvision.models.vision_transformer import VisionTransformer

    if name == "tiny_vit":
        return VisionTransformer(image_size, patch_size=4, num_layers=2, num_heads=2,
                                 hidden_dim=8, mlp_dim=16, num_classes=classes)
    return ConvNeXt([CNBlockConfig(8, 12, 2), CNBlockConfig(12, None, 2)],
                    stochastic_depth_prob=0.5, num_classes=classes)


SMALL = SimpleNamespace(
    MODELS={
        "tiny_vit": Model(
            parts={"stem": ("class_token", "conv_proj", "encoder.pos_embedding"),
                   "stage1": ("encoder.layers.encoder_layer_0",),
                   "stage2": ("encoder.layers.encoder_layer_1", "encoder.ln"),
                   "head": ("heads.head",)},
            strides={"original": 4}, last="heads.head", multiple=4),
        "tiny_convnext": Model(
            parts={"stem": ("features.0",), "stage1": ("features.1", "features.2"),
                   "stage2": ("features.3", "classifier.0"), "head": ("classifier.2",)},
            strides={"original": 8}, last="classifier.2"),
    },
    build=_build,
)


def install(monkeypatch=None) -> None:
    """Let the models be found by their names, to the end of the test or for good."""
    for family in (TINY, SMALL):
        for name in family.MODELS:
            if monkeypatch:
                monkeypatch.setitem(models.by_model(), name, family)
            else:
                models.by_model()[name] = family
