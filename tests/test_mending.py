"""A dvc.lock that DVC was stopped in writing, and files of its cache that are damaged."""

import hashlib
import json
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from helpers import ROOT
from unfreeze import mending
from unfreeze.errors import UserError
from unfreeze.verbs import mend

LOCK = (ROOT / "dvc.lock").read_bytes()


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The folder of a study in git, whose dvc.lock is committed."""
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "dvc.lock").write_bytes(LOCK)
    for command in (["init", "-q"], ["add", "-A"],
                    ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def cut(content: bytes, share: float) -> bytes:
    """A beginning of it that ends in the middle of an output."""
    place = content.index(b"    - path: ", int(len(content) * share))
    return content[:content.index(b"\n", place) + 1]


def test_a_whole_one_is_kept_aside_and_stays(study):
    assert mending.is_whole(LOCK)
    assert mending.mend_lock(study) == ""
    assert (study / "dvc.lock").read_bytes() == LOCK
    (kept,) = (study.parent / "scratch/locks").iterdir()
    assert kept.read_bytes() == LOCK


@pytest.mark.parametrize("half", ["", '{"a/b": {"re'])
def test_half_a_list_of_what_dvc_is_at_is_deleted(study, half):
    assert mending.mend_list(study) == ""
    file = study / ".dvc/tmp/rwlock"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    assert mending.mend_list(study) == "" and file.exists()
    file.write_text(half)
    assert mending.mend_list(study) == f"{file}: was half written, deleted; DVC begins a new one"
    assert not file.exists()


@pytest.fixture
def watched(study):
    """_made/watched of that study: a checkpoint beside it and a folder of photos."""
    (study.parent / "photos/red").mkdir(parents=True)
    (study.parent / "photos/red/1.jpg").write_bytes(b"")
    (study / "model.pth").write_bytes(b"")
    folder = study / "_made/watched"
    (folder / "files").mkdir(parents=True)
    (folder / "files/0-model.pth").symlink_to("../../../model.pth")
    (folder / "folder1").symlink_to(study.parent / "photos")
    (folder / "folder2").write_text("Nothing is watched here.")
    assert mending.mend_links(study) == []
    return folder


def test_a_link_to_what_is_gone_is_taken_away_and_nothing_else(study, watched):
    (study / "model.pth").unlink()
    (line,) = mending.mend_links(study)
    assert line.startswith(f"{study}/model.pth: is gone; put it back, or let params.yaml name")
    assert line.endswith(f"(the link {watched}/files/0-model.pth is taken away)")
    (study.parent / "photos").rename(study.parent / "elsewhere")
    (line,) = mending.mend_links(study)
    assert line.startswith(f"{study.parent}/photos: is gone")
    assert [path.name for path in sorted(watched.rglob("*"))] == ["files", "folder2"]
    assert (study.parent / "elsewhere/red/1.jpg").exists()


def test_so_is_one_to_photos_of_which_one_leads_nowhere(study, watched):
    lost = study.parent / "photos/red/2.jpg"
    lost.symlink_to("nowhere.jpg")
    (line,) = mending.mend_links(study)
    assert line == (f"{lost}: leads nowhere; put back what it leads to, or delete it, and run "
                    f"`dvc repro` (the link {watched}/folder1 is taken away)")
    assert lost.is_symlink() and (watched / "files/0-model.pth").is_symlink()


def test_what_may_not_be_looked_at_is_not_gone(study, watched, monkeypatch):
    stat, looked = Path.stat, []

    def refuse(path, follow_symlinks=True):
        if path.name != "folder1" or not follow_symlinks:
            return stat(path, follow_symlinks=follow_symlinks)
        looked.append(path)
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    assert mending.mend_links(study) == [] and looked


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_half_of_one_is_replaced_by_the_last_whole_one(study, share):
    half = cut(LOCK, share)
    assert not mending.is_whole(half)
    (study / "dvc.lock").write_bytes(half)
    assert "was half written" in mending.mend_lock(study)  # from git
    assert (study / "dvc.lock").read_bytes() == LOCK
    later = LOCK + b"  more:\n    cmd: 'true'\n"
    (study / "dvc.lock").write_bytes(later)
    assert mending.mend_lock(study) == ""
    (study / "dvc.lock").write_bytes(half)
    assert "of the scratch folder" in mending.mend_lock(study)
    assert (study / "dvc.lock").read_bytes() == later


@pytest.mark.parametrize("content", [
    b"", b"\0" * 500, b"schema: '2.0'\nstages:\n  plan:\n", b"stages: [", b"[]",
    b"stages: {a: {cmd: x, outs: [{path: y}]}}"])
def test_whatever_is_no_lock_is_replaced(study, content):
    (study / "dvc.lock").write_bytes(content)
    assert "was half written" in mending.mend_lock(study)
    assert (study / "dvc.lock").read_bytes() == LOCK


def test_where_none_is_whole_it_says_what_to_do(study):
    half = cut(LOCK, 0.5)
    (study / "dvc.lock").write_bytes(half)
    subprocess.run(["git", "rm", "-q", "--cached", "dvc.lock"], cwd=study, check=True)
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "y"],
                   cwd=study, check=True)
    with pytest.raises(UserError, match="delete it and run `dvc repro`"):
        mending.mend_lock(study)
    assert (study / "dvc.lock").read_bytes() == half


def test_two_versions_of_a_merge_are_not_overwritten(study):
    both = b"stages:\n<<<<<<< HEAD\n  a: {cmd: x}\n=======\n  a: {cmd: y}\n>>>>>>> other\n"
    (study / "dvc.lock").write_bytes(both)
    with pytest.raises(UserError, match="git could not join"):
        mending.mend_lock(study)
    assert (study / "dvc.lock").read_bytes() == both


def test_no_lock_is_no_fault(study):
    (study / "dvc.lock").unlink()
    assert mending.mend_lock(study) == ""


def test_damaged_files_of_the_cache_are_moved_and_no_others(tmp_path):
    folder = tmp_path / "files/md5"
    files = {}
    for name in (b"one", b"two", b"[]"):
        digest = hashlib.md5(name).hexdigest()
        files[name] = folder / digest[:2] / (digest[2:] + ".dir" * (name == b"[]"))
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_bytes(name)
    (folder / "ab").mkdir(exist_ok=True)
    (folder / "ab/notes.txt").write_text("no file of DVC's")
    files[b"two"].chmod(0o644)
    files[b"two"].write_bytes(b"twx")
    files[b"two"].chmod(0o444)
    aside = tmp_path / "damaged" / hashlib.md5(b"two").hexdigest()
    assert mending.mend_cache(tmp_path) == {str(files[b"two"]): str(aside)}
    assert [name for name, file in files.items() if file.exists()] == [b"one", b"[]"]
    assert (folder / "ab/notes.txt").exists()
    files[b"two"].write_bytes(b"twy")
    mending.mend_cache(tmp_path)
    assert (aside.read_bytes(), aside.with_name(f"{aside.name}-2").read_bytes()) == (
        b"twx", b"twy")  # neither is lost


def test_damaged_outputs_go_and_nothing_of_the_user_s(study):
    cache, made = study.parent / "cache", study / "_made"
    contents = {"plan/a.yaml": b"a", "plan/b.yaml": b"b", "model": b"m", "pinned/own.txt": b"mine"}
    for name, content in contents.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(content)
    (study / "mine.pth").write_bytes(b"other bytes than the lock says")
    md5 = {content: hashlib.md5(content).hexdigest() for content in contents.values()}
    listed = json.dumps([{"md5": md5[b"a"], "relpath": "a.yaml"},
                         {"md5": md5[b"b"], "relpath": "b.yaml"}]).encode()
    name = hashlib.md5(listed).hexdigest()
    (cache / "files/md5" / name[:2]).mkdir(parents=True)
    (cache / "files/md5" / name[:2] / f"{name[2:]}.dir").write_bytes(listed)
    outs = [{"path": "_made/plan", "md5": f"{name}.dir"}, {"path": "_made/model", "md5": md5[b"m"]},
            {"path": "mine.pth", "md5": md5[b"m"]}, {"path": "_made/gone", "md5": md5[b"m"]}]
    (study / "dvc.lock").write_text(yaml.safe_dump({"stages": {"x": {"cmd": "x", "outs": outs}}}))
    assert mending.mend_outputs(study, cache) == []
    (made / "plan/b.yaml").write_bytes(b"c")
    (made / "model").write_bytes(b"n")
    assert mending.mend_outputs(study, cache) == [
        str(made / "model"), str(made / "plan/b.yaml")]
    left = {path.name for path in study.rglob("*") if path.is_file() and ".git" not in path.parts}
    assert left == {"a.yaml", "own.txt", "mine.pth", "dvc.lock"}


def test_without_dvc_the_remedy_is_named(study, monkeypatch):
    monkeypatch.chdir(study)
    monkeypatch.setenv("PATH", str(study))
    with pytest.raises(UserError, match="dvc: no such command, .*; activate the environment"):
        mend.run(SimpleNamespace(bytes=True))


def test_the_committed_locks_are_whole():
    locks = [ROOT / "dvc.lock", *ROOT.glob("studies/**/dvc.lock")]
    assert len(locks) > 4
    for lock in locks:
        assert mending.is_whole(lock.read_bytes()), lock
        assert yaml.safe_load(lock.read_text())["schema"]


def test_without_git_it_is_said_what_to_do(study, tmp_path, monkeypatch):
    mending.check_git(study)
    alone = tmp_path / "alone"
    (alone / ".dvc").mkdir(parents=True)
    (alone / "dvc.lock").write_bytes(b"half")
    monkeypatch.chdir(alone)
    with pytest.raises(UserError, match="lies in no git repository.*`git init`.*no_scm true"):
        mend.run(SimpleNamespace(bytes=False))
    (alone / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    mending.check_git(alone)
    (study / ".git/index.lock").write_bytes(b"")
    (alone / ".git").symlink_to(study / ".git")
    mending.check_index(alone, patience=0)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="there is no whole one"):
        mending.mend_lock(alone)


def test_an_index_that_stays_locked_is_one_line_and_one_that_is_freed_none(study):
    lock = study / ".git/index.lock"
    mending.check_index(study)
    lock.write_bytes(b"")
    with pytest.raises(UserError, match=r"/\.git/index\.lock: git's index is locked.*delete it"):
        mending.check_index(study, patience=0.1)
    assert lock.exists()
    threading.Timer(0.2, lock.unlink).start()
    mending.check_index(study)
