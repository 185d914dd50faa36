"""Caltech-UCSD Birds-200-2011 (Wah et al. 2011): 11,788 photos of birds, 200 species.

The archive has a line an image in three files: images.txt (id, path), image_class_labels.txt (id,
class from 1) and train_test_split.txt (id, 1 for training); classes.txt names the classes.
"""

from pathlib import Path

from unfreeze.data.acquire.layout import Entry, Index, read_members, table
from unfreeze.fetching.assets import Asset

KIND = "photos"
CLASSES, COUNT = None, 200
TRAIN, TEST = 5_994, 5_794
SIZES = "many"
MEAN = STD = None
URL = "https://www.vision.caltech.edu/datasets/cub_200_2011/"
LICENCE = "none stated"
CITATION = ("C. Wah, S. Branson, P. Welinder, P. Perona, S. Belongie. The Caltech-UCSD "
            "Birds-200-2011 Dataset. California Institute of Technology, CNS-TR-2011-001, 2011.")

ASSETS = (Asset("CUB-200-2011",
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                md5="97eceeb196236b17998738112f37df78"),)

_FILES = ("classes", "images", "image_class_labels", "train_test_split")


def index(paths: dict[str, Path]) -> Index:
    """The images of images.txt, in its order, with the official split."""
    (archive, path), = paths.items()
    classes, images, labels, training = (
        dict(table(content))
        for content in read_members(path, *(f"CUB_200_2011/{name}.txt" for name in _FILES)))
    names = [classes[str(label)] for label in range(1, len(classes) + 1)]
    return Index(tuple(name.split(".", 1)[1].replace("_", " ") for name in names), [
        Entry("train" if training[image] == "1" else "test", int(labels[image]) - 1, archive,
              f"CUB_200_2011/images/{member}")
        for image, member in images.items()])
