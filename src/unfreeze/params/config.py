"""From params.yaml to runs whose every knob is settled.

`resolve` checks everything that can be known before a byte is downloaded: names, types, ranges
and combinations. It imports no torch. What depends on it: the stages plan and (through plan/) all.
"""

import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unfreeze import files, models
from unfreeze.data import own as own_data
from unfreeze.data import subsets
from unfreeze.data.reading import maps
from unfreeze.errors import UserError, nearest
from unfreeze.judging import claims
from unfreeze.judging.costs import COSTS
from unfreeze.models import heads, own
from unfreeze.models.facts import Model, Weights
from unfreeze.params.knobs import (
    KNOBS,
    NOT_NEGATIVE,
    PERCENT,
    PHASE_KNOBS,
    POSITIVE,
    READ_ONLY_WITH,
    TRAINING_KNOBS,
    check,
    is_names,
)
from unfreeze.scoring.scores import SCORES
from unfreeze.tuning import rules

SECTIONS = ("runs", "compare", "claims", "budget")
NOT_RUN = "not_run"  # a section that may be left out


@dataclass(frozen=True)
class Plan:
    """What the pipeline is going to do.

    Attributes:
        runs: {run: settled knobs and what follows from them} (see `_settle`).
        datasets: {dataset: how to get it, `data.own.Facts.entry`}, sorted by name.
        maps: {map of photos: {"dataset", "size", "resize", "interpolation", "splits"}}: the size at
            which they are decoded, and of which splits.
        weights: {name of the weights: {"model", "weights": which of its official ones}, or, for a
            checkpoint of the user's, {"model", "stem", "image_size", "path", "digest"}}.
        subsets: {subset file name: the arguments that it is drawn with}.
        compare: {pair: [run, run]}.
        claims: [{"claim": text, "note": text, perhaps empty}], each claim readable by
            scoring.claims.
        budget: {cost: the most that is allowed, in the unit of scoring.costs}.
        reported: {run: {metric: number that somebody reported}}, those that are not run included.
        not_run: {run that is declared and not run: {"why": text, "changes": its own overrides}}.
    """

    runs: dict[str, dict]
    datasets: dict[str, dict]
    maps: dict[str, dict]
    weights: dict[str, dict]
    subsets: dict[str, dict]
    compare: dict[str, list[str]]
    claims: list[dict[str, str]]
    budget: dict[str, float]
    reported: dict[str, dict[str, float]]
    not_run: dict[str, dict]


def resolve(params: Any, file: str = "params.yaml") -> Plan:
    """Settle every run.

    Args:
        params: the content of params.yaml.
        file: its name, for messages; checkpoints and images are looked up from the working folder.

    Raises:
        UserError: the first thing that is wrong: file, key, value, what is allowed.
    """
    if not isinstance(params, dict):
        raise UserError(f"{file}: must be a mapping of knobs, with the runs under `runs:`")
    params = {key: value if key in ("compare", "claims") else _numbers(value)
              for key, value in params.items()}
    known = [*KNOBS, *SECTIONS, NOT_RUN]
    for key in params:
        if key not in known:
            raise UserError(f"{file}: {key}: unknown knob{nearest(key, known)}; "
                            f"allowed: {', '.join(known)}")
    for key in [*KNOBS, *SECTIONS]:
        if key not in params:
            what = KNOBS[key].allowed if key in KNOBS else _SECTION_TEXT[key]
            raise UserError(f"{file}: {key} is missing; add it: {what}")
    defaults = {key: value for key, value in params.items() if key in KNOBS}
    for key, value in defaults.items():
        check(f"{file}: {key}", KNOBS[key], value)
    if not isinstance(params["runs"], dict) or not params["runs"]:
        raise UserError(f"{file}: runs: must be a mapping with at least one run, such as "
                        "`base: {}`")
    found = {}

    def facts_of(dataset: str, skip_broken: bool) -> own_data.Facts:
        if (dataset, skip_broken) not in found:  # it may have to be read
            found[dataset, skip_broken] = own_data.facts_of(dataset, skip_broken)
        return found[dataset, skip_broken]

    runs, reported = _runs(file, "runs", params["runs"], defaults, facts_of)
    why, entries = _reasons(f"{file}: {NOT_RUN}", params.get(NOT_RUN), runs)
    absent, reported_too = _runs(file, NOT_RUN, entries, defaults, _facts_without_files)
    named = runs | absent
    return Plan(
        runs=runs,
        # The same images may be named in two ways: the last one stands.
        datasets={facts.name: facts.entry
                  for facts in sorted(found.values(), key=lambda facts: facts.name)},
        maps=_maps(runs),
        weights={run["weights"]: run["source"] for run in runs.values() if run["weights"]},
        subsets={
            file: subsets.arguments(run, seed)
            for run in runs.values()
            for seed, file in run["subsets"].items()
        },
        compare=_pairs(file, params["compare"], runs, absent),
        claims=_claims(f"{file}: claims", params["claims"], named),
        budget=_budget(f"{file}: budget", params["budget"]),
        reported=reported | reported_too,
        not_run={run: {"why": why[run], "changes": own["changes"]} for run, own in absent.items()},
    )


