"""Names of files and folders: how messages show them, which are meant to be looked at, and which
stand for a split."""

import re
import unicodedata

SPLITS = ("train", "test", "val")
_WORDS = {
    "train": "train", "training": "train", "trn": "train",
    "test": "test", "testing": "test", "tst": "test", "holdout": "test",
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "dev": "val",
    "eval": "val", "evaluation": "val",
}
# What stands beside such a word in a name and says nothing more: seg_train, Test Images, val2017.
_BESIDE = {"set", "sets", "data", "dataset", "split", "folder", "dir", "image", "images", "img",
           "imgs", "photo", "photos", "picture", "pictures", "pics", "seg", "jpg", "jpeg", "png"}
_beside = f"(?:{'|'.join(_BESIDE)})?"
_WORD = re.compile(f"{_beside}({'|'.join(_WORDS)}){_beside}")  # traindata, testset
# Made by file managers and file servers, beside what begins with a dot; in small letters.
_JUNK = {"__macosx", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r",
         "picasa.ini", "@eadir", "#recycle", "@recycle", "$recycle.bin", "lost+found",
         "system volume information"}


def shown(name: object) -> str:
    """A name as messages show it, on one line whatever is in it."""
    text = str(name)
    return text if text.isprintable() else ascii(text)


def is_visible(name: str) -> bool:
    """Whether a member, by its posix path, is meant to be looked at."""
    return not any(part.startswith(".") or part.lower() in _JUNK for part in name.split("/"))


def is_utf8(name: str) -> bool:
    """Whether a name can be written in UTF-8: one that the file system has in other bytes cannot
    be."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def same_form(name: str) -> str:
    """A name in the one of its Unicode forms that is used here: some systems write an accent as a
    letter of its own, others do not, and people cannot tell."""
    return unicodedata.normalize("NFC", name)


def as_seen(name: str) -> str:
    """What people see of a name: without signs that are not seen, with plain spaces, and letters
    that look alike (ligatures, full-width ones) as one."""
    plain = unicodedata.normalize("NFKC", name)
    seen = "".join(letter for letter in plain if unicodedata.category(letter) != "Cf")
    return " ".join(seen.split())


def split_of(folder: str) -> str:
    """The split that a folder's name stands for, "" for none."""
    word, rest = parted(folder)
    return word if not rest else ""


def parted(folder: str) -> tuple[str, str]:
    """The split that is in a name, and what else is; ("", name) where there is none, or two."""
    plain = unicodedata.normalize("NFKC", folder)
    plain = re.sub(r"([a-z])([A-Z])", r"\1 \2", plain).lower()  # TrainSet
    words = re.findall(r"[^\W\d_]+", plain)
    found = [_WORD.fullmatch(word) for word in words]
    splits = {_WORDS[match[1]] for match in found if match}
    if len(splits) != 1:
        return "", folder
    rest = [word for word, match in zip(words, found, strict=True)
            if not match and word not in _BESIDE]
    return splits.pop(), " ".join(rest)
