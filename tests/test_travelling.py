"""What a replicate reads, on its way to a node that does not see it."""

import hashlib
import io
import os
import zipfile
from dataclasses import replace

import pytest

from helpers import ROOT, tiny_recipe
from unfreeze import files, places
from unfreeze.ahead import assets as travelling
from unfreeze.ahead import node, remote
from unfreeze.ahead.assets import Asset, Assets
from unfreeze.recipe import PinnedDataset, PinnedSubset, PinnedWeights

CONTENT = os.urandom(10)
SHA = hashlib.sha256
RECIPE = tiny_recipe(model="cnn", image_size=32)


@pytest.fixture
def scratch(monkeypatch, tmp_path):
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(node, "PIECE", 4)
    return tmp_path / "scratch"


@pytest.fixture
def asset(tmp_path):
    """A file of a study, and its pieces."""
    path = places.DATA / "some/train_images.npy"
    files.write_bytes(tmp_path / "study" / path, CONTENT)
    return Asset(path, len(CONTENT), SHA(CONTENT).hexdigest())


def pieces(content: bytes = CONTENT) -> list[tuple[str, bytes]]:
    cut = [content[start:start + 4] for start in range(0, len(content), 4)]
    return [(SHA(piece).hexdigest(), piece) for piece in cut]


def test_what_is_seen_is_read_where_it_lies(scratch, asset, tmp_path):
    study = tmp_path / "study"
    assert node.find([asset], {}, study, pytest.fail) == study
    (study / asset.path).write_bytes(CONTENT[::-1])  # something else by that name
    with pytest.raises(node.Lacking) as caught:
        node.find([asset], {}, study, pytest.fail)
    assert caught.value.digests == [asset.digest]


def test_what_is_not_seen_is_fetched_once_and_read_as_in_the_study(scratch, asset, tmp_path):
    fetched = []

    def fetch(piece):
        fetched.append(piece)
        return piece

    folder = node.find([asset], {asset.digest: pieces()}, tmp_path / "nowhere", fetch)
    assert (folder / asset.path).read_bytes() == CONTENT and len(fetched) == 3
    assert node.find([asset], {}, tmp_path / "nowhere", pytest.fail) == folder
    # Another study with a file of the same content.
    other = replace(asset, path=places.DATA / "other/train_images.npy")
    assert (node.find([other], {}, tmp_path / "nowhere", pytest.fail) / other.path
            ).read_bytes() == CONTENT


@pytest.mark.parametrize("arrived", [b"", CONTENT[:3], CONTENT[:4], CONTENT[:8], b"????" + CONTENT,
                                     CONTENT, CONTENT + b"more"])
def test_a_transfer_that_was_cut_off_goes_on_after_its_last_good_piece(scratch, asset, arrived):
    store = scratch / "assets"
    files.write_bytes(store / f"{asset.digest}.part", arrived)
    fetched = []

    def fetch(piece):
        fetched.append(piece)
        return piece

    node.take(asset, pieces(), store, fetch)
    good = next((number for number, (_, piece) in enumerate(pieces())
                 if arrived[4 * number:4 * number + 4] != piece), 3)
    assert len(fetched) == 3 - good
    assert (store / asset.digest).read_bytes() == CONTENT
    assert not (store / f"{asset.digest}.part").exists()


def test_what_does_not_arrive_as_it_was_sent_is_never_taken(scratch, asset):
    store = scratch / "assets"
    with pytest.raises(OSError, match="did not arrive as it was sent"):
        node.take(asset, pieces(), store, lambda piece: piece[::-1])
    with pytest.raises(OSError, match="changed while it was sent"):  # by its own digests
        node.take(asset, pieces(CONTENT[::-1]), store, bytes)
    assert not (store / asset.digest).exists()
    node.take(asset, pieces(), store, bytes)
    assert (store / asset.digest).read_bytes() == CONTENT


def test_a_replicate_takes_along_all_that_it_reads_and_nothing_else():
    recipe = replace(RECIPE, weights=PinnedWeights("tiny-v1", "", own=False),
                     seeds={1: PinnedSubset("one.json", ""), 2: PinnedSubset("two.json", "")})
    data, decoded = places.DATA / "some", places.DECODED / "some-8"
    always = {places.SUBSETS / "two.json", data / "card.json", data / "train_labels.npy",
              data / "test_labels.npy", places.WEIGHTS / "tiny-v1.safetensors"}
    stored = replace(recipe, dataset=PinnedDataset("some", "", ("a", "b", "c")))
    assert {*travelling.paths(stored, 2)} == always | {
        data / "train_images.npy", data / "test_images.npy"}
    photos = replace(recipe, dataset=PinnedDataset(
        "some", "", ("a", "b", "c"), "some-8", {"train": "", "test": ""}))
    assert {*travelling.paths(photos, 2)} == always | {
        decoded / "card.json", decoded / "train_images.npy", decoded / "test_images.npy"}
    # The test images of a trial, which are never read, do not even travel.
    trial = replace(photos, tested=False)
    assert decoded / "test_images.npy" not in travelling.paths(trial, 2)
    assert places.WEIGHTS / "tiny-v1.safetensors" not in travelling.paths(
        replace(stored, weights=None), 2)


def test_a_file_that_is_gone_is_an_error_of_the_system(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        Assets().of(replace(RECIPE, seeds={1: PinnedSubset("one.json", "")}), 1)


def test_the_code_is_the_same_archive_every_time_and_unpacks_whole(tmp_path):
    content, digest = travelling.code(ROOT)
    assert (content, digest) == travelling.code(ROOT)
    assert SHA(content).hexdigest() == digest and len(content) < 2 << 20
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
    assert {"src/unfreeze/ahead/node.py", "stages/train.py"} <= {*names}
    assert not [name for name in names if "__pycache__" in name]
    worker = remote.Worker(content, digest, "", "", "", {}, {})
    folder = worker._unpack(tmp_path / "code" / digest)
    assert (folder / "stages/train.py").read_bytes() == (ROOT / "stages/train.py").read_bytes()
    assert worker._unpack(tmp_path / "code" / digest) == folder
    assert [path.name for path in (tmp_path / "code").iterdir()] == [digest]


def test_code_that_arrives_damaged_is_not_unpacked():
    worker = remote.Worker(b"other", SHA(b"code").hexdigest(), "", "", "", {}, {})
    assert worker.begin() == "the code did not arrive as it was sent"


def test_a_folder_that_cannot_be_written_is_told_with_a_remedy(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "file/below"))
    worker = remote.Worker(b"code", SHA(b"code").hexdigest(), "", "", "", {}, {})
    said = worker.begin()
    assert str(tmp_path / "file/below") in said and "UNFREEZE_SCRATCH set to a folder" in said


def test_other_versions_are_told():
    said = node.problem({"torch": "1.0"})
    assert said.startswith("the recipes were made with torch 1.0, and 2.")
    said = node.problem({"no-such-library": "1.0"})
    assert "no-such-library 1.0, and none is installed there; install requirements-extras" in said
