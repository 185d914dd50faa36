"""Files, folders, archives and tables of pictures, prepared as training prepares its photos.

Nothing is extracted or written beside them: the squares that models see go into one file of the
scratch folder, which is deleted afterwards, so memory does not grow with their number.
"""

import hashlib
import io
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from unfreeze import environment, files, pool
from unfreeze.data import own
from unfreeze.data.photos import archive, decode, table
from unfreeze.data.photos.archive import MAX_FILE
from unfreeze.data.photos.collection import chunks, reader
from unfreeze.data.photos.names import is_utf8, is_visible, same_form, shown
from unfreeze.data.photos.preprocess import preprocess, resize_and_crop
from unfreeze.data.reading.row_file import RowFile
from unfreeze.errors import UserError
from unfreeze.recipe import Preprocessing, Recipe

THUMBNAIL = 160  # pixels of the longer side
_STORED = 256  # pixels: stored arrays are this small, larger pictures are resized as photos


@dataclass(frozen=True)
class Picture:
    """A picture that was read.

    Attributes:
        path: its own, or that of the folder or archive and the member in it.
        label: the class that a folder around it is named as, by its place among the classes; None:
            none is.
        sha256: of its file.
        thumbnail: JPEG; b"" where none was wanted.
    """

    path: str
    label: int | None
    sha256: str
    thumbnail: bytes


@dataclass(frozen=True)
class Prepared:
    """Pictures as models see them, but for normalisation.

    Attributes:
        pictures: N of them: by label, then by name, within each path that was given.
        problems: "path: why" of those that cannot be read.
        stored: the squares, M of N or more. rows: (N,) the place of each in there.
    """

    pictures: Sequence[Picture]
    problems: Sequence[str]
    stored: RowFile
    rows: np.ndarray


@dataclass(frozen=True)
class _Job:
    """What is the same for all pictures of a folder or archive."""

    path: Path
    preprocessing: Preprocessing
    as_array: bool
    thumbnail: bool


@dataclass(frozen=True)
class _Read:
    """A picture, or what is wrong with it. `pixels`: of its square; or, where it is `whole`, of all
    of it, to be resized as stored arrays are."""

    member: str
    problem: str = ""
    sha256: str = ""
    pixels: np.ndarray | None = None
    whole: bool = False
    thumbnail: bytes = b""


@contextmanager
def prepared(paths: Sequence[Path], recipe: Recipe, thumbnails: bool = False
             ) -> Iterator[Prepared]:
    """Pictures, as long as the block lasts.

    Args:
        paths: pictures, folders and archives of pictures.
        recipe: of the run that is to see them.
        thumbnails: whether they are wanted.

    Raises:
        UserError: a path is missing or no such thing, an archive is damaged or does harm, or
            nothing is in there.
        OSError: no room is left on the disk.
    """
    paths = [_checked(path) for path in paths]
    folder = environment.scratch() / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    file = files.unfinished(folder / "squares.npy")
    try:
        with _Rows(file, recipe.preprocessing.image_size) as rows:
            found = [_of_path(path, recipe, thumbnails, rows) for path in paths]
        pictures = [each for some, _ in found for each in some]
        problems = [problem for _, some in found for problem in some]
        if not pictures and not problems:
            raise UserError(f"{', '.join(map(shown, paths))}: no picture is in there")
        yield Prepared([picture for picture, _ in pictures], problems, RowFile(file),
                       np.array([row for _, row in pictures], np.int64))
    finally:
        file.unlink(missing_ok=True)


def _checked(path: Path) -> Path:
    if not is_utf8(str(path)):
        raise UserError(f"{shown(path)}: is a name that is not UTF-8, as the table is; rename it")
    if not path.exists() and path.parts[:1] and path.parts[0].startswith("~"):
        path = path.expanduser()
    if path.is_dir():
        if path.resolve() != Path.cwd():
            own.check_place(path)
        return path
    try:
        status = table.file_of(path).stat()
    except OSError:
        raise UserError(f"{shown(path)}: no such picture, folder or archive") from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{shown(path)}: neither a file nor a folder, but a pipe, a socket or a "
                        "device")
    return path


