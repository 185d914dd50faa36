"""Oxford 102 Flower (Nilsback and Zisserman 2008): 8,189 photos of flowers, 102 classes.

imagelabels.mat has the class of each photo, from 1; setid.mat has the photos of each split, counted
from 1. The official files name no class: the names are torchvision's.
"""

from pathlib import Path

from unfreeze.data.acquire.layout import Entry, Index, matlab
from unfreeze.fetching.assets import Asset

KIND = "photos"
CLASSES = (
    "pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea",
    "english marigold", "tiger lily", "moon orchid", "bird of paradise", "monkshood",
    "globe thistle", "snapdragon", "colt's foot", "king protea", "spear thistle", "yellow iris",
    "globe-flower", "purple coneflower", "peruvian lily", "balloon flower", "giant white arum lily",
    "fire lily", "pincushion flower", "fritillary", "red ginger", "grape hyacinth", "corn poppy",
    "prince of wales feathers", "stemless gentian", "artichoke", "sweet william", "carnation",
    "garden phlox", "love in the mist", "mexican aster", "alpine sea holly", "ruby-lipped cattleya",
    "cape flower", "great masterwort", "siam tulip", "lenten rose", "barbeton daisy", "daffodil",
    "sword lily", "poinsettia", "bolero deep blue", "wallflower", "marigold", "buttercup",
    "oxeye daisy", "common dandelion", "petunia", "wild pansy", "primula", "sunflower",
    "pelargonium", "bishop of llandaff", "gaura", "geranium", "orange dahlia",
    "pink-yellow dahlia?", "cautleya spicata", "japanese anemone", "black-eyed susan", "silverbush",
    "californian poppy", "osteospermum", "spring crocus", "bearded iris", "windflower",
    "tree poppy", "gazania", "azalea", "water lily", "rose", "thorn apple", "morning glory",
    "passion flower", "lotus", "toad lily", "anthurium", "frangipani", "clematis", "hibiscus",
    "columbine", "desert-rose", "tree mallow", "magnolia", "cyclamen", "watercress", "canna lily",
    "hippeastrum", "bee balm", "ball moss", "foxglove", "bougainvillea", "camellia", "mallow",
    "mexican petunia", "bromelia", "blanket flower", "trumpet creeper", "blackberry lily",
)
COUNT = len(CLASSES)
TRAIN, TEST = 2_040, 6_149
SIZES = "many"
MEAN = STD = None
URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
LICENCE = "none stated"
CITATION = ("M.-E. Nilsback, A. Zisserman. Automated Flower Classification over a Large Number of "
            "Classes. ICVGIP 2008.")

ASSETS = (
    Asset("Oxford 102 Flower, photos", f"{URL}102flowers.tgz",
          md5="52808999861908f626f3c1f4e79d11fa"),
    Asset("Oxford 102 Flower, labels", f"{URL}imagelabels.mat",
          md5="e0620be6f572b9609742df49c70aed4d"),
    Asset("Oxford 102 Flower, splits", f"{URL}setid.mat",
          md5="a5357ecc9cb78c4bef273ce3793fc85c"),
)

_SPLITS = {"trnid": "train", "valid": "train", "tstid": "test"}


def index(paths: dict[str, Path]) -> Index:
    """The photos of setid.mat; the training split is the official training and validation ones."""
    labels = matlab(paths["imagelabels.mat"].read_bytes(), "labels")
    numbers = paths["setid.mat"].read_bytes()
    return Index(CLASSES, [
        Entry(split, int(labels[number - 1]) - 1, "102flowers.tgz", f"jpg/image_{number:05d}.jpg")
        for key, split in _SPLITS.items() for number in matlab(numbers, key)])