_SECTION_TEXT = {"runs": "a mapping of run names to overrides",
                 "compare": "a mapping of names to pairs of runs, such as "
                            "{tuned_and_scratch: [base, scratch]}, or {}",
                 "claims": "a list of claims about runs, such as [base > scratch], or []",
                 "budget": "a mapping of costs to the most that is allowed, such as "
                           "{seconds: 60, stored_bytes: 1.0e+6}, or {}",
                 NOT_RUN: "a mapping of run names to what runs have and why they are not run, such "
                          "as {large: {why: needs a GPU, model: vit_b_16}}, or left out"}


def _runs(file: str, section: str, entries: dict, defaults: dict,
          facts_of: Callable) -> tuple[dict[str, dict], dict[str, dict[str, float]]]:
    """The runs of a section settled, and what others reported of them."""
    runs, reported = {}, {}
    for run, overrides in entries.items():
        _check_name(f"{file}: {section}", run, "a run")
        own = overrides if overrides is not None else {}
        # What others reported is no knob: it changes nothing of the run.
        knobs = ({key: value for key, value in own.items() if key != "reported"}
                 if isinstance(own, dict) else own)
        runs[run] = _settle(file, section, run, defaults, knobs, facts_of)
        if knobs != own:
            reported[run] = _reported(f"{file}: {section}.{run}.reported", own["reported"],
                                      runs[run])
    return runs, reported


def _reasons(where: str, given: Any, runs: dict[str, dict]) -> tuple[dict[str, str], dict]:
    """Why each run is not run, and the entries without that, as a section of runs has them."""
    if given is None:
        return {}, {}
    if not isinstance(given, dict):
        raise UserError(f"{where}: {given!r} is not allowed; it must be {_SECTION_TEXT[NOT_RUN]}")
    why, entries = {}, {}
    for run, entry in given.items():
        if run in runs:
            raise UserError(f"{where}.{run}: is under runs too; leave it out of one of them")
        if not isinstance(entry, dict) or "why" not in entry:
            raise UserError(f"{where}.{run}: says no `why`; add it, as in {{why: needs a GPU}}")
        text = entry["why"]
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{where}.{run}.why: {text!r} is not allowed; it must be a text")
        why[run] = " ".join(text.split())
        entries[run] = {key: value for key, value in entry.items() if key != "why"}
    return why, entries


def _facts_without_files(dataset: str, skip_broken: bool) -> own_data.Facts:
    """Of a run that is not run, whose images need not be there."""
    if own_data.is_own(dataset):
        return own_data.Facts(dataset, {"kind": "photos"})
    return own_data.facts_of(dataset, skip_broken)


