"""Every classification model of torchvision that has no file of its own, by its name there.

Their facts are found in with_torch/divide.py.
"""

import re


def names() -> list[str]:
    """Names of all of torchvision's classification models, sorted. Imports torch."""
    from torchvision import models

    return models.list_models(module=models)


def facts(name: str):
    """models.facts.Model of a model, found in its structure.

    Raises:
        UserError: it cannot be divided into stem, stages and head.
    """
    from unfreeze.models.with_torch import divide

    return divide.facts(name)


def build(name: str, stem: str, classes: int, image_size: int):
    """A model with a new head, initialised as torchvision does from torch's global seed.

    Args:
        name: of `names`.
        stem: "original", or "cifar": for a ResNet that of resnet.py; for another net the first
            convolution has stride 1 (the same weights fit).
        classes: outputs of the head.
        image_size: side of the images, in pixels.

    Returns:
        torch.nn.Module: (N, 3, image_size, image_size) float images to (N, classes) logits.
    """
    from torchvision import models

    from unfreeze.models.families import resnet, vit
    from unfreeze.models.with_torch.pooling import AveragePool

    if hasattr(models.resnet, name):
        return resnet.build(name, stem, classes, image_size)
    if hasattr(models.vision_transformer, name):
        return vit.build(name, stem, classes, image_size)
    options = {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True}
    if name.startswith("maxvit"):
        options = {"input_size": (image_size, image_size)}
    model = models.get_model(name, num_classes=classes, **options)
    if isinstance(model, models.VGG):
        model.avgpool = AveragePool(7)
    if stem == "cifar":
        first_convolution(model).stride = (1, 1)
    return model


def first_convolution(model):
    """The torch.nn.Conv2d of a torch.nn.Module that sees the image."""
    from torch import nn

    return next(module for module in model.modules() if isinstance(module, nn.Conv2d))


def fit_weights(name: str, tensors: dict, image_size: int) -> dict:
    """Official tensors as the models name and shape them now.

    Args:
        name: of the model.
        tensors: {name: torch.Tensor}; left as they are.
        image_size: side of the images, in pixels.

    Returns:
        {name: torch.Tensor}.
    """
    from unfreeze.models.families import vit

    if name.startswith("vit_"):
        return vit.fit_weights(name, tensors, image_size)
    if name.startswith("densenet"):  # the official files call norm1 norm.1
        return {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.", r"\1\2.", key): tensor
                for key, tensor in tensors.items()}
    return tensors
