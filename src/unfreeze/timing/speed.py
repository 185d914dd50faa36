"""How fast the engine does a kind of work here: some epochs of it, on random images of the right
size. On processors the time that they spend counts, so that other programs that run just now do
not."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from unfreeze.ahead import slots
from unfreeze.recipe import Phase, PinnedDataset, PinnedSubset, PinnedWeights, Preprocessing, Recipe
from unfreeze.timing.work import Speed

FEW, MANY = 2, 16  # batches of a timed epoch: many, where they are quick


def measure(kind: Mapping, device, seconds: float) -> Speed:
    """The speed of a kind of work, from about so many seconds each of training and of testing,
    where nothing else runs.

    Args:
        kind: as of `work.kind_of`, read. device: training.devices.Device.
    """
    from unfreeze.training import counting, evaluation
    from unfreeze.training.replicate import Replicate
    from unfreeze.training.setting import set_up

    knobs = kind["knobs"]
    preprocessing = Preprocessing(kind["image_size"], "square", "bilinear", (0.5,) * 3, (0.25,) * 3)
    splits = {"train": _noise(kind, preprocessing, FEW, device),
              "validation": _noise(kind, preprocessing, 0, device)}

    def repeated(begin: Callable[[], Callable[[], float]]) -> float:
        """Images per second; what `begin` gives goes through those of splits["train"], and gives
        its seconds. The first time, when memory is allocated and kernels are chosen, counts only
        where it takes so long that this is little of it."""
        once = begin()
        took = [once()]
        if took[0] < 10 * seconds:
            took = [once()]
            if took[0] * MANY / FEW < seconds:
                splits["train"] = _noise(kind, preprocessing, MANY, device)
                once = begin()
                took = [once()]
        while sum(took) < seconds:
            took.append(once())
        return len(took) * len(splits["train"]) / sum(took)

    with tempfile.TemporaryDirectory() as folder:
        recipe = counting.with_threads(_recipe_of(kind, preprocessing, Path(folder)))
        # Of a processor's time all threads together are counted.
        together = recipe.knobs["threads"] if device.torch.type == "cpu" else 1

        def training() -> Callable[[], float]:
            replicate = Replicate(set_up(recipe, 1, device, Path(folder), splits))

            def epoch() -> float:
                start = device.clock()
                replicate.epoch(lambda: None)
                return (device.clock() - start) / together

            return epoch

        train = repeated(training) if kind["trains"] else None
        model = set_up(recipe, 1, device, Path(folder), splits).model
        (phase,) = counting.counted(recipe).phases

    def test() -> float:
        start = device.clock()
        evaluation.predict(model, splits["train"], knobs, kind["classes"], device)
        return (device.clock() - start) / together

    return Speed(train, repeated(lambda: test), _side_by_side(recipe.knobs["threads"]),
                 phase.flops_prefix / phase.flops_forward if kind["trains"] else 0.0,
                 max(1, phase.variants))


def _side_by_side(threads: int) -> int:
    """Replicates of so many threads that are trained at the same time, where there are enough."""
    room = slots.available()
    return max(1, min(len(room.devices), (room.cores or len(room.devices) * threads) // threads))


def _noise(kind: Mapping, preprocessing: Preprocessing, batches: int, device):
    """So many batches of random images, as a split."""
    from unfreeze.data.reading.images import Images

    knobs, size, rng = kind["knobs"], preprocessing.image_size, np.random.default_rng(0)
    count = batches * knobs["batch_size"] * knobs["accumulate"]
    return Images(rng.integers(0, 256, (count, size, size, 3), np.uint8),
                  np.arange(count) % kind["classes"], range(count), preprocessing, device.torch,
                  limit=1 << 40)


def _recipe_of(kind: Mapping, preprocessing: Preprocessing, folder: Path) -> Recipe:
    """A recipe of that kind, whose phase has no end: few epochs are seen of it."""
    phase = Phase({"freeze": kind["freeze"], "lr_scale": {}, "lr_decay": 1.0, "lr": 1e-6,
                   "weight_decay": 0.0, "schedule": "constant", "warmup_epochs": 0,
                   "epochs": 10**9 * kind["trains"]})
    dataset = PinnedDataset("noise", "none", tuple(map(str, range(kind["classes"]))))
    weights = None if kind["scratch"] else _random_weights(kind, folder)
    return Recipe(kind["knobs"], kind["augmentations"], (phase,), preprocessing, dataset, weights,
                  {1: PinnedSubset("none", "none")}, software={}, code="none")


def _random_weights(kind: Mapping, folder: Path) -> PinnedWeights:
    """Of the model as it starts, in a folder: what is in weights changes no speed, but what a
    model without any starts with is trained in full."""
    from safetensors.torch import save_file

    from unfreeze import models
    from unfreeze.models import heads, weights

    knobs = kind["knobs"]
    model = models.build(knobs["model"], knobs["stem"],
                         heads.outputs(knobs["head"], kind["classes"]), kind["image_size"])
    file = weights.path(folder, "random")
    save_file({name: tensor for name, tensor in model.state_dict().items()
               if not weights.is_counter(name)}, file)
    digest = weights.tensors_digest(weights.read_arrays(file))
    return PinnedWeights("random", digest, own=True)
