"""Hostile and damaged input, made by rules and by mutation, given to whatever reads files of the
user's: archives, images, checkpoints, tables of labels, params.yaml.

Each must be read, or refused in one line that a terminal shows as text alone; nothing may be
written, run or connected to outside of the scratch folder, and no input may take long or fill the
memory. It prints how many of each kind ended how, as JSON, and what was worse than that.

Usage: python tests/hostile.py FOLDER [--mutations 40] [--seed 0]
FOLDER: an empty one, for the files.
"""

import argparse
import importlib
import io
import json
import os
import pickle
import random
import resource
import signal
import stat
import struct
import sys
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import numpy as np  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from unfreeze import files  # noqa: E402
from unfreeze.data import photos  # noqa: E402
from unfreeze.data.photos import pixels  # noqa: E402
from unfreeze.errors import UserError  # noqa: E402
from unfreeze.models.opening import open_tensors  # noqa: E402
from unfreeze.params import settle  # noqa: E402

SECONDS = 20  # that an input may take, on a busy machine
MEMORY = 1 << 30  # bytes that the process may grow by
LINE = 2000  # letters of a refusal, besides those of the input that it quotes
_CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.chmod",
            "os.truncate", "shutil.rmtree"}
_RUNS = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty",
         "pty.spawn", "socket.connect", "os.startfile", "webbrowser.open"}


# --- What is tried


def photo(kind: str = "PNG", number: int = 0, size: tuple[int, int] = (12, 9)) -> bytes:
    pixels_ = np.random.default_rng(number).integers(0, 255, (*size, 3)).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels_).save(content, kind)
    return content.getvalue()


def _members() -> dict[str, bytes]:
    return {f"pets/{name}/{i}.png": photo(number=10 * label + i)
            for label, name in enumerate(("cat", "dog")) for i in range(6)}


def zipped(members: dict, method: int = zipfile.ZIP_STORED, mode: int = 0) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, inner in members.items():
            info = zipfile.ZipInfo("x")
            info.filename, info.compress_type = name, method
            if mode and name == "odd":
                info.external_attr = mode << 16
            archive.writestr(info, inner)
    return content.getvalue()


def tarred(members: dict, mode: str = "w", odd: tarfile.TarInfo | None = None) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode, format=tarfile.PAX_FORMAT) as archive:
        for name, inner in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(inner)
            archive.addfile(info, io.BytesIO(inner))
        if odd:
            archive.addfile(odd)
    return content.getvalue()


_NAMES = ("../up.png", "/abs.png", "pets/../../up.png", "C:\\Windows\\x.png", "pets\\cat\\9.png",
          "pets/cat/" + "n" * 5000 + ".png", "pets/cat/\x1b[31m\x07.png", "pets/\u202egnp/1.png",
          "", ".", "..", "/".join("d" * 900) + "/1.png", "pets/cat/-rf.png", "pets/cat/$(x).png",
          "pets/<img src=x onerror=alert(1)>/1.png", "pets/=1+1/1.png", "pets/cat/a\nb.png",
          "pets//cat//8.png", "./pets/cat/8.png", "pets/cat/con.png", "pets/cat/\udcff.png")


def archives() -> Iterator[tuple[str, bytes]]:
    good = _members()
    for name in _NAMES:
        with suppress(UnicodeEncodeError):  # what no zip can hold
            yield "names.zip", zipped(good | {name: photo()})
        with suppress(UnicodeEncodeError, ValueError):
            yield "names.tar", tarred(good | {name: photo()})
    for kind, target in ((tarfile.SYMTYPE, "/etc/passwd"), (tarfile.SYMTYPE, "pets/cat/odd"),
                         (tarfile.LNKTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "../../x"),
                         (tarfile.LNKTYPE, "pets/cat/odd"), (tarfile.CHRTYPE, ""),
                         (tarfile.FIFOTYPE, ""), (tarfile.DIRTYPE, ""), (b"S", ""), (b"Z", "")):
        odd = tarfile.TarInfo("pets/cat/odd")
        odd.type, odd.linkname = kind, target
        yield "odd.tar", tarred(good, odd=odd)
    for mode in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
        yield "odd.zip", zipped(good | {"odd": b"/etc/passwd"}, mode=mode | 0o777)
    zeros = bytes(8 << 20)
    yield "zeros.zip", zipped(good | {f"pets/cat/{i}.bmp": zeros for i in range(2)},
                              zipfile.ZIP_DEFLATED)
    yield "zeros.tar.gz", tarred(good | {f"pets/cat/{i}.bmp": zeros for i in range(2)}, "w:gz")
    yield "within.zip", zipped({"pets/cat/a.zip": zipped(good), "pets/dog/b.zip": zipped(good)})
    yield "empty.zip", zipped({})
    yield "folders.zip", zipped({"a/": b"", "b/": b""})
    yield "empty.tar", tarred({})
    for name in ("no.zip", "no.tar", "no.tar.gz", "no.tar.xz", "no.tar.bz2"):
        for content in (b"", b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", bytes(2000)):
            yield name, content
    yield "before.zip", b"#!/bin/sh\nexit 1\n" + zipped(good)
    yield "after.zip", zipped(good) + b"x" * 70_000
    lying = bytearray(zipped(good))
    for place in range(len(lying) - 46):
        if lying[place:place + 4] == b"PK\x01\x02":
            lying[place + 20:place + 28] = struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0)
    yield "lying.zip", bytes(lying)
    huge = bytearray(tarred(good))
    huge[124:136] = b"77777777777\0"
    huge[148:156] = b"        "
    huge[148:156] = b"%06o\0 " % sum(huge[:512])
    yield "lying.tar", bytes(huge)


