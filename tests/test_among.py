"""What a stage makes in a folder takes the place of what it made there before, and of nothing
else."""

import errno
import os
from pathlib import Path

import pytest

from unfreeze import among, files
from unfreeze.errors import UserError


def put(folder, **contents):
    with among.others(folder) as new:
        for name, content in contents.items():
            place = new / name.replace("__", "/").replace("_", ".")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content)


def content(folder):
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*")
            if file.is_file() and file.name != among.LIST}


def test_what_was_made_is_replaced_and_what_was_not_stays(tmp_path):
    folder = tmp_path / "metrics"
    put(folder, score_json="1", runs__a_json="a", runs__b_json="b", old__only_json="c")
    mine = {"notes.txt": "mine", "runs/mine.json": "mine", "own/deep/er.png": "mine"}
    for name, text in mine.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    put(folder, score_json="2", runs__b_json="bb", runs__c_json="c")
    assert content(folder) == mine | {"score.json": "2", "runs/b.json": "bb", "runs/c.json": "c"}
    assert not (folder / "old").exists()
    assert among.made(folder) == ["runs/b.json", "runs/c.json", "score.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics"]


def test_what_a_killed_process_has_left_half_written_goes(tmp_path):
    folder = tmp_path / "metrics"
    put(folder, score_json="1")
    files.unfinished(folder).mkdir()
    files.unfinished(folder / among.LIST).write_text("half")
    (folder / ".mine.0.part").write_text("mine")
    put(folder, score_json="2")
    assert content(folder) == {"score.json": "2", ".mine.0.part": "mine"}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics"]


def test_what_an_experiment_would_take_is_told(tmp_path, capsys):
    put(tmp_path / "tables", a_csv="1")
    assert capsys.readouterr().err == ""
    (tmp_path / "tables/mine.csv").write_text("mine")
    (tmp_path / "tables/more").mkdir()
    (tmp_path / "tables/more/notes.txt").write_text("mine")
    put(tmp_path / "tables", b_csv="1")
    told = capsys.readouterr().err
    assert told.startswith(f"warning: {tmp_path}/tables/mine.csv and 1 more in {tmp_path}/tables: ")
    assert "`dvc exp apply` would bring back" in told and told.count("\n") == 1
    for outputs, words in ((["runs"], ""), (["runs", "more"], "more/notes.txt: not of")):
        with among.others(tmp_path / "tables", outputs) as new:
            (new / "runs").mkdir()
            (new / "runs/a.json").write_text("1")
        told = capsys.readouterr().err
        assert words in told and bool(words) == bool(told)


@pytest.mark.parametrize("mine", ["new.csv", "more", "more/table.csv"])
def test_a_file_of_the_user_s_own_is_never_replaced(tmp_path, mine):
    put(tmp_path / "tables", a_csv="1")
    (tmp_path / "tables" / mine).parent.mkdir(exist_ok=True)
    (tmp_path / "tables" / mine).write_text("mine")
    with pytest.raises(UserError, match=f"tables/{mine}: lies where `dvc repro` is to put a file"):
        put(tmp_path / "tables", a_csv="2", new_csv="2", more__table_csv="2")
    assert content(tmp_path / "tables") == {"a.csv": "1", mine: "mine"}


def test_the_same_content_is_no_conflict_nor_is_an_earlier_version_s(tmp_path):
    put(tmp_path / "tables", a_csv="1")
    (tmp_path / "tables/new.csv").write_text("2")
    put(tmp_path / "tables", a_csv="1", new_csv="2")
    (tmp_path / "tables" / among.LIST).unlink()  # as versions had it that kept no list
    put(tmp_path / "tables", a_csv="3", new_csv="3")
    assert content(tmp_path / "tables") == {"a.csv": "3", "new.csv": "3"}


def test_a_link_is_replaced_and_not_what_it_leads_to(tmp_path):
    put(tmp_path / "tables", a_csv="1")
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "tables/a.csv").unlink()
    (tmp_path / "tables/a.csv").symlink_to(tmp_path / "elsewhere")
    put(tmp_path / "tables", a_csv="2")
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert not (tmp_path / "tables/a.csv").is_symlink()


def test_a_folder_may_be_a_link_to_another_disk(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "tables").symlink_to("disk")
    replace = os.replace

    def across(source, target):
        if Path(source).parent.resolve() != Path(target).parent.resolve():
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, target)

    monkeypatch.setattr(os, "replace", across)
    put(tmp_path / "tables", a_csv="1")
    files.unfinished(tmp_path / "disk/a.csv").write_text("of a process that was killed")
    put(tmp_path / "tables", a_csv="2", more__b_csv="2")
    assert content(tmp_path / "disk") == {"a.csv": "2", "more/b.csv": "2"}
    assert (tmp_path / "tables").is_symlink()


def test_a_list_that_names_what_lies_outside_deletes_nothing_there(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    put(tmp_path / "tables", a_csv="1")
    (tmp_path / "tables" / among.LIST).write_text(
        f"../mine.txt\n{tmp_path}/mine.txt\n.\n<<<<<<< HEAD\na.csv\n")
    put(tmp_path / "tables", b_csv="1")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert content(tmp_path / "tables") == {"b.csv": "1"}


def test_when_filling_fails_nothing_changes_and_what_a_killed_one_left_goes(tmp_path):
    put(tmp_path / "tables", a_csv="1")
    (tmp_path / ".tables.0123456789abcdef.part").mkdir()
    with pytest.raises(ZeroDivisionError), among.others(tmp_path / "tables") as new:
        (new / "a.csv").write_text(str(1 / 0))
    assert content(tmp_path / "tables") == {"a.csv": "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]
