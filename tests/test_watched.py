"""Images and checkpoints of the user's own are outputs of the stage plan, for DVC to watch them."""

import os
import shutil

import pytest

from unfreeze import places
from unfreeze.params import watched
from unfreeze.params.plan import Checkpoint, ImageSource, Plan


def plan(datasets=(), checkpoints=()):
    return Plan({}, {path: ImageSource("photos", path=str(path)) for path in datasets}, {},
                {path: Checkpoint("cnn", "original", 32, str(path), "0") for path in checkpoints},
                {}, (), {}, {}, {}, {})


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study's folder, the working folder, with photos, an archive and a checkpoint beside it."""
    folder = tmp_path / "study"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("photos/cat/1.png", "../more/dog/1.png", "my/model.pth", "my.zip"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def links(study):
    """{place: what a link there leads to, "" for no link}."""
    return {place.name: os.readlink(place) if place.is_symlink() else ""
            for place in (*places.WATCHED_FOLDERS, *places.WATCHED_FILES.iterdir())
            if place.name != "README"}


def test_each_folder_has_a_place_and_files_share_one(study, capsys):
    watched.write(plan(["photos", study.parent / "more", "my.zip"], ["my/model.pth"]))
    assert links(study) == {
        "folder1": str(study.parent / "more"), "folder2": "../../photos", "folder3": "",
        "folder4": "", "0-my.zip": "../../../my.zip", "1-model.pth": "../../../my/model.pth"}
    assert (places.WATCHED_FOLDERS[1] / "cat/1.png").read_text() == "photos/cat/1.png"
    assert (places.WATCHED_FILES / "1-model.pth").read_text() == "my/model.pth"
    watched.write(plan())
    assert set(links(study).values()) == {""}
    assert (study / "photos/cat/1.png").is_file() and (study / "my/model.pth").is_file()
    assert capsys.readouterr().err == ""


def test_of_a_table_what_it_names_is_watched_too(study):
    (study / "labels.csv").write_text("file,label\nphotos/cat/1.png,cat\nalone.png,dog\n")
    (study / "alone.png").write_text("a")
    watched.write(plan(["labels.csv#path=file"]))
    assert links(study) == {"folder1": "../../photos", "folder2": "", "folder3": "", "folder4": "",
                            "0-alone.png": "../../../alone.png",
                            "1-labels.csv": "../../../labels.csv"}


def test_a_project_that_is_moved_takes_its_links_along(study):
    watched.write(plan(["photos"]))
    os.rename(study, study.parent / "moved")
    assert (study.parent / "moved" / places.WATCHED_FOLDERS[0] / "cat/1.png").is_file()


def test_a_copy_in_place_of_a_link_becomes_a_link_again(study):
    watched.write(plan(["photos"]))
    copy = study.parent / "copy"
    shutil.copytree(study, copy)  # which follows links
    assert not (copy / places.WATCHED_FOLDERS[0]).is_symlink()
    os.chdir(copy)
    watched.write(plan(["photos"]))
    assert os.readlink(places.WATCHED_FOLDERS[0]) == "../../photos"
    assert (copy / "photos/cat/1.png").is_file() and (study / "photos/cat/1.png").is_file()


@pytest.mark.parametrize(("make", "words"), [
    (os.mkfifo, "is no file, or leads nowhere"),
    (lambda path: os.symlink("nowhere", path), "is no file, or leads nowhere"),
])
def test_what_dvc_could_not_read_to_its_end_is_not_shown_to_it(study, capsys, make, words):
    make("photos/cat/odd")
    watched.write(plan(["photos"]))
    assert set(links(study).values()) == {""}
    error = capsys.readouterr().err
    assert error.startswith("warning: photos: DVC cannot watch it (photos/cat/odd " + words)
    assert error.endswith("run `dvc repro -f plan`\n") and error.count("\n") == 1


def test_a_link_to_a_folder_within_is_not_followed(study, capsys):
    os.symlink("/proc", "photos/system")
    watched.write(plan(["photos"]))
    assert links(study)["folder1"] == "../../photos" and capsys.readouterr().err == ""


def test_more_folders_than_places_are_told(study, capsys):
    for number in range(6):
        os.makedirs(f"set{number}/cat")
    watched.write(plan([f"set{number}" for number in range(6)]))
    assert [*links(study).values()] == [f"../../set{number}" for number in range(4)]
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["set4", "set5"]
    assert all("more than 4 folders" in line for line in lines)