def images() -> Iterator[tuple[str, bytes]]:
    png = photo()
    for side in (1 << 31, (1 << 31) - 1, 65_535, 0):
        yield "sides.png", png[:16] + struct.pack(">II", side & 0xFFFFFFFF, side & 0xFFFFFFFF) + (
            png[24:])
    bmp = photo("BMP")
    for side in (-(1 << 31), (1 << 31) - 1, 0, -1):
        yield "sides.bmp", bmp[:18] + struct.pack("<ii", side, side) + bmp[26:]
    gif = photo("GIF")
    yield "sides.gif", gif[:6] + b"\xff\xff\xff\xff" + gif[10:]
    for sides in (b"99999999 99999999", b"-1 -1", b"1 1000000000000000000000", b"a b"):
        yield "sides.ppm", b"P6\n" + sides + b"\n255\nabc"
    tiff = photo("TIFF")
    start = struct.unpack("<I", tiff[4:8])[0]
    count = struct.unpack("<H", tiff[start:start + 2])[0]
    after = start + 2 + 12 * count
    yield "loop.tiff", tiff[:after] + struct.pack("<I", start) + tiff[after + 4:]
    yield "no.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) (w) file\n"
    yield "no.svg", (b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
                     b"<svg>&a;</svg>")
    yield "phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    yield "some.avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(100)
    yield "no.pdf", b"%PDF-1.7\n"
    yield "no.ico", b"\0\0\1\0\1\0" + bytes(16)
    for content in (b"", b"\0", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff",
                    b"RIFF\0\0\0\0WEBP", b"II*\0\xff\xff\xff\xff", b"<html>"):
        yield "start", content


class Evil:
    """Unpickled, it runs a command."""

    def __init__(self, call: Callable, *arguments: object) -> None:
        self.call = call, arguments

    def __reduce__(self) -> tuple:
        return self.call


def _saved(content: object, zipped_: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped_)
    return buffer.getvalue()


def _state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"conv.weight": torch.randn(4, 3, 3, 3), "bn.running_mean": torch.zeros(4),
            "fc.weight": torch.randn(5, 4), "steps": torch.tensor(3)}


def checkpoints() -> Iterator[tuple[str, bytes]]:
    state = _state()
    evils = [Evil(os.system, "touch ran"), Evil(eval, "open('ran', 'w')"), Evil(exec, "1"),
             Evil(__import__, "antigravity"), Evil(os.unlink, "file"), Evil(open, "ran", "w")]
    for evil in evils:
        for content in (evil, {"state_dict": state, "x": evil}, {"a.weight": evil}):
            for kind in (True, False):
                yield "evil.pth", _saved(content, kind)
        for protocol in (0, 2, 4, 5):
            yield "evil.pt", pickle.dumps(evil, protocol)
    for wrong in (torch.randn(3, 3).to_sparse(), torch.empty(3, device="meta"),
                  torch.zeros(3, dtype=torch.complex64), torch.zeros(1).expand(1 << 20, 1 << 20),
                  torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)):
        yield "tensors.pth", _saved(state | {"fc.weight": wrong})
    for content in (None, 3, "text", [], {}, {3: state["steps"]}, {"a": 1}, [state], (state,),
                    {"state_dict": {}}, {"state_dict": {"state_dict": {"state_dict": 1}}},
                    {"\x1b[31m\u202e\n" * 30: 1}, {"x" * 10_000: state["steps"]}):
        yield "forms.pth", _saved(content)
    itself: dict = {}
    itself["state_dict"] = itself
    yield "itself.pth", _saved(itself)
    deep: list = []
    for _ in range(200):
        deep = [deep]
    yield "deep.pth", _saved({"state_dict": state, "x": deep})
    for length in (0, 1, 100, 1 << 31, 1 << 62, (1 << 64) - 1):
        yield "head.safetensors", struct.pack("<Q", length) + b'{"a":{}}' * 20
    for head in ('{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}',
                 '{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
                 '{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}', "[" * 5000, "{}",
                 '{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}'):
        yield "head.safetensors", struct.pack("<Q", len(head)) + head.encode() + bytes(4)
    yield "names.pth", zipped({"../../ran": b"x", "archive/data.pkl": b"\x80\x02}."})


