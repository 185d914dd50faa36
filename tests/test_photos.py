"""Small real files of many kinds, made here; torchvision is what the decoded bytes must equal."""

import atexit
import io
import os
import re
import resource
import select
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from unfreeze import environment, pool
from unfreeze.data import photos
from unfreeze.data.decoding import mean_and_std, write_photos
from unfreeze.data.photos import archive, pixels, preprocess
from unfreeze.data.photos.collection import Photo
from unfreeze.errors import UserError
from unfreeze.recipe import Preprocessing

SOURCE = Path(__file__).resolve().parents[1] / "src"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("UNFREEZE_WORKERS", "1")


def picture(seed=0, width=40, height=30):
    """Smooth noise, (height, width, 3) uint8: JPEG keeps it well."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def saved(image, kind="PNG", **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def decoded(content):
    image = photos.decode(content)
    assert image.mode == "RGB"
    return np.asarray(image)


def seen(size, resize="square", interpolation="bilinear"):
    return Preprocessing(size, resize, interpolation, (), ())


def differ(first, second):
    return np.abs(np.asarray(first, int) - np.asarray(second, int)).max()


def write(folder, contents):
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def two_classes(count=3):
    return {f"{name}/{i}.png": saved(picture(10 * label + i))
            for label, name in enumerate(("cat", "dog")) for i in range(count)}


def zipped(path, contents, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return path


def tarred(path, contents, mode="w"):
    with tarfile.open(path, mode) as file:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                entry.size = len(content)
                file.addfile(entry, io.BytesIO(content))
            else:  # a link
                entry.type, entry.linkname = content
                file.addfile(entry)
    return path


def huge_png(side=30_000):
    """A valid header of side x side pixels over next to no data."""
    def chunk(kind, body):
        return (struct.pack(">I", len(body)) + kind + body
                + struct.pack(">I", zlib.crc32(kind + body)))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


def error_of(function, *arguments, **named):
    with pytest.raises(UserError) as caught:
        function(*arguments, **named)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


# --- What a photo looks like


@pytest.mark.parametrize(("kind", "options", "tolerance"), [
    ("PNG", {}, 0), ("BMP", {}, 0), ("TIFF", {}, 0), ("WEBP", {"lossless": True}, 0),
    ("PPM", {}, 0), ("JPEG", {"quality": 98, "subsampling": 0}, 6),
    ("JPEG", {"quality": 98, "subsampling": 0, "progressive": True}, 6),
])
def test_a_photo_is_the_same_in_every_format(kind, options, tolerance):
    assert differ(decoded(saved(picture(), kind, **options)), picture()) <= tolerance


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK"])
def test_other_colours_become_rgb(mode):
    image = Image.fromarray(picture()).convert(mode)
    kind = {"CMYK": "JPEG"}.get(mode, "PNG")
    content = saved(image, kind)
    with Image.open(io.BytesIO(content)) as reread:
        assert reread.mode == mode
        assert differ(decoded(content), reread.convert("RGB")) == 0


def test_a_cmyk_jpeg_is_not_a_negative():
    """Adobe writes the inks inverted."""
    found = decoded(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    assert differ(found, np.full((16, 16, 3), (255, 0, 0))) < 10


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_keep_their_upper_eight(kind):
    levels = np.linspace(0, 65535, 40 * 30).reshape(30, 40).astype(np.uint16)
    expected = np.repeat((levels >> 8)[..., None], 3, axis=2)
    assert differ(decoded(saved(Image.fromarray(levels), kind)), expected) == 0


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("RGBA", "WEBP"), ("LA", "PNG"),
                                            ("RGBA", "TIFF")])
def test_transparent_parts_are_white(mode, kind):
    image = Image.new(mode, (8, 8), (0,) * (len(mode) - 1) + (0,))
    image.paste((0,) * (len(mode) - 1) + (255,), (0, 0, 4, 8))
    found = decoded(saved(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert (found[:, :4] == 0).all() and (found[:, 4:] == 255).all()


def test_half_transparent_is_half_white():
    found = decoded(saved(Image.new("RGBA", (4, 4), (0, 100, 200, 128))))
    assert differ(found, np.full((4, 4, 3), (127, 177, 227))) <= 1


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_a_palette_may_be_transparent(kind):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 4, 8))
    found = decoded(saved(image, kind, transparency=0))
    assert (found[:, :4] == 255).all() and (found[:, 4:] == (0, 0, 255)).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_several_counts(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    with Image.open(io.BytesIO(content)) as image:
        assert image.n_frames == 3
    assert (decoded(content) == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_stand_upright(kind, orientation):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = 255, 0, 0  # the upper left quarter
    turned = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, 3),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    content = saved(np.ascontiguousarray(turned), kind, exif=exif, **options)
    assert differ(decoded(content), upright) < 20


def test_damaged_metadata_does_not_make_a_broken_photo():
    content = saved(picture(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(5))
    assert decoded(content).shape == (30, 40, 3) and pixels.check(content) == ""


@pytest.mark.parametrize(("exif", "error"), [
    (b"MM\0+\0\0", struct.error), (b"no TIFF directory", SyntaxError)])
def test_damaged_exif_does_not_make_a_broken_photo(exif, error):
    content = saved(picture(), "WEBP", exif=exif)
    with pytest.raises(error), Image.open(io.BytesIO(content)) as image:
        image.getexif()
    assert decoded(content).shape == (30, 40, 3) and pixels.check(content) == ""


@pytest.mark.parametrize(("chunk", "error"), [
    (b"exif\0\0" + zlib.compress(b"text"), TypeError),
    (b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n4\nno hex"), ValueError)])
def test_damaged_exif_in_text_chunks_does_not_make_a_broken_photo(chunk, error):
    info = PngImagePlugin.PngInfo()
    info.add(b"zTXt", chunk)
    content = saved(picture(), "PNG", pnginfo=info)
    with pytest.raises(error), Image.open(io.BytesIO(content)) as image:
        image.load()
        image.getexif()
    assert decoded(content).shape == (30, 40, 3) and pixels.check(content) == ""


# --- The square that the model sees


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "resize"), [(64, "square"), (224, 256), (64, 64), (33, 47)])
@pytest.mark.parametrize("sides", [(500, 375), (375, 500), (301, 301), (47, 90), (20, 31),
                                   (90, 420), (1, 1), (700, 9)])
def test_bytes_are_torchvisions(sides, size, resize, interpolation):
    transforms = pytest.importorskip("torchvision.transforms")
    mode = transforms.InterpolationMode(interpolation)
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*sides[::-1], 3), np.uint8))
    if resize == "square":
        expected = transforms.Resize((size, size), mode)(image)
    else:
        expected = transforms.CenterCrop(size)(transforms.Resize(resize, mode)(image))
    found = photos.resize_and_crop(image, seen(size, resize, interpolation))
    assert found.size == (size, size)
    assert differ(found, expected) == 0


def test_a_strip_whose_resized_form_would_not_fit_is_cut_first(monkeypatch):
    image = Image.fromarray(picture(width=900, height=30))
    whole = photos.resize_and_crop(image, seen(64, 64, "bicubic"))
    monkeypatch.setattr(preprocess, "MAX_PIXELS", 10_000)
    assert differ(photos.resize_and_crop(image, seen(64, 64, "bicubic")), whole) <= 1


# --- What a folder or archive holds


def test_classes_are_the_folder_names_in_sorted_order(tmp_path):
    found = photos.scan(write(tmp_path / "pets", two_classes()), skip_broken=False)
    assert found.classes == ("cat", "dog") and found.problems == ()
    assert [(photo.split, photo.label, photo.member) for photo in found.photos] == [
        ("train", label, f"{name}/{i}.png")
        for label, name in enumerate(("cat", "dog")) for i in range(3)]


def test_splits_are_the_outermost_folders(tmp_path):
    contents = {f"{split}/{name}": content for split in ("train", "test", "val")
                for name, content in two_classes(2).items()}
    found = photos.scan(write(tmp_path / "pets", contents), skip_broken=False)
    assert found.classes == ("cat", "dog")
    assert [photo.split for photo in found.photos] == ["train"] * 4 + ["test"] * 4 + ["val"] * 4
    assert len(photos.duplicates(found)) == 4  # the same images, by their bytes


def test_odd_names_and_hidden_files(tmp_path):
    names = ["a cat/with space.png", "a cat/b/deeper.png", "chäteau é/ünïcode.png",
             "chäteau é/new\nline.png", "new\nline/'quotes\".png", "new\nline/*[0-9].png"]
    contents = {name: saved(picture(i)) for i, name in enumerate(names)}
    junk = {".DS_Store": b"x", "a cat/.hidden.png": b"x", "__MACOSX/a cat/._x.png": b"x",
            "a cat/Thumbs.db": b"x", ".git/config": b"x"}
    place = write(tmp_path / "odd", contents | junk)
    found = photos.scan(place, skip_broken=False)
    assert found.classes == ("a cat", "chäteau é", "new\nline")
    assert {photo.member for photo in found.photos} == set(names)
    for form in (zipped(tmp_path / "odd.zip", contents | junk),
                 tarred(tmp_path / "odd.tgz", contents | junk, "w:gz")):
        assert photos.digest(photos.scan(form, skip_broken=False)) == photos.digest(found)
        assert {member.name for member in archive.members(form)} >= set(names)
    out = tmp_path / "rows.npy"
    write_photos(place, found.photos, seen(8), out, 1)
    assert np.load(out).shape == (6, 8, 8, 3)


def test_a_zips_utf8_names_without_the_flag(tmp_path):
    """As Info-ZIP and others write them."""
    contents = {"xxxx/1.png": saved(picture(1)), "dog/1.png": saved(picture(2)),
                "xxxx/2.png": saved(picture(3)), "dog/2.png": saved(picture(4))}
    path = zipped(tmp_path / "a.zip", contents)
    path.write_bytes(path.read_bytes().replace(b"xxxx", "éé".encode()))
    found = photos.scan(path, skip_broken=False)
    assert found.classes == ("dog", "éé")
    assert archive.Reader(path).read("éé/1.png") == contents["xxxx/1.png"]


def test_the_digest_depends_on_nothing_but_the_images(tmp_path):
    contents = two_classes()
    backwards = dict(reversed(contents.items()))
    place = write(tmp_path / "pets", contents)
    digest = photos.digest(photos.scan(place, skip_broken=False))
    os.utime(place / "cat/0.png", (1, 1))
    wrapped = {f"my/pets/{name}": content for name, content in contents.items()}
    for form in (place, write(tmp_path / "again", backwards),
                 write(tmp_path / "wrapped", wrapped),
                 zipped(tmp_path / "a.zip", contents),
                 zipped(tmp_path / "b.zip", backwards, zipfile.ZIP_DEFLATED),
                 zipped(tmp_path / "c.zip", wrapped),
                 tarred(tmp_path / "a.tar", backwards),
                 tarred(tmp_path / "c.tar", {f"./{n}": c for n, c in contents.items()}),
                 *(tarred(tmp_path / f"{kind}.tar.{kind}", wrapped, f"w:{kind}")
                   for kind in ("gz", "bz2", "xz"))):
        assert photos.digest(photos.scan(form, skip_broken=False)) == digest, form
    renamed = {name.replace("0", "zero"): content for name, content in contents.items()}
    moved = {name.replace("dog", "dogs"): content for name, content in contents.items()}
    changed = contents | {"cat/0.png": saved(picture(99))}
    split = {f"{'train' if '0' in name else 'test'}/{name}": content
             for name, content in two_classes(2).items()}
    others = [photos.digest(photos.scan(write(tmp_path / f"other{i}", each), skip_broken=False))
              for i, each in enumerate((renamed, moved, changed, split))]
    assert len({digest, *others}) == 5


def test_without_a_test_folder_a_fifth_of_each_class_is_held_out(tmp_path):
    contents = {f"{name}/{i}.png": saved(picture(100 * label + i, 8, 8))
                for label, (name, count) in enumerate((("a", 2), ("b", 5), ("c", 21)))
                for i in range(count)}
    collection = photos.scan(write(tmp_path / "x", contents), skip_broken=False)
    settled, note = photos.settle_splits(collection)
    assert "20%" in note
    counts = {(split, label): sum((p.split, p.label) == (split, label) for p in settled.photos)
              for split in ("train", "test") for label in range(3)}
    assert counts == {("train", 0): 1, ("test", 0): 1, ("train", 1): 4, ("test", 1): 1,
                      ("train", 2): 17, ("test", 2): 4}
    # By content: the same ones whatever they are called.
    renamed = {name.replace(".png", "-new.png"): content for name, content in contents.items()}
    again, _ = photos.settle_splits(photos.scan(write(tmp_path / "y", renamed), skip_broken=False))
    assert {p.sha256 for p in again.photos if p.split == "test"} == {
        p.sha256 for p in settled.photos if p.split == "test"}


@pytest.mark.parametrize(("there", "becomes"), [
    ("train test", "train test"), ("train test val", "train train test"),
    ("train val", "train test"),
])
def test_validation_images_join_what_is_there(there, becomes):
    collection = photos.Collection(("a", "b"), tuple(
        Photo(split, label, f"{split}/{label}.png", f"{split}{label}")
        for split in there.split() for label in range(2)), ())
    settled, note = photos.settle_splits(collection)
    assert sorted(p.split for p in settled.photos) == sorted(becomes.split() * 2)
    assert ("val/" in note) == ("val" in there)
    assert {p.member for p in settled.photos} == {p.member for p in collection.photos}


def test_duplicates_between_train_and_test_are_pairs():
    def photo(split, member, sha256):
        return Photo(split, 0, member, sha256)

    same = [photo("train", "a", "1"), photo("train", "b", "1"), photo("test", "c", "1"),
            photo("test", "d", "2"), photo("val", "e", "2"), photo("test", "f", "1"),
            photo("train", "g", ""), photo("test", "h", "")]
    found = photos.duplicates(photos.Collection(("x", "y"), tuple(same), ()))
    assert [(first.member, second.member) for first, second in found] == [("a", "c"), ("a", "f")]


# --- Bad input: which folders and classes


def test_a_folder_without_images(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no images" in error_of(photos.scan, tmp_path / "empty", False)
    assert "holds no images" in error_of(photos.scan, zipped(tmp_path / "e.zip", {}), False)
    assert "no such folder" in error_of(photos.scan, tmp_path / "missing", False)
    (tmp_path / "text").write_text("hello")
    assert "neither a folder of images nor a .zip" in error_of(
        photos.scan, tmp_path / "text", False)


def test_one_class_only(tmp_path):
    one = {f"cat/{i}.png": saved(picture(i)) for i in range(3)}
    assert "has 1 class (cat); at least two" in error_of(
        photos.scan, write(tmp_path / "x", one), False)
    inside = {f"pets/{name}": content for name, content in one.items()}
    assert "has 1 class (cat)" in error_of(photos.scan, write(tmp_path / "y", inside), False)


def test_a_class_with_too_few_images_for_the_split(tmp_path):
    place = write(tmp_path / "x", two_classes() | {"newt/1.png": saved(picture())})
    message = error_of(photos.scan, place, False)
    assert "fewer than 2 usable images of 1 of the 3 classes (newt)" in message
    (place / "newt/1.png").unlink()
    assert "(newt)" in error_of(photos.scan, place, False)  # an empty folder is a class, too
    place = write(tmp_path / "y", two_classes() | {
        "newt/1.png": saved(picture()), "newt/2.png": b""})
    assert "(newt)" in error_of(photos.scan, place, True)


@pytest.mark.parametrize(("dropped", "split"), [("test/cat/", "test"), ("train/dog/", "train"),
                                                ("test/", None)])
def test_classes_that_differ_between_train_and_test(tmp_path, dropped, split):
    contents = {f"{each}/{name}": content for each in ("train", "test")
                for name, content in two_classes(2).items()
                if not f"{each}/{name}".startswith(dropped)}
    place = write(tmp_path / "x", contents)
    if split is None:
        (place / "test").mkdir()
        assert "test/ has fewer than 1 usable image of 2 of the 2" in error_of(
            photos.scan, place, False)
    else:
        assert f"{split}/ has fewer than 1 usable image of 1 of the 2 classes ({dropped[-4:-1]})" \
            in error_of(photos.scan, place, False)


def test_a_split_without_train_or_with_an_unknown_neighbour(tmp_path):
    place = write(tmp_path / "x", {f"test/{name}": c for name, c in two_classes().items()})
    assert "but no train" in error_of(photos.scan, place, False)
    write(place, {f"{split}/{name}": content for split in ("train", "valid")
                  for name, content in two_classes().items()})
    assert photos.scan(place, False).classes == ("cat", "dog")
    write(place, {"labels/cat/0.png": saved(picture())})
    assert "the folder labels lies beside train; allowed there are train, test, val" in error_of(
        photos.scan, place, False)


# --- Bad input: broken files


def broken_files():
    jpeg, png = saved(picture(1, 200, 150), "JPEG"), saved(picture(2, 200, 150))
    return {
        "cat/empty.jpg": (b"", "an empty file"),
        "cat/text.jpg": (b"this is no image", "no image"),
        "cat/truncated.jpg": (jpeg[:-500], "truncated"),
        "cat/no_end.jpg": (jpeg[:len(jpeg) // 2], "truncated"),
        "cat/header.jpg": (jpeg[:30], ""),
        "dog/truncated.png": (png[:-200], ""),
        "dog/damaged.png": (png[:300] + bytes(100) + png[400:], ""),
        "dog/truncated.gif": (saved(Image.fromarray(picture(3, 200, 150)), "GIF")[:900], ""),
        "dog/truncated.webp": (saved(picture(4, 200, 150), "WEBP")[:-100], ""),
        "dog/truncated.bmp": (saved(picture(5), "BMP")[:-100], "truncated"),
        "dog/truncated.tif": (saved(picture(6), "TIFF")[:200], ""),
        "dog/float.tif": (saved(Image.new("F", (4, 4)), "TIFF"), "floating-point"),
        "dog/new\nline.png": (b"x", "no image"),
        "dog/huge.png": (huge_png(), "at most 134,217,728 pixels"),
        "dog/program.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
                            "no image"),
    }


@pytest.mark.parametrize("name", broken_files())
def test_a_broken_photo_is_told_by_check_and_by_decode(name):
    content, reason = broken_files()[name]
    assert reason in pixels.check(content) and pixels.check(content)
    assert reason in error_of(photos.decode, content)


@pytest.mark.parametrize("form", ["folder", "zip", "tgz"])
def test_broken_files_are_listed_all_at_once_or_skipped(tmp_path, capsys, form):
    broken = {name: content for name, (content, _) in broken_files().items()}
    contents = two_classes() | broken | {"read me.txt": b"hello"}
    place = {"folder": lambda: write(tmp_path / "x", contents),
             "zip": lambda: zipped(tmp_path / "x.zip", contents),
             "tgz": lambda: tarred(tmp_path / "x.tgz", contents, "w:gz")}[form]()
    message = error_of(photos.scan, place, False)
    count = len(broken) + 1
    assert f"{count} files cannot be used: cat/empty.jpg: an empty file; " in message
    assert f"; and {count - 10} more. " in message and "skip_broken: true" in message
    listed = (environment.scratch() / "broken.txt").read_text().splitlines()
    assert len(listed) == count
    assert any(line.startswith("'dog/new\\nline.png': no image") for line in listed)

    found = photos.scan(place, True)
    assert f"skipped {count} files" in capsys.readouterr().out
    assert len(found.problems) == count and list(found.problems) == listed
    assert {photo.member for photo in found.photos} == set(two_classes())
    clean = photos.scan(write(tmp_path / "clean", two_classes()), False)
    assert photos.digest(found) == photos.digest(clean)
    assert not (environment.scratch() / "broken.txt").exists()


def test_a_huge_image_is_refused_without_decoding_it(tmp_path):
    """30,000 x 30,000 pixels would be 3.6 GB in Pillow; the process may not have half of that."""
    (tmp_path / "huge.png").write_bytes(huge_png())
    # Under Pillow's own limit but over ours, and a whole image, not only its header.
    flat = Image.new("1", (12_000, 12_000))
    (tmp_path / "flat.png").write_bytes(saved(flat))
    code = ("import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30));"
            "from unfreeze.data.photos import pixels;"
            "[print(pixels.check(open(path, 'rb').read())) for path in sys.argv[1:]]")
    told = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "huge.png", tmp_path / "flat.png"], text=True,
        capture_output=True, check=True,
        env={"PYTHONPATH": str(SOURCE), "OPENBLAS_NUM_THREADS": "1"}).stdout
    assert told.count("at most 134,217,728 pixels") == 2 and "12000 x 12000 pixels" in told


# --- Bad input: links and archives


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    secret = write(tmp_path / "elsewhere", {"secret.png": saved(picture(7))})
    place = write(tmp_path / "pets", two_classes())
    (place / "cat/out.png").symlink_to(secret / "secret.png")
    (place / "cat/relative.png").symlink_to("../../elsewhere/secret.png")
    (place / "cat/gone.png").symlink_to("nothing")
    (place / "cat/loop.png").symlink_to("loop.png")
    (place / "dog/all").symlink_to(secret)
    (place / "dog/back").symlink_to("..")
    (place / "dog/inside.png").symlink_to("../cat/0.png")
    os.mkfifo(place / "dog/pipe.png")
    message = error_of(photos.scan, place, False)
    assert "7 files cannot be used" in message
    for name, reason in (("cat/out.png", "leads out"), ("cat/relative.png", "leads out"),
                         ("cat/gone.png", "leads nowhere"), ("cat/loop.png", "cannot be read"),
                         ("dog/all", "leads out"), ("dog/back", "leads out"),
                         ("dog/pipe.png", "no ordinary file")):
        assert re.search(f"{name}: [^;]*{reason}", message), name
        error_of(archive.Reader(place).read, name)
    found = photos.scan(place, True)
    assert {p.member for p in found.photos} == {*two_classes(), "dog/inside.png"}
    for name in ("../elsewhere/secret.png", str(secret / "secret.png"), "cat/../../x"):
        assert "absolute path or `..`" in error_of(archive.Reader(place).read, name)


@pytest.mark.parametrize("skip_broken", [False, True])
@pytest.mark.parametrize("name", ["/etc/passwd.png", "../evil.png", "cat/../../evil.png"])
@pytest.mark.parametrize("make", [zipped, tarred])
def test_an_archive_that_points_elsewhere_is_refused(tmp_path, make, name, skip_broken):
    place = make(tmp_path / "x", two_classes() | {name: saved(picture())})
    before = sorted(tmp_path.rglob("*"))
    message = error_of(photos.scan, place, skip_broken)
    assert f"the member {name} has an absolute path or `..`" in message
    assert sorted(tmp_path.rglob("*")) == before


def test_links_and_devices_in_archives_are_no_photos(tmp_path):
    links = {"cat/soft.png": (tarfile.SYMTYPE, "/etc/passwd"),
             "cat/hard.png": (tarfile.LNKTYPE, "/etc/passwd"),
             "cat/pipe.png": (tarfile.FIFOTYPE, ""), "cat/device.png": (tarfile.CHRTYPE, "")}
    place = tarred(tmp_path / "x.tar", two_classes() | links)
    message = error_of(photos.scan, place, False)
    assert "4 files cannot be used" in message and "cat/soft.png: a link" in message
    assert "cat/hard.png: a hard link to /etc/passwd, which is no file in the archive" in message
    assert {p.member for p in photos.scan(place, True).photos} == set(two_classes())
    link = zipfile.ZipInfo("cat/soft.png")
    link.external_attr = 0o120777 << 16
    place = zipped(tmp_path / "x.zip", two_classes() | {link: "/etc/passwd"})
    assert "cat/soft.png: a link" in error_of(photos.scan, place, False)


def test_archive_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_ALLOWANCE", 1 << 20)
    zeros = {f"cat/{i}.bmp": bytes(3 << 20) for i in range(3)}
    for place in (zipped(tmp_path / "x.zip", two_classes() | zeros, zipfile.ZIP_DEFLATED),
                  tarred(tmp_path / "x.tgz", two_classes() | zeros, "w:gz"),
                  tarred(tmp_path / "x.txz", two_classes() | zeros, "w:xz")):
        for skip_broken in (False, True):
            assert "refused as an archive bomb" in error_of(photos.scan, place, skip_broken)


def test_a_large_member_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_FILE", 1 << 20)
    contents = two_classes() | {"cat/large.bmp": bytes(2 << 20)}
    for place in (write(tmp_path / "x", contents), zipped(tmp_path / "x.zip", contents),
                  tarred(tmp_path / "x.tar", contents)):
        assert "cat/large.bmp: larger than 1 MB" in error_of(photos.scan, place, False)
        assert len(photos.scan(place, True).photos) == 6


def test_a_header_that_asks_for_all_memory(tmp_path, monkeypatch):
    """tarfile reads long names whole, however long."""
    monkeypatch.setattr(archive, "MAX_FILE", 1 << 20)
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    place = tmp_path / "x.tar"
    place.write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    assert "archive bomb" in error_of(photos.scan, place, False)


def test_too_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 5)
    for place in (zipped(tmp_path / "x.zip", two_classes()),
                  tarred(tmp_path / "x.tar", two_classes())):
        assert "more than 5 members" in error_of(photos.scan, place, False)


def test_damaged_archives(tmp_path):
    whole = zipped(tmp_path / "x.zip", two_classes()).read_bytes()
    (tmp_path / "x.zip").write_bytes(whole[:-30])
    assert "damaged or truncated" in error_of(photos.scan, tmp_path / "x.zip", False)
    # A damaged byte of one member: that photo is broken, not the archive.
    at = whole.index(saved(picture(0))) + 60
    (tmp_path / "y.zip").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
    assert "1 file cannot be used: cat/0.png: cannot be read (Bad CRC-32" in error_of(
        photos.scan, tmp_path / "y.zip", False)
    for kind in ("gz", "bz2", "xz"):
        whole = tarred(tmp_path / "x.tar", two_classes(), f"w:{kind}").read_bytes()
        (tmp_path / "x.tar").write_bytes(whole[:len(whole) // 2])
        assert "damaged or truncated" in error_of(photos.scan, tmp_path / "x.tar", False)
    whole = tarred(tmp_path / "x.tar", two_classes()).read_bytes()
    header = whole.index(b"dog/0.png")
    for part in (whole[:header - 700], whole[:header] + b"?" * 512 + whole[header + 512:]):
        (tmp_path / "x.tar").write_bytes(part)
        assert "damaged or truncated" in error_of(photos.scan, tmp_path / "x.tar", False)


def test_members_twice_and_encrypted(tmp_path):
    place = tmp_path / "x.tar"
    with tarfile.open(place, "w") as file:
        for name, content in (*two_classes().items(), ("cat/0.png", saved(picture(5)))):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    assert "cat/0.png: twice in the archive" in error_of(photos.scan, place, False)
    place = zipped(tmp_path / "x.zip", two_classes())
    raw = bytearray(place.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    place.write_bytes(raw)
    assert "cat/0.png: encrypted" in error_of(photos.scan, place, False)


# --- The file of decoded photos


@pytest.fixture
def mixed(tmp_path):
    """{form: folder, zip, tar or tgz of the same photos of several formats and sizes}."""
    kinds = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
    contents = {f"{name}/{i:02}.{kinds[i % 6].lower()}": saved(
        picture(100 * label + i, 30 + 7 * i, 90 - 2 * i), kinds[i % 6])
        for label, name in enumerate(("cat", "dog")) for i in range(20)}
    return {"folder": write(tmp_path / "pets", contents),
            "zip": zipped(tmp_path / "pets.zip", contents, zipfile.ZIP_DEFLATED),
            "tar": tarred(tmp_path / "pets.tar", dict(reversed(contents.items()))),
            "tgz": tarred(tmp_path / "pets.tgz", contents, "w:gz")}


def test_decoded_photos_are_what_torchvision_makes(mixed, tmp_path):
    transforms = pytest.importorskip("torchvision.transforms")
    found = photos.scan(mixed["folder"], skip_broken=False).photos
    chosen = found[::-3]  # rows stand in the order asked for
    out = tmp_path / "decoded" / "train_images.npy"
    write_photos(mixed["folder"], chosen, seen(24, 32, "bicubic"), out, 1)
    rows = np.load(out, mmap_mode="r")
    assert rows.dtype == np.uint8 and rows.shape == (len(chosen), 24, 24, 3)
    there = transforms.Compose([
        transforms.Resize(32, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(24)])
    for row, photo in zip(rows, chosen, strict=True):
        with Image.open(mixed["folder"] / photo.member) as image:
            assert differ(row, there(image.convert("RGB"))) == 0, photo.member


def test_the_same_bytes_from_any_archive_by_any_number_of_processes(mixed, tmp_path):
    found = {form: photos.scan(place, False, workers=1 + (form in ("zip", "tgz")))
             for form, place in mixed.items()}
    assert len({photos.digest(each) for each in found.values()}) == 1
    written = set()
    for form, workers in (("folder", 1), ("folder", 3), ("zip", 2), ("tar", 1), ("tgz", 2)):
        out = tmp_path / f"{form}{workers}.npy"
        write_photos(mixed[form], found[form].photos, seen(24), out, workers)
        written.add(out.read_bytes())
    assert len(written) == 1
    content = io.BytesIO()
    np.save(content, np.load(out))
    assert content.getvalue() == out.read_bytes()  # a plain .npy file


@pytest.mark.parametrize(("form", "workers"), [("zip", 1), ("tgz", 1), ("folder", 2)])
def test_half_a_file_is_never_left(mixed, tmp_path, form, workers):
    found = photos.scan(mixed[form], skip_broken=False).photos
    out = tmp_path / "decoded" / "train_images.npy"
    changed = [replace(photo, sha256="0" * 64) if i in (3, 30) else photo
               for i, photo in enumerate(found)]
    message = error_of(write_photos, mixed[form], changed, seen(8), out, workers)
    assert "2 of 40 images cannot be decoded" in message and "cat/03.gif: changed" in message
    missing = [*found, Photo("train", 0, "cat/missing.png", "")]
    assert "cat/missing.png" in error_of(
        write_photos, mixed[form], missing, seen(8), out, workers)
    assert list(out.parent.iterdir()) == []
    # An older file stays as it is; what a killed process left goes.
    out.write_bytes(b"older")
    out.with_name(f".{out.name}.12345.part").write_bytes(b"half")
    error_of(write_photos, mixed[form], missing, seen(8), out, workers)
    assert out.read_bytes() == b"older" and list(out.parent.iterdir()) == [out]


def test_a_photo_broken_since_the_scan_is_one_line(mixed, tmp_path):
    found = [replace(photo, sha256="") for photo in
             photos.scan(mixed["folder"], skip_broken=False).photos]
    (mixed["folder"] / found[0].member).write_bytes(b"")
    (mixed["folder"] / found[1].member).unlink()
    message = error_of(write_photos, mixed["folder"], found, seen(8),
                       tmp_path / "rows.npy", 1)
    assert "2 of 40 images" in message and "cat/00.png: an empty file" in message
    assert "cat/01.jpeg: no such file" in message


def test_no_room_is_an_error_before_anything_is_decoded(mixed, tmp_path):
    found = photos.scan(mixed["folder"], skip_broken=False).photos
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            write_photos(mixed["folder"], found, seen(64), tmp_path / "rows.npy", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "rows.npy" in str(caught.value.filename)
    assert not list(tmp_path.glob("*.npy")) and not list(tmp_path.glob(".*.part"))


def test_memory_does_not_grow_with_the_file(tmp_path):
    """An array of 300 MB, made and summed up by a process that may have less than that."""
    content = two_classes(2)
    place = write(tmp_path / "pets", content)
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from unfreeze.data.decoding import mean_and_std, write_photos
from unfreeze.data.photos.collection import Photo
from unfreeze.recipe import Preprocessing
def used():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def both(count, out):
    rows = [Photo("train", 0, "cat/0.png", "")] * count
    seen = Preprocessing(500, "square", "bilinear", (), ())
    write_photos(Path(sys.argv[1]), rows, seen, out, 1)
    made = used()
    mean_and_std(out)
    return made, used()
_, before = both(2, Path(sys.argv[2], "a"))
after_writing, after_all = both(400, Path(sys.argv[2], "b"))
print(after_writing - before, after_all - before)
"""
    told = subprocess.run([sys.executable, "-c", code, place, tmp_path], text=True,
                          capture_output=True, check=True, env={
                              "PYTHONPATH": str(SOURCE), "OPENBLAS_NUM_THREADS": "1"}).stdout
    of_writing, of_all = map(float, told.split())
    assert (tmp_path / "b").stat().st_size > 290e6
    assert of_writing < 40 and of_all < 200