def _maps(runs: dict[str, dict]) -> dict[str, dict]:
    wanted: dict[str, dict] = {}
    for run in runs.values():
        if run["map"]:
            entry = wanted.setdefault(run["map"], {
                "dataset": run["dataset"], "size": run["image_size"], **run["transform"],
                "splits": ["test"]})
            # What is tested as it is needs no training images, and there may be very many.
            if trains(run["training"]) or run["normalization"] is None:
                entry["splits"] = list(maps.SPLITS)
    return dict(sorted(wanted.items()))


def _check_name(where: str, name: Any, what: str) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise UserError(f"{where}: {name!r} is no name for {what}; allowed are letters, digits, - "
                        "and _ (in quotes if it is a number, or a word such as yes or no)")


def _pairs(file: str, pairs: Any, runs: dict[str, dict],
           absent: dict[str, dict]) -> dict[str, list[str]]:
    if not isinstance(pairs, dict):
        raise UserError(f"{file}: compare: {pairs!r} is not allowed; it must be "
                        f"{_SECTION_TEXT['compare']}")
    for name, pair in pairs.items():
        _check_name(f"{file}: compare", name, "a pair")
        where = f"{file}: compare.{name}"
        if not is_names(pair) or len(pair) != 2 or pair[0] == pair[1]:
            raise UserError(f"{where}: {pair!r} is not allowed; it must be a list of two runs")
        for run in pair:
            if run in absent:
                raise UserError(f"{where}: {run} is under {NOT_RUN}, so there is no model of it; "
                                "leave the pair out")
            if run not in runs:
                raise UserError(f"{where}: {run!r} is no run{nearest(run, runs)}; allowed: "
                                f"{', '.join(runs)}")
        one, other = (runs[run]["model"] for run in pair)
        if one != other:
            raise UserError(f"{where}: {pair[0]} is a {one} and {pair[1]} a {other}; only runs of "
                            "one model can be compared layer by layer")
        seeds = [runs[run]["seeds"] for run in pair]
        if not set(seeds[0]) & set(seeds[1]):
            raise UserError(f"{where}: {pair[0]} and {pair[1]} have no seed in common "
                            f"({seeds[0]} and {seeds[1]}); give them one")
    return pairs


def _claims(where: str, given: Any, runs: dict[str, dict]) -> list[dict[str, str]]:
    if not isinstance(given, list):
        raise UserError(f"{where}: {given!r} is not allowed; it must be {_SECTION_TEXT['claims']}")
    read: dict[str, dict[str, str]] = {}
    for number, entry in enumerate(given, start=1):
        each = entry if isinstance(entry, dict) else {"claim": entry}
        if (not all(isinstance(text, str) for text in each.values())
                or not {"claim"} <= each.keys() <= {"claim", "note"}):
            raise UserError(f"{where} {number}: {entry!r} is not allowed; it must be a text such "
                            "as base > scratch, or {claim: text, note: text}, in quotes within the "
                            "braces")
        text, note = (" ".join(each.get(key, "").split()) for key in ("claim", "note"))
        try:
            claim = claims.parse(text, list(runs))
        except UserError as error:
            raise UserError(f"{where} {number}: {error}") from None
        if text in read:
            raise UserError(f"{where} {number}: {text!r} is there already; leave one of them out")
        for run in claim.runs:
            _check_classes(f"{where} {number}: {text!r}", claim.quantity, run, runs[run])
        read[text] = {"claim": text, "note": note}
    return list(read.values())


def _check_classes(where: str, quantity: str, name: str, run: dict) -> None:
    """A dataset of five classes has no top-5 accuracy but 100."""
    count, score = run["classes"], SCORES.get(quantity)
    if score and count is not None and count < score.least_classes:
        raise UserError(
            f"{where}: {quantity} is always {score.bounds[1]} for {name}, whose dataset "
            f"{run['dataset']} has {count} classes; allowed for more than "
            f"{score.least_classes - 1}; use accuracy")


