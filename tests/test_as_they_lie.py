"""Photos as they lie around: behind links, in archives of other systems, as files that are none."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
import yaml

from helpers import ROOT, params
from test_photos import error_of, picture, saved, seen, tarred, two_classes, write, zipped
from unfreeze import places
from unfreeze.data import photos
from unfreeze.data.decoding import write_photos
from unfreeze.data.photos import archive, links, pixels


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("UNFREEZE_WORKERS", "1")


def test_links_that_dvc_made_lead_into_its_cache(tmp_path):
    """As with `cache.type symlink`."""
    cached = write(tmp_path / "cache/files/md5", {"ab/" + "0" * 30: saved(picture(7))})
    place = write(tmp_path / "pets", two_classes())
    (place / "cat/linked.png").symlink_to(cached / "ab" / ("0" * 30))
    found = photos.scan(place, False)
    assert "cat/linked.png" in {photo.member for photo in found.photos}
    assert archive.Reader(place).read("cat/linked.png") == saved(picture(7))


def test_links_lead_into_folders_that_the_user_names(tmp_path, monkeypatch):
    store = write(tmp_path / "store", {"7.png": saved(picture(7))})
    write(tmp_path / "store 2", {"8.png": saved(picture(8))})
    place = write(tmp_path / "pets", two_classes())
    (place / "cat/linked.png").symlink_to(store / "7.png")
    assert f"to {store}/7.png; if that is meant, name the folder" in error_of(
        photos.scan, place, False)
    (tmp_path / "store link").symlink_to(store)
    monkeypatch.setenv("UNFREEZE_LINKS", f"/nowhere:{tmp_path / 'store link'}")
    assert len(photos.scan(place, False).photos) == 7
    (place / "dog/linked.png").symlink_to(tmp_path / "store 2/8.png")  # not within store
    assert "dog/linked.png: a symbolic link that leads out" in error_of(photos.scan, place, False)


def test_links_to_folders_are_gone_through_where_the_user_names_what_they_lead_to(
        tmp_path, monkeypatch):
    place, store = tmp_path / "pets", write(tmp_path / "store", two_classes())
    place.mkdir()
    for name in ("cat", "dog"):
        (place / name).symlink_to(store / name)
    error = error_of(photos.scan, place, False)
    assert f"cat: a symbolic link that leads out of the folder, to {store}/cat" in error
    assert "UNFREEZE_LINKS" in error and "nothing is left without them" in error
    monkeypatch.setenv("UNFREEZE_LINKS", f"{store / 'cat'}:{store / 'dog'}")
    found = photos.scan(place, False)
    assert found.classes == ("cat", "dog")
    assert photos.digest(found) == photos.digest(photos.scan(store, False))
    assert archive.Reader(place).read(found.photos[0].member)
    assert set(links.linked_folders(str(place))) == {f"{store}/cat", f"{store}/dog"}


def test_links_in_a_circle_end(tmp_path, monkeypatch):
    place = write(tmp_path / "pets", two_classes())
    (place / "cat/up").symlink_to(tmp_path)
    monkeypatch.setenv("UNFREEZE_LINKS", str(tmp_path))
    assert 6 < len(list(links.walk(str(place)))) < 30


def test_a_dot_in_names_of_a_zip_stands_for_nothing(tmp_path):
    place = zipped(tmp_path / "x.zip", {
        f"./a/.//{name}": content for name, content in two_classes().items()} | {"./": b""})
    found = photos.scan(place, False)
    assert photos.digest(found) == photos.digest(
        photos.scan(write(tmp_path / "pets", two_classes()), False))
    assert archive.Reader(place).read(found.photos[0].member)
    assert "absolute path or `..`" in error_of(photos.scan, zipped(
        tmp_path / "y.zip", {"./../evil.png": b"x"} | two_classes()), True)


def test_backslashes_in_a_zip_part_folders(tmp_path):
    """As .NET and PowerShell wrote them."""
    contents = {}
    for name, content in two_classes().items():
        entry = zipfile.ZipInfo("x")
        entry.filename = "pets\\" + name.replace("/", "\\")  # ZipInfo would turn them round
        contents[entry] = content
    folder = zipfile.ZipInfo("x")
    folder.filename = "pets\\cat\\"
    place = zipped(tmp_path / "x.zip", {folder: b""} | contents)
    found = photos.scan(place, False)
    assert found.classes == ("cat", "dog")
    assert photos.digest(found) == photos.digest(
        photos.scan(write(tmp_path / "pets", two_classes()), False))
    out = tmp_path / "rows.npy"
    write_photos(place, found.photos, seen(8), out, 1)
    assert np.load(out).shape == (6, 8, 8, 3)
    evil = zipfile.ZipInfo("x")
    evil.filename = "cat\\..\\..\\evil.png"
    assert "absolute path or `..`" in error_of(
        photos.scan, zipped(tmp_path / "y.zip", {evil: b"x"} | contents), True)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_hard_link_in_a_tar_is_the_file_that_it_names(tmp_path, monkeypatch, mode):
    hard = {"cat/copy.png": (tarfile.LNKTYPE, "./cat/0.png"),
            "cat/again.png": (tarfile.LNKTYPE, "cat/0.png"),
            "cat/chained.png": (tarfile.LNKTYPE, "cat/copy.png")}
    place = tarred(tmp_path / "x.tar", two_classes() | hard, mode)
    found = photos.scan(place, False)
    unpacked = two_classes()
    unpacked |= dict.fromkeys(hard, unpacked["cat/0.png"])
    assert photos.digest(found) == photos.digest(
        photos.scan(write(tmp_path / "pets", unpacked), False))
    rows = [photo for photo in found.photos if photo.member in ("cat/0.png", "cat/copy.png")]
    write_photos(place, rows, seen(8), tmp_path / "rows.npy", 1)
    first, second = np.load(tmp_path / "rows.npy")
    assert np.array_equal(first, second)
    monkeypatch.setattr(archive, "_ALLOWANCE", 0)
    monkeypatch.setattr(archive, "MAX_RATIO", 2)
    many = {f"cat/{i}.png": (tarfile.LNKTYPE, "cat/large.png") for i in range(9)}
    large = {"cat/large.png": np.random.default_rng(0).bytes(1 << 17)}
    assert "archive bomb" in error_of(photos.scan, tarred(tmp_path / "y.tar", large | many), True)


@pytest.mark.parametrize(("content", "words"), [
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC, as phones write it, which is not read; "
                                             "convert it to JPEG"),
    (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC, as phones write it"),
    (b"\0\0\0\x18ftypqt  \0\0\0\0", "a film"),
    (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG, a drawing"),
    (b"\xef\xbb\xbf<svg/>", "export it as PNG"),
    (b"\r\n<!DOCTYPE HTML><html>404", "a web page and no image"),
    (b"%PDF-1.7", "a PDF document"), (b"8BPS\0\1", "a Photoshop document"),
    (b"version https://git-lfs.github.com/spec/v1\noid", "`git lfs pull` brings it"),
    (b"<?xml?><x/>", "no image, or of a format that is not read"),
])
def test_what_is_no_image_is_called_by_its_kind(content, words):
    assert words in pixels.check(content)


def test_folders_within_classes_are_found_whatever_lies_around_them(tmp_path):
    plain = {f"cat/{name}": content for name, content in two_classes().items()}
    assert photos.below_classes(photos.scan(write(tmp_path / "x", plain), False)) == []
    deeper = {f"train/{name}": content for name, content in two_classes().items()} | {
        "train/cat/old/9.png": saved(picture(9))}
    assert photos.below_classes(photos.scan(write(tmp_path / "y", deeper), False)) == ["cat/old"]


def test_names_are_utf8_whatever_the_locale(tmp_path):
    """Training reads the card in the locale's encoding, so it must be ASCII."""
    write(tmp_path / "bilder", {f"{name}/{i}.png": saved(picture(10 * label + i))
                                for label, name in enumerate(("größe", "日本")) for i in range(3)})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params(
        dataset="bilder", fraction=1.0, test_fraction=1.0, validation=0)))
    environment = {"PATH": os.environ["PATH"], "UNFREEZE_SCRATCH": str(tmp_path / "scratch"),
                   "UNFREEZE_WORKERS": "1", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0",
                   "LC_ALL": "C"}
    for stage in ("plan", "fetch_data", "decode"):
        subprocess.run([sys.executable, ROOT / "stages" / f"{stage}.py"], cwd=tmp_path, check=True,
                       env=environment)
    (card,) = (tmp_path / places.DATA).glob("*/card.json")
    assert json.loads(card.read_bytes().decode("ascii"))["classes"] == ["größe", "日本"]