PARAMS = """\
dataset: cifar10
fraction: 0.02
image_size: 32
seeds: [1, 2]
model: cnn
init: scratch
epochs: 3
lr: 0.001
weight_decay: 0.0
schedule: cosine
runs:
  base: {}
  other: {lr: 0.01, freeze: none, seeds: [2, 3]}
  searched: {search: {lr: [0.001, 0.01], dropout: [0, 0.2]}}
  long: {phases: [{epochs: 1}, {epochs: 2, lr: 0.1}]}
not_run:
  vit: {why: no GPU, model: vit_b_16, init: pretrained, image_size: weights}
compare: {pair: [base, other]}
claims:
  - base > other
  - {claim: "gap(base, other) < 3", note: a note}
budget: {operations: 1.0e+12}
"""
_VALUES = (
    "", "[]", "{}", "null", "~", ".nan", ".inf", "-1", "0", "1" + "0" * 5000, "9" * 400, "1e400",
    "true", "'\\x1b[31m'", '"\\e[31m\\a\\u202e"', '"\\0"', "'" + "a" * 9000 + "'", "2020-99-99",
    "2020-01-01", "!!binary aGk=", "!!python/object/apply:os.system ['touch ran']", "!!set {a, b}",
    "&a [*a]", "&b {<<: *b}", "[" * 200 + "]" * 200, "/proc", "/dev/zero", "/", "..", "-rf", "$(x)",
    "http://[", "https://127.0.0.1:9/x.zip", "x/../../../etc/passwd", "1_000", "0x10", "1:30",
    "'=1+1'", "<script>alert(1)</script>", "{a: {b: {c: {d: 1}}}}", "[[1], [2]]", "'\u202e'")
_KEYS = ("dataset", "image_size", "seeds", "epochs", "lr", "runs", "not_run", "compare", "claims",
         "budget", "init", "model", "search", "score", "margin")


def params() -> Iterator[tuple[str, bytes]]:
    for content in ("", "[]", "3", "text", "null", "- a\n- b", "\t", "\ufeffa: 1", "a: 1\0",
                    "---\n---", "a: &a [*a]", "? [1]\n: 2", "1: 2", "[" * 3000, "{a: " * 3000,
                    "runs: {base: {}}\nruns: {b: {}}", "%TAG ! x", "!!python/name:os.system",
                    "runs: {? : }"):
        yield "params.yaml", content.encode()
    yield "params.yaml", b"a: \xff\xfe"
    lines = ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}"
                                  for n in range(1, 12)]
    yield "params.yaml", "\n".join(lines).encode()
    lists = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]"
                               for n in range(1, 12)]
    yield "params.yaml", "\n".join(lists).encode()
    for name in ("'\\e'", "'a/b'", "1e5", "''", "' '", "<b>", "'=1'", "'-'", "__proto__",
                 "'../x'", "con", "'" + "n" * 5000 + "'", "[a]", "null", "true", "1.5"):
        yield "params.yaml", PARAMS.replace("  other:", f"  {name}:").encode()
    numbers = random.Random(1)
    for key in _KEYS:
        for value in numbers.sample(_VALUES, 6):
            yield "params.yaml", "\n".join(
                line for line in PARAMS.splitlines() if not line.startswith((f"{key}:", " "))
            ).replace("runs:", "runs: {base: {}}").replace("claims:", "claims: []").replace(
                "not_run:", "not_run: {}").encode() + f"\n{key}: {value}\n".encode()
    many = f"[{', '.join(map(str, range(1, 99)))}]"
    for search in ("{lr: {from: 0, to: 1}, trials: 1000000000}", "{lr: []}", "{lr: [1, 1]}",
                   "{lr: {from: 1, to: 2}, trials: 0}", "{lr: {from: nan, to: 1}, trials: 3}",
                   f"{{lr: {many}, epochs: {many}, batch_size: {many}, clip_norm: {many}}}",
                   "{search: [1]}"):
        yield "params.yaml", PARAMS.replace("{lr: [0.001, 0.01], dropout: [0, 0.2]}",
                                            search).encode()
    seeds = ", ".join(map(str, range(5_000)))
    yield "params.yaml", PARAMS.replace("[1, 2]", f"[{seeds}]").encode()
    for claim in ("a" * 20_000, "base > " * 3000, "(" * 5000, "base > ~", "gap(base) > 1", "1 > 2",
                  "__import__('os')", "base[0] > other", "* > *", "base.x > other", "base>0>base"):
        yield "params.yaml", PARAMS.replace("base > other", f"'{claim}'").encode()


