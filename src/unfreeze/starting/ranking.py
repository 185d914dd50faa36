"""Which models a study that is to be compares: those whose features say most of its images, before
anything is trained (unfreeze.ranking)."""

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from unfreeze import environment, models, places
from unfreeze.data import catalogue, own, subsets
from unfreeze.data.decoding import write_photos
from unfreeze.data.facts import TENFOLD
from unfreeze.data.reading import arrays
from unfreeze.errors import Fault, UserError
from unfreeze.models import official, weights
from unfreeze.params.rank import Entry
from unfreeze.params.rank import read as read_list
from unfreeze.recipe import Preprocessing
from unfreeze.starting.look import Look
from unfreeze.words import count

if TYPE_CHECKING:
    from unfreeze.ranking.rank import Ranked

# Whose weights can be had from a package registry too, and which a processor trains in minutes.
_CANDIDATES = ("mobilenet_v2", "resnet18", "timm/tf_efficientnet_lite0")
IMAGES = 400  # training images that are shown to each, of each class as many as it has of all

_Shown = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # (N, S, S, 3) images, labels, groups


def candidates() -> tuple[str, ...]:
    """Models to rank where nobody says which: those of timm only where it is installed."""
    return tuple(name for name in _CANDIDATES if not name.startswith(models.OF_TIMM)
                 or importlib.util.find_spec("timm"))


def listed(names: Sequence[str]) -> list[str]:
    """The models that names and patterns stand for.

    Raises:
        UserError: one stands for nothing.
    """
    try:
        return [entry.name for entry in _entries(names)]
    except Fault as fault:
        raise UserError(f"--rank: {fault.problem}") from None


def _entries(names: Sequence[str]) -> list[Entry]:
    return read_list({"rank": list(names)})


def best_first(look: Look, names: Sequence[str], image_size: int, home: Path, skip_broken: bool,
               say: Callable[[str], None]) -> "list[Ranked]":
    """Models scored by some of the training images; none where the images are not here yet, or no
    weights can be had.

    Args:
        names: of the models. image_size: of the square that they are shown.
        home: the project, whose weights they are or become.
        say: takes a line for each model that is left out.
    """
    with TemporaryDirectory(dir=_scratch()) as folder:
        shown = _shown(look, image_size, home, skip_broken, Path(folder) / "images.npy")
        if shown is None:
            return []
        say(f"ranking {count(len(names), 'model')} by {count(len(shown[0]), 'training image')}, "
            "before any is trained ...")
        return _ranked(look, names, image_size, home, shown, say)


def _scratch() -> Path:
    folder = environment.scratch() / "ranking"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _shown(look: Look, size: int, home: Path, skip_broken: bool, file: Path) -> _Shown | None:
    """Some training images, in a random order; None where they are not here yet."""
    if not look.own:
        return _of_catalogue(look, home)
    path = own.download_path(look.images) if own.is_url(look.images) else Path(look.images)
    collection, _, _ = own.settled(path, skip_broken)
    train = [photo for photo in collection.photos if photo.split == "train"]
    some = [train[place] for place in _some(np.array([photo.label for photo in train]))]
    write_photos(path, some, Preprocessing(size, "square", "bilinear", (), ()), file,
                 environment.workers())
    names = [photo.group or f"\0{photo.member}" for photo in some]
    groups = np.unique(names, return_inverse=True)[1] if any(
        photo.group for photo in some) else None
    return np.load(file, mmap_mode="r"), np.array([photo.label for photo in some]), groups


def _of_catalogue(look: Look, home: Path) -> _Shown | None:
    folder = home / places.DATA / look.images
    if catalogue.dataset(look.images).KIND != "arrays" or not (folder / "card.json").is_file():
        return None
    stored = arrays.load(folder)
    some = _some(np.asarray(stored.train_labels))
    return np.asarray(stored.train_images)[some], np.asarray(stored.train_labels)[some], None


def _some(labels: np.ndarray) -> np.ndarray:
    order = subsets.stratified_order(labels, np.random.Generator(np.random.PCG64(0)))[:IMAGES]
    return np.random.Generator(np.random.PCG64(1)).permutation(order)


def _ranked(look: Look, names: Sequence[str], size: int, home: Path, shown: _Shown,
            say: Callable[[str], None]) -> "list[Ranked]":
    import torch  # here: --help and what is refused need none of it
    from tqdm import tqdm

    from unfreeze.data.reading.images import Images
    from unfreeze.ranking import features, folds
    from unfreeze.ranking.rank import best_first, rank
    from unfreeze.training import devices

    device = devices.pick()
    stored, labels, groups = shown
    parts = torch.from_numpy(folds.of(labels, groups))
    balanced = max(look.train) >= TENFOLD * min(look.train)
    found = []
    for name in tqdm(names, desc="ranking", unit="model", disable=None, leave=False):
        try:
            known = next(iter(models.facts_of(name).weights.values()))
            file = weights.path(home / places.WEIGHTS, known.name)
            with redirect_stdout(StringIO()):
                official.fetch(known, file, file)
            model = features.load(name, file, size, known.unused)
            images = Images(stored, labels, range(len(labels)), Preprocessing(
                size, "square", "bilinear", known.mean, known.std), device.torch,
                environment.resized_limit(device.memory))
            found.append(rank(name, model, images, parts, balanced, size, device))
        except UserError as error:
            say(f"  {name} is left out: {error}")
    return best_first(found)
