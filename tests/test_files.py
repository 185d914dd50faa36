import csv
import hashlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import ROOT
from unfreeze import files
from unfreeze.errors import UserError, nearest
from unfreeze.stage import run_stage


def python(code, folder, *preamble):
    """Run code in its own process: the limits that it sets must not be ours."""
    text = "\n".join([*preamble, textwrap.dedent(code)])
    return subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True,
                          env={"PYTHONPATH": str(ROOT / "src")}, timeout=60)


FILES_OF_100_KB = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from pathlib import Path
from unfreeze import files
from unfreeze.errors import UserError
from unfreeze.stage import run_stage
"""


@pytest.mark.parametrize("before", [None, b"old"])
def test_file_that_does_not_fit_leaves_nothing_new(tmp_path, before):
    if before is not None:
        (tmp_path / "out.bin").write_bytes(before)
    done = python("files.write_bytes(Path('out.bin'), bytes(200_000))", tmp_path, FILES_OF_100_KB)
    assert "OSError: [Errno 27] File too large: 'out.bin'" in done.stderr
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert left == ({} if before is None else {"out.bin": before})


def test_stage_without_room_is_one_line_and_status_1(tmp_path):
    done = python("run_stage(lambda: files.write_bytes(Path('out.bin'), bytes(200_000)))", tmp_path,
                  FILES_OF_100_KB)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no room left on the disk while writing out.bin")
    assert list(tmp_path.iterdir()) == []


def test_stage_on_a_full_disk_is_one_line_and_status_1(tmp_path):
    # /dev/full is Linux's always full disk: ENOSPC from the kernel.
    done = python("""
        def main():
            with open("/dev/full", "w") as file:
                file.write("x")
        run_stage(main)
        """, tmp_path, FILES_OF_100_KB)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no room left on the disk")


def test_stage_with_bad_input_is_one_line_and_status_1(tmp_path):
    done = python("""
        def main():
            raise UserError("params.yaml: lr: no")
        run_stage(main)
        """, tmp_path, FILES_OF_100_KB)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: params.yaml: lr: no\n")


def test_stage_ends_with_all_it_said_and_status_0(tmp_path):
    done = python("""
        import atexit, gc
        gc.disable()
        atexit.register(print, "Python ended by itself")
        run_stage(lambda: print("garbage is collected" if gc.isenabled() else "no"))
        """, tmp_path, FILES_OF_100_KB)
    assert (done.returncode, done.stdout, done.stderr) == (0, "garbage is collected\n", "")


def test_stage_that_cannot_say_all_is_no_success(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c",
                               FILES_OF_100_KB + "run_stage(lambda: print('x'))"],
                              env={"PYTHONPATH": str(ROOT / "src")}, stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode
    assert done.stderr.startswith("error: no room left on the disk")


def test_stage_lets_other_errors_through():
    def main():
        raise FileNotFoundError(2, "No such file", "x")

    with pytest.raises(FileNotFoundError):
        run_stage(main)


def test_interrupted_stage_exits_with_a_line():
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit, match="^error: interrupted"):
        run_stage(main)


def test_an_error_is_text_alone_whatever_is_in_a_name():
    assert str(UserError("a\x1b[31m\nb\u202e\x07é 日本")) == r"a\x1b[31m b\u202e\x07é 日本"


def test_an_error_is_never_longer_than_a_screen():
    message = str(UserError(f"params.yaml: {'x' * 10**6} is no knob; allowed: {'y' * 300}"))
    assert message.startswith("params.yaml: xxx") and message.endswith("y" * 300)
    assert len(message) < 2100 and " characters) ... " in message


@pytest.mark.parametrize(("word", "answer"), [
    ("erly", " (did you mean 'early'?)"), ("zzz", ""), (5, ""), (None, ""), (["early"], " (")])
def test_nearest_suggests_only_what_is_near(word, answer):
    assert nearest(word, ["early", "middle"]).startswith(answer)
    assert bool(nearest(word, ["early", "middle"])) == bool(answer)


def test_write_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    for content in ("long content", "ä"):
        files.write_text(path, content)
        assert path.read_text() == content
    assert [p.name for p in path.parent.iterdir()] == ["c.txt"]


def test_write_into_a_file_as_folder_names_the_path(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as caught:
        files.write_bytes(tmp_path / "folder", b"x")
    assert caught.value.filename == str(tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def fill(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_what_a_killed_process_left_of_a_file_is_removed(tmp_path):
    folder, kept = f".a.txt.{'0' * 16}.part/inner", f".b.txt.{'0' * 16}.part"
    for name in (".a.txt.0123456789abcdef.part", folder, kept, ".a.txt.mine.part", "a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    files.remove_unfinished(tmp_path / "a.txt")
    files.remove_unfinished(tmp_path / "nowhere/a.txt")
    assert {path.name for path in tmp_path.iterdir()} == {kept, ".a.txt.mine.part", "a.txt"}


def test_whole_folder_replaces_all(tmp_path):
    fill(tmp_path / "out", ["stale", "deep/stale"])
    with files.whole_folder(tmp_path / "out") as new:
        assert list(new.iterdir()) == []
        fill(new, ["fresh", "deep/fresh"])
        assert names(tmp_path / "out") == ["deep/stale", "stale"]  # until the end
    assert names(tmp_path) == ["out/deep/fresh", "out/fresh"]


@pytest.mark.parametrize("error", [UserError, OSError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [[], ["old"]])
def test_whole_folder_keeps_the_old_one_if_the_block_fails(tmp_path, before, error):
    fill(tmp_path / "out", before)
    with pytest.raises(error), files.whole_folder(tmp_path / "out") as new:
        fill(new, ["half"])
        raise error("why")
    assert names(tmp_path) == [f"out/{name}" for name in before]
    assert [p.name for p in tmp_path.iterdir()] == ["out"] * bool(before)


def test_whole_folder_makes_the_folders_above(tmp_path):
    with files.whole_folder(tmp_path / "a" / "b") as new:
        fill(new, ["x"])
    assert names(tmp_path) == ["a/b/x"]


CONTENT = {"z": 1, "a": [0.001, 1e-05, 1.0, -0.0, 1e22], "nested": {"seeds": {42: {"x": None}}},
           "rows": [{"part": "stem", "trainable": True}, {"part": "head", "trainable": False}],
           "text": ["no", "1e-3", "null", "ä", "a: b", ""], "empty": [{}, []]}


def test_yaml_comes_back_as_it_was(tmp_path):
    path = tmp_path / "x.yaml"
    files.write_yaml(path, CONTENT)
    back = files.read_yaml(path)
    assert back == CONTENT and list(back) == list(CONTENT)
    # And the same of 0.00001, which naive YAML brings back as text.
    assert [type(v) for v in back["a"]] == [float] * 5


def test_yaml_has_a_line_a_row_and_no_anchors(tmp_path):
    row = {"part": "stem", "lr_scale": 1.0}
    files.write_yaml(tmp_path / "x.yaml", {"mean": [0.1, 0.2], "rows": [row, row]})
    assert (tmp_path / "x.yaml").read_text().splitlines() == [
        "mean: [0.1, 0.2]", "rows:", "- {part: stem, lr_scale: 1.0}",
        "- {part: stem, lr_scale: 1.0}"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(
        ["", "no", "1e-3", "null", "ä: b", "- x", "#", "two\nlines", " x ", "2026-01-01", "0o7"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["a", "b c", 5, "yes"]), inner, max_size=3), max_leaves=12)


@settings(max_examples=150, deadline=None)
@given(PLAIN)
def test_yaml_of_any_plain_data_comes_back(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    files.write_yaml(path, content)
    assert repr(files.read_yaml(path)) == repr(content)  # 1 is not 1.0, and order counts


def test_yaml_has_a_line_a_row_within_rows(tmp_path):
    # The phases of a recipe, each with its own table.
    rows = [{"part": "stem", "lr_scale": 1.0}, {"part": "head", "lr_scale": 1.0}]
    files.write_yaml(tmp_path / "x.yaml", {"phases": [{"epochs": 1, "parts": rows}, {"parts": []}],
                                           "pairs": {"a": ["x", "y"]}, "nested": [[1, 2], [3]]})
    assert (tmp_path / "x.yaml").read_text().splitlines() == [
        "phases:", "- epochs: 1", "  parts:", "  - {part: stem, lr_scale: 1.0}",
        "  - {part: head, lr_scale: 1.0}", "- {parts: []}", "pairs:", "  a: [x, y]",
        "nested:", "- [1, 2]", "- [3]"]


@pytest.mark.parametrize("text", ["a: 1\nb: [1, 2\n", "a: 1\nb: c: d\n", "a: 1\n\tb: 2\n"])
def test_bad_yaml_is_one_line_with_the_line_number(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load(text)
    with pytest.raises(UserError, match=r"x\.yaml line [23]: ") as caught:
        files.read_yaml(tmp_path / "x.yaml")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("text", "words"), [
    ("[" * 3000 + "]" * 3000, "nested too deeply"), ("lr: 1" + "0" * 5000, "4300 digits"),
    ("day: 2020-99-99", "month must be")])
def test_yaml_that_python_cannot_hold_is_one_line(tmp_path, text, words):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"x\.yaml: .*{words}"):
        files.read_yaml(tmp_path / "x.yaml")


def test_mappings_that_merge_each_other_tenfold_are_refused(tmp_path):
    lines = ["a0: &a0 {x: 1}"] + [
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], y{n}: 1}}" for n in range(1, 12)]
    (tmp_path / "x.yaml").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"x\.yaml line \d+: << copies too much"):
        files.read_yaml(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_text("\n".join(lines[:3]))
    assert files.read_yaml(tmp_path / "x.yaml")["a2"] == {"x": 1, "y1": 1, "y2": 1}
    (tmp_path / "x.yaml").write_text("a: &a {<<: *a, x: 1}")
    assert files.read_yaml(tmp_path / "x.yaml") == {"a": {"x": 1}}


def test_yaml_of_other_bytes_is_a_clear_error(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"a: \xff\xfe\x00")
    with pytest.raises(UserError, match=r"x\.yaml"):
        files.read_yaml(tmp_path / "x.yaml")


def test_missing_yaml_is_a_clear_error(tmp_path):
    with pytest.raises(UserError, match=r"x\.yaml: no such file"):
        files.read_yaml(tmp_path / "x.yaml")


def test_json_comes_back_in_order(tmp_path):
    files.write_json(tmp_path / "x.json", {"b": [1, 2.5], "a": "ä"})
    assert (tmp_path / "x.json").read_text().endswith("}\n")
    assert list(files.read_json(tmp_path / "x.json").items()) == [("b", [1, 2.5]), ("a", "ä")]


@pytest.mark.parametrize("text", [
    "=1+1", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''-x",
    '=HYPERLINK("x")'])
def test_no_text_in_a_csv_is_a_formula(tmp_path, text):
    files.write_csv(tmp_path / "x.csv", ("class",), [(text,)])
    with open(tmp_path / "x.csv", newline="") as file:
        _, (cell,) = csv.reader(file)
    assert cell == f"'{text}"  # which a spreadsheet shows as the text alone
    assert files.read_csv(tmp_path / "x.csv") == [{"class": text}]


@pytest.mark.parametrize("text", [
    "-1.5", "+3", "-1e-05", "-inf", "-", "a-b", "", "'", "'s", "1-2", "a\rb"])
def test_other_texts_and_numbers_in_a_csv_stay(tmp_path, text):
    files.write_csv(tmp_path / "x.csv", ("a", "b"), [(text, -1.5)])
    with open(tmp_path / "x.csv", newline="") as file:
        assert [*csv.reader(file)][1] == [text, "-1.5"]
    assert files.read_csv(tmp_path / "x.csv") == [{"a": text, "b": "-1.5"}]


def test_csv_comes_back_as_text(tmp_path):
    rows = [(1, 'with "quotes", comma'), (2.5, "two\nlines"), (None, "")]
    files.write_csv(tmp_path / "x.csv", ("n", "text"), rows)
    assert files.read_csv(tmp_path / "x.csv") == [
        {"n": "1", "text": 'with "quotes", comma'}, {"n": "2.5", "text": "two\nlines"},
        {"n": "", "text": ""}]
    with open(tmp_path / "x.csv", newline="") as file:
        assert next(csv.reader(file)) == ["n", "text"]
    assert b"\r" not in (tmp_path / "x.csv").read_bytes()


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_file_digest_is_hashlibs(tmp_path, algorithm):
    (tmp_path / "x").write_bytes(bytes(range(256)) * 1000)
    assert files.file_digest(tmp_path / "x", algorithm) == hashlib.new(
        algorithm, bytes(range(256)) * 1000).hexdigest()


WRITTEN = {
    files.read_yaml: ("x.yaml", lambda path: files.write_yaml(path, {"a": 1})),
    files.read_json: ("x.json", lambda path: files.write_json(path, {"a": 1})),
    files.read_csv: ("x.csv", lambda path: files.write_csv(path, ("a", "b"), [(1, 2)])),
    files.read_arrays: ("x.npz", lambda path: np.savez(path, a=np.arange(5))),
}
DAMAGES = {
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "other bytes": lambda path: path.write_bytes(b"{\xff\xfe\x00: ["),
    "half of it": lambda path: path.write_bytes(path.read_bytes()[:len(path.read_bytes()) // 2]),
}


@pytest.mark.parametrize("read", WRITTEN)
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_as_it_was_written_is_one_line(tmp_path, read, damage):
    name, write = WRITTEN[read]
    write(tmp_path / name)
    read(tmp_path / name)
    DAMAGES[damage](tmp_path / name)
    if damage == "half of it" and name.endswith(("yaml", "csv")):
        return  # which is such a file too
    with pytest.raises(UserError, match=rf"{name}\b.*") as caught:
        read(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["a,b\n1,2\n3\n", "a,b\n1,2,3\n"])
def test_a_row_that_is_not_whole_is_one_line(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UserError, match=r"x\.csv: is damaged.*a row has more or fewer cells"):
        files.read_csv(tmp_path / "x.csv")


def test_arrays_that_are_not_there_are_named(tmp_path):
    np.savez(tmp_path / "x.npz", seeds=np.arange(3))
    assert files.read_arrays(tmp_path / "x.npz", ["seeds"])["seeds"].tolist() == [0, 1, 2]
    with pytest.raises(UserError, match=r"x\.npz: lacks logits"):
        files.read_arrays(tmp_path / "x.npz", ["seeds", "logits"])


def test_no_two_writers_use_the_same_name(tmp_path):
    names = {files.unfinished(tmp_path / "x") for _ in range(100)}
    assert len(names) == 100
    assert all(name.parent == tmp_path and name.suffix == ".part" for name in names)
