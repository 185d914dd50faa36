"""Tables of labels, groups and Parquet files: read as an archive of class folders is."""

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unfreeze import places
from unfreeze.data import own, photos, subsets
from unfreeze.data.acquire import fetch
from unfreeze.data.facts import facts_of
from unfreeze.data.photos import archive, parquet, table
from unfreeze.errors import UserError
from unfreeze.params.plan import ImageSource


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("UNFREEZE_WORKERS", "1")


def picture(number: int, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 6), (number % 256, number // 256, 7)).save(content, kind)
    return content.getvalue()


def write(text: str, *names: str, file: str = "set/labels.csv", encoding: str = "utf-8") -> str:
    """A table and the files of these names beside it, all different; the table's path."""
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    for number, name in enumerate(names):
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / name).write_bytes(picture(number))
    return file


NAMES = [f"img/{number}.png" for number in range(6)]
LINES = "".join(f"{name},{'cat' if number % 2 else 'dog'}\n" for number, name in enumerate(NAMES))


def read(path: str, skip_broken: bool = False) -> photos.Collection:
    return photos.scan(Path(path), skip_broken)


def rows(path: str) -> set[tuple[str, str]]:
    collection = read(path)
    return {(collection.classes[photo.label], photo.sha256) for photo in collection.photos}


def test_a_table_is_the_same_as_the_folders_that_it_names():
    path = write(f"file,label\n{LINES}", *NAMES)
    for number, name in enumerate(NAMES):
        target = Path("folders", "cat" if number % 2 else "dog", Path(name).name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path("set", name).read_bytes())
    assert rows(path) == rows("folders")
    assert photos.digest(photos.settle_splits(read(path))[0]) == photos.digest(
        photos.settle_splits(read("folders"))[0])
    members = {photo.member for photo in read(path).photos}
    assert members == {f"{'cat' if number % 2 else 'dog'}/{number}.png" for number in range(6)}
    reader = archive.Reader(Path(path))
    assert reader.read("cat/1.png") == Path("set/img/1.png").read_bytes()
    with pytest.raises(UserError, match="missing from the table"):
        reader.read("img/1.png")


@pytest.mark.parametrize("header", [
    "filename,class", "Image_Path,Species", "image,target", "label,file", "id;dx", "path\tlabel",
    "\ufefffile,label", "file,label,extra"])
def test_usual_names_of_columns_are_known(header):
    delimiter = next((each for each in ";\t" if each in header), ",")
    first = header.startswith("label")
    lines = [line.split(",") for line in LINES.splitlines()]
    text = "\n".join(delimiter.join(line[::-1] if first else line) for line in lines)
    path = write(f"{header}\n{text}\n", *NAMES)
    assert len(rows(path)) == 6 and read(path).classes == ("cat", "dog")


def test_other_columns_are_named_behind_the_path():
    path = write("where,which,why\n" + LINES.replace("\n", ",x\n"), *NAMES)
    with pytest.raises(UserError) as refused:
        read(path)
    assert str(refused.value) == (
        "set/labels.csv: which column holds the file? It has where, which, why; name it: dataset: "
        "set/labels.csv#path=COLUMN")
    assert len(rows(f"{path}#path=where,label=which")) == 6
    with pytest.raises(UserError, match="has no column what; it has where, which, why"):
        read(f"{path}#path=what")
    with pytest.raises(UserError, match="kind=x names no column; allowed behind # are path=COLUMN"):
        read(f"{path}#kind=x")


def test_files_may_be_named_by_the_end_of_their_path_or_without_their_kind():
    text = "id,label\n" + "".join(f"{number},{'cat' if number % 2 else 'dog'}\n"
                                  for number in range(6))
    assert len(rows(write(text, *NAMES))) == 6
    path = write(text, "other/3.png")
    with pytest.raises(UserError, match="may be img/3.png or other/3.png; name the folder too"):
        read(path)


