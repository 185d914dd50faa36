"""`unfreeze predict`: what a study's models say of pictures is what they said in training."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import trained_study
from helpers import TINY
from trained_study import CLASSES, SEEDS, photo, saved
from unfreeze import command, files, models, places, supervision
from unfreeze.data.photos.preprocess import preprocess
from unfreeze.data.reading.resizing import resize
from unfreeze.errors import UserError
from unfreeze.scoring.predictions import softmax
from unfreeze.using import opening, predict, scored, sheet, tables, trained, writing
from unfreeze.using.pictures import Picture, prepared


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(folder of the study, folder of its photos)"""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("whole")
        patch.setenv("UNFREEZE_SCRATCH", str(folder / "scratch"))
        patch.setenv("UNFREEZE_WORKERS", "1")
        patch.setenv("UNFREEZE_DEVICE", "cpu")
        patch.setenv("UNFREEZE_PRECISION", "fp32")
        patch.setitem(models.by_model(), "tiny", TINY)
        images = trained_study.photos(folder / "photos")
        yield trained_study.make(folder / "studies" / "flowers", images), images


@pytest.fixture
def study(whole):
    return whole[0]


@pytest.fixture
def test_photos(whole):
    return whole[1] / "test"


def copied(study, tmp_path):
    """A copy of a study to damage."""
    return shutil.copytree(study, tmp_path / "copy")


def asked(*words, **options):
    """What `unfreeze predict` does with these words."""
    given = {"seed": None, "top": 1, "form": "csv", "to": None, "page": None} | options
    writing.write([str(word) for word in words], **given)


def refused(function, *arguments, **named) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments, **named)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# --- As in training


def test_of_the_test_photos_it_says_bit_for_bit_what_the_pipeline_said(study, test_photos):
    """Photos that are turned, grey, CMYK, of 16 bits and transparent are among them."""
    found = predict.predict(study, None, [test_photos])
    kept = files.read_arrays(study / places.RUNS / "base" / "predictions.npz")
    assert found.seeds == SEEDS and found.run == "base" and found.problems == []
    assert found.logits.tobytes() == kept["logits"].tobytes()
    assert [picture.label for picture in found.pictures] == kept["labels"].tolist()
    single = predict.predict(study, "base", [test_photos], seed=SEEDS[1])
    assert single.logits.tobytes() == kept["logits"][1:].tobytes()


def test_probabilities_are_scaled_by_each_models_temperature_and_averaged(study, test_photos):
    found = predict.predict(study, None, [test_photos])
    run = trained.open_run(study, "base")
    scales = [run.temperature(seed) for seed in SEEDS]
    assert len(set(scales)) == 2 and found.scaled
    expected = sum(softmax(one.astype(float) / scale)
                   for one, scale in zip(found.logits, scales, strict=True)) / 2
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-12)


def test_archives_and_single_files_say_the_same(study, test_photos, tmp_path):
    found = predict.predict(study, None, [test_photos])
    members = sorted(path for path in test_photos.rglob("*") if path.is_file())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for path in members:
            packed.write(path, path.relative_to(test_photos))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as packed:
        packed.add(test_photos, "around")
    for name, inside in (("a.zip", ""), ("a.tar.gz", "/around")):
        other = predict.predict(study, None, [tmp_path / name])
        assert other.logits.tobytes() == found.logits.tobytes()
        assert [picture.path for picture in other.pictures] == [
            picture.path.replace(str(test_photos), f"{tmp_path}/{name}{inside}")
            for picture in found.pictures]
    (single,) = predict.predict(study, None, [members[3]]).pictures
    assert (single.path, single.label) == (str(members[3]), None)


def test_a_table_of_labels_says_which_pictures_and_their_classes(study, test_photos, tmp_path):
    found = predict.predict(study, None, [test_photos])
    lines = [f"{picture.path},{CLASSES[picture.label]}" for picture in found.pictures]
    (test_photos.parent / "labels.csv").write_text("\n".join(["where,what", *(
        line.replace(f"{test_photos.parent}/", "") for line in lines)]))
    named = Path(f"{test_photos.parent}/labels.csv#path=where,label=what")
    study_, run, paths = writing.parted([str(study), str(named)])
    other = predict.predict(study_, run, paths)
    assert [picture.label for picture in other.pictures] == [
        picture.label for picture in found.pictures]
    assert sorted(other.logits[0].tolist()) == sorted(found.logits[0].tolist())