def test_statistics_are_exact_whatever_the_pieces(tmp_path, monkeypatch):
    rows = np.random.default_rng(0).integers(0, 200, (50, 8, 8, 3), np.uint8)
    np.save(tmp_path / "rows.npy", rows)
    for piece in (1 << 25, 500):
        monkeypatch.setattr("unfreeze.data.decoding.statistics._READ", piece)
        mean, std = mean_and_std(tmp_path / "rows.npy")
        assert mean == tuple((rows / 255).mean((0, 1, 2)).round(4).tolist())
        assert std == tuple((rows / 255).std((0, 1, 2)).round(4).tolist())


# --- Processes


def _die(task):
    if task == 3:
        os.kill(os.getpid(), 9)
    return task


def _need_too_much(task):
    raise MemoryError


def _get_none_and_say_nothing(task):
    raise SystemError("error return without exception set")


@pytest.mark.parametrize(("work", "workers"), [
    (_die, 2), (_need_too_much, 2), (_need_too_much, 1), (_get_none_and_say_nothing, 2)])
def test_a_killed_worker_is_one_line(work, workers):
    message = error_of(lambda: list(pool.run(work, range(20), workers)))
    assert "was killed" in message and "UNFREEZE_WORKERS=1" in message


def no_memory_at_the_end(words):
    atexit.register(_raise, OSError if words else MemoryError, words)