def test_splits_and_names_that_are_alike():
    path = write("file,label,split\na/1.png,cat,Training\nb/1.png,dog,Training\na/2.png,cat,test\n"
                 "b/2.png,dog,test\na/3.png,cat,valid\nb/3.png,dog,valid\n",
                 "a/1.png", "b/1.png", "a/2.png", "b/2.png", "a/3.png", "b/3.png")
    collection, note = photos.settle_splits(read(path))
    assert Counter(photo.split for photo in collection.photos) == {"train": 4, "test": 2}
    assert {photo.member for photo in collection.photos if photo.split == "test"} == {
        "test/cat/a--2.png", "test/dog/b--2.png"}
    assert note == "val/ joins the training images"
    assert len(read(f"{path}#split=").photos) == 6  # left out
    assert {photo.split for photo in read(f"{path}#split=").photos} == {"train"}
    path = write("file,label,split\n" + LINES.replace("\n", ",3\n"), *NAMES)
    with pytest.raises(UserError, match="its column of splits says 3; allowed are train, test"):
        read(path)


def test_listed_files_whose_names_begin_with_a_dot_are_used():
    names = [".x/1.png", "y/1.png", "y/.2.png", "y/3.png"]
    path = write("file,label\n.x/1.png,cat\ny/1.png,dog\ny/.2.png,cat\ny/3.png,dog\n", *names)
    assert {photo.member for photo in read(path).photos} == {
        "cat/_.x--1.png", "dog/y--1.png", "cat/_.2.png", "dog/3.png"}


def test_what_is_wrong_with_lines_is_one_line():
    path = write(f"file,label\n{LINES}gone.png,cat\nimg/0.png,cat\nimg/1.png,cat\nimg/2.png,\n"
                 "../out.png,cat\n,dog\n", *NAMES)
    with pytest.raises(UserError) as refused:
        read(path)
    text = str(refused.value)
    assert "\n" not in text and text.startswith("set/labels.csv: 5 files cannot be used: ")
    for words in ("line 8 (gone.png): no such file",
                  "line 9 (img\u22150.png): says otherwise than line 2 of the same file",
                  "line 11 (img\u22152.png): no label",
                  "line 12 (..\u2215out.png): lies outside of the folder of the table",
                  "line 13 (no file): no file", "skip_broken: true"):
        assert words.replace("\u2215", "\N{DIVISION SLASH}") in text
    assert len(read(path, skip_broken=True).photos) == 6


def test_files_without_a_line_and_lines_that_are_there_twice_are_told(capsys):
    path = write(f"file,label\n{LINES}img/0.png,dog\n", *NAMES, "img/new.png", "img/notes.txt")
    assert len(read(path).photos) == 6
    assert capsys.readouterr().err == (
        "warning: set/labels.csv: 1 image beside those listed has no line and is left out, such as "
        "img/new.png; 1 line is there twice\n")


def test_labels_that_differ_in_their_unicode_form_are_one():
    composed, parted = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"
    found = read(write(f"file,label\nimg/0.png,{composed}\nimg/1.png,{parted}\nimg/2.png,dog\n"
                       f"img/3.png,dog\nimg/0.png,{parted}\n", *NAMES))
    assert found.classes == (composed, "dog") and len(found.photos) == 4 and not found.problems


@pytest.mark.parametrize(("content", "words"), [
    ("", "is empty"), ("file,label\n", "has no line below its columns"),
    ("file,label\nimg/0.png,cat\nimg/1.png,cat\n", "has 1 class (cat)"),
    ("file,label\nimg/0.png,a/b\nimg/1.png,a-b\nimg/2.png,c\nimg/3.png,c\n",
     "the labels a-b and a/b cannot be told apart"),
])
def test_tables_that_say_nothing(content, words):
    path = write(content, *NAMES)
    with pytest.raises(UserError) as refused:
        read(path)
    assert words in str(refused.value)


