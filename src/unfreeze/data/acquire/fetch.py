"""Bringing a dataset into its folder: arrays, the official files of photos, or a list of images of
the user's own; its labels, and its card. What is there and whole stays.
"""

import io
import json
import shutil
from pathlib import Path

import numpy as np

from unfreeze import files, places
from unfreeze.data import own, photos
from unfreeze.data.acquire import cards, layout
from unfreeze.data.catalogue import dataset
from unfreeze.data.reading import arrays
from unfreeze.errors import UserError
from unfreeze.fetching import sources
from unfreeze.params.plan import ImageSource

NOT_STATED = "not stated"


def fetch(name: str, source: ImageSource, folder: Path, beside: Path) -> dict:
    """The card of a dataset that is in its folder when this returns.

    Args:
        source: of the plan. folder: where it goes.
        beside: the same of the project that a study lies in; what is whole there is copied and not
            fetched again. It may be the same folder.

    Raises:
        UserError: no source is left, or what there is cannot be used.
    """
    if not source.path:
        _copy(beside, folder)
    if source.kind == "arrays":
        return _arrays(name, folder)
    if source.own:
        return _own(name, folder, source)
    return _photos(name, folder)


def _copy(source: Path, folder: Path) -> None:
    """Copy a dataset where there is none. It is checked afterwards, like what was there before."""
    if folder.exists() or not (source / "card.json").is_file():  # the card is written last
        return
    with files.whole_folder(folder) as new:
        shutil.copytree(source, new, dirs_exist_ok=True, copy_function=shutil.copyfile)
    print(f"{folder.name}: copied from {source}", flush=True)


def _arrays(name: str, folder: Path) -> dict:
    """A dataset of the catalogue whose images all have one small size."""
    facts = dataset(name)
    try:
        content = arrays.load(folder)
        digest = arrays.digest(content)
        if digest in (facts.DIGEST, facts.DIGEST is None and arrays.read_card(folder)["digest"]):
            print(f"{name}: already there, digest checked")
            card = _arrays_card(name, content, digest)
            if arrays.read_card(folder) != card:
                files.write_json(folder / "card.json", card)
            return card
    except UserError:
        pass  # missing or damaged: fetched below
    content = sources.obtain(facts.ASSETS[0], facts.read)
    digest = arrays.digest(content)
    if facts.DIGEST is not None and digest != facts.DIGEST:
        raise sources.wrong_bytes(f"{places.DATA}/{name}", "SHA-256 over the arrays",
                                  facts.DIGEST, digest)
    card = _arrays_card(name, content, digest)
    arrays.save(folder, content, card)
    return card


def _arrays_card(name: str, content: arrays.Arrays, digest: str) -> dict:
    facts = dataset(name)
    return {"name": name, "kind": "arrays", "digest": digest} | cards.of_arrays(
        content, facts.CLASSES) | {"split": "official"} | _published(facts)


def _published(facts) -> dict:
    return {"source": facts.URL, "licence": facts.LICENCE, "citation": facts.CITATION}


def _photos(name: str, folder: Path) -> dict:
    """A photo dataset of the catalogue: its official files, and what they say."""
    facts = dataset(name)
    index = layout.fetch(facts, folder)
    paths = layout.paths(facts, folder)
    if card := _ready(folder, facts.COUNT):
        return card
    digests, sizes = {}, []
    for file in {entry.archive for entry in index.entries}:
        members = [entry.member for entry in index.entries if entry.archive == file]
        if paths[file].is_dir():
            continue  # the user's own copy, read in place: hours of reading that nobody asked for
        for member, digest, problem in photos.examine(paths[file], members):
            if problem:
                raise UserError(f"{paths[file]}: {member}: {problem}")
            digests[file, member] = digest
        sizes += cards.sizes(paths[file], members)
    collection = photos.Collection(index.classes, tuple(
        photos.Photo(entry.split, entry.label, entry.member,
                     digests.get((entry.archive, entry.member), ""))
        for entry in index.entries), ())
    card = {"name": name, "kind": "photos", "digest": photos.digest(collection)} | cards.of_photos(
        collection, sizes) | {"split": "official"} | _published(facts)
    _save(folder, collection, card, [entry.archive for entry in index.entries])
    return card


def _own(name: str, folder: Path, source: ImageSource) -> dict:
    """Images of the user's own: read in place, or stored as they came from an address."""
    path = own.path_of(source, folder)
    if source.url and not path.is_file():
        collection, split, digest = _download(source, path)
    else:
        collection, split, digest = own.settled(path, source.skip_broken)
    if digest != (source.digest or digest):
        raise own.changed(path)
    card = _ready(folder, len(collection.classes))
    if card and card["digest"] == digest and "repeated" in card:  # not of an earlier version
        return card
    card = {"name": name, "kind": "photos", "digest": digest} | cards.of_photos(
        collection, cards.sizes(path, [photo.member for photo in collection.photos])) | {
        "split": split, "skipped": list(collection.problems), "source": source.url or str(path),
        "licence": NOT_STATED, "citation": NOT_STATED}
    _save(folder, collection, card, [""] * len(collection.photos))
    return card


def _download(source: ImageSource, path: Path) -> tuple[photos.Collection, str, str]:
    """Put an archive from an address into its place when it has been found good."""
    content = own.download_path(source.url)
    if not content.is_file():
        sources.download(source.url, content)
    try:
        settled = own.settled(content, source.skip_broken)
    except UserError as error:
        # It stays there: with skip_broken it may do, and need not come again.
        raise UserError(f"{source.url}: {error}; delete {content} to have it fetched again"
                        ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    shutil.move(content, part)  # a copy where the scratch folder is on another disk
    part.replace(path)
    return settled


def _ready(folder: Path, classes: int) -> dict | None:
    """The card of photos that are complete, else None."""
    try:
        card, labels = arrays.read_card(folder), arrays.load_labels(folder)
        whole = len(card["classes"]) == classes and all(
            len(labels[split]) == card[split] for split in labels) and card["name"]
    except UserError:
        return None
    if whole:
        print(f"{card['name']}: already there")
    return card if whole else None


def _save(folder: Path, collection: photos.Collection, card: dict, archives: list[str]) -> None:
    """The labels, the list of photos, and last the card, which says that all is there."""
    (folder / "card.json").unlink(missing_ok=True)
    for split in ("train", "test"):
        content = io.BytesIO()
        labels = [photo.label for photo in collection.photos if photo.split == split]
        np.save(content, np.array(labels, np.int64))
        files.write_bytes(folder / f"{split}_labels.npy", content.getbuffer())
    groups = [photo.group for photo in collection.photos if photo.split == "train"]
    (folder / places.TRAIN_GROUPS).unlink(missing_ok=True)
    if any(groups):
        number = {name: place for place, name in enumerate(sorted(set(groups)))}
        content = io.BytesIO()
        # An image without a group is one of its own.
        np.save(content, np.array([number[name] if name else len(number) + place
                                   for place, name in enumerate(groups)], np.int64))
        files.write_bytes(folder / places.TRAIN_GROUPS, content.getbuffer())
    files.write_csv(folder / "index.csv", ("split", "label", "archive", "member", "sha256"), (
        (photo.split, photo.label, archive, photo.member, photo.sha256)
        for photo, archive in zip(collection.photos, archives, strict=True)))
    # Training reads it in the encoding of the locale: ASCII is the same in all.
    files.write_text(folder / "card.json", json.dumps(card, indent=2) + "\n")
