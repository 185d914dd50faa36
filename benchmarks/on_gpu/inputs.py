"""What a machine without a network needs, in parts small enough to be carried one after another.

`pack` makes the parts from a project in which `dvc repro` has run: CIFAR-10 as the pipeline keeps
it, weights, and wheels of what is imported besides torch and torchvision. `unpack` makes folders of
them again, once all have arrived. A part is a piece of one zip file; images lie in it as lossless
WebP, nearly half of what .npy takes.

Importable with Python alone: wheels may bring the rest.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

LIMIT = 49_000_000  # bytes of a part
WEIGHTS = ("resnet18-imagenet1k_v1",)  # of the runs in published.py
# Import name: its package. Only what is missing is taken from the wheels.
PACKAGES = {"yaml": "pyyaml", "tqdm": "tqdm", "safetensors": "safetensors", "pytest": "pytest",
            "iniconfig": "iniconfig", "pluggy": "pluggy", "packaging": "packaging",
            "pygments": "pygments"}
_HIGH = 16_383  # pixels that a WebP may be high
_PART = re.compile(r"gpu-inputs\.(\d+)of(\d+)")


def pack(folder: Path, data: Path, weights: Path, wheels: Path | None,
         names: Iterable[str] = WEIGHTS, limit: int = LIMIT) -> list[Path]:
    """Write the parts.

    Args:
        folder: for the parts; what is there of another packing goes.
        data: with cifar10/. weights: with NAME.safetensors. wheels: with *.whl; None: without.
        names: of the weights.
        limit: bytes of a part.
    """
    with tempfile.TemporaryFile() as whole:
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.write(weights / f"{name}.safetensors", f"weights/{name}.safetensors")
            for wheel in sorted(wheels.glob("*.whl")) if wheels else ():
                archive.write(wheel, f"wheels/{wheel.name}")
            for file in sorted((data / "cifar10").iterdir()):
                if file.name.endswith("_images.npy"):
                    for number, picture in enumerate(_pictures(file)):
                        archive.writestr(f"images/cifar10/{file.stem}/{number:04}.webp", picture)
                else:
                    archive.write(file, f"data/cifar10/{file.name}")
        size = whole.tell()
        count = -(-size // limit)
        whole.seek(0)
        folder.mkdir(parents=True, exist_ok=True)
        for old in parts(folder):
            old.unlink()
        made = [folder / f"gpu-inputs.{number}of{count}" for number in range(1, count + 1)]
        for part in made:
            part.write_bytes(whole.read(-(-size // count)))
    return made


def parts(folder: Path) -> list[Path]:
    """Those that have arrived, the first first."""
    return sorted((file for file in folder.glob("gpu-inputs.*") if _PART.fullmatch(file.name)),
                  key=_number)


def missing(folder: Path) -> str | None:
    """What keeps the parts in a folder from being unpacked, in words; None: nothing does."""
    here = parts(folder)
    counts = {_PART.fullmatch(part.name)[2] for part in here}
    if not here:
        return f"no part is in {folder}"
    if len(counts) > 1:
        return f"the parts in {folder} are of several packings"
    (count,) = counts
    lacking = set(range(1, int(count) + 1)) - set(map(_number, here))
    return f"of {count} parts {sorted(lacking)} are not in {folder}" if lacking else None


def unpack(folder: Path, into: Path) -> Path:
    """The folder `inputs` in `into`, with data/cifar10/, weights/ and wheels/, made of the parts
    unless it is there.

    Raises:
        ValueError: a part is missing, or damaged, or of another packing.
    """
    made = into / "inputs"
    if made.is_dir():
        return made
    if problem := missing(folder):
        raise ValueError(problem)
    into.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=into))
    try:
        with tempfile.TemporaryFile(dir=into) as whole:
            for part in parts(folder):
                with open(part, "rb") as file:
                    shutil.copyfileobj(file, whole)
            with zipfile.ZipFile(whole) as archive:
                archive.extractall(temporary)
        _put_images(temporary / "images", temporary / "data")
        os.replace(temporary, made)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise ValueError(f"the parts in {folder} cannot be unpacked, perhaps they do not belong "
                         f"together: {error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return made


def lacking_packages() -> list[str]:
    """Import names of what is not installed here."""
    from importlib.util import find_spec

    return [name for name in PACKAGES if find_spec(name) is None]


def install(wheels: Path, into: Path) -> Path:
    """A folder for the path of Python with what the wheels hold. Installing is unpacking them."""
    made = into / "site"
    if not made.is_dir():
        temporary = Path(tempfile.mkdtemp(dir=into))
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(temporary)
        os.replace(temporary, made)
    return made


def fetch_wheels(folder: Path, python: str) -> None:
    """Wheels of PACKAGES for a Linux x86-64 machine with another Python.

    Args:
        python: its version, such as 3.12.

    Raises:
        subprocess.CalledProcessError: pip found none.
    """
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in (28, 17, 5)] + ["manylinux2014_x86_64"]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder),
         "--only-binary", ":all:", "--implementation", "cp", "--python-version", python,
         *(f"--platform={platform}" for platform in platforms), *PACKAGES.values()], check=True)


def _pictures(file: Path) -> Iterator[bytes]:
    """(N, H, W, 3) uint8 images as columns of as many as a picture may be high."""
    import numpy as np
    from PIL import Image

    images = np.load(file, mmap_mode="r")
    most = _HIGH // images.shape[1]
    for start in range(0, len(images), most):
        column = np.ascontiguousarray(images[start:start + most]).reshape(-1, images.shape[2], 3)
        picture = io.BytesIO()
        Image.fromarray(column).save(picture, "webp", lossless=True, exact=True, quality=80)
        yield picture.getvalue()


def _put_images(pictures: Path, data: Path) -> None:
    """DATASET/ARRAY/NUMBER.webp to DATASET/ARRAY.npy; pictures are as wide as the images, which are
    square."""
    import numpy as np
    from PIL import Image

    for folder in sorted(pictures.glob("*/*")):
        columns = []
        for file in sorted(folder.iterdir()):
            with Image.open(file) as picture:
                column = np.asarray(picture.convert("RGB"))
            columns.append(column.reshape(-1, column.shape[1], column.shape[1], 3))
        np.save(data / folder.parent.name / f"{folder.name}.npy", np.concatenate(columns))
    shutil.rmtree(pictures, ignore_errors=True)


def _number(part: Path) -> int:
    return int(_PART.fullmatch(part.name)[1])
