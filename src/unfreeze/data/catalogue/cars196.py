"""Stanford Cars (Krause et al. 2013): 16,185 photos of cars, 196 models by make and year.

car_devkit.tgz names the classes and labels the training photos; the test photos' labels are in a
file of their own. In both, a photo is a record with `fname` and `class`, from 1.
"""

from pathlib import Path

from unfreeze.data.acquire.layout import Entry, Index, matlab, read_members
from unfreeze.fetching.assets import Asset

KIND = "photos"
CLASSES, COUNT = None, 196
TRAIN, TEST = 8_144, 8_041
SIZES = "many"
MEAN = STD = None
URL = "https://ai.stanford.edu/~jkrause/cars/car_dataset.html"
LICENCE = "none stated"
CITATION = ("J. Krause, M. Stark, J. Deng, L. Fei-Fei. 3D Object Representations for Fine-Grained "
            "Categorization. 4th IEEE Workshop on 3D Representation and Recognition, 2013.")

_NOTE = ("Stanford's address no longer serves it; what is wanted are the four original files, as "
         "a copy that was packed again has other MD5s")
ASSETS = tuple(Asset(f"Stanford Cars, {what}", f"https://ai.stanford.edu/~jkrause/{path}", md5=md5,
                     note=_NOTE) for what, path, md5 in (
    ("training photos", "car196/cars_train.tgz", "065e5b463ae28d29e77c1b4b166cfe61"),
    ("test photos", "car196/cars_test.tgz", "4ce7ebf6a94d07f1952d94dd34c4d501"),
    ("classes and training labels", "cars/car_devkit.tgz", "c3b158d763b6e2245038c8ad08e45376"),
    ("test labels", "car196/cars_test_annos_withlabels.mat", "b0a2b23655a3edd16d84508592a98d10"),
))


def index(paths: dict[str, Path]) -> Index:
    """The photos of the two lists of annotations, in their order."""
    meta, training = read_members(paths["car_devkit.tgz"], "devkit/cars_meta.mat",
                                  "devkit/cars_train_annos.mat")
    test = paths["cars_test_annos_withlabels.mat"].read_bytes()
    return Index(tuple(str(name) for name in matlab(meta, "class_names")), [
        Entry(split, int(row["class"]) - 1, f"cars_{split}.tgz", f"cars_{split}/{row['fname']}")
        for split, content in (("train", training), ("test", test))
        for row in matlab(content, "annotations")])
