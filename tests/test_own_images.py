"""A folder of photos, from folder to report, through the real DVC pipeline."""

import functools
import hashlib
import http.server
import io
import os
import shutil
import sys
import tarfile
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from conftest import make_project, ran
from unfreeze import files, places
from unfreeze.choosing import pinned
from unfreeze.data.reading import decoded
from unfreeze.recipe import Recipe

CLASSES = ["blue\nsky", "green $x$", "réd"]
OF_A_CLASS = 10
RUNS = "runs:\n  base: {}\n  last: {freeze: last_only}\ncompare: {}\nclaims: []\nbudget: {}\n"


def photo(label: int, number: int) -> tuple[str, bytes]:
    """(file name, content): several formats and sizes; a class is a tint."""
    rng = np.random.default_rng([label, number])
    pixels = rng.integers(0, 160, (20 + number, 31 - number, 3))
    pixels[..., 2 - label] += 60
    image = Image.fromarray(pixels.astype(np.uint8))
    kind = ("JPEG", "PNG", "BMP", "GIF")[number % 4]
    content = io.BytesIO()
    image.save(content, kind)
    return f"ph oto {number}.{kind.lower()}", content.getvalue()


def fill(folder) -> None:
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(OF_A_CLASS):
            file, content = photo(label, number)
            (folder / name / file).write_bytes(content)


def pack(folder, archive) -> None:
    """A zip of it: last file first, other times, and one folder around all."""
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_file():
                target.writestr(f"wrapped/{path.relative_to(folder)}", path.read_bytes())


@pytest.fixture(scope="module")
def first(tmp_path_factory, mirror):
    """A project with a folder of photos after its first run on them, and what that printed."""
    folder = tmp_path_factory.mktemp("photos")
    project = make_project(folder / "project", mirror, folder / "scratch")
    params = project.folder / "params.yaml"
    text = params.read_text()
    params.write_text(text[:text.index("runs:\n  base")] + RUNS)
    fill(project.folder / "photos")
    with open(project.folder / ".gitignore", "a") as file:
        file.write("/photos*\n")
    project.commit("photos")
    output = project.run("dvc", "exp", "run", "-S", "dataset=photos")
    project.commit("results")
    return project, output


@pytest.fixture
def project(first):
    project, _ = first
    yield project
    (project.folder / "photos.dvc").unlink(missing_ok=True)
    project.restore()
    shutil.rmtree(project.folder / "photos", ignore_errors=True)
    fill(project.folder / "photos")


def card(project) -> dict:
    (path,) = (project.folder / places.DATA).glob("own-*/card.json")
    return files.read_json(path)


def recipe(project) -> Recipe:
    return pinned.read(project.folder / places.PINNED / "base.yaml").candidates[0].recipe