def test_labels_may_be_anything_and_texts_of_windows_are_read():
    path = write("file,label\nimg/0.png,r\u00e9d\nimg/1.png,r\u00e9d\nimg/2.png,.x/1\n"
                 "img\\3.png,.x/1\n", *NAMES[:4], encoding="latin-1")
    assert read(path).classes == ("_.x-1", "r\u00e9d")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_is_told_by_its_first_bytes(encoding):
    mark = "\ufeff" if encoding == "utf-16-be" else ""  # "utf-16" writes its own
    path = write(f"{mark}file,label\n{LINES}".replace("cat", "r\u00e9d"), *NAMES, encoding=encoding)
    assert read(path).classes == ("dog", "r\u00e9d")


def test_a_name_that_no_file_can_have_is_told():
    path = write(f"file,label\n{LINES}a\0b.png,cat\n", *NAMES)
    with pytest.raises(UserError) as refused:
        facts_of(path, False)
    assert "1 file cannot be used: 'line 8 (a\\x00b.png)': no such file" in str(refused.value)


def test_a_link_out_of_the_folder_is_not_followed():
    path = write(f"file,label\n{LINES}", *NAMES)
    Path("secret.png").write_bytes(picture(99))
    Path("set/img/0.png").unlink()
    Path("set/img/0.png").symlink_to(Path("secret.png").resolve())
    with pytest.raises(UserError, match="a symbolic link that leads out of the folder"):
        read(path)


def test_facts_know_a_table_and_notice_its_changes():
    path = write(f"file,label\n{LINES}", *NAMES)
    known = facts_of(path, False)
    assert (known.classes, known.train, known.test, known.side) == (2, 4, 2, 6)
    assert known.source.title == "labels" and known.name.startswith("own-labels-")
    assert facts_of(f"{path}#label=label", False).source.digest == known.source.digest
    assert facts_of(f"{path}#label=label", False).source.title == "labels"
    write(f"file,label\n{LINES}".replace("0.png,dog", "0.png,cat"))
    assert facts_of(path, False).source.digest != known.source.digest
    assert own.is_own("labels.csv") and own.is_own("labels.csv#label=x") and own.is_own("x.parquet")


# Groups


def grouped(lines: list[tuple[str, str, str]]) -> str:
    """A table of (label, split, group), a picture for each."""
    names = [f"img/{number}.png" for number in range(len(lines))]
    split = any(split for _, split, _ in lines)
    text = "file,label,patient" + ",split" * split + "\n" + "".join(
        f"{name},{label},{group}" + f",{part}" * split + "\n"
        for name, (label, part, group) in zip(names, lines, strict=True))
    return write(text, *names)


PATIENTS = [("ill" if patient % 3 else "well", "", f"p{patient}") for patient in range(30)
            for _ in range(1 + patient % 4)]


def test_a_group_is_on_one_side_of_the_split():
    collection, note = photos.settle_splits(read(grouped(PATIENTS)))
    sides: dict[str, set[str]] = {}
    for photo in collection.photos:
        sides.setdefault(photo.group, set()).add(photo.split)
    assert len(sides) == 30 and all(len(splits) == 1 for splits in sides.values())
    assert "groups" in note
    counts = Counter((photo.split, photo.label) for photo in collection.photos)
    for label in (0, 1):
        share = counts["test", label] / (counts["test", label] + counts["train", label])
        assert 0.1 < share < 0.35
    other = photos.settle_splits(read(grouped(PATIENTS)))[0]
    assert other == collection


def test_a_group_on_both_sides_is_refused():
    path = grouped([("ill", "train", "p1"), ("well", "train", "p2"), ("ill", "test", "p1"),
                    ("well", "test", "p3")])
    with pytest.raises(UserError, match="1 group is among the training and the test images, such "
                                        "as p1"):
        photos.settle_splits(read(path))


def test_a_class_of_one_group_is_refused():
    path = grouped([("ill", "", "p1")] * 4 + [("well", "", f"p{n}") for n in range(2, 9)])
    with pytest.raises(UserError, match="all images of ill belong to one group"):
        photos.settle_splits(read(path))


