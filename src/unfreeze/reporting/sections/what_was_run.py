"""What the runs have in common, on which machine they ran, and how to repeat them."""

from unfreeze.data.reading import augmentations
from unfreeze.reporting.document import Code, Items, Section, Strong, line
from unfreeze.reporting.study import Study
from unfreeze.words import count, settings

# Where a group of knobs begins, in the order in which a settled run has them.
GROUPS = {"dataset": "Data", "image_size": "Images", "seeds": "Seeds", "model": "Model",
          "freeze": "What is trained", "phases": "Training"} | dict.fromkeys(
              augmentations.names(), "Augmentation")


def section(study: Study) -> Section:
    runs = study.plan.runs
    common = next((run for run in runs.values() if not run.changes), next(iter(runs.values())))
    groups: dict[str, dict] = {}
    group = "Data"
    for knob, value in common.knobs.items():
        group = GROUPS.get(knob, group)
        groups.setdefault(group, {})[knob] = value
    machines = sorted({f"{row['device']} ({row['precision']})" for row in study.rows["costs"]})
    replicates = sum(len(run.knobs["seeds"]) for run in runs.values())
    command = "make repro" if study.folder == "." else f"cd {study.folder} && dvc repro"
    return Section("What was run, and how to repeat it", [
        line(f"{count(len(runs), 'run')}, {count(replicates, 'model')} trained. Unless a "
             "run changes it:"),
        Items([(Strong(name), ": ", Code(settings(knobs))) for name, knobs in groups.items()]),
        line("Machine: ", "; ".join(machines), ". The same parameters, code and machine give the "
             "same scores bit for bit; ", Code("recipes/RUN.yaml"), " holds all that determines a "
             "run but the machine, ", Code("metrics/details/RUN.json"), " all of its scores, ",
             Code("plots/tables/"), " the tables behind every picture here."),
        line("To repeat: ", Code(command), " in a clone of the repository. To ask something "
             "else: edit ", Code("params.yaml"), ", then ", Code("dvc repro"), "; only what the "
             "change affects is computed again."),
    ])
