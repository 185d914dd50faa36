"""ImageNet, ILSVRC 2012 (Russakovsky et al. 2015): 1.3 million photos, a thousand classes.

It must be asked for, so it is read in place from the folder imagenet in the folder of
UNFREEZE_MIRROR, in the layout that torchvision's ImageNet makes of the official archives:

    imagenet/train/n01440764/*.JPEG    a folder a class, named by its synset
    imagenet/val/n01440764/*.JPEG      the official validation photos; they are the test split

imagenet.txt has the synset of each class, which in sorted order are the labels, and its name, as
torchvision has it. No digest is pinned: the archives' published MD5s say nothing of a folder.
"""

from pathlib import Path

from unfreeze.data.acquire.layout import Entry, Index
from unfreeze.errors import UserError

SYNSETS = dict(line.split(" ", 1)
               for line in Path(__file__).with_suffix(".txt").read_text().splitlines())

KIND = "photos"
CLASSES = tuple(SYNSETS.values())
COUNT = len(CLASSES)
TRAIN, TEST = 1_281_167, 50_000
SIZES = "many"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
URL = "https://image-net.org/challenges/LSVRC/2012/"
LICENCE = "ImageNet's terms of access: non-commercial research and education only"
CITATION = ("O. Russakovsky et al. ImageNet Large Scale Visual Recognition Challenge. "
            "IJCV 115, 2015.")

ASSETS = ()
FOLDER = "imagenet"

_SPLITS = {"train": "train", "val": "test"}


def index(paths: dict[str, Path]) -> Index:
    """The photos of the folders, sorted by synset and name; hidden files do not count.

    Raises:
        UserError: train/ or val/ has not exactly the synset folders.
    """
    (folder, root), = paths.items()
    entries = []
    for part, split in _SPLITS.items():
        there = {path.name for path in _visible(root / part)}
        for what, wrong in (("lacks", SYNSETS.keys() - there), ("has", there - SYNSETS.keys())):
            if wrong:
                raise UserError(f"{root / part}: {what} {min(wrong)} and {len(wrong) - 1} more; "
                                f"it must have the {len(SYNSETS)} synset folders and nothing else")
        for label, synset in enumerate(SYNSETS):
            photos = sorted(path.name for path in _visible(root / part / synset))
            entries += [Entry(split, label, folder, f"{part}/{synset}/{name}") for name in photos]
    return Index(tuple(SYNSETS.values()), entries)


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    return [path for path in folder.iterdir() if not path.name.startswith(".")]
