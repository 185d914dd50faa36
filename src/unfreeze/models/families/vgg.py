"""VGG (Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556), as torchvision builds it."""

from unfreeze.models.facts import Model, torchvision_weights


def _features(*numbers: int) -> tuple[str, ...]:
    return tuple(f"features.{i}" for i in numbers)


MODELS = {
    "vgg16": Model(
        # A block ends in its pool, so the stem puts out 1/2 of the resolution, stage1 1/4...
        parts={
            "stem": _features(0, 2),
            "stage1": _features(5, 7),
            "stage2": _features(10, 12, 14),
            "stage3": _features(17, 19, 21),
            "stage4": _features(24, 26, 28),
            "hidden": ("classifier.0", "classifier.3"),
            "head": ("classifier.6",),
        },
        strides={"original": 32},
        last="classifier.6",
        # IMAGENET1K_FEATURES is left out: it has no values for the fully connected layers.
        weights={
            "IMAGENET1K_V1": torchvision_weights(
                "vgg16", "IMAGENET1K_V1",
                "https://download.pytorch.org/models/vgg16-397923af.pth"),
        },
    ),
}


def build(name: str, stem: str, classes: int, image_size: int):
    """A VGG with a new head, initialised as torchvision does from torch's global seed.

    Args:
        name: of a function of torchvision.models.vgg.
        stem: "original".
        classes: outputs of the head.
        image_size: changes nothing here.

    Returns:
        torch.nn.Module: (N, 3, H, W) float images to (N, classes) logits.
    """
    from torchvision.models import vgg

    from unfreeze.models.with_torch.pooling import AveragePool

    model = getattr(vgg, name)(num_classes=classes)
    model.avgpool = AveragePool(7)
    return model