def _budget(where: str, given: Any) -> dict[str, float]:
    if not isinstance(given, dict):
        raise UserError(f"{where}: {given!r} is not allowed; it must be {_SECTION_TEXT['budget']}")
    for cost, most in given.items():
        if cost not in COSTS:
            raise UserError(f"{where}: {cost!r} is no cost{nearest(cost, COSTS)}; allowed: "
                            f"{', '.join(COSTS)}")
        check(f"{where}.{cost}", POSITIVE, most)
    return given


def _reported(where: str, given: Any, run: dict) -> dict[str, float]:
    """Reported numbers by metric; a number alone is an accuracy."""
    given = given if isinstance(given, dict) else {"accuracy": given}
    for name, number in given.items():
        if name not in SCORES:
            raise UserError(f"{where}: {name!r} is no metric{nearest(name, SCORES)}; "
                            f"allowed: {', '.join(SCORES)}")
        _check_classes(where, name, "this run", run)
        check(f"{where}.{name}", PERCENT if SCORES[name].unit == "%" else NOT_NEGATIVE,
              number)
    return given


def _settle(file: str, section: str, name: str, defaults: dict, overrides: Any,
            facts_of: Callable) -> dict:
    """One run of a section, `runs` or `not_run` (whose checkpoint need not be there): every knob
    (`dataset` as the name of its folder in data/), and besides them `changes` (its own overrides),
    `classes` (how many; None when the dataset is to be fetched first), `training` (its phases
    settled, each with its table of rules.part_table), `weights` (name or None) and their `source`
    (as in Plan), `normalization` (mean and std per channel; None: those of the map), `transform`
    (how images become what the model sees), `map` (of photos; else None) and `subsets`
    ({seed: index file})."""
    where = f"{file}: {section}.{name}"
    if not isinstance(overrides, dict):
        raise UserError(f"{where}: {overrides!r} is not allowed; it must be a mapping of knobs to "
                        "values, {} for none")
    for key, value in overrides.items():
        if key not in KNOBS:
            known = [*KNOBS, "reported", *["why"] * (section == NOT_RUN)]
            raise UserError(f"{where}.{key}: unknown knob{nearest(key, known)}; "
                            f"allowed: {', '.join(known)}")
        check(f"{where}.{key}", KNOBS[key], value)
    run = defaults | overrides

    def place(key: str) -> str:
        return f"{where}.{key}" if key in overrides else f"{file}: {key} (of {section}.{name})"

    facts = _named(place("model"), lambda: models.facts_of(run["model"]))
    dataset = _named(place("dataset"), lambda: facts_of(
        run["dataset"], run["skip_broken"] and own_data.is_own(run["dataset"])))
    weights = _named(place("init"), lambda: _weights(run, facts))
    images = weights or next(iter(facts.weights.values()), None)
    for key in ("normalize", "image_size", "resize"):
        if run[key] == "weights" and images is None:
            raise UserError(f"{place(key)}: weights: there are no official weights of "
                            f"{run['model']} to take it from; set it without them")
    run = run | {"image_size": images.crop if run["image_size"] == "weights" else run["image_size"]}
    _check_sizes(run, facts, images, place)
    if dataset.classes is not None:
        if run["per_class"]:
            _named(place("per_class"), lambda: subsets.check_per_class(
                dataset.smallest, run["per_class"]))
        else:
            _named(place("fraction"), lambda: subsets.check(
                dataset.train, dataset.classes, run["fraction"], run["validation"]))
        _named(place("test_fraction"), lambda: subsets.check(
            dataset.test, dataset.classes, run["test_fraction"], 0))
    _check_combinations(run, facts, place)
    if section != NOT_RUN:
        _check_checkpoint(run, place)
    if not run["epochs"]:
        _check_as_it_is(run, facts, dataset.classes, place)
    phases = _phases(run, facts, overrides, place)
    _check_effects(run, phases, overrides, where)
    if "skip_broken" in overrides and run["skip_broken"] and not own_data.is_own(run["dataset"]):
        raise UserError(f"{where}.skip_broken: has no effect with dataset: {run['dataset']}, whose "
                        "files are verified; leave it out")

    source = _source(run, weights) if section != NOT_RUN else None
    statistics = (images.mean, images.std) if run["normalize"] == "weights" else (
        dataset.mean, dataset.std)
    transform = {
        "resize": None if run["resize"] == "square" else
        images.resize if run["resize"] == "weights" else run["resize"],
        "interpolation": images.interpolation if run["resize"] == "weights" else "bilinear",
    }
    run["dataset"] = dataset.name
    return {key: run[key] for key in KNOBS} | {
        "changes": overrides,
        "classes": dataset.classes,
        "training": phases,
        "weights": source and source.pop("name"),
        "source": source,
        "normalization": None if None in statistics else dict(
            zip(("mean", "std"), map(list, statistics), strict=True)),
        "transform": transform,
        "map": maps.key(dataset.name, run["image_size"], **transform)
        if dataset.entry["kind"] == "photos" else None,
        "subsets": {seed: subsets.file_name(**subsets.arguments(run, seed))
                    for seed in run["seeds"]},
    }


