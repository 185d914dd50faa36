"""The scores of a model, each with what it took."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from unfreeze.data.reading.images import Images
from unfreeze.ranking import features, scores
from unfreeze.ranking.features import Pretrained
from unfreeze.ranking.scores import Features
from unfreeze.training import devices
from unfreeze.training.devices import Device

BEST_BY = "linear_probe"  # why: docs/which-model.md
# Of the processor, the same everywhere: the last bits of a product depend on them. What scores are
# made of is too small to be shared out.
THREADS, THREADS_OF_SCORES = 2, 1


@dataclass(frozen=True)
class Ranked:
    """A model with its scores.

    Attributes:
        name: as params.yaml lists it. images: that it was shown. image_size: of their side.
        dimensions: of a feature. source_classes: of the weights' own classifier; 0 without.
        parameters: of all layers but the last. operations: of a pass of an image.
        scores: {score: its value}; of a model without a classifier fewer. seconds: {score: that it
            took}, and {"features"}; of the processor where there is no GPU.
    """

    name: str
    images: int
    image_size: int
    dimensions: int
    source_classes: int
    parameters: int
    operations: int
    scores: Mapping[str, float]
    seconds: Mapping[str, float]


def rank(name: str, model: Pretrained, images: Images, folds: torch.Tensor, balanced: bool,
         image_size: int, device: Device) -> Ranked:
    """A model scored by some labelled images.

    Args:
        folds: (N,) of each image, as of `scores.Features`. balanced: as there.

    Raises:
        UserError: what the model makes of the images is not finite, or the environment allows
            fewer threads.
    """
    devices.set_threads(THREADS)
    start = device.clock()
    output = features.of_images(model, images, device)
    seconds = {"features": device.clock() - start}
    devices.set_threads(THREADS_OF_SCORES)
    values, took = scored(Features(output.values, images.labels.cpu(), folds,
                                   output.probabilities, balanced), device.clock)
    return Ranked(
        name, len(images), image_size, output.values.shape[1],
        0 if output.probabilities is None else output.probabilities.shape[1],
        model.parameters, output.operations, values, seconds | took)


def scored(found: Features, clock: Callable[[], float]) -> tuple[dict, dict]:
    """{score: its value} and {score: seconds} of some features.

    Args:
        clock: seconds, of which differences count.
    """
    values, seconds = {}, {}
    for name, score in scores.by_name().items():
        if getattr(score, "NEEDS_HEAD", False) and found.source is None:
            continue
        start = clock()
        values[name] = score.score(found)
        seconds[name] = clock() - start
    return values, seconds


def best_first(ranked: list[Ranked]) -> list[Ranked]:
    """By the score that is gone by; of equal ones the cheaper first."""
    return sorted(ranked, key=lambda each: (-each.scores[BEST_BY], each.operations, each.name))
