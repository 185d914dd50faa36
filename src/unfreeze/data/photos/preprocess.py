"""The one way from the file of a picture to what a model sees.

Decoding for training and testing goes this way, and so must whatever shows a picture to a trained
model: its recipe holds the `Preprocessing`. What remains is `reading.normalise.Normalisation`, on
the model's device.
"""

import numpy as np
from PIL import Image

from unfreeze.data.photos.pixels import MAX_PIXELS, decode
from unfreeze.recipe import Preprocessing


def preprocess(content: bytes, preprocessing: Preprocessing) -> np.ndarray:
    """A picture as the model sees it, but for normalisation.

    Args:
        content: of the file. preprocessing: its mean and std are not read.

    Returns:
        (image_size, image_size, 3) uint8, RGB, with the bytes of torchvision's Resize and
        CenterCrop on PIL images.

    Raises:
        UserError: of `pixels.decode`; the file is to be named by who calls.
    """
    return np.asarray(resize_and_crop(decode(content), preprocessing))


def resize_and_crop(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """An RGB image to the square that the model sees: Resize(resize) and CenterCrop(image_size), or
    Resize((image_size, image_size)) where `resize` is "square"."""
    size, resize = preprocessing.image_size, preprocessing.resize
    method = Image.Resampling[preprocessing.interpolation.upper()]
    if resize == "square":
        return image.resize((size, size), method)
    shorter = min(image.size)
    width, height = (int(resize * side / shorter) for side in image.size)
    left, top = (round((side - size) / 2) for side in (width, height))
    box = (left, top, left + size, top + size)
    if width * height > MAX_PIXELS:
        # A very long strip: only what will be left of it, the same but for rounding.
        across, down = image.width / width, image.height / height
        return image.resize((size, size), method, box=(
            box[0] * across, box[1] * down, box[2] * across, box[3] * down))
    if (width, height) != image.size:
        image = image.resize((width, height), method)
    return image.crop(box)