def _weights(run: dict, facts: Model) -> Weights | None:
    """The official weights that `init` names; None for others and for none."""
    init = run["init"]
    if init == "scratch" or _is_path(init):
        return None
    if init == "pretrained" and facts.weights:
        return next(iter(facts.weights.values()))
    if init in facts.weights:
        return facts.weights[init]
    if init == "pretrained":
        raise UserError(f"there are no pretrained weights of {run['model']}; set init: scratch, "
                        "and normalize: dataset")
    allowed = ["pretrained", "scratch", *facts.weights]
    raise UserError(f"{init!r} is not allowed{nearest(init, allowed)}; allowed: "
                    f"{', '.join(allowed)}, or the path of a checkpoint "
                    f"({', '.join(own.SUFFIXES)})")


def _is_path(init: str) -> bool:
    return "/" in init or init.endswith(own.SUFFIXES)


def _source(run: dict, weights: Weights | None) -> dict | None:
    """The entry of Plan.weights, with the name of the weights."""
    if weights:
        version = next(key for key, value in models.facts_of(run["model"]).weights.items()
                       if value == weights)
        return {"name": weights.name, "model": run["model"], "weights": version}
    if run["init"] == "scratch":
        return None
    path = Path(run["init"])
    digest = files.file_digest(path)
    return {"name": f"own-{run['model']}-{run['stem']}-{digest[:12]}", "model": run["model"],
            "stem": run["stem"], "image_size": run["image_size"], "path": str(path),
            "digest": digest}


def _check_sizes(run: dict, facts: Model, images: Weights | None, place: Callable) -> None:
    size, model, stem = run["image_size"], run["model"], run["stem"]
    if stem not in facts.strides:
        raise UserError(f"{place('stem')}: {stem} is not made for {model}; "
                        f"allowed: {', '.join(facts.strides)}")
    smallest = facts.strides[stem]
    if size < smallest:
        raise UserError(f"{place('image_size')}: {size} is too small for {model} with stem: "
                        f"{stem}; allowed: {smallest} or more")
    if run["crop_padding"] > size:
        raise UserError(f"{place('crop_padding')}: {run['crop_padding']} is more than image_size: "
                        f"{size}; allowed: 0 to {size}")
    if size % facts.multiple:
        raise UserError(f"{place('image_size')}: {size} does not fit {model}, which cuts images "
                        f"into squares; allowed: multiples of {facts.multiple}")
    resize = images.resize if run["resize"] == "weights" else run["resize"]
    if resize != "square" and resize < size:
        raise UserError(f"{place('resize')}: {resize} is smaller than image_size: {size}, which is "
                        f"cropped from it; allowed: {size} or more, or square")