def test_small_pictures_are_resized_as_stored_arrays_where_training_read_those(study, tmp_path):
    """The same torch function, to the last bit; large ones as photos."""
    recipe = trained.open_run(study, "base").recipe
    recipe = replace(recipe, dataset=replace(recipe.dataset, decoded=""))
    small, large = photo(1, 0), photo(2, 1, 300, 400)
    for name, pixels in (("a.png", small), ("b.png", large)):
        (tmp_path / name).write_bytes(saved(pixels))
    with prepared([tmp_path], recipe) as found:
        first, second = found.stored[found.rows]
    expected = resize(torch.from_numpy(small.copy())[None], recipe.preprocessing)[0].numpy()
    assert (first == expected).all()
    assert (second == preprocess(saved(large), recipe.preprocessing)).all()


# --- What comes out


def test_a_table_of_awkward_names(study, tmp_path, capsys):
    names = ["a,b.png", "new\nline.png", 'quo"te.png', "ümläut.png", "-dash.png"]
    for seed, name in enumerate(names):
        (tmp_path / name).write_bytes(saved(photo(seed, 0)))
    asked(study, tmp_path, top=3)
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == ["path", "class", "probability", "class_2", "probability_2", "class_3",
                       "probability_3"]
    assert sorted(row[0] for row in rows[1:]) == sorted(f"{tmp_path}/{name}" for name in names)
    for row in rows[1:]:
        shares = [float(cell) for cell in row[2::2]]
        assert set(row[1::2]) == set(CLASSES) and shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1, abs=1e-5)
    asked(study, tmp_path, form="jsonl", top=2)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["path"] for line in lines] == [row[0] for row in rows[1:]]
    assert [[one["class"] for one in line["top"]] for line in lines] == [
        row[1:5:2] for row in rows[1:]]


def test_where_folders_are_named_as_classes_it_is_scored(study, test_photos, tmp_path, capsys):
    asked(study, test_photos, to=tmp_path / "table.csv")
    rows = files.read_csv(tmp_path / "table.csv")
    right = sum(row["class"] == row["label"] for row in rows)
    said = capsys.readouterr()
    assert said.out == "" and f"{len(rows)} pictures lie in folders named as classes" in said.err
    accuracy = 100 * right / len(rows)
    assert f"{accuracy:.1f} % (" in said.err
    assert "training images of the study" not in said.err
    asked(study, test_photos.parent / "train", to=tmp_path / "table.csv")
    assert "warning: 36 of the 36 pictures are training images" in capsys.readouterr().err
    found = scored.scored(predict.predict(study, None, [test_photos]))
    effect = found.effects["accuracy"]
    assert effect.mean == pytest.approx(accuracy) and effect.low < accuracy < effect.high


def test_what_cannot_be_read_is_listed_and_the_rest_is_done(study, tmp_path, capsys):
    (tmp_path / "good.png").write_bytes(saved(photo(0, 0)))
    (tmp_path / "cut.jpg").write_bytes(saved(photo(1, 0), "JPEG")[:-100])
    (tmp_path / "none.png").write_bytes(b"this is no image")
    (tmp_path / "empty.png").write_bytes(b"")
    assert "3 of 4 pictures could not be read" in refused(asked, study, tmp_path)
    said = capsys.readouterr()
    assert [row.partition(",")[0] for row in said.out.splitlines()] == [
        "path", f"{tmp_path}/good.png"]
    for name, why in (("cut.jpg", "truncated"), ("none.png", "no image"),
                      ("empty.png", "an empty file")):
        assert any(name in line and why in line for line in said.err.splitlines())
    (tmp_path / "good.png").unlink()
    table = tmp_path.parent / "named.csv"
    table.write_text("path,class,probability\na,b,1\n")
    assert "none of 3 pictures could be read; they are listed above, and nothing" in refused(
        asked, study, tmp_path, to=table)
    assert "none.png: no image" in refused(asked, study, tmp_path / "none.png", to=table)
    assert table.read_text().endswith("a,b,1\n") and capsys.readouterr().out == ""


def test_the_sheet_shows_the_least_certain_first_and_no_name_is_markup(study, tmp_path):
    folder = tmp_path / "green"
    folder.mkdir()
    (folder / "<img src=x onerror=alert(1)>.png").write_bytes(saved(photo(0, 1)))
    for seed in range(5):
        (folder / f"{seed}.png").write_bytes(saved(photo(seed, seed % 3, 300, 400)))
    page = tmp_path / "sheet.html"
    asked(study, tmp_path, page=page, to=tmp_path / "t.csv")
    text = page.read_text()
    assert "<img src=x" not in text and "&lt;img src=x" in text and "http" not in text.replace(
        "http-equiv", "")
    assert text.count("data:image/jpeg;base64,") == 6
    found = predict.predict(study, None, [tmp_path / "green"])
    order = found.probabilities.max(axis=1).argsort()
    places_ = [text.index(f"<small>{sheet._escape(found.pictures[row].path)}") for row in order]
    assert places_ == sorted(places_)
    asked(study, tmp_path / "green", page=page, to=tmp_path / "t.csv")  # its own is replaced


