"""From the file of a picture to what the model sees, as its training photos were prepared.

Needs Pillow and NumPy. `unfreeze export` puts it beside the models; config.json says how large and
how bright they want their pictures.
"""

import json
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

CONFIG = json.loads(Path(__file__).with_name("config.json").read_text(encoding="utf-8"))
MAX_PIXELS = 1 << 27
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
ORIENTATION = 0x0112  # EXIF tag
TRANSPOSE = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
             4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
             6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
             8: Image.Transpose.ROTATE_90}


def prepare(path) -> np.ndarray:
    """(1, 3, S, S) float32, normalised, of the picture in a file."""
    return normalise(square(path)[None])


def square(path) -> np.ndarray:
    """(S, S, 3) uint8, RGB: upright, the first of several frames, transparent parts on white, more
    than 8 bits cut to the upper 8, resized.

    Raises:
        ValueError: it has too many pixels, or levels whose range nobody knows.
    """
    with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels; at most {MAX_PIXELS:,}")
        depth = depth_of(image)
        image.load()
        try:
            turn = TRANSPOSE.get(image.getexif().get(ORIENTATION))
        except (SyntaxError, struct.error, TypeError, ValueError):  # damaged, of a sound picture
            turn = None
        image = eight_bits(image if turn is None else image.transpose(turn), *depth)
        return np.asarray(resized(rgb(image)))


def normalise(squares: np.ndarray) -> np.ndarray:
    """(N, S, S, 3) uint8 to (N, 3, S, S) float32."""
    mean, std = (np.array(CONFIG["unfreeze"]["preprocessing"][name], np.float32)
                 for name in ("mean", "std"))
    pixels = squares.astype(np.float32) * (1 / (255 * std)) + -mean / std
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def resized(image: Image.Image) -> Image.Image:
    wanted = CONFIG["unfreeze"]["preprocessing"]
    size, shorter = wanted["image_size"], wanted["resize"]
    method = Image.Resampling[wanted["interpolation"].upper()]
    if shorter == "square":
        return image.resize((size, size), method)
    width, height = (int(shorter * side / min(image.size)) for side in image.size)
    left, top = (round((side - size) / 2) for side in (width, height))
    box = (left, top, left + size, top + size)
    if width * height > MAX_PIXELS:  # a very long strip: only what will be left of it
        across, down = image.width / width, image.height / height
        return image.resize((size, size), method, box=(
            box[0] * across, box[1] * down, box[2] * across, box[3] * down))
    if (width, height) != image.size:
        image = image.resize((width, height), method)
    return image.crop(box)


def depth_of(image: Image.Image) -> tuple[int, bool, bool, bool]:
    """(bits of the largest level, whether levels fill them for certain, may be negative, 0 is
    white) of an image that is opened and not loaded."""
    if image.format == "TIFF":
        bits = max(image.tag_v2.get(258, (1,)))
        signed = 2 in image.tag_v2.get(339, ())
        return max(bits - signed, 8), bits not in (16, 32), signed, image.tag_v2.get(262) == 0
    if image.format == "PNG":
        sixteen = any("16" in str(tile.args) for tile in image.tile)
        return (16, False, False, False) if sixteen else (8, True, False, False)
    return (16 if image.mode.startswith("I") else 8), True, False, False


def eight_bits(image: Image.Image, bits: int, certain: bool, signed: bool,
               inverted: bool) -> Image.Image:
    """An image of 8 bits a sample: the upper ones, where there are more."""
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    if not image.mode.startswith("I"):
        if bits > 8 and not certain and image.mode in ("RGB", "RGBA", "RGBa"):
            check(max(high for _, high in image.getextrema()[:3]), 8)
        return image
    levels = np.asarray(image)
    if bits == 32:
        levels = levels.astype(np.int32).view(np.uint32)
    if signed and levels.min() < 0:
        raise ValueError("negative levels, whose range is not known")
    highest = int(levels.max())
    if not certain:
        if bits > 16 and highest < 1 << 16:
            bits = 16
        if highest:
            check(highest, bits)
    levels = (levels >> (bits - 8)).astype(np.uint8)
    return Image.fromarray(255 - levels if inverted else levels)


def check(highest: int, bits: int) -> None:
    if highest < 1 << (bits - 2):
        raise ValueError("its levels do not fill the bits that are kept, and the file does not say "
                         "how many count; save it with 8 bits a sample")
