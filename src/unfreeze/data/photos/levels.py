"""Samples of more than 8 bits, brought to 8.

A sample need not fill its type: a camera's 12 bits lie in 16, a scanner's 16 in 32. Taken as they
are such pictures are black. Where a file says how many bits count, those are taken; where it does
not, and the upper two bits of the type are never used, nobody can tell a dark picture from one of
fewer bits, and it is refused.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from unfreeze.errors import UserError

_MEND = "save it with 8 bits a sample"
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of a TIFF
_WHITE_IS_ZERO, _SIGNED = 0, 2


@dataclass(frozen=True)
class Depth:
    """How the file of an image keeps its samples.

    Attributes:
        bits: of the largest level, 8 or more.
        certain: whether the levels fill these bits; else that is for the levels to show.
        signed: whether they may be negative. inverted: whether 0 is white.
    """

    bits: int = 8
    certain: bool = True
    signed: bool = False
    inverted: bool = False


def depth_of(image: Image.Image) -> Depth:
    """Of an image that is opened and not loaded yet."""
    if image.format == "TIFF":
        tags = image.tag_v2
        bits = max(tags.get(_BITS, (1,)))
        signed = _SIGNED in tags.get(_SAMPLE_FORMAT, ())
        return Depth(max(bits - signed, 8), bits not in (16, 32), signed,
                     tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)
    if image.format == "PNG":
        sixteen = any("16" in str(tile.args) for tile in image.tile)
        return Depth(16, certain=False) if sixteen else Depth()
    # PPM and JPEG 2000 say what the highest level is, and Pillow stretches it to 16 bits.
    return Depth(16 if image.mode.startswith("I") else 8)


def to_eight_bits(image: Image.Image, depth: Depth) -> Image.Image:
    """An image of any mode in one of 8 bits: the upper ones, where there are more.

    Args:
        image: loaded.

    Raises:
        UserError: floating-point or negative levels, or their range cannot be told.
    """
    if image.mode == "F":
        raise UserError(f"floating-point pixels, whose range is not known; {_MEND}")
    if not image.mode.startswith("I"):
        if depth.bits > 8 and not depth.certain and image.mode in ("RGB", "RGBA", "RGBa"):
            # Of whose samples Pillow has taken the upper 8 bits already.
            _check(max(high for _, high in image.getextrema()[:3]), 8, depth.bits)
        return image
    levels = np.asarray(image)
    if depth.bits == 32:  # without a sign, which Pillow's own mode has
        levels = levels.astype(np.int32).view(np.uint32)
    if depth.signed and levels.min() < 0:
        raise UserError(f"negative levels, whose range is not known; {_MEND}")
    bits, highest = depth.bits, int(levels.max())
    if not depth.certain:
        if bits > 16 and highest < 1 << 16:
            bits = 16
        if highest:  # or it is black, however many bits there are
            _check(highest, bits, depth.bits)
    levels = (levels >> (bits - 8)).astype(np.uint8)
    return Image.fromarray(255 - levels if depth.inverted else levels)


def _check(highest: int, bits: int, stored: int) -> None:
    if highest < 1 << (bits - 2):
        used = max(highest, 1).bit_length() + (stored - bits if bits == 8 else 0)
        raise UserError(f"its levels take {used} bits of the {stored} that are kept, and the file "
                        f"does not say how many count: it would be much too dark; {_MEND}")
