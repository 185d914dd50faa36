"""Bytes of one photo -> an RGB image, as one sees it.

JPEGs are decoded at full size. Pillow's draft mode (a scaled inverse DCT) would be faster for
photos much larger than what the model sees, but what comes out differs from torchvision's by far
more than a level or two at edges: it averages blocks where the antialiased filter weighs
neighbours. `check` does use it, since there only the end of the file matters.
"""

import io
import struct
import warnings

from PIL import Image

from unfreeze.data.photos import kinds, levels
from unfreeze.errors import UserError

MAX_PIXELS = 1 << 27  # 134 million, 0.5 GB in Pillow
# What cameras, scanners and web sites make; phones' .mpo counts as JPEG. Pillow's other readers are
# seldom used, and some start other programs.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
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
    transparent parts on white, samples of more than 8 bits cut to the upper 8 (levels.py).

    Raises:
        UserError: no image, a broken one, one of more than MAX_PIXELS, or one whose samples have
            no certain range.
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
                depth = levels.depth_of(image)
                if draft:
                    image.draft(None, (1, 1))
                image.load()
                return _rgb(levels.to_eight_bits(_upright(image), depth))
    except (UserError, MemoryError):
        raise
    except Image.UnidentifiedImageError:
        raise UserError(kinds.unread(content)) from None
    except Image.DecompressionBombError:  # far too many, which Pillow does not tell apart
        raise UserError(_too_many("hundreds of millions of pixels")) from None
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
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")