def tables() -> Iterator[tuple[str, bytes]]:
    rows = [f"pets/{name}/{i}.png,{name}" for name in ("cat", "dog") for i in range(6)]
    good = "\n".join(["path,label", *rows])
    yield "labels.csv", good.encode()
    for more in ("../../etc/passwd,cat", "/etc/passwd,cat", "/dev/zero,cat", "pipe,cat", "\0,cat",
                 '"never ends,cat', "pets/cat/0.png,=1+1", "pets/cat/0.png,\x1b[31m", ",,,,", "",
                 "x" * 200_000 + ",cat", "pets/cat/0.png," + "y" * 9000, "pets,cat", ".,cat",
                 "pets/cat/0.png,<b>", "pets/cat/0.png,../..", "pets/cat/0.png,a/b"):
        yield "labels.csv", f"{good}\n{more}\n".encode()
    for content in (b"", b"path", b"\xff\xfe" + good.encode("utf-16-le"), good.encode("utf-16"),
                    b"\xef\xbb\xbf" + good.encode(), good.replace(",", ";").encode(),
                    ("a," * 20_000).encode(), b"\0" * 9999, good.replace("\n", "\r").encode(),
                    b"path,label,label\n", b"x,y\n1,2\n", good.encode("utf-16")[:-1]):
        yield "labels.csv", content


# --- What reads it


def read_archive(path: Path) -> None:
    photos.scan(path, skip_broken=False, workers=1)


def read_image(path: Path) -> None:
    content = path.read_bytes()
    problem = pixels.check(content)
    if problem:
        raise UserError(problem)
    pixels.decode(content)


def read_checkpoint(path: Path) -> None:
    open_tensors(path, path.read_bytes())


def read_params(path: Path) -> None:
    settle.resolve(files.read_yaml(path))


KINDS: dict[str, tuple[Callable, Callable]] = {
    "archives": (archives, read_archive), "images": (images, read_image),
    "checkpoints": (checkpoints, read_checkpoint), "params.yaml": (params, read_params),
    "tables": (tables, read_archive)}


def sound(kind: str) -> list[tuple[str, bytes]]:
    """What is mutated."""
    if kind == "archives":
        return [("a.zip", zipped(_members())), ("a.tar", tarred(_members())),
                ("d.zip", zipped(_members(), zipfile.ZIP_DEFLATED)),
                ("a.tar.gz", tarred(_members(), "w:gz"))]
    if kind == "images":
        return [(f"a.{each.lower()}", photo(each)) for each in (
            "PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")]
    if kind == "checkpoints":
        wrapped = {"state_dict": _state(), "args": argparse.Namespace(lr=0.1), "x": np.float64(3)}
        return [("a.pth", _saved(wrapped)), ("a.pt", _saved(wrapped, False)),
                ("a.safetensors", safetensors.torch.save(_state()))]
    if kind == "tables":
        return [("labels.csv", next(tables())[1])]
    return [("params.yaml", PARAMS.encode())]


def mutated(content: bytes, numbers: random.Random) -> bytes:
    new = bytearray(content)
    for _ in range(numbers.choice((1, 1, 2, 5, 20))):
        place = numbers.randrange(len(new)) if new else 0
        what = numbers.randrange(7)
        if not new:
            break
        if what == 0:
            new[place] ^= 1 << numbers.randrange(8)
        elif what == 1:
            new[place] = numbers.choice(b"\x00\xff\x80.:[]{}&*!'\"\n\t,=c")
        elif what == 2:
            del new[place:place + numbers.randrange(1, 200)]
        elif what == 3:
            new[place:place] = new[numbers.randrange(len(new)):][:numbers.randrange(1, 200)]
        elif what == 4:
            new[place:place + 4] = struct.pack("<I", numbers.choice((0, 1, 2**31 - 1, 2**32 - 1)))
        elif what == 5:
            new[place:place + 8] = struct.pack("<Q", numbers.choice((0, 2**63 - 1, 2**64 - 1)))
        else:
            del new[place:]
    return bytes(new)


