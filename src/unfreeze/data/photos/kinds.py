"""What a file is that no reader of images knows, and what to do about it."""

_PHONES = ("HEIC, as phones write it, which is not read; convert it to JPEG (`mogrify -format jpg "
           "*.heic` of ImageMagick, or export it; an iPhone writes JPEG with Settings, Camera, "
           "Formats, Most Compatible)")
_HEIF = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"heif")
_STARTS = (
    (b"%PDF", "a PDF document; export its pages as PNG"),
    (b"8BPS", "a Photoshop document; export it as PNG or JPEG"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL, which is not read; convert it to JPEG or PNG"),
    (b"\xff\x0a", "JPEG XL, which is not read; convert it to JPEG or PNG"),
    (b"PK\x03\x04", "an archive within the folder; unpack it"),
    (b"version https://git-lfs", "a pointer of Git LFS and no image yet; `git lfs pull` brings it"),
)


def unread(content: bytes) -> str:
    """What is wrong with a file that is no image."""
    brand = content[8:12]
    if content[4:8] == b"ftyp":
        if brand in _HEIF:
            return _PHONES
        return "a film, or an image of a kind that is not read; leave it out, or save it as JPEG"
    text = content[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml")) and b"<svg" in content[:10_000].lower():
        return "SVG, a drawing that has no pixels; export it as PNG"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page and no image, as servers send in place of one; fetch it anew"
    return next((words for start, words in _STARTS if content.startswith(start)),
                "no image, or of a format that is not read")