def _check_combinations(run: dict, facts: Model, place: Callable) -> None:
    """What cannot go together, whoever set it."""
    if run["tune"] == "tinytl" and not facts.residual_blocks:
        raise UserError(f"{place('tune')}: tinytl has no place in {run['model']}: its branches sit "
                        "beside residual blocks with BatchNorm; choose bias or lora")
    for key, off in (("select", "last"), ("patience", 0)):
        if run[key] == off:
            continue
        if not run["validation"]:
            raise UserError(f"{place(key)}: {run[key]} looks at validation images, and validation: "
                            f"0 leaves none; set {key}: {off}, or validation: 0.1")
        if run["per_class"] and not subsets.number_held_out(run["per_class"], run["validation"]):
            raise UserError(f"{place(key)}: {run[key]} looks at validation images, and validation: "
                            f"{run['validation']} leaves none of per_class: {run['per_class']}; "
                            f"set {key}: {off}, or a larger validation")
    if run["per_class"] and subsets.number_held_out(
            run["per_class"], run["validation"]) == run["per_class"]:
        raise UserError(f"{place('validation')}: {run['validation']} leaves none of per_class: "
                        f"{run['per_class']} to train on; choose a smaller one")


def _check_checkpoint(run: dict, place: Callable) -> None:
    path = Path(run["init"])
    if _is_path(run["init"]) and (
            path.suffix not in own.SUFFIXES or not os.access(path, os.R_OK) or path.is_dir()):
        raise UserError(f"{place('init')}: {run['init']!r} is no file that can be read here; "
                        f"allowed: an existing {', '.join(own.SUFFIXES)} file")


def _check_as_it_is(run: dict, facts: Model, classes: int | None, place: Callable) -> None:
    """A model that is not trained must be whole: `epochs: 0`."""
    where = f"{place('epochs')}: 0 tests a model as it is"
    if run["init"] == "scratch":
        raise UserError(f"{where}, and init: scratch is random; choose pretrained or a checkpoint")
    if run["phases"]:
        raise UserError(f"{where}, without phases; set phases: [], or epochs: 1 or more")
    if run["head"] != "replace":
        raise UserError(f"{where}, and head: {run['head']} starts anew; set head: replace, which "
                        "then keeps the model's own")
    if not _is_path(run["init"]) and classes not in (None, heads.IMAGENET_CLASSES):
        raise UserError(f"{where}, and that of init: {run['init']} is for the "
                        f"{heads.IMAGENET_CLASSES} classes of ImageNet, not for the {classes} of "
                        f"{run['dataset']}; allowed: 1 or more, or a checkpoint of your own")
    if not _is_path(run["init"]) and facts.fresh.get(run["stem"]):
        raise UserError(f"{where}, and stem: {run['stem']} starts anew; set stem: original")


def trains(phases: list[dict]) -> bool:
    """Whether anything is trained in some settled phases; not with epochs: 0."""
    return any(phase["epochs"] for phase in phases)


