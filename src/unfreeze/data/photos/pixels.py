"""Bytes of one photo -> an RGB image -> the square that the model sees.

JPEGs are decoded at full size. Pillow's draft mode (a scaled inverse DCT) would be faster for
photos much larger than the map, but what comes out differs from torchvision's by far more than a
level or two at edges: it averages blocks where the antialiased filter weighs neighbours. `check`
does use it, since there only the end of the file matters.
"""

import io
import struct
import warnings

import numpy as np
from PIL import Image

from unfreeze.errors import UserError

MAX_PIXELS = 1 << 27  # 134 million, of a photo and of what it is resized to; 0.5 GB in Pillow
# What cameras, scanners and web sites make; phones' .mpo counts as JPEG. Pillow's other readers are
# seldom used, and some start other programs.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_ORIENTATION = 0x0112  # EXIF tag
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}
# What Pillow raises on EXIF data that is no TIFF directory, is cut off, or is text where bytes
# should be; of damaged entries it only warns.
_DAMAGED_EXIF = (SyntaxError, struct.error, TypeError, ValueError)


def decode(content: bytes) -> Image.Image:
    """The image as one sees it, in RGB: turned as EXIF says, the first frame of several,
    transparent parts on white, 16 bits cut to their upper 8.

    Raises:
        UserError: no image, a broken one, or one of more than MAX_PIXELS.
    """
    return _decode(content, draft=False)


def check(content: bytes) -> str:
    """What keeps `decode` from working, or "". Reads to the end of the file; decodes JPEGs at an
    eighth of their size, which takes half the time and finds the same faults: those of the
    compressed data."""
    try:
        _decode(content, draft=True)
    except UserError as error:
        return str(error)
    return ""


def _decode(content: bytes, draft: bool) -> Image.Image:
    if not content:
        raise UserError("an empty file")
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd metadata, and of many pixels
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise UserError(_too_many(f"{width} x {height} pixels"))
                if draft:
                    image.draft(None, (1, 1))
                image.load()
                return _rgb(_upright(image))
    except (UserError, MemoryError):
        raise
    except Image.UnidentifiedImageError:
        raise UserError("no image, or of a format that is not read") from None
    except Image.DecompressionBombError:
        raise UserError(_too_many("a decompression bomb")) from None
    except Exception as error:  # Pillow raises nearly everything on damaged files
        reason = str(error) or type(error).__name__
        raise UserError(f"broken or truncated ({reason})") from None


def _too_many(what: str) -> str:
    return f"{what}; at most {MAX_PIXELS:,} pixels are decoded"


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except _DAMAGED_EXIF:  # of a sound image
        orientation = None
    method = _TRANSPOSE.get(orientation)
    return image if method is None else image.transpose(method)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise UserError("floating-point pixels, whose range is not known; save it with 8 bits")
    if image.mode.startswith("I"):  # Pillow's own conversion would clip at 255
        levels = np.asarray(image).clip(0, 65535).astype(np.uint16)
        image = Image.fromarray((levels >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def resize_and_crop(image: Image.Image, size: int, resize: int | None,
                    interpolation: str) -> Image.Image:
    """An RGB image to (size, size), with torchvision's bytes: Resize(resize) and CenterCrop(size)
    of a PIL image, or Resize((size, size)).

    Args:
        size: side in pixels.
        resize: None to resize straight to the square; else pixels to which the shorter side is
            resized before the middle square is cut out, at least `size`.
        interpolation: a key of INTERPOLATIONS.
    """
    method = INTERPOLATIONS[interpolation]
    if resize is None:
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
