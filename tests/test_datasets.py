"""The catalogue: a table of facts, and every reader against its official layout, made small here
and served from a mirror folder.

What says that a file is the official one (counts, MD5s) is an argument of `layout.fetch`, so a test
passes the facts of its small files; names that only the dataset's module has are monkeypatched.
"""

import hashlib
import io
import pkgutil
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import savemat

from unfreeze import places
from unfreeze.data import catalogue as datasets
from unfreeze.data.acquire import layout
from unfreeze.data.acquire.layout import Entry
from unfreeze.data.catalogue import cifar100, dataset, imagenet
from unfreeze.data.reading import arrays
from unfreeze.errors import UserError
from unfreeze.fetching import sources
from unfreeze.fetching.sources import Source

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(entry.name for entry in pkgutil.iter_modules(datasets.__path__))

# name: kind, classes, training images, test images, official files
FACTS = {
    "cifar10": ("arrays", 10, 50_000, 10_000, 1),
    "cifar100": ("arrays", 100, 50_000, 10_000, 1),
    "cub200": ("photos", 200, 5_994, 5_794, 1),
    "cars196": ("photos", 196, 8_144, 8_041, 4),
    "food101": ("photos", 101, 75_750, 25_250, 1),
    "oxford_pets": ("photos", 37, 3_680, 3_669, 2),
    "flowers102": ("photos", 102, 2_040, 6_149, 3),
    "imagenet": ("photos", 1000, 1_281_167, 50_000, 0),
    "pizza_steak_sushi": ("photos", 3, 225, 75, 1),
}
PHOTOS = [name for name, facts in FACTS.items() if facts[0] == "photos"]
FETCHED = [name for name in PHOTOS if name != "imagenet"]


# Facts

def test_every_dataset_is_in_the_table():
    assert sorted(FACTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_facts(name):
    facts = dataset(name)
    assert (facts.KIND, facts.COUNT, facts.TRAIN, facts.TEST, len(facts.ASSETS)) == FACTS[name]
    if facts.CLASSES is not None:
        assert len(facts.CLASSES) == len(set(facts.CLASSES)) == facts.COUNT
        assert all(name and name == name.strip() for name in facts.CLASSES)
    if facts.KIND == "arrays":
        assert callable(facts.read) and len(facts.ASSETS) == 1
        assert facts.DIGEST is None or re.fullmatch("[0-9a-f]{64}", facts.DIGEST)
        assert facts.CLASSES
    else:
        assert callable(facts.index)
        assert facts.ASSETS or facts.FOLDER
    for values in (facts.MEAN, facts.STD):
        assert values is None or (len(values) == 3 and all(0 < value < 1 for value in values))
    for text in (facts.LICENCE, facts.CITATION, facts.SIZES):
        assert text and "\n" not in text
    assert facts.URL.startswith("https://")


@pytest.mark.parametrize("name", NAMES)
def test_files_are_pinned(name):
    assets = dataset(name).ASSETS
    assert len({asset.file for asset in assets}) == len(assets)
    for asset in assets:
        assert re.match("https?://.+/[^/?]+$", asset.url)
        if name != "cifar10":  # its batches have the MD5s
            assert re.fullmatch("[0-9a-f]{32}", asset.md5)


@pytest.mark.parametrize("name", [name for name in NAMES if FACTS[name][0] == "arrays"])
def test_fetched_arrays_have_the_digest(name):
    facts, folder = dataset(name), ROOT / places.DATA / name
    if facts.DIGEST is None or not folder.exists():
        pytest.skip("not pinned, or not fetched")
    content = arrays.load(folder)
    assert arrays.digest(content) == facts.DIGEST
    assert (len(content.train_labels), len(content.test_labels)) == (facts.TRAIN, facts.TEST)
    assert set(content.train_labels) == set(content.test_labels) == set(range(facts.COUNT))


def test_published_facts_are_torchvisions():
    from torchvision.datasets import Flowers102, Food101, OxfordIIITPet
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    published = {asset.url: asset.md5 for name in ("food101", "oxford_pets", "flowers102")
                 for asset in dataset(name).ASSETS}
    prefix = Flowers102._download_url_prefix
    assert published == {Food101._URL: Food101._MD5, **dict(OxfordIIITPet._RESOURCES),
                         **{prefix + file: md5 for file, md5 in Flowers102._file_dict.values()}}
    assert list(dataset("flowers102").CLASSES) == Flowers102.classes
    assert list(imagenet.CLASSES) == _IMAGENET_CATEGORIES


def test_imagenet_labels_are_sorted_synsets():
    # As ImageFolder orders them, which is what official weights were trained with.
    assert list(imagenet.SYNSETS) == sorted(imagenet.SYNSETS)
    assert all(re.fullmatch(r"n\d{8}", synset) for synset in imagenet.SYNSETS)


def test_catalogue_imports_no_torch():
    check = ("import sys; from unfreeze.data.catalogue import dataset; "
             "import unfreeze.data.acquire.layout; "
             f"[dataset(name) for name in {NAMES}]; sys.exit('torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": str(ROOT / "src")})
    assert done.returncode == 0


