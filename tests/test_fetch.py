"""What a study takes from the project that it lies in, and what it fetches all the same."""

import io
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unfreeze.data import own
from unfreeze.data.acquire import fetch
from unfreeze.data.reading import arrays
from unfreeze.data.reading.arrays import Arrays
from unfreeze.errors import UserError
from unfreeze.params.plan import ImageSource

TINY = Arrays(np.zeros((4, 2, 2, 3), np.uint8), np.array([0, 1, 0, 1]),
              np.ones((2, 2, 2, 3), np.uint8), np.array([0, 1]))
FACTS = SimpleNamespace(DIGEST=arrays.digest(TINY), CLASSES=("a", "b"), ASSETS=("the asset",),
                        URL="u", LICENCE="l", CITATION="c", read=None)
ARRAYS = ImageSource("arrays")
ADDRESS = ImageSource("photos", url="http://127.0.0.1:9/photos.zip")


@pytest.fixture(autouse=True)
def served(tmp_path, monkeypatch) -> list[str]:
    """What was asked of the sources, which serve the tiny dataset."""
    asked: list[str] = []
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(fetch, "dataset", lambda name: FACTS)
    monkeypatch.setattr(fetch.sources, "obtain",
                        lambda asset, read: asked.append(asset) or TINY)
    return asked


@pytest.fixture
def beside(tmp_path, served) -> Path:
    """data/tiny of a project that has it."""
    folder = tmp_path / "root" / "data" / "tiny"
    fetch.fetch("tiny", ARRAYS, folder, folder)
    assert served.pop() == "the asset"
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_the_project_has_is_copied_and_not_fetched(tmp_path, beside, served, capsys):
    folder = tmp_path / "study" / "data" / "tiny"
    card = fetch.fetch("tiny", ARRAYS, folder, beside)
    assert served == [] and content(folder) == content(beside)
    assert card["digest"] == FACTS.DIGEST
    assert capsys.readouterr().out.count(f"copied from {beside}") == 1
    # Copies, not links: what writes to one would change the other.
    assert all(path.stat().st_nlink == 1 for path in folder.iterdir())
    fetch.fetch("tiny", ARRAYS, folder, beside)
    assert "copied" not in capsys.readouterr().out


def test_what_is_damaged_there_is_fetched(tmp_path, beside, served):
    file = beside / "test_images.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    folder = tmp_path / "study" / "tiny"
    fetch.fetch("tiny", ARRAYS, folder, beside)
    assert served == ["the asset"] and arrays.digest(arrays.load(folder)) == FACTS.DIGEST


def test_what_is_not_complete_there_is_fetched(tmp_path, beside, served, capsys):
    (beside / "card.json").unlink()
    fetch.fetch("tiny", ARRAYS, tmp_path / "study" / "tiny", beside)
    assert served == ["the asset"] and "copied" not in capsys.readouterr().out


def test_a_copy_that_stops_leaves_nothing(tmp_path, beside, monkeypatch):
    def stop(source, target):
        raise KeyboardInterrupt

    folder = tmp_path / "study" / "tiny"
    monkeypatch.setattr(shutil, "copyfile", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch.fetch("tiny", ARRAYS, folder, beside)
    assert list(folder.parent.iterdir()) == []


def test_an_archive_from_an_address_is_copied_too(tmp_path, monkeypatch):

    def download(url, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(20):
                image = io.BytesIO()
                Image.new("RGB", (4, 4), (number, 0, 0)).save(image, "PNG")
                archive.writestr(f"{'ab'[number % 2]}/{number}.png", image.getvalue())
        return path

    monkeypatch.setattr(fetch.sources, "download", download)
    beside = tmp_path / "root" / "mine"
    fetch.fetch("mine", ADDRESS, beside, beside)
    monkeypatch.undo()
    folder = tmp_path / "study" / "mine"
    assert fetch.fetch("mine", ADDRESS, folder, beside)["classes"] == ["a", "b"]
    assert own.path_of(ADDRESS, folder).is_file() and content(folder) == content(beside)


def test_a_bad_archive_from_an_address_is_not_taken_for_the_dataset(tmp_path, monkeypatch):
    """It stays in the scratch folder, which the error names, and is fetched again without it."""
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    tries = []

    def download(url, path):
        tries.append(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("<!doctype html><title>Sign in</title>")

    monkeypatch.setattr(fetch.sources, "download", download)
    folder, content = tmp_path / "mine", own.download_path(ADDRESS.url)
    for _ in range(2):
        with pytest.raises(UserError) as caught:
            fetch.fetch("mine", ADDRESS, folder, folder)
        said = str(caught.value)
        assert said.startswith(ADDRESS.url) and "neither a folder of images nor" in said
        assert said.endswith(f"delete {content} to have it fetched again")
    assert len(tries) == 1 and not folder.exists()
    content.unlink()
    with pytest.raises(UserError):
        fetch.fetch("mine", ADDRESS, folder, folder)
    assert len(tries) == 2


def test_images_read_in_place_are_not_copied(tmp_path):
    """Their card says where they lie, as seen from the study."""
    beside = tmp_path / "mine"
    beside.mkdir()
    (beside / "card.json").write_text("{}")
    with pytest.raises(UserError):
        fetch.fetch("mine", ImageSource("photos", path=str(tmp_path / "none")),
                    tmp_path / "study" / "mine", beside)
    assert not (tmp_path / "study").exists()
