"""From params.yaml to the plan: every knob of every run settled, and all that can be known before a
byte is downloaded checked. It goes one way: read, check each knob by its declaration, look up the
facts of model, dataset and weights, check what depends on several, derive, plan. No torch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from unfreeze.data import subsets
from unfreeze.data.reading import decoded
from unfreeze.data.reading.augmentations import is_on
from unfreeze.errors import Fault, UserError, nearest
from unfreeze.params import combinations, equal_work, fits, memory, race, rank, search, sections
from unfreeze.params.check import check, check_size, numbers
from unfreeze.params.facts import Datasets, RunFacts, look_up, weights_source
from unfreeze.params.faults import PhaseFault, in_file, in_phase, in_run, in_search
from unfreeze.params.knobs import (
    AUGMENTATIONS,
    KNOBS,
    PHASE_KNOBS,
    PLUGIN_KNOBS,
    TRAINING_KNOBS,
    defaults,
)
from unfreeze.params.plan import (
    Candidate,
    Checkpoint,
    Decoded,
    NotRun,
    OfficialWeights,
    Plan,
    PlannedPreprocessing,
    Run,
    Search,
    Subset,
)
from unfreeze.plain import to_plain
from unfreeze.recipe import Knobs, Phase
from unfreeze.tuning import rules

# What is read of a model that is tested as it is.
_READ_TO_TEST = ("model", "stem", "head", "dropout", "batch_size", "threads")


def resolve(params: Any, file: str = "params.yaml", datasets: Datasets | None = None) -> Plan:
    """Settle every run.

    Args:
        params: the content of params.yaml; what it does not set has its default, and only `runs`
            must be there.
        file: its name, for messages; checkpoints and images are looked up from the working folder.
        datasets: what is known of images already; looked up where None.

    Raises:
        UserError: the first thing that is wrong: file, key, value, what is allowed.
    """
    try:
        check_size(params)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    if not isinstance(params, dict):
        raise UserError(f"{file}: must be a mapping of knobs, with the runs under `runs:`")
    with in_file(file):
        return _plan(as_read(params), datasets or Datasets())


def as_read(params: Mapping[str, Any]) -> dict[str, Any]:
    """The content of params.yaml with what YAML takes for texts, such as 1e-3, as numbers."""
    return {key: value if key in sections.TEXTS else numbers(value)
            for key, value in params.items()}


def _plan(params: dict, datasets: Datasets) -> Plan:
    known = [*KNOBS, *sections.NAMES]
    for key in params:
        if key not in known:
            raise Fault(key, f"unknown knob{nearest(key, known)}; allowed: {', '.join(known)}")
    common = defaults() | {key: value for key, value in params.items() if key in KNOBS}
    for key, value in common.items():
        check(key, KNOBS[key].allowed, value)
    entries = sections.read_runs(params)
    absent = sections.read_not_run(params, entries)

    raced = race.read(params, entries)

    sources: dict[str, Checkpoint | OfficialWeights] = {}
    runs, searches, reported, curves = {}, {}, {}, {}
    for name, entry in entries.items():
        shared, own = _raced(name, common, entry.knobs, raced)
        settled, found = _settle_run(name, shared, own, datasets)
        runs[name] = settled[0].run
        if found:
            searches[name] = found
        sources |= {each.run.weights: each.source for each in settled if each.source}
        if entry.reported is not None:
            reported[name] = sections.check_reported(f"runs.{name}", entry.reported, runs[name])
            curves[name] = sections.check_curve(f"runs.{name}", entry.reported)
    named = dict(runs)
    unread = Datasets(read=False)
    for name, entry in absent.items():
        _check_written("not_run", name, entry.knobs)
        named[name] = _settle("not_run", name, common, entry.knobs, unread).run
        if entry.reported is not None:
            reported[name] = sections.check_reported(f"not_run.{name}", entry.reported, named[name])
            sections.check_curve(f"not_run.{name}", entry.reported)
    for name, entry in entries.items():
        with in_run(f"runs.{name}", entry.knobs or {}):
            equal_work.check(name, runs, searches, absent)
    ranked, left_out = _settle_ranked(params, common, datasets)
    sources |= {each.run.weights: each.source for each in ranked.values()}
    scored = {name: each.run for name, each in ranked.items()}
    every = [*runs.values(), *(each.run for found in searches.values()
                               for each in found.candidates), *scored.values()]
    score = sections.read_score(params, runs)
    return Plan(
        runs=runs,
        datasets=datasets.sources(),
        decoded=_decoded(every),
        weights=sources,
        subsets=_subsets(runs, searches, scored.values()),
        claims=sections.read_claims(params, named),
        budget=sections.read_budget(params),
        reported=reported,
        reported_curves={name: curve for name, curve in curves.items() if curve},
        not_run={name: NotRun(entry.why, entry.knobs) for name, entry in absent.items()},
        compare=sections.read_pairs(params, runs, absent),
        searches=searches,
        rank=scored,
        race=raced,
        share_photos=sections.read_sharing(params),
        warnings=(*fits.warnings(runs, searches, datasets.known(),
                                 score.get("score", sections.DEFAULT_SCORE)), *left_out),
        **score,
    )


@dataclass(frozen=True)
class _Settled:
    """A run settled, and where its weights come from; None from scratch or where it is not run."""

    run: Run
    source: Checkpoint | OfficialWeights | None


def _raced(name: str, common: Knobs, changes: Any, raced: race.Race) -> tuple[Knobs, Any]:
    """The knobs of all runs and what a run sets itself, where a race says which seeds it has."""
    if not raced.looks or not isinstance(changes, dict):
        return common, changes
    return ({**common, "seeds": raced.seeds(name)},
            {key: value for key, value in changes.items() if key != "seeds"})


def _check_written(section: str, name: str, changes: Any) -> None:
    """Check by itself each knob that a run of a section sets."""
    where = f"{section}.{name}"
    if not isinstance(changes, dict):
        raise Fault(where, f"{changes!r} is not allowed; it must be a mapping of knobs to values, "
                           "{} for none")
    is_run = section == "runs"
    with in_run(where, changes):
        for key, value in changes.items():
            if key not in KNOBS:
                known = [*KNOBS, "reported", *["why"] * (not is_run)]
                raise Fault(key, f"unknown knob{nearest(key, known)}; allowed: {', '.join(known)}")
            check(key, KNOBS[key].allowed, value)
        if changes.get("search") and not is_run:
            raise Fault("search", "is not allowed here, since nothing is tried of what is not run; "
                                  "leave it out")


def _settle_run(name: str, common: Mapping[str, Any], changes: Any,
                datasets: Datasets) -> tuple[list[_Settled], Search | None]:
    """A run settled, as each of its candidates where it is searched, and its search.

    Args:
        common: {knob: value} for all runs. changes: what the run sets itself, as written.
    """
    _check_written("runs", name, changes)
    knobs = {**common, **changes}
    if not knobs["search"]:
        return [_settle("runs", name, common, changes, datasets)], None
    with in_run(f"runs.{name}", changes):
        wanted = search.read(knobs["search"], knobs["search_seeds"][0])
        for key in wanted.knobs:
            if key in changes:
                raise Fault(key, f"{changes[key]} is searched (search: {knobs['search']}); leave "
                                 "one of them out, or set search: {} in this run")

    def settle(values: Knobs) -> _Settled:
        return _settle("runs", name, common, changes, datasets, values)

    settled = [settle(values) for values in wanted.candidates]
    with in_run(f"runs.{name}", changes):
        for each in settled:
            search.check_trains(each.run)
            search.check_halving(each.run, wanted)
        search.check_different(wanted, [each.run for each in settled],
                               lambda values: settle(values).run)
    first = settled[0].run
    folds = search.folds(first.knobs, datasets.facts_of(knobs["dataset"], knobs["skip_broken"]))
    return settled, Search(
        candidates=tuple(Candidate(values, each.run)
                         for values, each in zip(wanted.candidates, settled, strict=True)),
        subsets={seed: tuple(subsets.file_name(**to_plain(_subset(first.knobs, seed, fold, folds)))
                             for fold in range(folds)) for seed in knobs["search_seeds"]},
        choose_by=knobs["choose_by"], halving=wanted.halving, operations=wanted.operations,
        drawn_from=wanted.drawn_from)


def _settle(section: str, name: str, common: Mapping[str, Any], changes: Knobs, datasets: Datasets,
            values: Knobs | None = None) -> _Settled:
    """A run of a section settled, whose own knobs are allowed by themselves.

    Args:
        values: of its searched knobs, as of one candidate; None where nothing is searched.
    """
    is_run = section != "not_run"  # else its checkpoint and images need not be there
    values = values or {}
    own = {**changes, **values}
    with in_run(f"{section}.{name}", changes), in_search(values, "search" in changes):
        knobs = {**common, **own}
        facts = look_up(knobs, datasets)
        combinations.check_weights_known(knobs, facts)
        if knobs["image_size"] == "weights":
            knobs["image_size"] = facts.reference.crop
        combinations.check(knobs, facts, is_run)
        if is_run:
            memory.check(knobs, facts)
        weights, source = weights_source(knobs, facts) if is_run else ("", None)
        phases = _phases(knobs)
        tables = _tables(knobs, phases, facts)
        combinations.check_effects(knobs, own, rules.methods_used(tables))
    return _Settled(_run(knobs, changes, facts, phases, tables, weights), source)


def _settle_ranked(params: Mapping[str, Any], common: Knobs,
                   datasets: Datasets) -> tuple[dict[str, _Settled], list[str]]:
    """{model as `rank` lists it: settled as a run that trains all of it on the images of all runs},
    and a line for each pattern of which models cannot see them."""
    settled: dict[str, _Settled] = {}
    unfit: dict[str, dict[str, str]] = {}
    shared = defaults() | {key: common[key] for key in rank.SHARED} | {
        "seeds": common["seeds"][:1]}
    entries = rank.read(params)
    for entry in entries:
        try:
            settled[entry.name] = _settle("rank", entry.name, shared, entry.knobs, datasets)
        except Fault as fault:
            if not entry.pattern:
                raise
            unfit.setdefault(entry.pattern, {})[entry.name] = str(fault)
    for pattern, faults in unfit.items():
        if not any(each.pattern == pattern and each.name in settled for each in entries):
            raise Fault("rank", f"{pattern!r} fits no model that can see these images: "
                                f"{next(iter(faults.values()))}")
    return settled, [f"rank: {pattern!r} leaves out {', '.join(faults)}: "
                     f"{next(iter(faults.values()))}" for pattern, faults in unfit.items()]


def _phases(knobs: Mapping[str, Any]) -> tuple[Phase, ...]:
    """The phases with all that a phase may set, as written; one where none is named."""
    settled = []
    for number, phase in enumerate(knobs["phases"] or [{}], start=1):
        if not isinstance(phase, dict):
            raise PhaseFault(number, "", f"{phase!r} is not allowed; it must be a mapping of knobs "
                                         f"to values; allowed knobs: {', '.join(PHASE_KNOBS)}")
        with in_phase(number, phase):
            _check_phase(number, phase, knobs)
        settled.append(Phase({key: phase.get(key, knobs[key]) for key in PHASE_KNOBS}))
    return tuple(settled)


def _check_phase(number: int, phase: Mapping[str, Any], knobs: Mapping[str, Any]) -> None:
    """Check a phase as written; `knobs` are those of its run."""
    settled = {**knobs, **phase}
    for key, value in phase.items():
        if key not in PHASE_KNOBS:
            raise Fault(key, f"no knob of a phase{nearest(key, PHASE_KNOBS)}; allowed: "
                             f"{', '.join(PHASE_KNOBS)}")
        check(key, KNOBS[key].allowed, value)
        for other, needed in KNOBS[key].read_with.items():
            if settled[other] not in needed:
                raise combinations.no_effect(key, other, settled)
    epochs, warmup = settled["epochs"], settled["warmup_epochs"]
    if isinstance(phase.get("epochs"), dict):
        raise PhaseFault(number, "epochs", f"{epochs} is not allowed in a phase; allowed: a whole "
                                           "number, or leave it out and set epochs beside phases")
    if isinstance(epochs, dict):
        return  # settled when the work of an epoch is counted
    if knobs["phases"] and not epochs:
        raise PhaseFault(number, "epochs", "0 is not allowed in a phase; leave the phase out")
    if warmup >= epochs > 0 and warmup:
        problem = f"{warmup} leaves none of epochs: {epochs}; allowed: less than epochs"
        raise (PhaseFault(number, "warmup_epochs", problem) if "epochs" in phase else
               Fault("warmup_epochs", problem))


def _tables(knobs: Mapping[str, Any], phases: tuple[Phase, ...],
            facts: RunFacts) -> list[list[rules.Row]]:
    """The table of each phase, which training makes again from the same words."""
    tables = []
    for number, (phase, written) in enumerate(
            zip(phases, knobs["phases"] or [{}], strict=True), start=1):
        with in_phase(number, written):
            tables.append(rules.phase_table(
                facts.model, knobs, phase.knobs, knobs["init"] == "scratch"))
    return tables


def _run(knobs: Mapping[str, Any], changes: Mapping[str, Any], facts: RunFacts,
         phases: tuple[Phase, ...], tables: list[list[rules.Row]], weights: str) -> Run:
    trains = any(phase.trains for phase in phases)
    used = rules.methods_used(tables)
    tune = knobs["tune"] if knobs["tune"] in used else KNOBS["tune"].default
    preprocessing = _preprocessing(knobs, facts)
    settled = {**knobs, "dataset": facts.dataset.name}
    return Run(
        knobs={key: settled[key] for key in KNOBS},
        changes=changes,
        training_knobs=_training_knobs(knobs | {"tune": tune}, phases, tables),
        augmentations={key: knobs[key] for key in AUGMENTATIONS if trains and is_on(knobs[key])},
        phases=tuple(map(_read_by_training, phases)),
        preprocessing=preprocessing,
        classes=facts.dataset.classes,
        decoded=decoded.folder_name(
            facts.dataset.name, preprocessing.image_size, preprocessing.resize,
            preprocessing.interpolation) if facts.dataset.source.kind == "photos" else "",
        weights=weights,
        subsets={seed: subsets.file_name(**to_plain(_subset(settled, seed)))
                 for seed in knobs["seeds"]},
    )


def _training_knobs(knobs: Mapping[str, Any], phases: tuple[Phase, ...],
                    tables: list[list[rules.Row]]) -> dict[str, Any]:
    """What training reads besides the phases, so that what has no effect changes no recipe."""
    without_effect = {
        key for key in TRAINING_KNOBS
        if any(knobs[other] not in needed for other, needed in KNOBS[key].read_with.items())
        or any(knobs[other] in values for other, values in KNOBS[key].idle_with.items())}
    if not any(phase.trains for phase in phases):
        without_effect |= {*TRAINING_KNOBS} - {*_READ_TO_TEST}
    if all(row.tune == "full" for table in tables for row in table):
        without_effect.add("frozen_batchnorm")
    if not any(phase.knobs["weight_decay"] for phase in phases):
        without_effect.add("decay_biases_and_norms")
    general = {key: KNOBS[key].default if key in without_effect else knobs[key]
               for key in TRAINING_KNOBS}
    general["train_on"] = _trained_on(knobs, phases)
    return general | {key: knobs[key] for chooser in ("head", "tune")
                      for key in PLUGIN_KNOBS[chooser][knobs[chooser]]}


def _trained_on(knobs: Mapping[str, Any], phases: tuple[Phase, ...]) -> str:
    """"all" or "train", as in a recipe."""
    if knobs["train_on"] != "auto" and any(phase.trains for phase in phases):
        return knobs["train_on"]
    return "all" if knobs["search"] else "train"


def _read_by_training(phase: Phase) -> Phase:
    """The phase without what other schedules read; where nothing trains, with defaults only."""
    knobs = phase.knobs
    if not phase.trains:
        knobs = {key: KNOBS[key].default for key in PHASE_KNOBS} | {"epochs": 0}
    schedules = PLUGIN_KNOBS["schedule"]
    foreign = {key for names in schedules.values() for key in names} - {
        *schedules[knobs["schedule"]]}
    return Phase({key: value for key, value in knobs.items() if key not in foreign})


def _preprocessing(knobs: Mapping[str, Any], facts: RunFacts) -> PlannedPreprocessing:
    as_weights = knobs["resize"] == "weights"
    source = facts.reference if knobs["normalize"] == "weights" else facts.dataset
    return PlannedPreprocessing(
        image_size=knobs["image_size"],
        resize=facts.reference.resize if as_weights else knobs["resize"],
        interpolation=facts.reference.interpolation if as_weights else "bilinear",
        mean=source.mean and tuple(source.mean),
        std=source.std and tuple(source.std))


def _subset(knobs: Mapping[str, Any], seed: int, fold: int = 0, folds: int = 1) -> Subset:
    few = knobs["per_class"] > 0
    # Of folds neither what is held out otherwise nor the test images are read.
    validation, test = (0.0, 1.0) if folds > 1 else (knobs["validation"], knobs["test_fraction"])
    return Subset(knobs["dataset"], seed, 1.0 if few else float(knobs["fraction"]),
                  knobs["per_class"], float(validation), float(test), fold, folds)


def _subsets(runs: Mapping[str, Run], searches: Mapping[str, Search],
             scored: Iterable[Run]) -> dict[str, Subset]:
    """{index file: what it is drawn with}, of runs, of models that are scored, and of trials."""
    drawn = {file: _subset(run.knobs, seed)
             for run in (*runs.values(), *scored) for seed, file in run.subsets.items()}
    return drawn | {file: _subset(runs[name].knobs, seed, fold, len(files))
                    for name, found in searches.items()
                    for seed, files in found.subsets.items() for fold, file in enumerate(files)}


def _decoded(runs: Iterable[Run]) -> dict[str, Decoded]:
    """What is decoded, sorted by name. What is tested as it is needs no training images, and there
    may be very many."""
    wanted: dict[str, Decoded] = {}
    for run in runs:
        if run.decoded:
            whole = run.trains or run.preprocessing.mean is None
            if whole or run.decoded not in wanted:
                seen = run.preprocessing
                wanted[run.decoded] = Decoded(
                    run.knobs["dataset"], seen.image_size, seen.resize, seen.interpolation,
                    decoded.SPLITS if whole else ("test",))
    return dict(sorted(wanted.items()))
