"""What the runs have in common, and how to repeat them."""

from unfreeze import places
from unfreeze.data.reading import augmentations
from unfreeze.params.plan import LicensedWeights
from unfreeze.reporting.document import Code, Items, Parts, Section, Strong, line
from unfreeze.reporting.study import Study
from unfreeze.words import count, settings

# Where a group of knobs begins, in the order in which a settled run has them.
GROUPS = {"dataset": "Data", "image_size": "Images", "seeds": "Seeds", "model": "Model",
          "freeze": "What is trained", "phases": "Training"} | dict.fromkeys(
              augmentations.names(), "Augmentation") | {"search": "Search"}


def section(study: Study) -> Section:
    runs = study.plan.runs
    common = next((run for run in runs.values() if not run.changes), next(iter(runs.values())))
    groups: dict[str, dict] = {}
    group = "Data"
    for knob, value in common.knobs.items():
        group = GROUPS.get(knob, group)
        if knob not in common.knobs["search"]:  # which says what was tried of it
            groups.setdefault(group, {})[knob] = _written(study, knob, value)
    replicates = sum(len(run.knobs["seeds"]) for run in runs.values())
    trials = sum(int(row["trials"]) for row in study.rows["choices"])
    searching = f", after {count(trials, 'trial')} of the search" if trials else ""
    command = "make repro" if study.folder == "." else f"cd {study.folder} && dvc repro"
    return Section("What was run, and how to repeat it", [
        line(f"{count(len(runs), 'run')}, {count(replicates, 'model')} trained{searching}. Unless "
             "a run changes it:"),
        Items([(Strong(name), ": ", Code(settings(knobs))) for name, knobs in groups.items()]),
        *_licences(study),
        line("The same parameters, code and kind of processor give the same scores bit for bit; ",
             Code("recipes/RUN.yaml"), " holds all that determines a run but the machine, ",
             *((Code("choices/RUN.yaml"), " what its search chose, ") if trials else ()),
             Code("metrics/details/RUN.json"), " all of its scores, ", Code("plots/tables/"),
             " the tables behind every picture here. On which machine it ran, and how long that "
             "took, is in ", Code(str(places.PAGE)), "."),
        line("To repeat: ", Code(command), " in a clone of the repository",
             *_elsewhere(study), ". To ask something else: edit ", Code("params.yaml"), ", then ",
             Code("dvc repro"), "; only what the change affects is computed again."),
    ])


def _written(study: Study, knob: str, value: object) -> object:
    """The value of a knob as it may stand in params.yaml: of images of one's own where they lie,
    and not the name of the folder that they have here."""
    source = study.plan.datasets.get(value) if knob == "dataset" else None
    return source.path or source.url if source and source.own else value


def _licences(study: Study) -> list:
    """Of pretrained weights whose publisher states one."""
    stated = [(name, source.licence) for name, source in study.plan.weights.items()
              if isinstance(source, LicensedWeights)]
    return [line("Licences of pretrained weights: ", *(
        part for number, (name, licence) in enumerate(stated)
        for part in ("; " * (number > 0), Code(name), f" {licence}")), ".")] if stated else []


def _elsewhere(study: Study) -> Parts:
    """Where a clone finds images that lie outside it."""
    own = [source.path for source in study.plan.datasets.values() if source.path]
    if not own:
        return ()
    return (" that has the same images where they lay here (", Code(", ".join(own)), "), or with ",
            Code("dataset:"), " in params.yaml saying where they lie now")
