"""What a replicate reads, on its way to a node that does not see it."""

import hashlib
import io
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

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
    with node.at_hand([asset], {}, study, pytest.fail) as folder:
        assert folder == study
    (study / asset.path).write_bytes(CONTENT[::-1])  # something else by that name
    with pytest.raises(node.Lacking) as caught, node.at_hand([asset], {}, study, pytest.fail):
        pass
    assert caught.value.digests == [asset.digest]


def test_what_is_not_seen_is_fetched_once_and_read_as_in_the_study(scratch, asset, tmp_path):
    fetched = []

    def fetch(piece):
        fetched.append(piece)
        return piece

    nowhere = tmp_path / "nowhere"
    with node.at_hand([asset], {asset.digest: pieces()}, nowhere, fetch) as folder:
        assert (folder / asset.path).read_bytes() == CONTENT and len(fetched) == 3
    with node.at_hand([asset], {}, nowhere, pytest.fail) as again:
        assert again == folder
    # Another study with a file of the same content.
    other = replace(asset, path=places.DATA / "other/train_images.npy")
    with node.at_hand([other], {}, nowhere, pytest.fail) as folder:
        assert (folder / other.path).read_bytes() == CONTENT


def test_room_is_made_by_what_nobody_reads_now(scratch, tmp_path, monkeypatch):
    """The oldest of that first; what a replicate reads stays, even where it is more than there is
    room for."""
    def of(letter: bytes) -> Asset:
        return Asset(places.DATA / letter.decode(), 10, SHA(10 * letter).hexdigest())

    a, b, c, d, e = map(of, (b"a", b"b", b"c", b"d", b"e"))
    parts = {each.digest: pieces(10 * each.path.name.encode()) for each in (a, b, c, d, e)}
    monkeypatch.setenv("UNFREEZE_SCRATCH_GB", "31e-9")

    def reading(*assets: Asset):
        return node.at_hand(assets, parts, tmp_path / "nowhere", bytes)

    def here() -> set[str]:
        return {each.path.name for each in (a, b, c, d, e)
                if (scratch / "assets" / each.digest).exists()}

    with reading(a), reading(b), reading(c):
        pass
    for age, each in enumerate((c, b, a)):
        os.utime(scratch / "assets" / each.digest, (age, age))
    with reading(b):
        with reading(d):  # instead of c, the oldest but for b
            assert here() == {"a", "b", "d"}
            with reading(a, c, e):
                assert here() == {"a", "b", "c", "d", "e"}
        with reading(a, b):
            assert here() == {"a", "b", "c", "d", "e"}  # nothing had to come
    assert len([*(scratch / "assets").glob("*.lock")]) == 5
    (scratch / "assets" / a.digest).unlink()
    with reading(a):
        assert len(here()) == 3 and "a" in here()


def test_who_fetches_makes_others_wait_who_then_have_it(scratch, asset, tmp_path):
    begun, go_on, fetched = Event(), Event(), []

    def slowly(piece):
        begun.set()
        assert go_on.wait(60)
        fetched.append(piece)
        return piece

    def read(fetch) -> bytes:
        with node.at_hand([asset], {asset.digest: pieces()}, tmp_path / "nowhere", fetch) as folder:
            return (folder / asset.path).read_bytes()

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(read, slowly)
        assert begun.wait(60)
        second = threads.submit(read, pytest.fail)
        go_on.set()
        assert first.result(60) == second.result(60) == CONTENT and len(fetched) == 3


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
    store.mkdir(parents=True)
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
    before = folder.stat().st_ino
    compiled = folder / "src/__pycache__/unfreeze/files.cpython-311.pyc"
    files.write_bytes(compiled, b"compiled")
    assert worker._unpack(folder) == folder and folder.stat().st_ino == before
    assert {path.name for path in (tmp_path / "code").iterdir()} == {digest, f"{digest}.lock"}


@pytest.mark.parametrize("make_wrong", [
    lambda folder: (folder / "src/unfreeze/files.py").write_text("import evil"),
    lambda folder: (folder / "src/torch.py").write_text("import evil"),
    lambda folder: (folder / "src/unfreeze/files.py").unlink(),
    lambda folder: folder.chmod(0o777),
    lambda folder: os.chown(folder, 12345, -1),
    lambda folder: folder.rename(folder.with_name("mine")) and folder.symlink_to("mine"),
], ids=["changed", "more", "less", "others may write", "another's", "a link"])
def test_code_that_others_could_have_put_there_is_not_run(tmp_path, make_wrong):
    content, digest = travelling.code(ROOT)
    worker = remote.Worker(content, digest, "", "", "", {}, {})
    folder = worker._unpack(tmp_path / digest)
    before = {path.relative_to(folder): path.is_file() and path.read_bytes()
              for path in folder.rglob("*")}
    try:
        make_wrong(folder)
    except PermissionError:
        pytest.skip("only root can give a folder to another user")
    assert worker._unpack(folder) == folder
    assert {path.relative_to(folder): path.is_file() and path.read_bytes()
            for path in folder.rglob("*")} == before
    assert folder.lstat().st_uid == os.getuid() and folder.lstat().st_mode & 0o777 == 0o700


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
