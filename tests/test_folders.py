"""What the folders that photos lie in stand for: splits by any usual name, classes, junk."""

import unicodedata

import pytest

from test_photos import error_of, picture, saved, tarred, two_classes, write, zipped
from unfreeze.data import photos
from unfreeze.data.photos import folders


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("UNFREEZE_WORKERS", "1")


def in_folders(*names):
    return {f"{name}/{photo}": content for name in names
            for photo, content in two_classes(2).items()}


@pytest.mark.parametrize(("name", "split"), [
    *((name, "train") for name in (
        "train", "Train", "TRAIN", "training", "Training Set", "training_set", "train_data",
        "traindata", "train-images", "seg_train", "TrainSet", "train2017", "images.train")),
    *((name, "val") for name in (
        "val", "Val", "valid", "VALIDATION", "validation_set", "val_256", "dev", "eval")),
    *((name, "test") for name in ("test", "Test", "testing", "seg_test", "test_images", "TESTSET")),
    *((name, "") for name in ("trains", "bullet_train", "contest", "latest", "attest", "invalid",
                              "cat", "test_tube", "train_test", "", "2017")),
])
def test_names_of_splits(name, split):
    assert folders.split_of(name) == split


@pytest.mark.parametrize("names", [
    ("Train", "Test"), ("TRAIN", "VALID", "TEST"), ("training_set", "test_set"),
    ("seg_train", "seg_test"), ("train_data", "validation_data"), ("Training", "testing"),
])
@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_splits_by_other_names_are_splits(tmp_path, names, form):
    contents = in_folders(*(f"all/{name}" for name in names))
    place = (write(tmp_path / "x", contents) if form == "folder" else
             zipped(tmp_path / "x.zip", contents) if form == "zip" else
             tarred(tmp_path / "x.tar", contents))
    found = photos.scan(place, False)
    assert found.classes == ("cat", "dog")
    assert {photo.split for photo in found.photos} == {folders.split_of(name) for name in names}
    settled, _ = photos.settle_splits(found)
    assert {photo.split for photo in settled.photos} == {"train", "test"}


@pytest.mark.parametrize("names", [
    ("seg_train/seg_train", "seg_test/seg_test"), ("training_set/train", "test_set/test"),
])
def test_a_split_within_itself_is_passed_over(tmp_path, names):
    found = photos.scan(write(tmp_path / "x", in_folders(*names)), False)
    assert found.classes == ("cat", "dog") == tuple(
        sorted({photo.member.split("/")[2] for photo in found.photos}))
    assert {photo.split for photo in found.photos} == {"train", "test"}
    assert photos.below_classes(found) == []


@pytest.mark.parametrize(("names", "words"), [
    (("train", "Training", "test"), "Training, train all stand for train; put them together"),
    (("Train", "seg_pred"), "the folder seg_pred lies beside Train; allowed there are train, test"),
    (("my_train", "my_test"), "my_test, my_train look like splits of the same photos; name the "
                              "folders test, train, with"),
    (("trainA", "trainB", "testA", "testB"), "testA, trainA look like splits"),
    (("my training photos", "Test"), "the folder my training photos lies beside Test"),
    (("Testing", "valid"), "holds Testing, valid but no train"),
    (("cat/train", "cat/test", "dog/train", "dog/test"), "the splits lie within cat, dog; wanted "
                                                         "are train, test or val outermost"),
])
def test_what_only_looks_like_splits_is_refused(tmp_path, names, words):
    assert words in error_of(photos.scan, write(tmp_path / "x", in_folders(*names)), False)


def test_splits_without_class_folders_are_refused(tmp_path):
    flat = {f"{name}/{i}.png": saved(picture(i)) for i in range(2) for name in ("test", "Train")}
    assert "Train, test hold photos and no class folders" in error_of(
        photos.scan, write(tmp_path / "x", flat), False)


@pytest.mark.parametrize("names", [("bullet_train", "test_tube"), ("train", "cat", "test"),
                                   ("Valid", "Void")])
def test_classes_may_have_such_words_in_their_names(tmp_path, names):
    contents = {f"{name}/{i}.png": saved(picture(i)) for i in range(2) for name in names}
    assert photos.scan(write(tmp_path / "x", contents), False).classes == tuple(sorted(names))


def test_one_folder_around_all_is_passed_over_whatever_its_name(tmp_path):
    for name in ("train", "Training", "test_images", "dev", "photos"):
        found = photos.scan(write(tmp_path / name, in_folders(name)), False)
        assert found.classes == ("cat", "dog") and {p.split for p in found.photos} == {"train"}


@pytest.mark.parametrize("other", ["hot\u00a0dog", "hot dog ", "hot\u200b dog", "ｈot dog"])
def test_classes_that_look_the_same_are_refused(tmp_path, other):
    place = write(tmp_path / "x", {f"{name}/{photo}": content for name in ("cat", "hot dog", other)
                                   for photo, content in two_classes(2).items()})
    assert f"the classes 'hot dog' and {ascii(other)} look the same; put them" in (
        error_of(photos.scan, place, False))


def test_unicode_forms_of_a_name_are_one_class(tmp_path):
    composed, parted = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert composed != parted

    def content(name, numbers):
        return {f"{name}/{i}.png": saved(picture(i)) for i in numbers}

    dog = content("dog", (8, 9))
    flat = content(composed, (0, 1)) | content(parted, (2, 3)) | dog
    for form in (write(tmp_path / "x", flat), zipped(tmp_path / "x.zip", flat),
                 tarred(tmp_path / "x.tar", flat)):
        found = photos.scan(form, False)
        assert found.classes == (composed, "dog") and len(found.photos) == 6
    split = {f"train/{name}": c for name, c in (content(composed, (0, 1)) | dog).items()} | {
        f"test/{name}": c for name, c in (content(parted, (2, 3)) | dog).items()}
    assert photos.scan(write(tmp_path / "y", split), False).classes == (composed, "dog")
    one, other = (photos.scan(write(tmp_path / f"as {i}", content(name, range(4)) | dog), False)
                  for i, name in enumerate((composed, parted)))
    assert photos.digest(one) == photos.digest(other)


def test_junk_of_file_managers_and_servers_is_passed_over(tmp_path):
    junk = ("Thumbs.db", "thumbs.db", "THUMBS.DB", "ehthumbs.db", "Desktop.ini", ".DS_Store",
            "Icon\r", "._0.png", "@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg", "@EADIR/1.png/x.jpg",
            "#recycle/0.png", ".@__thumb/0.png", "__MACOSX/._0.png", "__macosx/0.png")
    contents = two_classes() | {f"cat/{name}": b"x" for name in junk} | {
        f"{name}": b"x" for name in junk}
    for form in (write(tmp_path / "x", contents), zipped(tmp_path / "x.zip", contents),
                 tarred(tmp_path / "x.tar", contents)):
        found = photos.scan(form, False)
        assert {photo.member for photo in found.photos} == set(two_classes())
