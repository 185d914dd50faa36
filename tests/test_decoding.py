"""Decoded photos: made once, kept while a run wants them, and nothing else ever touched."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from unfreeze import files
from unfreeze.data import decoding
from unfreeze.data.facts import facts_of
from unfreeze.data.photos.preprocess import preprocess
from unfreeze.data.reading import decoded
from unfreeze.data.reading.images import Images
from unfreeze.errors import UserError
from unfreeze.params.plan import Decoded
from unfreeze.recipe import Preprocessing

SIZE = 8
WANTED = Decoded("pets", SIZE, 10, "bicubic", ("train", "test"))


def picture(seed, blue=None):
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 15, 3), np.uint8)
    if blue is not None:
        pixels[..., 2] = blue
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("UNFREEZE_WORKERS", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "decoded").mkdir()


def take(tmp_path, **more):
    """Photos of two classes, and where they are as `decoding.find` says it."""
    for label, name in enumerate(("cat", "dog")):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for i in range(5):
            (folder / f"{i}.png").write_bytes(picture(10 * label + i, **more))
    data = tmp_path / "data" / "pets"
    source = facts_of("photos", False).source
    files.write_json(data / "card.json", {"digest": source.digest})
    return lambda: decoding.find(data, source)


def make(tmp_path, find, wanted=WANTED, digest="d"):
    folder = tmp_path / "decoded" / "pets"
    decoding.update(folder, wanted, digest, find)
    return folder


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def never(*_):
    raise AssertionError("nothing is to be decoded")


def test_a_split_is_what_preprocess_makes_of_each_file(tmp_path):
    find = take(tmp_path)
    folder = make(tmp_path, find)
    preprocessing = Preprocessing(SIZE, 10, "bicubic", (), ())
    for split, (path, members) in find().items():
        rows = np.load(decoded.file(folder, split))
        assert len(rows) == len(members) == {"train": 8, "test": 2}[split]
        for row, photo in zip(rows, members, strict=True):
            assert np.array_equal(row, preprocess((path / photo.member).read_bytes(),
                                                  preprocessing))
    train = np.load(decoded.file(folder, "train")) / 255
    card = decoded.read_card(folder)
    assert card.mean == tuple(train.mean((0, 1, 2)).round(4).tolist())
    assert card.std == tuple(train.std((0, 1, 2)).round(4).tolist())
    assert card.digests == {split: files.file_digest(decoded.file(folder, split))
                            for split in ("train", "test")}


def test_what_the_model_sees_of_a_file_is_what_it_was_trained_on(tmp_path):
    """From the decoded photos and from the file itself, to the last bit."""
    from unfreeze.data.reading.normalise import Normalisation

    find = take(tmp_path)
    folder = make(tmp_path, find)
    card = decoded.read_card(folder)
    preprocessing = Preprocessing(SIZE, 10, "bicubic", card.mean, card.std)
    cpu = torch.device("cpu")
    stored = decoded.open_splits(folder, card.digests)["test"]
    (batch, _), = Images(stored, np.zeros(2, int), [0, 1], preprocessing, cpu, 0).batches(2)
    path, members = find()["test"]
    seen = torch.from_numpy(np.stack([
        preprocess((path / photo.member).read_bytes(), preprocessing) for photo in members]))
    assert torch.equal(batch, Normalisation(preprocessing, cpu)(seen))


def test_a_channel_without_variation_is_centred_and_not_blown_up(tmp_path):
    folder = make(tmp_path, take(tmp_path, blue=77))
    card = decoded.read_card(folder)
    assert card.mean[2] == round(77 / 255, 4) and card.std[2] == 1 and card.std[0] < 0.5
    preprocessing = Preprocessing(SIZE, 10, "bicubic", card.mean, card.std)
    rows = np.load(decoded.file(folder, "train"))
    (batch, _), = Images(rows, np.zeros(8, int), range(8), replace(preprocessing, resize="square"),
                         torch.device("cpu"), 1 << 30).batches(8)
    assert batch.isfinite().all() and batch[:, 2].abs().max() < 1e-3


def test_what_is_there_stays(tmp_path, capsys):
    find = take(tmp_path)
    before = content(make(tmp_path, find))
    assert content(make(tmp_path, never)) == before
    assert "pets: already there, digest checked" in capsys.readouterr().out


def test_what_is_damaged_or_of_other_images_is_made_again(tmp_path):
    find = take(tmp_path)
    folder = make(tmp_path, find)
    before = content(folder)
    with open(decoded.file(folder, "test"), "r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    assert content(make(tmp_path, find)) == before
    make(tmp_path, find, digest="other")
    assert decoded.read_card(folder).dataset_digest == "other"
    decoded.card_file(folder).write_text('{"map": "of another version"}')
    assert content(make(tmp_path, find)) == before


def test_only_the_splits_that_are_wanted(tmp_path):
    find = take(tmp_path)
    folder = make(tmp_path, find, replace(WANTED, splits=("test",)))
    assert sorted(content(folder)) == ["card.json", "test_images.npy"]
    assert decoded.read_card(folder).mean is None
    make(tmp_path, find)
    assert sorted(content(folder)) == ["card.json", "test_images.npy", "train_images.npy"]
    make(tmp_path, never, replace(WANTED, splits=("test",)))
    assert sorted(content(folder)) == ["card.json", "test_images.npy"]


def test_what_was_stopped_halfway_is_not_taken_for_whole(tmp_path, monkeypatch):
    find = take(tmp_path)
    with monkeypatch.context() as stopped, pytest.raises(AssertionError):
        stopped.setattr(decoding, "mean_and_std", never)
        make(tmp_path, find)
    assert decoded.read_card(tmp_path / "decoded" / "pets").digests == {}
    folder = make(tmp_path, find)
    assert decoded.read_card(folder).digests.keys() == {"train", "test"}


def test_photos_that_changed_since_plan_say_what_to_run(tmp_path):
    find = take(tmp_path)
    (tmp_path / "photos/cat/0.png").write_bytes(picture(99))
    with pytest.raises(UserError, match="photos: has changed since .* `dvc repro -f plan`"):
        make(tmp_path, find)


def test_what_no_run_wants_goes_and_what_is_not_ours_stays(tmp_path):
    make(tmp_path, take(tmp_path))
    parent = tmp_path / "decoded"
    mine = {"mine/cat/1.png": b"1", "pets/notes.txt": b"2", "loose.txt": b"3",
            "other/card.json": b'{"digest": "of something else"}', "mine/train_images.npy": b"4"}
    for name, text in mine.items():
        (parent / name).parent.mkdir(parents=True, exist_ok=True)
        (parent / name).write_bytes(text)
    (parent / "pets" / ".train_images.npy.123.part").write_bytes(b"half")
    photos_before = content(tmp_path / "photos")
    decoding.remove_unwanted(parent, {"pets"})
    assert {"pets/card.json", "pets/train_images.npy"} <= content(parent).keys()
    decoding.remove_unwanted(parent, {})
    assert content(parent) == mine
    assert content(tmp_path / "photos") == photos_before


def test_a_folder_that_no_run_wants_is_gone(tmp_path):
    folder = make(tmp_path, take(tmp_path))
    decoding.remove_unwanted(folder.parent, {})
    assert not folder.exists()
