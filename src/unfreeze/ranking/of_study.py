"""The models that a study's `rank` lists, scored by its training images."""

from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from unfreeze import environment, files, models, places
from unfreeze.data import subsets
from unfreeze.data.reading import arrays, decoded
from unfreeze.data.reading.images import Images
from unfreeze.data.reading.splits import open_pinned
from unfreeze.models import weights
from unfreeze.params.plan import OfficialWeights, Plan, Run
from unfreeze.ranking import features, folds
from unfreeze.ranking.rank import Ranked, best_first, rank
from unfreeze.recipe import PinnedDataset
from unfreeze.training import devices


def ranked(plan: Plan) -> list[Ranked]:
    """Each of them, best first, from what lies in the working folder: the images that the plan's
    first seed trains on and holds out, none that is tested.

    Raises:
        UserError: something is missing, or is not what it should be.
    """
    device = devices.pick()
    return best_first([_rank(plan, name, run, device) for name, run in tqdm(
        plan.rank.items(), desc="ranking", unit="model", disable=None, leave=False)])


def _rank(plan: Plan, name: str, run: Run, device: devices.Device) -> Ranked:
    dataset = places.DATA / run.knobs["dataset"]
    photos = decoded.read_card(places.DECODED / run.decoded) if run.decoded else None
    card = arrays.read_card(dataset)
    stored, labels = open_pinned(PinnedDataset(
        run.knobs["dataset"], card["digest"], tuple(card["classes"]), run.decoded,
        {"train": photos.digests["train"]} if photos else {}))["train"]
    preprocessing = run.preprocessing.settled(photos)
    indices = chosen(run)
    groups = subsets.load_groups(dataset)
    images = Images(stored, labels, indices, preprocessing, device.torch,
                    environment.resized_limit(device.memory))
    parts = folds.of(np.asarray(labels)[indices], None if groups is None else groups[indices])
    source = plan.weights[run.weights]
    key = source.key if isinstance(source, OfficialWeights) else None
    model = features.load(run.knobs["model"], weights.path(places.WEIGHTS, run.weights),
                          preprocessing.image_size, models.unused(source.model, key))
    return rank(name, model, images, torch.from_numpy(parts), plan.score == "balanced_accuracy",
                preprocessing.image_size, device)


def chosen(run: Run, folder: Path = places.SUBSETS) -> np.ndarray:
    """(N,) indices into the training split, in a random order."""
    (file,) = run.subsets.values()
    found = files.read_json(folder / file)
    return np.array(found["train"] + found["validation"], np.int64)
