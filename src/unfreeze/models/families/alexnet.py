"""AlexNet (Krizhevsky 2014, https://arxiv.org/abs/1404.5997), as torchvision builds it."""

from unfreeze.models.facts import Model, torchvision_weights

MODELS = {
    "alexnet": Model(
        # A convolution a part: their resolutions do not halve one by one as in later models.
        parts={
            "stem": ("features.0",),
            "stage1": ("features.3",),
            "stage2": ("features.6",),
            "stage3": ("features.8",),
            "stage4": ("features.10",),
            "hidden": ("classifier.1", "classifier.4"),
            "head": ("classifier.6",),
        },
        strides={"original": 63, "cifar": 21},
        last="classifier.6",
        weights={
            "IMAGENET1K_V1": torchvision_weights(
                "alexnet", "IMAGENET1K_V1",
                "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"),
        },
    ),
}


def build(name: str, stem: str, classes: int, image_size: int):
    """AlexNet with a new head, initialised as torchvision does from torch's global seed.

    Args:
        name: "alexnet".
        stem: "original" (first convolution of stride 4) or "cifar" (of stride 1; the same weights
            fit, so nothing of the stem is initialised anew).
        classes: outputs of the head.
        image_size: changes nothing here.

    Returns:
        torch.nn.Module: (N, 3, H, W) float images to (N, classes) logits.
    """
    from torchvision.models import alexnet

    from unfreeze.models.with_torch.pooling import AveragePool

    model = alexnet(num_classes=classes)
    model.avgpool = AveragePool(6)
    if stem == "cifar":
        model.features[0].stride = (1, 1)
    return model