def _raise(error, words):
    raise error(words)


def test_a_worker_that_ends_without_memory_prints_nothing_of_it(capfd):
    # Of another error one of the two tells alone: where both write at once, no words are whole.
    for tasks, told in ((["", ""], False), (["", "said at the end"], True)):
        assert list(pool.run(no_memory_at_the_end, tasks, 2)) == [None, None]
        said = capfd.readouterr().err
        assert ("OSError: said at the end" in said) is told is bool(said)
        assert "MemoryError" not in said


def test_workers_end_with_their_parent():
    code = """if 1:
        import os, time
        from unfreeze import pool
        def work(task):
            print(os.getpid(), flush=True)
            time.sleep(60)
        if __name__ == "__main__":
            list(pool.run(work, range(9), 2))
        """
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(code)
        script.flush()
        parent = subprocess.Popen([sys.executable, script.name], text=True, stdout=subprocess.PIPE,
                                  env={"PYTHONPATH": str(SOURCE)})
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
        # The pipe ends when its last writer is gone.
        assert select.select([parent.stdout], [], [], 10)[0] and parent.stdout.read() == ""
        parent.wait()
    assert len(set(workers)) == 2


def test_workers_of_a_stage_collect_garbage(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("""if 1:
        import gc
        from unfreeze import pool
        gc.disable()  # as stages/_source.py does
        def work(task):
            return gc.isenabled()
        if __name__ == "__main__":
            print(list(pool.run(work, range(4), 2)))
        """)
    done = subprocess.run([sys.executable, script], text=True, capture_output=True,
                          env={"PYTHONPATH": str(SOURCE)})
    assert done.stdout == "[True, True, True, True]\n", done.stderr


def test_a_script_of_some_lines_is_not_run_once_more(tmp_path):
    """As docs/use-the-model.md has them, without `if __name__ == "__main__":`."""
    script = tmp_path / "script.py"
    script.write_text("from operator import neg\nfrom unfreeze import pool\n"
                      "print(sorted(pool.run(neg, range(4), 2)))\n")
    done = subprocess.run([sys.executable, script], text=True, capture_output=True,
                          env={"PYTHONPATH": str(SOURCE)})
    assert (done.stdout, done.stderr) == ("[-3, -2, -1, 0]\n", "")


def test_tasks_are_made_as_they_are_needed():
    made = []

    def tasks():
        for i in range(100):
            made.append(i)
            yield i

    results = pool.run(abs, tasks(), 2)
    next(results)
    assert len(made) <= 2 * 3
    assert sorted(results) + [0] and len(made) == 100


def test_workers_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("UNFREEZE_WORKERS", "3")
    assert environment.workers() == 3
    monkeypatch.delenv("UNFREEZE_WORKERS")
    assert environment.workers() == len(os.sched_getaffinity(0))
    for wrong in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("UNFREEZE_WORKERS", wrong)
        assert f"UNFREEZE_WORKERS={wrong}: allowed is" in error_of(environment.workers)
