"""What is known of a run's model, dataset and weights before anything is fetched. No torch, unless
the model is none of models/families."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfreeze import files, models, places
from unfreeze.data import facts as data_facts
from unfreeze.data import own as own_data
from unfreeze.errors import Fault, nearest
from unfreeze.models.facts import Model, Weights
from unfreeze.models.licence import worded
from unfreeze.models.opening import SUFFIXES, fits_suffix
from unfreeze.params.faults import about
from unfreeze.params.plan import Checkpoint, ImageSource, LicensedWeights, OfficialWeights


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run's inputs.

    Attributes:
        dataset: of the images.
        weights_key: of the official weights that the run starts from; "" for others and for none.
        reference: the official weights that `weights` stands for as a value of normalize,
            image_size or resize; None where the model has none.
    """

    model: Model
    dataset: data_facts.Facts
    weights_key: str
    reference: Weights | None


class Datasets:
    """Facts of datasets, each looked up once: one's own images may have to be read.

    Args:
        read: False for runs that are not run, whose images need not be there.
        known: {(dataset, skip_broken): its facts}, of those that somebody has looked up.
    """

    def __init__(self, read: bool = True,
                 known: Mapping[tuple[str, bool], data_facts.Facts] | None = None) -> None:
        self._read = read
        self._known = dict(known or {})

    def facts_of(self, dataset: str, skip_broken: bool) -> data_facts.Facts:
        if not self._read:
            return data_facts.unread(dataset)
        key = dataset, skip_broken and own_data.is_own(dataset)
        if key not in self._known:
            self._known[key] = data_facts.facts_of(*key)
        return self._known[key]

    def known(self) -> dict[str, data_facts.Facts]:
        """{name of its folder: facts} of all that were asked for."""
        return {facts.name: facts for facts in self._known.values()}

    def sources(self) -> dict[str, ImageSource]:
        """{name of its folder: source} of all that were asked for, sorted. The same images may be
        named in two ways: the last one stands."""
        return {facts.name: facts.source
                for facts in sorted(self._known.values(), key=lambda facts: facts.name)}


def look_up(knobs: Mapping[str, Any], datasets: Datasets) -> RunFacts:
    """The facts of a run.

    Raises:
        Fault: there is no such model, dataset or weights.
    """
    with about("model"):
        model = models.facts_of(knobs["model"])
    dataset = datasets.facts_of(knobs["dataset"], knobs["skip_broken"])
    key = _official_key(knobs, model)
    return RunFacts(model, dataset, key,
                    model.weights[key] if key else next(iter(model.weights.values()), None))


def is_checkpoint(init: str) -> bool:
    """Whether `init` is meant as the path of a checkpoint."""
    return "/" in init or init.lower().endswith(SUFFIXES)


def _official_key(knobs: Mapping[str, Any], model: Model) -> str:
    init, name = knobs["init"], knobs["model"]
    if init == "scratch" or is_checkpoint(init):
        return ""
    if init == "pretrained" and model.weights:
        return next(iter(model.weights))
    if init in model.weights:
        return init
    if init == "pretrained":
        raise Fault("init", f"there are no pretrained weights of {name}; set init: scratch, and "
                            "normalize: dataset")
    allowed = ["pretrained", "scratch", *model.weights]
    raise Fault("init", f"{init!r} is not allowed{nearest(init, allowed)}; allowed: "
                        f"{', '.join(allowed)}, or the path of a checkpoint "
                        f"({', '.join(SUFFIXES)})")


def weights_source(knobs: Mapping[str, Any],
                   facts: RunFacts) -> tuple[str, Checkpoint | OfficialWeights | None]:
    """Name of the weights that a settled run starts from, and where they come from; "" and None
    from scratch. A checkpoint is read.

    Raises:
        Fault: there is no such checkpoint.
    """
    if facts.weights_key:
        known = facts.model.weights[facts.weights_key]
        source = OfficialWeights(knobs["model"], facts.weights_key)
        if known.licence:
            source = LicensedWeights(source.model, source.key, worded(known.licence))
        return known.name, source
    if knobs["init"] == "scratch":
        return "", None
    path = Path(knobs["init"])
    if not fits_suffix(path) or not path.is_file() or not os.access(path, os.R_OK):
        raise Fault("init", f"{knobs['init']!r} is no file that can be read here; allowed: an "
                            f"existing {', '.join(SUFFIXES)} file"
                            f"{places.remedy_in_a_copy(path)}")
    digest = files.file_digest(path)
    model = knobs["model"].replace("/", "-")
    name = f"own-{model}-{knobs['stem']}-{digest[:12]}"
    return name, Checkpoint(knobs["model"], knobs["stem"], knobs["image_size"], str(path), digest)