def test_groups_reach_the_subsets():
    path = grouped(PATIENTS)
    source = ImageSource("photos", path=path)
    folder = Path("data/own")
    fetch.fetch("own", source, folder, folder)
    groups, labels = subsets.load_groups(folder), np.load(folder / "train_labels.npy")
    assert len(groups) == len(labels) and len(set(groups.tolist())) < len(groups)
    drawn = subsets.draw(labels, np.array([0, 1]), 0.3, 1.0, 1, groups=groups)
    assert not set(groups[drawn["train"]]) & set(groups[drawn["validation"]])
    assert 0.15 < len(drawn["validation"]) / len(labels) < 0.45
    assert set(labels[drawn["train"]]) == {0, 1} == set(labels[drawn["validation"]])
    held = [subsets.draw(labels, np.array([0, 1]), 0.0, 1.0, 1, fold=fold, folds=4, groups=groups)
            for fold in range(4)]
    assert sorted(sum((each["validation"] for each in held), [])) == list(range(len(labels)))
    for each in held:
        assert not set(groups[each["train"]]) & set(groups[each["validation"]])
    sizes = [len(each["validation"]) for each in held]
    assert max(sizes) - min(sizes) <= 3
    # The same images without groups are another dataset, and have none.
    plain = photos.settle_splits(read(f"{path}#group="))[0]
    assert photos.digest(plain) != photos.digest(photos.settle_splits(read(path))[0])
    fetch.fetch("plain", ImageSource("photos", path=f"{path}#group="), Path("data/plain"),
                Path("data/plain"))
    assert subsets.load_groups(Path("data/plain")) is None
    assert places.TRAIN_GROUPS == "train_groups.npy"


def test_more_folds_than_groups_are_refused():
    labels, groups = np.array([0, 1] * 6), np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    with pytest.raises(UserError, match="5 folds need as many groups, and 3 are used"):
        subsets.draw(labels, labels, 0.0, 1.0, 1, fold=0, folds=5, groups=groups)


def test_groups_that_leave_no_validation_image_are_refused():
    labels = np.array([0, 1] * 6)
    with pytest.raises(UserError) as refused:
        subsets.draw(labels, labels, 0.25, 1.0, 1, groups=labels)  # a group for each class
    assert str(refused.value) == (
        "validation 0.25 holds out no image: no whole group can be spared from training; set "
        "validation: 0 and search_folds: 2 or more, or leave the groups out")
    assert not subsets.draw(labels, labels, 0.0, 1.0, 1, groups=labels)["validation"]


# Parquet


def parquet_file(file: str, first: int, count: int, features: bool = True) -> None:
    """As Hugging Face's library writes it."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table
    images = [{"bytes": picture(first + number), "path": f"{first + number}.png"}
              for number in range(count)]
    written = arrow.table({"image": images, "label": [number % 2 for number in range(count)]})
    if features:
        written = written.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": {
            "image": {"_type": "Image"},
            "label": {"_type": "ClassLabel", "names": ["caf\u00e9", "tea"]}}}})})
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    write_table(written, file)


def test_parquet_files_of_a_dataset():
    parquet_file("set/data/train-00000-of-00002.parquet", 0, 6)
    parquet_file("set/data/train-00001-of-00002.parquet", 6, 4)
    parquet_file("set/data/test-00000-of-00001.parquet", 10, 4)
    Path("set/README.md").write_text("a card")
    collection = read("set")
    assert collection.classes == ("caf\u00e9", "tea")
    assert Counter(photo.split for photo in collection.photos) == {"train": 10, "test": 4}
    known = facts_of("./set", False)
    assert (known.classes, known.train, known.test) == (2, 10, 4)
    single = facts_of("set/data/train-00000-of-00002.parquet", False)
    assert (single.classes, single.train, single.test) == (2, 4, 2)


def test_parquet_without_the_names_of_its_labels():
    parquet_file("set/images.parquet", 0, 8, features=False)
    assert read("set").classes == ("0", "1")


def parquet_rows(file: str, images: list, labels: list, features: dict | None = None) -> None:
    """Rows as they are given."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table
    written = arrow.table({"image": images, "label": labels})
    if features:
        written = written.replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": features}})})
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    write_table(written, file)


