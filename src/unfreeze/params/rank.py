"""The section `rank` of params.yaml: which pretrained models are scored before any is trained.

    rank: [mobilenet_v2, resnet18, 'regnet_y_*', {model: resnet18, init: mine.safetensors}]

An entry is a model, a pattern of models' names with * ? or [letters], or a model with the weights
that it is to have instead of its first official ones. A pattern that begins with timm/ is of timm's
models, and with a dot in it of all of their weights ('timm/resnet18.*').
"""

import fnmatch
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from unfreeze import models
from unfreeze.errors import Fault, UserError
from unfreeze.params.check import check
from unfreeze.params.knobs import KNOBS

# What the ranking shares with the runs: which images, and how models see them. Models are as their
# weights were trained, so not the stem; what is not read keeps its default.
SHARED = ("dataset", "skip_broken", "fraction", "per_class", "validation", "test_fraction",
          "image_size", "resize", "normalize")
MOST = 100  # models: each is fetched, and sees every image
_WHAT = ("a list of models, of patterns such as resnet*, or of {model: name, init: weights or the "
         "path of a checkpoint}; [] for none")


@dataclass(frozen=True)
class Entry:
    """A model that is listed.

    Attributes:
        name: that tables have. knobs: that it sets. pattern: by which it was found; "" by name.
    """

    name: str
    knobs: Mapping[str, Any]
    pattern: str = ""


def read(params: Mapping[str, Any]) -> list[Entry]:
    """The models, in the order of the list; those of a pattern that have no pretrained weights or
    no parts are left out.

    Raises:
        Fault: it is no such list, or a model or pattern in it stands for nothing.
    """
    given = params.get("rank")
    if given is None:
        return []
    if not isinstance(given, list):
        raise Fault("rank", f"{given!r} is not allowed; it must be {_WHAT}")
    found: dict[str, Entry] = {}
    for number, item in enumerate(given, start=1):
        where = f"rank {number}"
        for entry in _entries(where, item):
            known = found.get(entry.name)
            if known and not entry.pattern and not known.pattern:
                raise Fault(where, f"{entry.name} is there already; leave one of them out")
            if known is None or not entry.pattern:
                found[entry.name] = entry
    if len(found) > MOST:
        raise Fault("rank", f"lists {len(found):,} models, each of which is fetched and sees every "
                            f"image; allowed: at most {MOST}: name fewer, or narrow the patterns")
    return list(found.values())


def _entries(where: str, item: Any) -> Iterator[Entry]:
    if isinstance(item, dict):
        yield _with_weights(where, item)
    elif not isinstance(item, str) or not item:
        raise Fault(where, f"{item!r} is not allowed; rank must be {_WHAT}")
    elif any(letter in item for letter in "*?["):
        yield from _of_pattern(where, item)
    else:
        _check_model(where, item)
        yield Entry(item, {"model": item})


def _with_weights(where: str, item: Mapping) -> Entry:
    if item.keys() != {"model", "init"}:
        raise Fault(where, f"{item!r} is not allowed; it must have model and init, as in {{model: "
                           "resnet18, init: mine.safetensors}")
    for key, value in item.items():
        check(f"{where}: {key}", KNOBS[key].allowed, value)
    if item["init"] == "scratch":
        raise Fault(f"{where}: init", "scratch is not allowed: features of random weights say "
                                      "nothing; name pretrained weights")
    _check_model(where, item["model"], needs_weights=False)
    return Entry(f"{item['model']} {item['init']}", dict(item))


def _check_model(where: str, name: str, needs_weights: bool = True) -> None:
    """Raise Fault unless there is such a model, with pretrained weights."""
    try:
        facts = models.facts_of(name)
    except UserError as error:
        raise Fault(where, str(error)) from None
    if needs_weights and not facts.weights:
        raise Fault(where, f"there are no pretrained weights of {name}, and features of random "
                           "weights say nothing; leave it out, or name a checkpoint: {model: "
                           f"{name}, init: path}}")


def _of_pattern(where: str, pattern: str) -> Iterator[Entry]:
    try:
        names = fnmatch.filter(models.names_like(pattern), pattern)
    except UserError as error:
        raise Fault(where, str(error)) from None
    if not names:
        raise Fault(where, f"{pattern!r} fits no model; allowed: patterns of names such as "
                           "resnet*, in quotes")
    if len(names) > MOST:
        raise Fault(where, f"{pattern!r} fits {len(names):,} models, each of which is fetched and "
                           f"sees every image; allowed: at most {MOST}: narrow the pattern")
    for name in names:
        with suppress(Fault):
            _check_model(where, name)
            yield Entry(name, {"model": name}, pattern)
