"""Vision transformers (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929), as torchvision
builds them."""

import math

from unfreeze.models.facts import Model, torchvision_weights

URL = "https://download.pytorch.org/models"


def _layers(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"encoder.layers.encoder_layer_{i}" for i in range(first, last + 1))


MODELS = {
    "vit_b_16": Model(
        # Every layer works at the same resolution; a stage is a quarter of the layers.
        parts={
            "stem": ("class_token", "conv_proj", "encoder.pos_embedding"),
            "stage1": _layers(0, 2),
            "stage2": _layers(3, 5),
            "stage3": _layers(6, 8),
            "stage4": (*_layers(9, 11), "encoder.ln"),
            "head": ("heads.head",),
        },
        strides={"original": 16},
        last="heads.head",
        weights={
            "IMAGENET1K_V1": torchvision_weights(
                "vit_b_16", "IMAGENET1K_V1", f"{URL}/vit_b_16-c867db91.pth"),
            "IMAGENET1K_SWAG_E2E_V1": torchvision_weights(
                "vit_b_16", "IMAGENET1K_SWAG_E2E_V1", f"{URL}/vit_b_16_swag-9ac1b537.pth",
                resize=384, crop=384, interpolation="bicubic"),
            "IMAGENET1K_SWAG_LINEAR_V1": torchvision_weights(
                "vit_b_16", "IMAGENET1K_SWAG_LINEAR_V1", f"{URL}/vit_b_16_lc_swag-4e70ced5.pth",
                resize=224, interpolation="bicubic"),
        },
        multiple=16,
    ),
}


def build(name: str, stem: str, classes: int, image_size: int):
    """A vision transformer with a new head, initialised as torchvision does from torch's global
    seed (the head with zeros).

    Args:
        name: of a function of torchvision.models.vision_transformer.
        stem: "original".
        classes: outputs of the head.
        image_size: side of the images, a multiple of the patch size.

    Returns:
        torch.nn.Module: (N, 3, image_size, image_size) float images to (N, classes) logits.
    """
    from torchvision.models import vision_transformer

    return getattr(vision_transformer, name)(num_classes=classes, image_size=image_size)


def fit_weights(name: str, tensors: dict, image_size: int) -> dict:
    """Tensors of a vision transformer for another image size: the grid of position embeddings is
    interpolated bicubically, the class token's embedding stays.

    Args:
        name: of the model.
        tensors: {name: torch.Tensor}, with the official files' old names of the MLPs or the new
            ones; left as they are.
        image_size: side of the images, in pixels.

    Returns:
        {name: torch.Tensor} with the new names. Tensors that are no vision transformer's are
        passed on, for whoever loads them to complain.
    """
    from torchvision.models.vision_transformer import interpolate_embeddings

    fitted = {name.replace(".mlp.linear_1.", ".mlp.0.").replace(".mlp.linear_2.", ".mlp.3."): tensor
              for name, tensor in tensors.items()}
    positions, patches = (fitted.get(name)
                          for name in ("encoder.pos_embedding", "conv_proj.weight"))
    if positions is None or patches is None or positions.ndim != 3 or patches.ndim != 4:
        return fitted
    one, length, _ = positions.shape
    if one != 1 or length < 2 or math.isqrt(length - 1) ** 2 != length - 1:
        return fitted
    return interpolate_embeddings(image_size, patches.shape[-1], fitted)