def the_error(project, *command: str) -> str:
    """The one line of a command that fails."""
    status, output = project.try_run(*command)
    (error,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert status != 0 and "Traceback" not in output
    return error


def test_from_folder_to_report(first):
    project, output = first
    assert ran(output, "train") == {"base", "last"}
    counted = card(project)
    assert counted["classes"] == CLASSES
    assert counted["counts"] == {"train": [8] * 3, "test": [2] * 3}
    assert counted["sizes"] == {"smallest": [31, 20], "median": [26, 24], "largest": [26, 25]}
    assert counted["duplicates"] == {"images": 0, "examples": []} and counted["source"] == "photos"
    report = (project.folder / "report.md").read_text()
    assert report.startswith("# Which fine-tuning strategy is best? photos\n")
    assert "**photos**: 3 classes, 24 training images and 6 test images" in report
    assert "gallery.png" not in report and "plots/data/classes.svg" in report
    with Image.open(project.folder / places.GALLERY / "gallery.png") as gallery:
        assert gallery.width > gallery.height > 100
    trained = recipe(project)
    assert trained.classes == tuple(CLASSES)
    name = f"own-photos-{counted['digest'][:12]}"
    made = decoded.read_card(project.folder / places.DECODED / f"{name}-square-bilinear-8")
    assert (trained.preprocessing.mean, trained.preprocessing.std) == (made.mean, made.std)
    assert (trained.preprocessing.image_size, trained.preprocessing.resize) == (8, "square")
    assert trained.dataset.decoded_digests == made.digests
    assert files.read_json(project.folder / "metrics" / "runs" / "base.json")["accuracy"] > 40
    assert "Running stage" not in project.run("dvc", "repro")


def test_git_tracks_no_picture_of_a_photo_unless_asked_to(project):
    def tracked() -> list[str]:
        project.run("git", "add", "-A")
        return [path for path in project.run("git", "ls-files", "plots").splitlines()
                if path.endswith(".png")]

    assert tracked() == []
    page = (project.folder / places.PAGE).read_text()
    assert page.count("data:image/png") == 2  # some of each class, and mistakes
    before = recipe(project)
    project.edit("params.yaml", "\ndataset:", "\nshare_photos: true\ndataset:")
    project.run("dvc", "repro", "-s", "plan", "pin", "show-data", "plot")
    assert recipe(project) == before
    assert tracked() == ["plots/charts/mistakes.png", "plots/data/gallery.png"]
    report = (project.folder / "report.md").read_text()
    assert all(f"]({path})" in report for path in tracked())


def test_a_zip_of_it_trains_nothing_again(project):
    before = recipe(project)
    pack(project.folder / "photos", project.folder / "photos.zip")
    project.edit("params.yaml", "dataset: photos", "dataset: photos.zip")
    output = project.run("dvc", "repro", "train")
    assert ran(output, "train") == set()
    assert recipe(project) == before


@pytest.mark.slow
def test_times_do_not_matter_and_a_changed_photo_does(project):
    before = recipe(project)
    paths = [path for path in (project.folder / "photos").rglob("*") if path.is_file()]
    for path in paths:
        os.utime(path, (1, 1))
    project.run("dvc", "repro", "-f", "plan")
    assert "Running stage" not in project.run("dvc", "repro", "pin")

    shutil.copy(paths[0], paths[1])
    project.run("dvc", "repro", "-f", "plan")
    output = project.run("dvc", "repro", "pin")
    assert ran(output, "decode") == {""}
    assert recipe(project).dataset != before.dataset

    shutil.copy(paths[0], paths[2])
    project.edit("params.yaml", "\nimage_size: 8", "\nimage_size: 10")
    project.run("dvc", "repro", "fetch-data")
    shutil.copy(paths[0], paths[3])
    error = the_error(project, "dvc", "repro", "decode")
    assert "photos: has changed since" in error and "dvc repro -f plan" in error


def test_what_changes_in_place_is_noticed_by_a_plain_repro(project):
    def digest() -> str:
        (name,) = files.read_yaml(project.folder / places.PLAN / "datasets.yaml")
        return name

    photos, first = project.folder / "photos", digest()
    (photos / "réd/more.png").write_bytes(photo(0, 9)[1])
    assert "_made/watched/folder1" in project.run("dvc", "status", "plan")
    assert ran(project.run("dvc", "repro", "plan"), "plan") == {""}
    assert digest() != first
    assert "Running stage" not in project.run("dvc", "repro", "plan")
    os.unlink(photos / "réd/more.png")
    assert ran(project.run("dvc", "repro", "plan"), "plan") == {""}
    assert digest() == first

    # A checkpoint, and what has been added anew.
    project.edit(".gitignore", "/photos*\n", "")
    project.edit("params.yaml", "\n  base:", "\n  mine: {init: my.pth}\n  base:")
    (project.folder / "my.pth").write_bytes(b"one")
    project.run("dvc", "add", "-q", "photos")
    project.run("dvc", "repro", "plan")
    (project.folder / "my.pth").write_bytes(b"two")
    (photos / "réd/more.png").write_bytes(photo(0, 9)[1])
    project.run("dvc", "add", "-q", "photos")
    assert ran(project.run("dvc", "repro", "plan"), "plan") == {""}
    (weights,) = files.read_yaml(project.folder / places.PLAN / "weights.yaml").keys() - {"tiny_a"}
    assert hashlib.sha256(b"two").hexdigest()[:12] in weights and digest() != first

    # What is gone: DVC's own words name the link alone.
    os.unlink(project.folder / "my.pth")
    os.symlink("nowhere.png", photos / "réd/lost.png")
    assert project.try_run("dvc", "repro", "plan")[0] != 0
    lines = project.run("unfreeze", "mend").splitlines()
    assert [line.partition("; ")[0] for line in lines] == [
        "my.pth: is gone", "photos/réd/lost.png: leads nowhere"]
    assert "lost.png" in the_error(project, "dvc", "repro", "plan")
    os.unlink(photos / "réd/lost.png")
    assert "my.pth" in the_error(project, "dvc", "repro", "plan")
    (project.folder / "my.pth").write_bytes(b"two")
    assert ran(project.run("dvc", "repro", "plan"), "plan") == {""}


@pytest.mark.slow
def test_another_size_is_one_more_folder_and_goes_when_no_run_needs_it(project):
    def made() -> set:
        return {path.parent for path in (project.folder / places.DECODED).glob("*/card.json")}

    (old,) = made()
    project.edit("params.yaml", "last: {freeze: last_only}", "last: {image_size: 12, resize: 16}")
    output = project.run("dvc", "repro", "decode")
    assert f"{old.name}: already there, digest checked" in output
    new = old.with_name(old.name.replace("square-bilinear-8", "16-bilinear-12"))
    assert made() == {old, new}
    assert f"{new.name}: 24 train, 6 test images decoded" in output
    assert np.load(new / "train_images.npy", mmap_mode="r").shape == (24, 12, 12, 3)
    project.run("git", "checkout", "-q", "--", "params.yaml")
    project.run("dvc", "repro", "decode")
    assert made() == {old}


@pytest.mark.slow
def test_what_dvc_tracks_must_be_what_it_noted(project):
    project.edit(".gitignore", "/photos*\n", "")
    project.run("dvc", "add", "-q", "photos")
    project.edit("params.yaml", "\nlr: 0.01", "\nlr: 0.02")
    project.run("dvc", "repro", "plan")

    (project.folder / "photos" / "réd" / "more.png").write_bytes(photo(0, 1)[1])
    project.edit("params.yaml", "\nlr: 0.02", "\nlr: 0.03")
    error = the_error(project, "dvc", "repro", "plan")
    assert "params.yaml: dataset (of runs.base): photos: has changed since DVC noted it" in error
    assert "dvc checkout photos.dvc" in error and "dvc add photos" in error
    project.run("dvc", "add", "-q", "photos")
    project.run("dvc", "repro", "plan")

    shutil.rmtree(project.folder / "photos")
    project.edit("params.yaml", "\nlr: 0.03", "\nlr: 0.04")
    assert "dvc checkout" in the_error(project, "dvc", "repro", "plan")
    project.run("dvc", "checkout", "photos.dvc")
    project.run("dvc", "repro", "plan")


@pytest.mark.slow
def test_broken_photos_are_all_named_or_skipped_and_leaks_are_told(project):
    photos = project.folder / "photos"
    (photos / "réd" / "none.jpg").write_bytes(b"")
    (photos / "réd" / "half.png").write_bytes(photo(2, 1)[1][:300])
    for split in ("train", "test"):
        (photos / split).mkdir()
        for name in CLASSES:
            shutil.copytree(photos / name, photos / split / name)
    for name in CLASSES:
        shutil.rmtree(photos / name)
    error = the_error(project, "dvc", "repro", "-f", "plan")
    assert "4 files cannot be used" in error and "none.jpg" in error and "half.png" in error
    assert "skip_broken: true" in error

    project.edit("params.yaml", "skip_broken: false", "skip_broken: true")
    output = project.run("dvc", "repro", "fetch-data")
    assert "skipped 4 files" in output
    assert "30 of 30 test images are training images too, byte for byte" in output
    cards = (project.folder / places.DATA).glob("own-*/card.json")
    counted = next(files.read_json(path) for path in cards
                   if files.read_json(path)["skipped"])
    assert counted["duplicates"]["images"] == 30 and len(counted["duplicates"]["examples"]) == 10
    assert len(counted["skipped"]) == 4


@pytest.mark.slow
def test_an_address_is_fetched_once_and_few_shots_are_drawn(project, tmp_path):
    pack(project.folder / "photos", tmp_path / "my photos.zip")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/my%20photos.zip"
        project.edit("params.yaml", "dataset: photos", f"dataset: {address}")
        project.edit("params.yaml", "per_class: 0", "per_class: 5")
        project.run("dvc", "repro", "pin")
        server.shutdown()
    made = recipe(project)
    assert made.dataset.name.startswith("own-my-photos-")
    subset = files.read_json(project.folder / places.SUBSETS / made.seeds[1].file)
    labels = np.load(project.folder / places.DATA / made.dataset.name / "train_labels.npy")
    assert np.bincount(labels[subset["train"]]).tolist() == [5, 5, 5]
    assert subset["dataset_digest"] == made.dataset.digest == card_of(project, made)["digest"]
    assert card_of(project, made)["source"] == address
    project.edit("params.yaml", "\nimage_size: 8", "\nimage_size: 10")
    project.run("dvc", "repro", "decode")  # from the archive that is kept


@pytest.mark.slow
def test_a_checkpoint_is_tested_as_it_is(project):
    project.run(sys.executable, "-c", """
import sys; sys.path.insert(0, "src")
import torch
from unfreeze.training import saved
torch.save(saved.load("base").state_dict(), "photos_model.pth")""")
    project.edit("params.yaml", "last: {freeze: last_only}",
                 "as_it_is: {init: photos_model.pth, epochs: 0}")
    output = project.run("dvc", "repro")
    assert ran(output, "train") == {"as_it_is"}
    base, other = (files.read_json(project.folder / "metrics" / "runs" / f"{run}.json")
                   for run in ("base", "as_it_is"))
    assert other.pop("parameters_trainable") == 0 < base.pop("parameters_trainable")
    for score in ("accuracy", "cross_entropy", "brier"):
        assert other[score] == base[score]
    assert files.read_csv(project.folder / places.RUNS / "as_it_is" / "history.csv") == []
    assert "| as_it_is |" in (project.folder / "report.md").read_text()


CATALOGUE = '''
"""Two archives of photos, as the catalogue has them."""
from unfreeze.data.acquire.layout import Entry, Index
from unfreeze.fetching.assets import Asset

KIND, SIZES = "photos", "many"
CLASSES, COUNT, TRAIN, TEST = None, 3, 24, 6
MEAN = STD = None
URL, LICENCE, CITATION = "http://127.0.0.1:9/", "none", "none"
ASSETS = tuple(Asset(split, f"http://127.0.0.1:9/{{split}}.tgz", md5=md5)
               for split, md5 in {md5s!r}.items())


def index(paths):
    return Index(("a", "b", "c"), tuple(
        Entry(split, label, f"{{split}}.tgz", f"{{split}}/{{label}} {{number}}.img")
        for split, numbers in (("train", range(8)), ("test", range(8, 10)))
        for number in numbers for label in range(3)))
'''


@pytest.mark.slow
def test_photos_of_the_catalogue(project, mirror):
    for split, numbers in (("train", range(8)), ("test", range(8, 10))):
        with tarfile.open(mirror / f"{split}.tgz", "w:gz") as archive:
            for label in range(3):
                for number in numbers:
                    content = photo(label, number)[1]
                    entry = tarfile.TarInfo(f"{split}/{label} {number}.img")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
    md5s = {split: files.file_digest(mirror / f"{split}.tgz", "md5") for split in ("train", "test")}
    (project.folder / "src" / "unfreeze" / "data" / "catalogue" / "tinyphotos.py").write_text(
        CATALOGUE.format(md5s=md5s))
    project.edit("params.yaml", "dataset: photos", "dataset: tinyphotos")
    output = project.run("dvc", "repro", "show-data", "pin")
    assert "train: served by" in output
    made = recipe(project)
    assert made.classes == ("a", "b", "c") and made.dataset.name == "tinyphotos"
    counted = card_of(project, made)
    assert counted["counts"] == {"train": [8] * 3, "test": [2] * 3}
    assert counted["sizes"] == {"smallest": [31, 20], "median": [26, 24], "largest": [26, 25]}
    labels = np.load(project.folder / places.DATA / "tinyphotos" / "train_labels.npy")
    assert labels.tolist() == [0, 1, 2] * 8
    images = np.load(project.folder / places.DECODED / made.dataset.decoded
                     / "train_images.npy").mean((1, 2))
    assert (images.argmax(1) == 2 - labels).all()  # the rows are those of the labels

    project.edit("params.yaml", "\nimage_size: 8", "\nimage_size: 10")
    assert "already there" in project.run("dvc", "repro", "-f", "fetch-data")


def card_of(project, made: Recipe) -> dict:
    return files.read_json(project.folder / places.DATA / made.dataset.name / "card.json")
