"""Pictures with more than 8 bits a sample: right levels, or an error; never black, never white."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from unfreeze.data import photos
from unfreeze.data.photos import pixels
from unfreeze.errors import UserError

RAMP = np.linspace(0, 1, 64).reshape(8, 8)  # from black to white
EIGHT = np.floor(RAMP * 255.99).astype(np.uint8)


def tiff(samples, bits, photometric=1, kind=1):
    """A TIFF of one strip, little-endian.

    Args:
        samples: (H, W) or (H, W, C) integer. bits: of a sample, 12, 16 or 32.
        photometric: 0 white is zero, 1 black is zero, 2 RGB. kind: 1 unsigned, 2 signed.
    """
    height, width, *channels = samples.shape
    count = channels[0] if channels else 1
    if bits == 12:
        first, second = samples.reshape(-1, 2).astype(int).T
        strip = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], 1).astype(
            np.uint8).tobytes()
    else:
        strip = (samples.astype(np.int64) & (1 << bits) - 1).astype(f"<u{bits // 8}").tobytes()
    entries = [(256, 4, (width,)), (257, 4, (height,)), (258, 3, (bits,) * count), (259, 3, (1,)),
               (262, 3, (photometric,)), (273, 4, (8,)), (277, 3, (count,)), (278, 4, (height,)),
               (279, 4, (len(strip),)), (339, 3, (kind,) * count)]
    beyond = 8 + len(strip) + 2 + 12 * len(entries) + 4
    directory, tail = struct.pack("<H", len(entries)), b""
    for tag, form, values in entries:
        value = b"".join(struct.pack("<I" if form == 4 else "<H", value) for value in values)
        if len(value) > 4:
            tail, value = tail + value, struct.pack("<I", beyond + len(tail))
        directory += struct.pack("<HHI", tag, form, len(values)) + value.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory + bytes(4) + tail


def grey(content):
    """(H, W) int of a picture whose channels are alike."""
    levels = np.asarray(photos.decode(content)).astype(int)
    assert (levels == levels[..., :1]).all()
    return levels[..., 0]


def png(levels):
    content = io.BytesIO()
    Image.fromarray(levels).save(content, "PNG")
    return content.getvalue()


def full(bits):
    return np.floor(RAMP * ((1 << bits) - 1e-6)).astype(np.int64).clip(0, (1 << bits) - 1)


@pytest.mark.parametrize(("name", "content"), [
    ("12 bits that fill their type", tiff(full(12), 12)),
    ("16 bits", tiff(full(16), 16)),
    ("16 bits, white is zero", tiff(65535 - full(16), 16, photometric=0)),
    ("16 bits with a sign", tiff(full(15), 16, kind=2)),
    ("16 bits in 32", tiff(full(16), 32)),
    ("32 bits", tiff(full(32), 32)),
    ("32 bits with a sign", tiff(full(31), 32, kind=2)),
    ("16 bits of a PNG", png(full(16).astype(np.uint16))),
])
def test_a_ramp_from_black_to_white_stays_one(name, content):
    assert np.abs(grey(content) - EIGHT).max() <= 1
    assert pixels.check(content) == ""


@pytest.mark.parametrize("bits", [14, 15])
def test_a_dark_picture_of_sixteen_bits_stays_dark(bits):
    levels = full(bits) + (bits == 14)  # the upper two bits are used once at least
    assert np.abs(grey(tiff(levels, 16)) - (levels >> 8)).max() == 0


@pytest.mark.parametrize(("content", "reason"), [
    (tiff(full(12), 16), "take 12 bits of the 16"),
    (tiff(full(8), 16), "take 8 bits of the 16"),
    (tiff(full(12), 32), "take 12 bits of the 32"),
    (tiff(full(24), 32), "take 24 bits of the 32"),
    (png(full(12).astype(np.uint16)), "take 12 bits of the 16"),
    (tiff(np.stack([full(12)] * 3, -1), 16, photometric=2), "take 12 bits of the 16"),
    (tiff(full(15) - 9, 16, kind=2), "negative levels"),
    (tiff(full(31) - 9, 32, kind=2), "negative levels"),
])
def test_a_depth_that_nobody_can_tell_is_refused(content, reason):
    with pytest.raises(UserError, match=reason):
        photos.decode(content)
    assert reason in pixels.check(content) and "save it with 8 bits" in pixels.check(content)


def test_colours_of_sixteen_bits_keep_their_upper_eight():
    levels = np.stack([full(16), full(16)[::-1], full(16).T], -1)
    found = np.asarray(photos.decode(tiff(levels, 16, photometric=2)))
    assert (found == levels >> 8).all()


def test_a_black_picture_is_black_at_any_depth():
    for bits in (12, 16, 32):
        assert (grey(tiff(np.zeros((8, 8), int), bits)) == 0).all()


def test_the_file_is_named_before_anything_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "pets" / name / f"{i}.tif").write_bytes(tiff(full(16), 16))
    (tmp_path / "pets/dog/0.tif").write_bytes(tiff(full(12), 16))
    with pytest.raises(UserError, match=r"pets: 1 file cannot be used: dog/0.tif: its levels take"):
        photos.scan(tmp_path / "pets", skip_broken=False, workers=1)
    assert len(photos.scan(tmp_path / "pets", skip_broken=True, workers=1).photos) == 5