def test_a_sheet_that_git_would_take_is_said(study, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(saved(photo(0, 0)))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("ignored*\n")
    for name, warned in (("sheet.html", True), ("ignored.html", False)):
        asked(study, tmp_path / "a.png", page=tmp_path / name, to=tmp_path / "t.csv")
        assert ("git would take it" in capsys.readouterr().err) == warned


# --- Which study, which run, which pictures


def test_words_are_study_run_and_paths(whole, tmp_path, monkeypatch):
    study, images = whole
    monkeypatch.chdir(study.parents[1])
    assert writing.parted(["flowers", "photos"])[:2] == (study, None)
    assert writing.parted(["studies/flowers", "base", "photos"])[1] == "base"
    monkeypatch.chdir(study)
    study_, run, paths = writing.parted(["base", str(images)])
    assert (str(study_), run, paths) == (".", "base", [images])
    assert "base2: no such picture" in refused(writing.parted, ["base2", str(images)])
    monkeypatch.chdir(study.parents[1])
    for line, meant in ((["flowrs", "."], "flowers"), (["flowrs"], "flowers")):
        assert f"is no study (did you mean {meant!r}?)" in refused(writing.parted, line)
    (study.parents[1] / "params.yaml").write_text("")
    (study.parents[1] / "dvc.yaml").write_text("")
    (study.parents[1] / "recipes").mkdir()
    (study.parents[1] / "recipes/full.yaml").write_text("")
    assert ("flowrs: no such picture, folder or archive, no study, and no run of this folder (did "
            "you mean 'flowers'?)") in refused(writing.parted, ["flowrs", str(images)])
    for name in ("params.yaml", "dvc.yaml", "recipes/full.yaml"):
        (study.parents[1] / name).unlink()
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    assert [str(path) for path in writing.parted([str(study), "./base"])[2]] == ["base"]


@pytest.mark.parametrize(("words", "expected"), [
    (["nowhere", "photos"], ["nowhere", "is no study"]),
    (["STUDY", "bse", "PHOTOS"], ["bse", "did you mean 'base'?", "its runs are base"]),
    (["STUDY", "gone.jpg"], ["gone.jpg", "no such picture, folder or archive"]),
    (["STUDY"], ["no picture is named"]),
    (["STUDY", "EMPTY"], ["no picture is in there"]),
    (["STUDY", "PIPE"], ["a pipe, a socket or a device"]),
    (["STUDY", "/proc"], ["belongs to the system"]),
    (["STUDY", os.fsdecode(b"gr\xfcn.png")], ["is a name that is not UTF-8"]),
])
def test_what_cannot_be_meant_is_one_line(whole, tmp_path, monkeypatch, words, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    put = {"STUDY": whole[0], "PHOTOS": whole[1], "EMPTY": tmp_path / "empty",
           "PIPE": tmp_path / "pipe"}
    (tmp_path / os.fsdecode(b"gr\xfcn.png")).write_bytes(saved(photo(0, 0)))
    message = refused(asked, *(put.get(word, word) for word in words))
    for word in expected:
        assert word in message


@pytest.mark.parametrize(("damage", "expected"), [
    (lambda study: [path.unlink() for path in (study / "recipes").iterdir()],
     ["has not been run", "dvc repro"]),
    (lambda study: (study / "plots/tables/recommendation.csv").unlink(),
     ["recommends no run yet", "name one of base"]),
    (lambda study: (study / "plots/tables/recommendation.csv").write_text("run,recommended\n"),
     ["recommends no run (report.md says why)", "base"]),
    (lambda study: (study / "_made/runs/base/model.safetensors").unlink(),
     ["the models of base are not here", "dvc pull"]),
    (lambda study: files.write_json(study / "metrics/details/base.json", {"failed": "diverged"}),
     ["base failed (diverged)"]),
    (lambda study: (study / "_made/runs/base/model.safetensors").write_bytes(b"0" * 99),
     ["missing or damaged"]),
    (lambda study: (study / "_made/runs/base/predictions.npz").write_bytes(b"0" * 99),
     ["is damaged"]),
    (lambda study: (study / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  train@base:\n    deps:\n    - {path: recipes/base.yaml, "
        "md5: abc}\n  other:\n    cmd: x\n"), ["not the one that dvc.lock notes"]),
])
def test_a_study_that_is_not_as_it_was_trained(study, test_photos, tmp_path, damage, expected):
    copy = copied(study, tmp_path)
    damage(copy)
    message = refused(predict.predict, copy, None, [test_photos])
    for word in expected:
        assert word in message


def test_a_run_that_diverged_has_no_model(study, test_photos, tmp_path):
    copy = copied(study, tmp_path)
    file = copy / places.RUNS / "base" / "predictions.npz"
    arrays = dict(np.load(file))
    arrays["logits"][1] = np.nan
    np.savez(file, **arrays)
    assert "training diverged" in refused(predict.predict, copy, None, [test_photos])


def test_outputs_that_are_somebody_elses_stay(study, test_photos, tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text("my,own\n")
    assert "was not written by unfreeze" in refused(asked, study, test_photos, to=mine)
    assert mine.read_text() == "my,own\n"
    assert "is a folder" in refused(asked, study, test_photos, to=tmp_path)
    assert "no such folder" in refused(asked, study, test_photos, to=tmp_path / "a/b.csv")
    assert "must end in .html" in refused(asked, study, test_photos, page=tmp_path / "sheet.txt")
    assert "--top 4: base knows 3 classes; allowed: 1 to 3" in refused(
        asked, study, test_photos, top=4)
    assert "--seed 5: base has none; its seeds are 42, 7" in refused(
        asked, study, test_photos, seed=5)


def test_an_output_replaces_neither_links_nor_devices_nor_a_list_of_pictures(tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "gone.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("link.csv", "pipe.csv", "/dev/null"):
        assert "is a link, a pipe or a device" in refused(
            writing.check_output, tmp_path / name, tables.START)
    mine = tmp_path / "mine.jsonl"
    for row in ({"path": "a.png"}, {"path": "a.png", "class": "red"},
                {"path": "a.png", "label": "red", "probability": 1}):
        mine.write_text(json.dumps(row) + "\n")
        assert "was not written by unfreeze" in refused(writing.check_output, mine, tables.START)


def test_the_table_and_the_sheet_are_two_files(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "parted", lambda words: (tmp_path, None, [tmp_path]))
    monkeypatch.chdir(tmp_path)
    assert "--to and --sheet: both name a.html" in refused(
        asked, to=tmp_path / "a.html", page=Path("a.html"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", tables.FORMATS)
def test_an_earlier_table_is_known_whatever_its_names(tmp_path, form):
    file, picture = tmp_path / "table", Picture('"\\,\n' + 300 * "a", None, "", b"")
    found = predict.Predicted(tmp_path, "base", (1,), ('a "b"', "\\"), [picture], [],
                              np.zeros((1, 1, 2)), np.array([[0.3, 0.7]]), True, 0)
    file.write_text(tables.text(found, form, 2))
    writing.check_output(file, tables.START)


def test_the_exit_status_says_whether_all_was_read(study, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.png").write_bytes(saved(photo(0, 0)))
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(supervision, "begin", lambda name: None)  # which goes on in a child
    monkeypatch.setattr(sys, "argv", ["unfreeze", "predict", str(study), str(tmp_path)])
    command.main()
    assert ended == [0]
    (tmp_path / "b.png").write_bytes(b"none")
    with pytest.raises(SystemExit) as left:
        command.main()
    assert ended == [0] and str(left.value).startswith("error: 1 of 2 pictures")
    assert capsys.readouterr().out.count("a.png") == 2


def test_nothing_is_left_in_the_scratch_folder(study, test_photos, tmp_path, monkeypatch):
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path))
    predict.predict(study, None, [test_photos / CLASSES[0]])
    assert list((tmp_path / "pictures").iterdir()) == []


# --- The report


def test_open_prints_the_path_and_opens_it_where_there_is_a_display(study, tmp_path, monkeypatch,
                                                                    capsys):
    opened = []
    monkeypatch.setattr(opening.webbrowser, "open", opened.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert "has not been run" in refused(opening.open_report, study)
    page = copied(study, tmp_path) / places.PAGE
    page.write_text("the report")
    opening.open_report(tmp_path / "copy")
    assert capsys.readouterr().out == f"{page}\n" and opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    opening.open_report(tmp_path / "copy")
    assert opened == [page.as_uri()]