class _Rows:
    """An (M, S, S, 3) uint8 .npy file that grows, row by row: NumPy's header leaves room for that.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._shape, self.count = path, (size, size, 3), 0

    def __enter__(self) -> "_Rows":
        self._file = open(self._path, "wb")
        self._header()
        self._start = self._file.tell()
        return self

    def __exit__(self, *error) -> None:
        try:
            if error == (None, None, None):
                self._file.seek(0)
                self._header()
                assert self._file.tell() == self._start, "the header outgrew its room"
        finally:
            self._file.close()

    def _header(self) -> None:
        np.lib.format.write_array_header_1_0(self._file, {
            "descr": "|u1", "fortran_order": False, "shape": (self.count, *self._shape)})

    def append(self, square: np.ndarray) -> int:
        """The row at which it lies from now on."""
        assert square.shape == self._shape
        try:
            self._file.write(square.tobytes())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None
        self.count += 1
        return self.count - 1


def _of_path(path: Path, recipe: Recipe, thumbnails: bool, rows: _Rows
             ) -> tuple[list[tuple[Picture, int]], list[str]]:
    """The pictures of a path, each with its row, and what is wrong with the others."""
    job = _Job(path, recipe.preprocessing, not recipe.dataset.decoded, thumbnails)
    label_of = {same_form(name): label for label, name in enumerate(recipe.classes)}
    pictures, problems = [], []
    for read in _read(job):
        name = f"{path}/{read.member}" if read.member else str(path)
        if read.problem:
            problems.append(f"{shown(name)}: {read.problem}")
            continue
        square = _resized(read.pixels, recipe.preprocessing) if read.whole else read.pixels
        folders = same_form(read.member).split("/")[:-1]
        label = next((label_of[part] for part in reversed(folders) if part in label_of), None)
        pictures.append((Picture(name, label, read.sha256, read.thumbnail), rows.append(square)))
    pictures.sort(key=lambda each: (each[0].label is None, each[0].label or 0, each[0].path))
    return pictures, sorted(problems)


def _read(job: _Job) -> Iterator[_Read]:
    """Its pictures, in no certain order."""
    if job.path.is_file() and not _has_members(job.path):
        yield _prepare(job, "", job.path.read_bytes()) if _is_small(job.path) else _Read(
            "", f"larger than {MAX_FILE >> 20} MB, too large for a photo")
        return
    reader.cache_clear()  # the archive may be another by now
    unread: list[_Read] = []

    def members() -> Iterator[archive.Member]:
        for member in archive.members(job.path, is_visible):
            if member.is_folder:
                continue
            if member.problem or not is_utf8(member.name):
                unread.append(_Read(member.name, member.problem or "a name that is not UTF-8"))
            else:
                yield member

    tasks = ((job, chunk) for chunk in chunks(members()))
    with (tqdm(desc=f"reading {shown(job.path.name or job.path)}", unit=" images",
               disable=None) as bar,
          closing(pool.run(_prepare_all, tasks, environment.workers())) as results):
        for some in results:
            bar.update(len(some))
            yield from some
    yield from unread


def _is_small(path: Path) -> bool:
    return path.stat().st_size <= MAX_FILE


def _has_members(path: Path) -> bool:
    try:
        archive.is_tar(path)
    except UserError:
        return False
    return True


def _prepare_all(task: tuple[_Job, list[archive.Member]]) -> list[_Read]:
    job, chunk = task
    found = []
    for member in chunk:
        try:
            content = member.content
            if content is None:
                content = reader(job.path).read(member.name)
        except UserError as error:
            found.append(_Read(member.name, str(error).removeprefix(
                f"{shown(job.path)}: {shown(member.name)}: ")))
            continue
        found.append(_prepare(job, member.name, content))
    return found


def _prepare(job: _Job, member: str, content: bytes) -> _Read:
    digest = hashlib.sha256(content).hexdigest()
    try:
        if not job.as_array and not job.thumbnail:
            return _Read(member, "", digest, preprocess(content, job.preprocessing))
        image = decode(content)
    except UserError as error:
        return _Read(member, str(error))
    whole = job.as_array and max(image.size) <= _STORED
    square = image if whole else resize_and_crop(image, job.preprocessing)
    return _Read(member, "", digest, np.asarray(square), whole,
                 _thumbnail(image) if job.thumbnail else b"")


def _resized(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """As training resizes stored arrays, which are small."""
    import torch  # here: those who read photos do without

    from unfreeze.data.reading.resizing import resize

    # A copy: Pillow's array cannot be written to, of which torch would warn.
    return resize(torch.from_numpy(pixels.copy())[None], preprocessing)[0].numpy()


def _thumbnail(image: Image.Image) -> bytes:
    image = image.copy()
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=80)
    return content.getvalue()