def _phases(run: dict, facts: Model, overrides: dict, place: Callable) -> list[dict]:
    """The phases with all their knobs settled and their parts; one phase if none is named."""
    settled = []
    for number, phase in enumerate(run["phases"] or [{}], start=1):
        where = f"{place('phases')} {number}"
        if not isinstance(phase, dict):
            raise UserError(f"{where}: {phase!r} is not allowed; it must be a mapping of knobs to "
                            f"values; allowed knobs: {', '.join(PHASE_KNOBS)}")
        for key, value in phase.items():
            if key not in PHASE_KNOBS:
                raise UserError(f"{where}: {key}: no knob of a phase{nearest(key, PHASE_KNOBS)}; "
                                f"allowed: {', '.join(PHASE_KNOBS)}")
            check(f"{where}: {key}", KNOBS[key], value)
        own = {key: phase.get(key, run[key]) for key in PHASE_KNOBS}
        if "gamma" in phase and own["schedule"] != "exponential":
            raise UserError(f"{where}: gamma: has no effect with schedule: {own['schedule']}; "
                            "leave it out, or set schedule: exponential")
        if run["phases"] and not own["epochs"]:
            raise UserError(f"{where}: epochs: 0 is not allowed in a phase; leave the phase out")
        if own["warmup_epochs"] >= own["epochs"] > 0 and own["warmup_epochs"]:
            source = where if phase.keys() & {"warmup_epochs", "epochs"} else place("warmup_epochs")
            raise UserError(f"{source}: warmup_epochs: {own['warmup_epochs']} leaves none of "
                            f"epochs: {own['epochs']}; allowed: less than epochs")
        try:
            rows = [asdict(row) for row in rules.phase_table(
                facts, run, own, run["init"] == "scratch")]
            for key in ("freeze", "lr_scale", "lr_decay"):
                del own[key]
        except UserError as error:
            key, _, problem = str(error).partition(": ")
            source = f"{where}: {key}" if key in phase else place(key)
            raise UserError(f"{source}: {problem}") from None
        if own["schedule"] != "exponential":
            del own["gamma"]
        settled.append(own | {"parts": rows})
    return settled


def _check_effects(run: dict, phases: list[dict], overrides: dict, where: str) -> None:
    """A run's own knob that nothing reads is a mistake."""
    for key, (other, needed) in READ_ONLY_WITH.items():
        used = (any("gamma" in phase for phase in phases) if key == "gamma"
                else run[other] == needed)
        if key in overrides and not used:
            raise UserError(f"{where}.{key}: has no effect with {other}: {run[other]}; "
                            f"leave it out, or set {other}: {needed}")
    if "fraction" in overrides and run["per_class"]:
        raise UserError(f"{where}.fraction: has no effect with per_class: {run['per_class']}; "
                        "leave it out, or set per_class: 0")
    if "l2_sp" in overrides and run["l2_sp"] and run["init"] == "scratch":
        raise UserError(f"{where}.l2_sp: {run['l2_sp']} pulls towards pretrained weights, and "
                        "init: scratch has none; leave it out")
    if "tune" in overrides and run["tune"] not in _methods_used(phases):
        raise UserError(f"{where}.tune: has no effect, because nothing trains but what starts "
                        "anew, which is tuned in full; leave it out, or freeze less")
    for key in PHASE_KNOBS:
        if key in overrides and run["phases"] and all(key in phase for phase in run["phases"]):
            raise UserError(f"{where}.{key}: has no effect, because every phase sets {key}; leave "
                            "it out")


def _named(where: str, look_up: Callable[[], Any]) -> Any:
    try:
        return look_up()
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _numbers(value: Any) -> Any:
    """Text that DVC wrote for a number, as a number. `dvc exp run -S lr=0.00001` writes Python's
    own spelling, 1e-05, which YAML takes for text as long as it has no dot."""
    if isinstance(value, dict):
        return {key: _numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    if isinstance(value, str) and re.fullmatch(r"\de[-+]\d+", value):
        number = float(value)
        return number if repr(number) == value else value
    return value


def _methods_used(phases: list[dict]) -> set[str]:
    return rules.methods_used([rules.Row(**row) for row in phase["parts"]] for phase in phases)


def training_knobs(run: dict) -> dict:
    """The knobs of a settled run that its training reads, and no others."""
    knobs = {key: run[key] for key in TRAINING_KNOBS}
    used = _methods_used(run["training"])
    for key, (other, needed) in READ_ONLY_WITH.items():
        read = needed in used if other == "tune" else run[other] == needed
        if key in knobs and not read:
            del knobs[key]
    if run["init"] == "scratch":
        knobs["l2_sp"] = 0.0  # nothing to pull to
    rows = [row for phase in run["training"] for row in phase["parts"]]
    if all(row["tune"] == "full" for row in rows):
        del knobs["frozen_batchnorm"]
    if not any(phase["weight_decay"] for phase in run["training"]):
        del knobs["decay_biases_and_norms"]
    return knobs
