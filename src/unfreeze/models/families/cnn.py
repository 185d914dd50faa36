"""A plain CNN for small images, as of a published study of models' sizes: three convolutions, seven
fully connected layers, no normalisation. It has no pretrained weights."""

from collections import OrderedDict

from unfreeze.models.facts import Model

CHANNELS = (3, 16, 32, 64)
GRID = 4  # of what the convolutions put out at 32 pixels
WIDTHS = (1024, 512, 256, 128, 64, 32, 16)

MODELS = {
    "cnn": Model(
        parts={
            "stem": ("features.0",),
            "stage1": ("features.3",),
            "stage2": ("features.6",),
            "hidden": tuple(f"classifier.{2 * i}" for i in range(len(WIDTHS) - 1)),
            "head": (f"classifier.{2 * len(WIDTHS) - 2}",),
        },
        strides={"original": 8},
        last=f"classifier.{2 * len(WIDTHS) - 2}",
    ),
}


def build(name: str, stem: str, classes: int, image_size: int):
    """The CNN, initialised by torch's defaults from its global seed.

    Args:
        name: "cnn".
        stem: "original".
        classes: outputs of the head.
        image_size: changes nothing: averages over a grid of 4x4 feed the fully connected layers.

    Returns:
        torch.nn.Module: (N, 3, H, W) float images to (N, classes) logits.
    """
    from torch import nn

    from unfreeze.models.with_torch.pooling import AveragePool

    features = [layer for ins, outs in zip(CHANNELS, CHANNELS[1:], strict=False)
                for layer in (nn.Conv2d(ins, outs, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))]
    widths = [*WIDTHS, classes]
    classifier = [layer for ins, outs in zip(widths, widths[1:], strict=False)
                  for layer in (nn.Linear(ins, outs), nn.ReLU())][:-1]
    return nn.Sequential(OrderedDict(
        features=nn.Sequential(*features),
        pool=AveragePool(GRID),  # at 32 pixels it changes nothing
        flatten=nn.Flatten(),
        classifier=nn.Sequential(*classifier),
    ))