def test_unknown_dataset_is_named():
    with pytest.raises(UserError, match=r"'cub' is no dataset.*allowed: cars196, cifar10"):
        dataset("cub")


# Official layouts, made small: three classes, three training and two test images of each.

LAYOUTS = {}
IMAGES = [("train", label, number) for number in range(3) for label in range(3)] + [
    ("test", label, number) for number in range(2) for label in (2, 0, 1)]


def official(function):
    """Function: {official file: content}, class names, {(split, label, number): (file, member)}."""
    LAYOUTS[function.__name__.removeprefix("small_")] = function
    return function


def content(image):
    return " ".join(map(str, image)).encode()


def tar(members, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, bytes_ in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(bytes_)
            archive.addfile(entry, io.BytesIO(bytes_))
    return buffer.getvalue()


def mat(**variables):
    buffer = io.BytesIO()
    savemat(buffer, variables)
    return buffer.getvalue()


def lines(rows):
    return "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()


@official
def small_cub200():
    names = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")
    ordered = sorted(IMAGES, key=lambda image: (image[1], image[2]))  # by class, splits mixed
    paths = {image: f"{names[image[1]]}/Bird_{image[0]}_{image[2]:04d}.jpg" for image in ordered}
    numbered = list(enumerate(ordered, 1))
    members = {"CUB_200_2011/README": b"The Caltech-UCSD Birds-200-2011 Dataset"}
    members |= {f"CUB_200_2011/images/{path}": content(image) for image, path in paths.items()}
    members |= {
        "CUB_200_2011/classes.txt": lines(enumerate(names, 1)),
        "CUB_200_2011/images.txt": lines((id_, paths[image]) for id_, image in numbered),
        "CUB_200_2011/image_class_labels.txt": lines((id_, im[1] + 1) for id_, im in numbered),
        "CUB_200_2011/train_test_split.txt": lines(
            (id_, int(image[0] == "train")) for id_, image in numbered),
    }
    return ({"CUB_200_2011.tgz": tar(members)},
            ("Black footed Albatross", "Laysan Albatross", "Sooty Albatross"),
            {image: ("CUB_200_2011.tgz", f"CUB_200_2011/images/{path}")
             for image, path in paths.items()})


@official
def small_cars196():
    names = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Acura TL Sedan 2012")
    archives, annotations, places = {"train": {}, "test": {}}, {"train": [], "test": []}, {}
    for image in IMAGES:
        split = image[0]
        file = f"{len(annotations[split]) + 1:05d}.jpg"
        archives[split][f"cars_{split}/{file}"] = content(image)
        annotations[split].append((10, 20, 300, 200, image[1] + 1, file))
        places[image] = (f"cars_{split}.tgz", f"cars_{split}/{file}")
    fields = [(f"bbox_{corner}", object) for corner in ("x1", "y1", "x2", "y2")]
    records = {split: mat(annotations=np.array(
        [rows], dtype=[*fields, ("class", object), ("fname", object)]))
        for split, rows in annotations.items()}
    devkit = {"devkit/README.txt": b"", "devkit/cars_train_annos.mat": records["train"],
              "devkit/cars_meta.mat": mat(class_names=np.array([names], dtype=object))}
    return ({"cars_train.tgz": tar(archives["train"]), "cars_test.tgz": tar(archives["test"]),
             "car_devkit.tgz": tar(devkit), "cars_test_annos_withlabels.mat": records["test"]},
            names, places)


@official
def small_food101():
    names = ("apple_pie", "baby_back_ribs", "baklava")
    paths = {image: f"{names[image[1]]}/{100 * (image[0] == 'test') + image[2]}"
             for image in IMAGES}
    members = {f"food-101/images/{path}.jpg": content(image) for image, path in paths.items()}
    members |= {"food-101/meta/classes.txt": lines((name,) for name in names)}
    members |= {f"food-101/meta/{split}.txt": lines(
        (path,) for image, path in paths.items() if image[0] == split)
        for split in ("train", "test")}
    return ({"food-101.tar.gz": tar(members)}, ("apple pie", "baby back ribs", "baklava"),
            {image: ("food-101.tar.gz", f"food-101/images/{path}.jpg")
             for image, path in paths.items()})


@official
def small_oxford_pets():
    names = ("Abyssinian", "american_pit_bull_terrier", "Birman")
    paths = {image: f"{names[image[1]]}_{100 * (image[0] == 'test') + image[2]}"
             for image in IMAGES}
    photos = {f"images/{path}.jpg": content(image) for image, path in paths.items()}
    labels = {f"annotations/{file}.txt": lines(
        (path, image[1] + 1, 1, image[1] + 1) for image, path in paths.items() if image[0] == split)
        for split, file in (("train", "trainval"), ("test", "test"))}
    return ({"images.tar.gz": tar(photos | {"images/Abyssinian_100.mat": b""}),
             "annotations.tar.gz": tar(labels | {"annotations/list.txt": b"#Image CLASS-ID\n"})},
            ("Abyssinian", "American Pit Bull Terrier", "Birman"),
            {image: ("images.tar.gz", f"images/{path}.jpg") for image, path in paths.items()})


@official
def small_flowers102():
    ids = {image: number for number, image in enumerate(reversed(IMAGES), 1)}
    members = {f"jpg/image_{number:05d}.jpg": content(image) for image, number in ids.items()}
    training = [number for image, number in ids.items() if image[0] == "train"]
    by_number = sorted(ids, key=ids.get)
    return ({"102flowers.tgz": tar(members),
             "imagelabels.mat": mat(labels=np.array(
                 [[image[1] + 1 for image in by_number]], np.uint8)),
             "setid.mat": mat(trnid=np.array([training[:5]], np.uint16),
                              valid=np.array([training[5:]], np.uint16),
                              tstid=np.array([[number for image, number in ids.items()
                                               if image[0] == "test"]], np.uint16))},
            ("pink primrose", "hard-leaved pocket orchid", "canterbury bells"),
            {image: ("102flowers.tgz", f"jpg/image_{number:05d}.jpg")
             for image, number in ids.items()})


@official
def small_pizza_steak_sushi():
    names = ("pizza", "steak", "sushi")
    paths = {image: f"{image[0]}/{names[image[1]]}/{image[2]}.jpg" for image in IMAGES}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("train/", b"")
        archive.writestr("train/pizza/._1.jpg", b"of a file manager")
        for image, path in paths.items():
            archive.writestr(path, content(image))
    return ({"pizza_steak_sushi.zip": buffer.getvalue()}, names,
            {image: ("pizza_steak_sushi.zip", path) for image, path in paths.items()})


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No network but a closed port of this machine; an own scratch folder."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "UNFREEZE_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A function: name -> (facts of its small official files, which the mirror folder now serves;
    class names; where each image is)."""
    def make(name, **changes):
        files, classes, images = LAYOUTS[name]()
        files |= changes.pop("files", {})
        module = dataset(name)
        mirror = tmp_path / "mirror"
        mirror.mkdir(exist_ok=True)
        monkeypatch.setenv("UNFREEZE_MIRROR", str(mirror))
        for file, bytes_ in files.items():
            (mirror / file).write_bytes(bytes_)
        if module.CLASSES:
            monkeypatch.setattr(module, "CLASSES", module.CLASSES[:3])
        assets = tuple(replace(asset, url=f"http://127.0.0.1:9/{asset.file}", registry=None,
                               md5=hashlib.md5(files[asset.file]).hexdigest())
                       for asset in module.ASSETS)
        facts = vars(module) | {"COUNT": 3, "TRAIN": 9, "TEST": 6, "ASSETS": assets} | changes
        return SimpleNamespace(**facts), classes, images

    return make


@pytest.mark.parametrize("name", FETCHED)
def test_official_layout_is_read(small, tmp_path, name):
    facts, classes, images = small(name)
    folder = tmp_path / "data" / name
    index = layout.fetch(facts, folder)
    assert index.classes == classes
    assert set(index.entries) == {Entry(image[0], image[1], *place)
                                  for image, place in images.items()}
    assert [entry.split for entry in index.entries] == ["train"] * 9 + ["test"] * 6
    places = layout.paths(facts, folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(places)
    for entry in index.entries:  # the member is what split and label say
        found = layout.read_members(places[entry.archive], entry.member)[0].decode().split()
        assert found[:2] == [entry.split, str(entry.label)]
    assert layout.read(facts, folder) == index


@pytest.mark.parametrize("name", FETCHED)
def test_kept_files_are_the_mirrors_and_stay(small, tmp_path, monkeypatch, name, capsys):
    facts, _, _ = small(name)
    folder = tmp_path / "data" / name
    index = layout.fetch(facts, folder)
    for path in (tmp_path / "mirror").iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
        assert not (folder / path.name).samefile(path)
    monkeypatch.delenv("UNFREEZE_MIRROR")
    capsys.readouterr()
    assert layout.fetch(facts, folder) == index
    assert capsys.readouterr().out.count("already there") == len(facts.ASSETS)


@pytest.mark.parametrize("name", FETCHED)
def test_a_wrong_byte_is_refused_and_mended(small, tmp_path, name):
    facts, _, _ = small(name)
    folder, asset = tmp_path / "data" / name, facts.ASSETS[-1]
    path = tmp_path / "mirror" / asset.file
    right = path.read_bytes()
    path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    found = hashlib.md5(path.read_bytes()).hexdigest()
    with pytest.raises(UserError, match=f"MD5 expected {asset.md5}, found {found}") as caught:
        layout.fetch(facts, folder)
    assert "\n" not in str(caught.value) and not (folder / asset.file).exists()
    path.write_bytes(right)
    index = layout.fetch(facts, folder)
    (folder / asset.file).write_bytes(b"damaged since")
    assert layout.fetch(facts, folder) == index
    assert (folder / asset.file).read_bytes() == right


@pytest.mark.parametrize("name", FETCHED)
@pytest.mark.parametrize(("changes", "words"), [
    ({"COUNT": 4}, "3 classes, not 4"), ({"TRAIN": 10}, "9 training images, not 10"),
    ({"TEST": 5}, "6 test images, not 5")])
def test_counts_are_checked(small, tmp_path, name, changes, words):
    facts, _, _ = small(name, **changes)
    with pytest.raises(UserError, match=f"^{name}: its files list {words}"):
        layout.fetch(facts, tmp_path / "data" / name)


@pytest.mark.parametrize(("name", "file"), [
    (name, file) for name in FETCHED for file in LAYOUTS[name]()[0]
    if (name, file) not in (("cars196", "cars_train.tgz"), ("cars196", "cars_test.tgz"),
                            ("oxford_pets", "images.tar.gz"), ("flowers102", "102flowers.tgz"))])
@pytest.mark.parametrize("bytes_", [b"", b"<html>", tar({"other": b""}), mat(other=np.ones(3))])
def test_files_that_say_nothing_are_one_line(small, tmp_path, name, file, bytes_):
    # The MD5 is that of the nonsense: as if the dataset's file pinned a wrong one.
    facts, _, _ = small(name, files={file: bytes_})
    with pytest.raises(UserError, match=re.escape(file)) as caught:
        layout.fetch(facts, tmp_path / "data" / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("rows", "words"), [
    (b"1 1\n2 2\n", "not the official layout"), (b"1 x\n", "not the official layout"),
    (b"\xff\xfe", "not the official layout"), (b"1\n", "not the official layout"),
    (lines((i, 1) for i in range(1, 16)), "are not all of 1 to 3"),
    (lines((i, i % 4 + 1) for i in range(1, 16)), "are not all of 1 to 3"),
    (lines((i, i % 3) for i in range(1, 16)), "are not all of 1 to 3")])
def test_labels_that_do_not_fit_are_one_line(small, tmp_path, rows, words):
    archive = LAYOUTS["cub200"]()[0]["CUB_200_2011.tgz"]
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        members = {entry.name: opened.extractfile(entry).read() for entry in opened}
    members["CUB_200_2011/image_class_labels.txt"] = rows
    facts, _, _ = small("cub200", files={"CUB_200_2011.tgz": tar(members)})
    with pytest.raises(UserError, match=words) as caught:
        layout.fetch(facts, tmp_path / "data")
    assert "\n" not in str(caught.value)


def test_an_image_listed_twice_is_an_error(small, tmp_path):
    facts, classes, _ = small("food101")
    entry = Entry("train", 0, "food-101.tar.gz", "a.jpg")
    index = layout.Index(classes, [entry._replace(label=label) for label in range(3)] * 3
                         + [entry._replace(split="test", label=label) for label in range(3)] * 2)
    with pytest.raises(UserError, match="food101: its files list an image twice"):
        layout.check(facts, index)
    with pytest.raises(UserError, match="name a class twice"):
        layout.check(facts, layout.Index(("a", "b", "a"), index.entries))


# Stanford Cars, whose address is dead

def test_cars_says_what_to_fetch_and_where_to_put_it(small, tmp_path, monkeypatch):
    facts, _, _ = small("cars196")
    monkeypatch.delenv("UNFREEZE_MIRROR")
    with pytest.raises(UserError) as caught:
        layout.fetch(facts, tmp_path / "data")
    text = str(caught.value)
    assert text.startswith("cars196: no source is left for 4 of its files") and "\n" not in text
    assert "UNFREEZE_MIRROR" in text and text.count("no longer serves it") == 1
    for asset in facts.ASSETS:
        assert f"{asset.file} (MD5 {asset.md5})" in text


def test_cars_asks_only_for_the_file_that_is_missing(small, tmp_path):
    facts, _, _ = small("cars196")
    (tmp_path / "mirror" / "cars_test.tgz").unlink()
    with pytest.raises(UserError, match="test photos: no source is left.*no longer") as caught:
        layout.fetch(facts, tmp_path / "data")
    asset, = (asset for asset in facts.ASSETS if asset.file == "cars_test.tgz")
    assert f"Put cars_test.tgz (MD5 {asset.md5})" in str(caught.value)
    assert "cars_train.tgz" not in str(caught.value)
    assert (tmp_path / "data" / "cars_train.tgz").is_file()  # what could be had is kept


# CIFAR-100

@pytest.fixture
def tiny_cifar(monkeypatch, tmp_path):
    """A function: write the small official archive -> its source, and the records by file."""
    random = np.random.default_rng(0)
    records = {"train": random.integers(0, 100, (4, 3074), np.uint8),
               "test": random.integers(0, 100, (2, 3074), np.uint8)}

    def make(**changes):
        members = {f"cifar-100-binary/{name}.bin": rows.tobytes() for name, rows in records.items()}
        archive = tar({"cifar-100-binary/fine_label_names.txt": b"apple\n"} | members | changes)
        path = tmp_path / "cifar-100-binary.tar.gz"
        path.write_bytes(archive)
        asset = replace(cifar100.ASSETS[0], url=f"http://127.0.0.1:9/{path.name}",
                        md5=hashlib.md5(archive).hexdigest())
        for key, value in {"TRAIN": 4, "TEST": 2, "ASSETS": (asset,)}.items():
            monkeypatch.setattr(cifar100, key, value)
        monkeypatch.setenv("UNFREEZE_MIRROR", str(tmp_path))
        return Source("mirror", "the archive", path), records

    return make


def test_cifar100_is_read_from_the_mirror(tiny_cifar):
    _, records = tiny_cifar()
    found = sources.obtain(cifar100.ASSETS[0], cifar100.read)
    for split, images, labels in (("train", found.train_images, found.train_labels),
                                  ("test", found.test_images, found.test_labels)):
        assert images.shape == (len(records[split]), 32, 32, 3) and images.dtype == np.uint8
        assert labels.dtype == np.int64
        for record, image, label in zip(records[split], images, labels, strict=True):
            assert label == record[1]  # the class; the first byte is the superclass
            for channel in range(3):
                plane = record[2 + 1024 * channel:][:1024].reshape(32, 32)
                assert np.array_equal(image[:, :, channel], plane)


def test_cifar100_with_a_wrong_byte_is_refused(tiny_cifar):
    source, _ = tiny_cifar()
    source.path.write_bytes(source.path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(UserError, match="the archive: wrong bytes: MD5 expected"):
        cifar100.read(source)


@pytest.mark.parametrize("bytes_", [b"", bytes(3073), bytes(4 * 3074 + 1)])
def test_cifar100_of_another_length_is_refused(tiny_cifar, bytes_):
    source, _ = tiny_cifar(**{"cifar-100-binary/train.bin": bytes_})
    with pytest.raises(UserError, match=r"train\.bin has \d+ bytes, not 4 records of 3074"):
        cifar100.read(source)


# ImageNet

@pytest.fixture
def tiny_imagenet(tmp_path, monkeypatch):
    """Facts of three classes whose folders are in the mirror folder."""
    synsets = dict(list(imagenet.SYNSETS.items())[:3])
    monkeypatch.setattr(imagenet, "SYNSETS", synsets)
    monkeypatch.setenv("UNFREEZE_MIRROR", str(tmp_path))
    for part, count in (("train", 3), ("val", 2)):
        for synset in reversed(synsets):
            folder = tmp_path / "imagenet" / part / synset
            folder.mkdir(parents=True)
            for number in reversed(range(count)):
                (folder / f"{synset}_{number}.JPEG").write_bytes(b"")
            (folder / ".DS_Store").write_bytes(b"")
    return SimpleNamespace(**vars(imagenet) | {"COUNT": 3, "TRAIN": 9, "TEST": 6})


def test_imagenet_is_read_in_place(tiny_imagenet, tmp_path):
    folder = tmp_path / "data" / "imagenet"
    index = layout.fetch(tiny_imagenet, folder)
    assert not folder.exists()  # nothing is copied
    assert index.classes == ("tench", "goldfish", "great white shark")
    assert index.entries[:4] == [
        *(Entry("train", 0, "imagenet", f"train/n01440764/n01440764_{i}.JPEG") for i in range(3)),
        Entry("train", 1, "imagenet", "train/n01443537/n01443537_0.JPEG")]
    assert index.entries[-1] == Entry("test", 2, "imagenet", "val/n01484850/n01484850_1.JPEG")
    place, = layout.paths(tiny_imagenet, folder).values()
    assert all((place / entry.member).is_file() for entry in index.entries)


def test_imagenet_with_other_folders_is_refused(tiny_imagenet, tmp_path):
    extra = tmp_path / "imagenet" / "val" / "n99999999"
    extra.mkdir()
    with pytest.raises(UserError, match="imagenet/val: has n99999999 and 0 more; it must"):
        layout.fetch(tiny_imagenet, tmp_path / "data")
    extra.rename(tmp_path / "gone")
    (tmp_path / "imagenet" / "train" / "n01443537").rename(tmp_path / "lost")
    with pytest.raises(UserError, match="imagenet/train: lacks n01443537 and 0 more"):
        layout.fetch(tiny_imagenet, tmp_path / "data")


def test_imagenet_without_an_image_or_a_split_is_refused(tiny_imagenet, tmp_path):
    (tmp_path / "imagenet" / "train" / "n01443537" / "n01443537_0.JPEG").unlink()
    with pytest.raises(UserError, match="imagenet: its files list 8 training images, not 9"):
        layout.fetch(tiny_imagenet, tmp_path / "data")
    (tmp_path / "imagenet" / "val").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="imagenet/val: no such folder"):
        layout.fetch(tiny_imagenet, tmp_path / "data")


def test_imagenet_that_is_not_there_says_where_it_must_be(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="^UNFREEZE_MIRROR/imagenet: no such folder; get the"):
        layout.fetch(imagenet, tmp_path / "data")
    monkeypatch.setenv("UNFREEZE_MIRROR", str(tmp_path))
    with pytest.raises(UserError, match="image-net.org.*folder imagenet in UNFREEZE_MIRROR"):
        layout.fetch(imagenet, tmp_path / "data")