def test_a_parquet_file_of_no_split_beside_others_is_refused():
    pytest.importorskip("pyarrow")
    for name in ("train-0.parquet", "test-0.parquet", "extra-0.parquet"):
        Path("set", name).parent.mkdir(exist_ok=True)
        Path("set", name).touch()
    with pytest.raises(UserError) as refused:
        list(parquet.images(Path("set")))
    assert str(refused.value) == (
        "set/extra-0.parquet: is of which split? Other files beside it are named by theirs; name "
        "it such as train-1.parquet, or move it away")


@pytest.mark.parametrize(("labels", "features"), [
    ([0, 1, 0, 1, -1, None, 2], {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}),
    (["cat", "dog", "cat", "dog", None, " ", None], None),
    ([0.0, 1.0, 0.0, 1.0, None, float("nan"), None], None)])
def test_parquet_rows_without_a_label(labels, features):
    parquet_rows("set/x.parquet", [picture(number) for number in range(7)], labels, features)
    with pytest.raises(UserError) as refused:
        read("set")
    assert str(refused.value).startswith(
        "set: 3 files cannot be used: x-000004: no label; x-000005: no label; x-000006: no label.")
    collection = read("set", skip_broken=True)
    assert len(collection.photos) == 4 and len(collection.classes) == 2


def test_parquet_with_names_of_files_for_images():
    parquet_rows("set/x.parquet", ["a.png", "b.png"], ["cat", "dog"])
    with pytest.raises(UserError, match="2 files cannot be used: cat/x-000000: no image in it, "
                                        "but what may be the name of one"):
        read("set")


@pytest.mark.parametrize("features", [
    {"boxes": [{"_type": "Value"}], "label": [{"_type": "Value"}], "image": {"_type": "Image"}},
    ["image"]])
def test_parquet_with_columns_of_lists(features):
    parquet_rows("set/x.parquet", [picture(number) for number in range(4)], [0, 1, 0, 1], features)
    assert read("set").classes == ("0", "1")


@pytest.mark.parametrize("stray", ["set/x.parquet", "set/data/x.parquet"])
def test_a_parquet_file_beside_folders_of_classes_is_told(stray):
    write("", "cat/0.png", "cat/1.png", "dog/2.png", "dog/3.png", file="set/.csv")
    Path(stray).parent.mkdir(exist_ok=True)
    Path(stray).write_bytes(b"PAR1")
    with pytest.raises(UserError, match="1 file cannot be used: (data/)?x.parquet: "):
        read("set")


def test_hidden_parquet_files_are_passed_over():
    for file in ("set/x.parquet", "set/._x.parquet", "set/.git/x"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
    assert parquet.files_of(Path("set")) == [Path("set/x.parquet")]
    assert parquet.files_of(Path("set/._x.parquet")) == [Path("set/._x.parquet")]
    Path("set/x.parquet").unlink()
    assert parquet.files_of(Path("set")) == []


def test_parquet_that_is_none():
    pytest.importorskip("pyarrow")
    Path("set").mkdir()
    Path("set/x.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match="x.parquet: cannot be read"):
        read("set")


def test_without_pyarrow_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    Path("set").mkdir()
    Path("set/x.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="read with pyarrow, which is not installed"):
        read("set")


def test_is_table():
    assert table.is_table("a/b.csv") and table.is_table("a/b.TSV#x=y")
    assert not table.is_table("a/b.zip") and table.file_of("a#b/c.csv#x=y") == Path("a#b/c.csv")
