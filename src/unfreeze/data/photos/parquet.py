"""Parquet files with images in them, as Hugging Face hands out image datasets: a column of images
({bytes, path}), a column of labels, and a file or more for each split
(train-00000-of-00002.parquet), perhaps in the folder `data`.

They are read with pyarrow, which is an extra (`parquet`) and not needed for anything else.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from unfreeze.data.photos.names import is_visible, same_form, shown, split_of
from unfreeze.data.photos.table import USUAL
from unfreeze.errors import UserError

MAGIC = b"PAR1"
_BATCH = 64  # rows at a time: images are large


def files_of(path: Path) -> list[Path]:
    """The Parquet files of a folder, in it or in its folder `data`; the file itself where it is
    one. Beside other folders, such as those of classes, they are not what the folder is about."""
    if not path.is_dir():
        return [path]
    for folder in (path, path / "data"):
        files = sorted(file for file in folder.glob("*.parquet") if is_visible(file.name))
        if files:
            beside = any(inner.is_dir() and is_visible(inner.name) and inner != path / "data"
                         for around in {path, folder} for inner in around.iterdir())
            return [] if beside else files
    return []


def images(path: Path) -> Iterator[tuple[str, bytes | None, str]]:
    """([SPLIT/]LABEL/NAME, the image file or None, why there is none or "") of each row; NAME alone
    of one without a label.

    Raises:
        UserError: pyarrow is missing, a file cannot be read, its columns cannot be told, or some
            files are of a split and others of none.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(f"{shown(path)}: Parquet files are read with pyarrow, which is not "
                        "installed; `make env-all` or `pip install pyarrow` brings it") from None
    files = files_of(path)
    splits = [split_of(re.split(r"[-.]", file.name)[0]) for file in files]
    if any(splits) and not all(splits):
        raise UserError(f"{shown(files[splits.index('')])}: is of which split? Other files beside "
                        "it are named by theirs; name it such as train-1.parquet, or move it away")
    for file, split in zip(files, splits, strict=True):
        try:
            opened = parquet.ParquetFile(file)
            image, label, names = _columns(file, opened.schema_arrow)
            number = 0
            for batch in opened.iter_batches(_BATCH, columns=[image, label]):
                for row in batch.to_pylist():
                    yield _member(file, split, number, row[image], row[label], names)
                    number += 1
        except (pyarrow.ArrowException, OSError) as error:
            raise UserError(f"{shown(file)}: cannot be read ({error})") from None


def _member(file: Path, split: str, number: int, image: object, label: object,
            names: list[str]) -> tuple[str, bytes | None, str]:
    image = image if isinstance(image, dict) else {"bytes": image}
    content, kept = image.get("bytes"), os.path.basename(image.get("path") or "")
    name = f"{file.stem}-{number:06d}{os.path.splitext(kept)[1]}"
    name = name if is_visible(name) else f"_{name}"
    folder = same_form(_class(label, names)).replace("/", "-").strip()
    if not folder:
        return name, None, "no label"
    folder = folder if is_visible(folder) else f"_{folder}"
    name = "/".join(filter(None, (split, folder, name)))
    if content and not isinstance(content, bytes):
        return name, None, "no image in it, but what may be the name of one"
    return name, content or None, "" if content else "no image in it"


def _class(label: object, names: list[str]) -> str:
    """The name of a row's class; "" where it has none: an empty cell, or a number without a name,
    such as the -1 of images that nobody has labelled."""
    if label is None or label != label:  # NaN: an empty cell among numbers
        return ""
    if names and isinstance(label, int):
        return names[label] if 0 <= label < len(names) else ""
    return str(label)


def _columns(file: Path, schema) -> tuple[str, str, list[str]]:
    """The column of images, that of labels, and the names of the labels where these are numbers."""
    features = _features(schema)
    image = next((name for name, kind in features.items() if kind.get("_type") == "Image"), None)
    label = next((name for name, kind in features.items() if kind.get("_type") == "ClassLabel"),
                 None)
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(schema.names)}
    image = image or next((plain[name] for name in USUAL["path"] if name in plain), None)
    label = label or next((plain[name] for name in USUAL["label"] if name in plain), None)
    for what, found in (("images", image), ("labels", label)):
        if found is None:
            raise UserError(f"{shown(file)}: which column holds the {what}? It has "
                            f"{', '.join(map(shown, schema.names))}; call it "
                            f"{'image' if what == 'images' else 'label'}")
    names = features.get(label, {}).get("names", [])
    return image, label, names


def _features(schema) -> Mapping[str, dict]:
    """{column: what Hugging Face's library says of it}."""
    try:
        content = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return {name: kind for name, kind in content["info"]["features"].items()
                if isinstance(kind, dict)}  # a column of lists is a list
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
