import hashlib
import io
import os
from functools import partial

import pytest
import torch

from unfreeze.training.checkpoint import Scratch

MB = 1_000_000


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path))
    monkeypatch.delenv("UNFREEZE_SCRATCH_GB", raising=False)
    return tmp_path / "replicates"


def scratch(digest="abc", bf16=False):
    return Scratch(digest, "cpu-bf16" if bf16 else "cpu-fp32")


def content(megabytes=0.01, fill=1.0):
    return {"model": {"w": torch.full((int(megabytes * MB / 4),), fill)},
            "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]},
            "average": {}, "best": None, "place": {"phase": 1, "epoch": 2, "best": (0.5, -1.25)},
            "history": [{"epoch": 1, "train_loss": 0.1, "validation_loss": None}]}


def data(megabytes=0.01, fill=1):
    return bytes([fill]) * int(megabytes * MB)


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def test_what_is_saved_comes_back():
    assert scratch().load_epoch() is None and scratch().load_done() is None
    scratch().save_epoch(content())
    assert same(scratch().load_epoch(), content()) and scratch().load_done() is None
    scratch().save_epoch(content(fill=2.0))
    assert same(scratch().load_epoch(), content(fill=2.0))


def test_adams_state_comes_back():
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    scratch().save_epoch({"optimizer": optimizer.state_dict()})
    assert same(scratch().load_epoch()["optimizer"]["state"], optimizer.state_dict()["state"])


def test_finished_replicate_replaces_its_epoch(folder):
    scratch().save_epoch(content())
    scratch().save_done(data(fill=3))
    assert scratch().load_epoch() is None and scratch().load_done() == data(fill=3)
    assert len(list(folder.iterdir())) == 1


def test_replicates_and_precisions_are_kept_apart():
    scratch("a").save_done(data())
    assert scratch("b").load_done() is None
    assert scratch("a", bf16=True).load_done() is None
    assert scratch("a").load_done() is not None


def only_file(folder):
    (path,) = folder.iterdir()
    return path


DAMAGES = {
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "text": lambda data: b"<html>not here</html>",
    "start of a zip": lambda data: data[:4],
    "without its end": lambda data: data[:-1],
    "half": lambda data: data[:len(data) // 2],
    "without its beginning": lambda data: data[100:],
    "two halves": lambda data: data[len(data) // 2:] + data[:len(data) // 2],
    "a first block of zeros": lambda data: bytes(512) + data[512:],
    "damaged pickle": lambda data: data.replace(b"history", b"\xff" * 7),
    "pickle of something else": lambda data: b"\x80\x04N.",
    "old pickle cut short": lambda data: b"\x80\x02}q\x00",
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_counts_as_none_and_is_removed(folder, damage):
    scratch().save_epoch(content())
    path = only_file(folder)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert scratch().load_epoch() is None
    assert list(folder.iterdir()) == []
    scratch().save_epoch(content())  # and life goes on
    assert same(scratch().load_epoch(), content())


@pytest.mark.parametrize("kind", ["epoch", "done"])
def test_every_changed_byte_is_noticed(folder, kind):
    made = scratch()
    load = getattr(made, f"load_{kind}")
    save = partial(getattr(made, f"save_{kind}"), {"epoch": content, "done": data}[kind](0.0005))
    save()
    whole = only_file(folder).read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        save()
        damaged = bytearray(whole)
        damaged[place] ^= 1
        only_file(folder).write_bytes(damaged)
        assert load() is None, place
        assert list(folder.iterdir()) == []


def test_file_cut_anywhere_counts_as_none(folder):
    scratch().save_epoch(content(0.0005))
    whole = only_file(folder).read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        scratch().save_epoch(content(0.0005))
        only_file(folder).write_bytes(whole[:length])
        assert scratch().load_epoch() is None, length
        assert list(folder.iterdir()) == []


def test_file_naming_code_is_not_opened(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/opened",)

    folder.mkdir()
    scratch().save_epoch({})
    evil = io.BytesIO()
    torch.save({"model": Evil()}, evil)
    only_file(folder).write_bytes(evil.getvalue() + hashlib.sha256(evil.getvalue()).digest())
    assert scratch().load_epoch() is None
    assert not (tmp_path / "opened").exists()


def test_one_that_does_not_write_reads():
    reader = Scratch("abc", "cpu-fp32", writes=False)
    reader.save_epoch(content()), reader.save_done(data())
    assert reader.load_epoch() is None and reader.load_done() is None
    scratch().save_done(data())
    assert reader.load_done() == data()


def age(folder, **ages):
    for path in folder.iterdir():
        seconds = ages[path.name.split("-")[0]]
        os.utime(path, (1e9 - seconds, 1e9 - seconds))


def kept(*digests):
    return [digest for digest in digests if scratch(digest).load_done()]


def test_oldest_go_first_when_the_folder_is_full(folder, monkeypatch):
    monkeypatch.setenv("UNFREEZE_SCRATCH_GB", "0.0035")
    for digest in "abc":
        scratch(digest).save_done(data(1))
    age(folder, a=2, b=3, c=1)
    scratch("d").save_done(data(1))
    assert kept(*"abcd") == ["a", "c", "d"]
    age(folder, a=2, c=1, d=0)
    scratch("e").save_done(data(2))
    assert kept(*"abcde") == ["d", "e"]


def test_folder_stays_within_its_limit(folder, monkeypatch):
    monkeypatch.setenv("UNFREEZE_SCRATCH_GB", "0.0025")
    for number in range(8):
        scratch(f"r{number}").save_done(data(0.3 + 0.2 * (number % 3)))
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 2.5 * MB
    assert scratch("r7").load_done()


def test_result_larger_than_the_limit_is_kept_alone(folder, monkeypatch):
    # Else a run could never go on where it stopped.
    monkeypatch.setenv("UNFREEZE_SCRATCH_GB", "0.001")
    scratch("a").save_done(data(0.5))
    scratch("b").save_done(data(2))
    assert kept("a", "b") == ["b"]


def test_folder_below_its_limit_keeps_all(monkeypatch):
    monkeypatch.setenv("UNFREEZE_SCRATCH_GB", "1")
    for digest in "abcde":
        scratch(digest).save_done(data(0.5))
    assert kept(*"abcde") == list("abcde")
