"""Training notices that the bytes of its images are others, and looks at them once."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from unfreeze import files
from unfreeze.data.reading import arrays, checked, decoded, splits
from unfreeze.errors import UserError
from unfreeze.recipe import PinnedDataset

RNG = np.random.default_rng(0)
LABELS = np.arange(20) % 3


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))


@dataclass
class Stored:
    """A dataset on disk. Attributes: files: those that training reads."""

    folder: Path
    dataset: PinnedDataset
    files: list[Path]

    def open(self):
        return splits.open_pinned(self.dataset, self.folder / "data", self.folder / "decoded")


@pytest.fixture(params=["arrays", "photos"])
def stored(tmp_path, request) -> Stored:
    data = tmp_path / "data/some"
    pixels = RNG.integers(0, 256, (20, 5, 5, 3), np.uint8)
    images = arrays.Arrays(pixels, LABELS, pixels[::-1], LABELS)
    counts = {split: np.bincount(LABELS).tolist() for split in ("train", "test")}
    if request.param == "arrays":
        digest = arrays.digest(images)
        arrays.save(data, images, {"digest": digest, "counts": counts})
        return Stored(tmp_path, PinnedDataset("some", digest, ("a", "b", "c")),
                      sorted(data.glob("*.npy")))
    arrays.save(data, images, {"digest": "d", "counts": counts})
    folder = tmp_path / "decoded/some-5"
    folder.mkdir(parents=True)
    digests = {}
    for split in decoded.SPLITS:
        file = decoded.file(folder, split)
        np.save(file, pixels)
        (data / f"{split}_images.npy").unlink()
        digests[split] = files.file_digest(file)
    decoded.write_card(folder, decoded.Card("some", "d", 5, "square", "bilinear", digests))
    return Stored(tmp_path, PinnedDataset("some", "d", ("a", "b", "c"), folder.name, digests),
                  [*sorted(data.glob("*.npy")), *sorted(folder.glob("*.npy"))])


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def age(files) -> None:
    """Let files be of yesterday; their inodes change now all the same."""
    for file in files:
        os.utime(file, (1e9, 1e9))


@pytest.mark.parametrize("place", [-1, -8, 130])
@pytest.mark.parametrize("number", range(4))
def test_one_changed_byte_of_any_file_is_one_line(stored, place, number):
    assert len(stored.files) == 4
    assert stored.open()["train"][1].tolist() == LABELS.tolist()
    file = stored.files[number]
    flip(file, place)
    with pytest.raises(UserError, match=rf"{file.name}\b.*run `dvc repro`") as caught:
        stored.open()
    assert len(str(caught.value).splitlines()) == 1
    flip(file, place)
    stored.open()


def test_a_file_that_is_gone_is_one_line(stored):
    for file in stored.files:
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(UserError, match="missing"):
            stored.open()
        file.write_bytes(content)
    stored.open()


def check(file: Path) -> bool:
    """Whether the file was read."""
    read = []
    checked.check([file], "good", lambda: read.append(file.read_bytes()) or (
        "good" if read[0] == b"good" else "bad"))
    return bool(read)


@pytest.fixture
def settled(monkeypatch):
    """As if what is on disk had been there for long."""
    real = checked.time.time_ns
    monkeypatch.setattr(checked.time, "time_ns", lambda: real() + 10**10)


def test_what_was_found_good_is_read_again_when_it_was_written_to(tmp_path, settled):
    file = tmp_path / "x"
    file.write_bytes(b"good")
    assert check(file) and not check(file)
    file.write_bytes(b"evil")
    age([file])  # of the same size and time
    with pytest.raises(UserError, match="not the bytes that the recipe names"):
        check(file)
    file.unlink()
    file.write_bytes(b"good")
    assert check(file) and not check(file)
    other = tmp_path / "other"
    os.link(file, other)  # changes the inode
    assert check(file) and not check(file)


def test_what_was_written_just_now_is_not_remembered(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"good")
    assert check(file) and check(file)


def test_what_is_remembered_is_of_that_digest(tmp_path, settled):
    file = tmp_path / "x"
    file.write_bytes(b"good")
    assert check(file)
    with pytest.raises(UserError):
        checked.check([file], "another", lambda: "good")


def test_a_scratch_folder_that_cannot_be_written_costs_time_only(tmp_path, settled, monkeypatch):
    (tmp_path / "blocked").write_text("a file")
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "blocked"))
    file = tmp_path / "x"
    file.write_bytes(b"good")
    assert check(file) and check(file)
