"""What the folders that photos lie in stand for: something around them, splits, classes, or junk.

    [FOLDER/ ...] [train/ | test/ | val/] CLASS/ [... /] photo

A split may stand within itself (seg_train/seg_train/), as some archives have it. Splits go by many
names (Train, training_set, seg_train, valid, ...). What looks like a split and cannot be one is an
error, since as a class it would be a wrong answer without a word.
"""

from collections.abc import Iterable
from pathlib import Path

from unfreeze.data.photos.names import SPLITS, is_visible, parted, same_form, shown, split_of
from unfreeze.errors import UserError

__all__ = ["SPLITS", "depths", "is_visible", "same_form", "split_of"]

_PLAIN = {"train", "training", "test", "testing", "val", "valid", "validation"}

Folders = set[tuple[str, ...]]  # each a path, part by part


def depths(folders: Folders, path: Path) -> tuple[int, int]:
    """How many folders lie outside of the splits, and outside of the classes.

    Args:
        folders: all that are there, or that photos lie in. path: for messages.

    Raises:
        UserError: some look like splits and cannot be taken for them.
    """
    depth = 0
    while True:
        below = {folder[depth:] for folder in folders if len(folder) > depth}
        outermost = {folder[0] for folder in below}
        if (len(outermost) != 1 or _is_split_alone(*outermost)
                or all(len(folder) == 1 for folder in below)):
            break
        depth += 1
    splits = _has_splits(below, outermost, path)
    return depth, depth + splits + (splits and _are_doubled(below))


def _are_doubled(folders: Folders) -> bool:
    """Whether each split holds nothing but a folder of the same split."""
    inner: dict[str, set[str]] = {}
    for folder in folders:
        inner.setdefault(folder[0], set()).update(folder[1:2])
    return all(len(names) == 1 and split_of(*names) == split_of(split)
               for split, names in inner.items())


def _is_split_alone(folder: str) -> bool:
    """Whether the one folder there is is a split: then others are missing. What may as well be
    somebody's name for the whole, such as test_images or dev, is not."""
    return folder.lower() in _PLAIN


def _has_splits(folders: Folders, outermost: set[str], path: Path) -> bool:
    parents = {folder[0] for folder in folders if len(folder) > 1}
    by_split: dict[str, list[str]] = {}
    for name in sorted(parents):
        by_split.setdefault(split_of(name), []).append(name)
    names = by_split.pop("", [])
    if not by_split:
        _refuse_hidden(folders, outermost, path)
        return False  # then they are classes of these names
    if "train" not in by_split:
        if not names and outermost == parents:
            raise UserError(f"{shown(path)}: holds {_listed(outermost)} but no train; wanted is "
                            "train, with a folder for each class in it")
        if len(by_split) == 1 and not any(parted(name)[0] for name in names):
            return False
    for split, alike in by_split.items():
        if len(alike) > 1:
            raise UserError(f"{shown(path)}: {_listed(alike)} all stand for {split}; put them "
                            f"together, or name one of them {split} and move the others away")
    for other in sorted(outermost):
        if not split_of(other):
            beside = by_split.get("train", next(iter(by_split.values())))[0]
            raise UserError(f"{shown(path)}: the folder {shown(other)} lies beside "
                            f"{shown(beside)}; allowed there are {', '.join(SPLITS)} (or a usual "
                            "name of them, such as Training or valid)")
    return True


def _refuse_hidden(folders: Folders, outermost: set[str], path: Path) -> None:
    """Raise where folders that would be classes are splits by another arrangement."""
    splits = sorted(name for name in outermost if split_of(name))
    if len({split_of(name) for name in splits}) > 1 and len(splits) == len(outermost):
        raise UserError(f"{shown(path)}: {_listed(splits)} hold photos and no class folders; "
                        "wanted in each is a folder for each class")
    rest_of: dict[str, dict[str, str]] = {}
    for name in sorted(outermost):
        split, rest = parted(name)
        if split and rest:
            rest_of.setdefault(rest, {})[split] = name
    for named in rest_of.values():
        if len(named) > 1:
            raise UserError(f"{shown(path)}: {_listed(named.values())} look like splits of the "
                            f"same photos; name the folders {', '.join(named)}, with a folder for "
                            "each class in them")
    inner: dict[str, set[str]] = {name: set() for name in outermost}
    for folder in folders:
        if len(folder) > 1:
            inner[folder[0]].add(split_of(folder[1]))
    if all({"train"} < found - {""} for found in inner.values()):
        raise UserError(f"{shown(path)}: the splits lie within {_listed(outermost)}; wanted are "
                        "train, test or val outermost, with a folder for each class in them")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(shown, sorted(names)))
