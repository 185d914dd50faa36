"""What the study's pretrained model makes of photos before anything is changed: the layers at its
end, and the five likeliest of ImageNet's thousand classes for each photo.

The model is that of `model` and `init` in params.yaml beside this file. Photos go through the
weights' own transforms. The weights are fetched and checked as by the stage fetch-weights, to where
that stage finds them.

Usage: python studies/adaptation/top5.py PHOTO...
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "src"))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from unfreeze import files, models, places  # noqa: E402
from unfreeze.data.catalogue import imagenet  # noqa: E402
from unfreeze.data.photos.preprocess import preprocess  # noqa: E402
from unfreeze.data.reading.normalise import Normalisation  # noqa: E402
from unfreeze.errors import UserError, nearest  # noqa: E402
from unfreeze.models import official, weights  # noqa: E402
from unfreeze.models.facts import Weights  # noqa: E402
from unfreeze.recipe import Preprocessing  # noqa: E402
from unfreeze.stage import run_stage  # noqa: E402

LAYERS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    paths = parser.parse_args().photos
    knobs = files.read_yaml(HERE / "params.yaml")
    facts = find(knobs["model"], knobs["init"])
    squares = np.stack([prepare(path, facts) for path in paths])
    model = load(knobs["model"], facts, HERE / places.WEIGHTS)
    print(f"The last {LAYERS} layers of {facts.asset.title}:")
    for name, layer in last_layers(model):
        print(f"  {name}: {layer}")
    for path, likeliest in zip(paths, top5(model, squares, facts), strict=True):
        print(f"{path}:")
        for label, probability in likeliest:
            print(f"  {100 * probability:5.1f} %  {label}")


def find(model: str, init: str) -> Weights:
    """The official weights that the knob `init` names.

    Raises:
        UserError: it names none, or there is no such model.
    """
    known = models.facts_of(model).weights
    if init == "pretrained" and known:
        return next(iter(known.values()))
    if init not in known:
        raise UserError(f"params.yaml: init: {init!r} names no official weights of {model}"
                        f"{nearest(init, known)}; allowed here: {', '.join(known) or 'none'}")
    return known[init]


def preprocessing_of(facts: Weights) -> Preprocessing:
    """How the weights expect their images."""
    return Preprocessing(facts.crop, facts.resize, facts.interpolation, facts.mean, facts.std)


def prepare(path: Path, facts: Weights) -> np.ndarray:
    """(S, S, 3) uint8: a photo as the weights expect it.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return preprocess(path.read_bytes(), preprocessing_of(facts))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name photos") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def load(name: str, facts: Weights, folder: Path) -> torch.nn.Module:
    """The whole pretrained model, its classifier included, in eval mode; weights that are not in
    the folder are fetched into it.

    Raises:
        UserError: the weights cannot be had.
    """
    file = weights.path(folder, facts.name)
    official.fetch(facts, file, HERE.parents[1] / places.WEIGHTS / file.name)
    model = models.build(name, "original", imagenet.COUNT, facts.crop)
    tensors = {key: torch.from_numpy(array) for key, array in weights.read_arrays(file).items()}
    weights.load_into(model, models.fit_weights(name, tensors, facts.crop), (), str(file),
                      facts.unused)
    return model.eval()


def last_layers(model: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """Name and layer of the last of those without layers of their own."""
    leaves = [(name, module) for name, module in model.named_modules()
              if not any(module.children())]
    return leaves[-LAYERS:]


@torch.inference_mode()
def top5(model: torch.nn.Module, squares: np.ndarray,
         facts: Weights) -> list[list[tuple[str, float]]]:
    """For each of (N, S, S, 3) uint8 photos the five likeliest classes of ImageNet: name and
    probability, likeliest first."""
    normalise = Normalisation(preprocessing_of(facts), torch.device("cpu"))
    likeliest = []
    for batch in torch.from_numpy(squares).split(32):
        best = model(normalise(batch)).softmax(1).topk(5)
        likeliest += [[(imagenet.CLASSES[label], probability) for label, probability in
                       zip(labels, probabilities, strict=True)]
                      for labels, probabilities in zip(
                          best.indices.tolist(), best.values.tolist(), strict=True)]
    return likeliest


if __name__ == "__main__":
    run_stage(main)