def corpus(kind: str, mutations: int, seed: int) -> Iterator[tuple[str, bytes]]:
    made, _ = KINDS[kind]
    numbers, seeds = random.Random(f"{kind} {seed}"), sound(kind)
    yield from seeds
    yield from made()
    for _ in range(mutations):
        name, content = numbers.choice(seeds)
        yield name, mutated(content, numbers)


# --- What happens


class Watch:
    """Notes what the process does besides reading, but within a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen, self.on = os.path.realpath(folder), [], False
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        if event in _RUNS:
            self.seen.append(f"{event} {arguments!r}"[:200])
        elif event in _CHANGES and not self._inside(arguments[0]):
            self.seen.append(f"{event} {arguments!r}"[:200])
        elif event == "open":
            path, mode, flags = arguments
            writes = (mode and set(mode) & set("wax+")) or (
                isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            if writes and not self._inside(path):
                self.seen.append(f"open {path!r} to write")

    def _inside(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True  # a number of what is open already
        place = os.path.realpath(os.fsdecode(path))
        return place.startswith(self.folder + os.sep) or place == "/dev/null"


def _too_long(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def outcome(read: Callable[[Path], None], path: Path, watch: Watch) -> tuple[str, str]:
    """("read", "refused" or "worse", what was worse)."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = io.StringIO()
    watch.seen.clear()
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    watch.on = True
    try:
        with redirect_stdout(said), redirect_stderr(said):
            read(path)
        found = "read", ""
    except UserError as error:
        text = str(error)
        found = ("refused", "") if text.isprintable() and (
            0 < len(text) < LINE + 5 * path.stat().st_size) else (
            "worse", f"its line: {text[:200]!r}")
    except BaseException as error:  # whatever it is, it is told
        found = "worse", f"{type(error).__name__}: {str(error)[:300]}"
    finally:
        watch.on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    if grown > MEMORY:
        found = "worse", f"{grown >> 20} MB of memory"
    odd = {letter for letter in said.getvalue() if not letter.isprintable()} - {"\n", "\r"}
    if odd:
        found = "worse", f"printed {odd!r}"
    return ("worse", f"it did: {watch.seen[0]}") if watch.seen else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mutations", type=int, default=40, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=[*KINDS])
    options = parser.parse_args()
    folder = options.folder.resolve()
    os.environ["UNFREEZE_SCRATCH"] = str(folder / "scratch")
    torch.set_num_threads(1)
    # What is imported at first use.
    torch.load(io.BytesIO(_saved(_state())), weights_only=True)
    importlib.import_module("torchvision")
    (folder / "work").mkdir(parents=True)
    os.chdir(folder / "work")
    for name, content in _members().items():  # for the tables
        files.write_bytes(Path(name), content)
    os.mkfifo("pipe")
    there = _content(folder)
    signal.signal(signal.SIGALRM, _too_long)
    watch, counts, worse, slowest = Watch(folder), {}, [], ("", 0.0)
    for kind in options.kinds:
        counts[kind] = Counter()
        for number, (name, content) in enumerate(corpus(kind, options.mutations, options.seed)):
            path = Path(name)
            path.write_bytes(content)
            start = time.perf_counter()
            found, why = outcome(KINDS[kind][1], path, watch)
            took = time.perf_counter() - start
            if number < len(sound(kind)) and found != "read":
                worse.append(f"{kind} {number} ({name}): is sound, and was {found}")
            slowest = max(slowest, (f"{kind} {number}", took), key=lambda each: each[1])
            counts[kind][found] += 1
            if found == "worse":
                worse.append(f"{kind} {number} ({name}): {why}")
                (folder / f"worse-{kind}-{number}-{name}").write_bytes(content)
            path.unlink()
    left = _content(folder) - there
    if left:
        worse.append(f"left behind: {sorted(left)[:5]}")
    print(json.dumps({"counts": counts, "worse": worse,
                      "slowest": [slowest[0], round(slowest[1], 1)]}, indent=1))
    sys.exit(bool(worse))


def _content(folder: Path) -> set[str]:
    return {str(path) for path in (folder / "work").rglob("*")}


if __name__ == "__main__":
    main()
