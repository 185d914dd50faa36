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
from unfreeze.recipe import PinnedDataset, Preprocessing
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
    preprocessing = _preprocessing(run, photos)
    indices = chosen(run)
    groups = subsets.load_groups(dataset)
    images = Images(stored, labels, indices, preprocessing, device.torch,
                    environment.resized_limit(device.memory))
    parts = folds.of(np.asarray(labels)[indices], None if groups is None else groups[indices])
    model = features.load(run.knobs["model"], weights.path(places.WEIGHTS, run.weights),
                          preprocessing.image_size, unused(plan, run))
    return rank(name, model, images, torch.from_numpy(parts), plan.score == "balanced_accuracy",
                preprocessing.image_size, device)


def _preprocessing(run: Run, photos: decoded.Card | None) -> Preprocessing:
    """As pinning does it: means and deviations of photos are known when they are decoded."""
    planned = run.preprocessing
    known = photos if planned.mean is None else planned
    return Preprocessing(planned.image_size, planned.resize, planned.interpolation,
                         tuple(map(float, known.mean)), tuple(map(float, known.std)))


def chosen(run: Run, folder: Path = places.SUBSETS) -> np.ndarray:
    """(N,) indices into the training split, in a random order."""
    (file,) = run.subsets.values()
    found = files.read_json(folder / file)
    return np.array(found["train"] + found["validation"], np.int64)


def unused(plan: Plan, run: Run) -> tuple[str, ...]:
    """Modules of the weights' file that the model does not have."""
    source = plan.weights[run.weights]
    alike = ([models.official_weights(source.model, source.key)]
             if isinstance(source, OfficialWeights) else
             models.facts_of(run.knobs["model"]).weights.values())
    return tuple(sorted({module for each in alike for module in each.unused}))
