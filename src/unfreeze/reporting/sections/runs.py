"""Score and counted costs of every run, best first, failed ones last."""

from unfreeze.reporting import cells
from unfreeze.reporting.document import Block, Cell, Number, Picture, Section, Table, line
from unfreeze.reporting.sections.common import ONE_SEED, changes_text, searched, settings_of
from unfreeze.reporting.study import Images, Study
from unfreeze.words import count, quantity

COSTS = ("trained parameters", "stored (MB)", "activations (MB)", "operations of training")


def section(study: Study) -> Section:
    score = study.score.title
    columns = ["run", "what it changes", "settings", "images", score, "95 % interval", "seeds",
               *COSTS]
    lines = [dict(zip(columns, cells_of_line, strict=True)) for cells_of_line in (
        *(_finished(study, row) for row in study.rows["ranking"]),
        *(_failed(study, run, why) for run, why in study.failed.items()))]
    if not searched(study):
        columns.remove("settings")
    if len(set(study.images.values())) < 2:
        columns.remove("images")
    return Section("All runs", [
        Table("all runs", tuple(columns), [tuple(of_line[column] for column in columns)
                                           for of_line in lines],
              frozenset(columns) - {"run", "what it changes", "settings"}, True,
              (score, "descending" if study.score.better == "higher" else "ascending")),
        _said(study), Picture.chart("ranking")])


def _said(study: Study) -> Block:
    dagger = (" † One seed: the interval is over test images only, and says nothing of how another "
              "seed would do.") if any(map(_one_seed, study.rows["ranking"])) else ""
    unsearched = ("" if searched(study) else " Settings were not searched: each run has those that "
                  "it names, and the ones common to all below.")
    return line(f"Means over seeds.{_images(study)}{dagger}{unsearched} Stored: what one seed's "
                "model adds to the pretrained weights. Activations: what autograd keeps for the "
                "backward pass of a batch, counted in float32. Operations: of training one seed, "
                "forward and backward, what is frozen once an image where it can be kept.")


def _images(study: Study) -> str:
    different = set(study.images.values())
    if not different:
        return ""
    if len(different) > 1:
        return " Images: those that a seed was trained on + held out of training / tested on."
    (images,) = different
    held_out = f", {images.validation:,} held out of training" if images.validation else ""
    return (f" Each seed had {count(images.train, 'training image')}{held_out}, and was tested on "
            f"{images.test:,}.")


def _one_seed(row: dict[str, str]) -> bool:
    return row["interval"] == "images"


def _finished(study: Study, row: dict[str, str]) -> tuple[Cell, ...]:
    run = row["run"]
    decimals = cells.decimals(study.score.unit)
    return (run, changes_text(study.plan.runs[run].changes), settings_of(study, run),
            _images_of(study.images.get(run)), cells.number(row["score"], decimals),
            cells.interval(row, decimals, ONE_SEED if _one_seed(row) else ""),
            cells.number(row["replicates"]), *_costs(study, run))


def _failed(study: Study, run: str, why: str) -> tuple[Cell, ...]:
    settled = study.plan.runs[run]
    return (run, f"{changes_text(settled.changes)} (failed: {why})", settings_of(study, run),
            _images_of(study.images.get(run)), Number(None, "failed"), cells.NONE,
            cells.number(len(settled.knobs["seeds"])), *_costs(study, run))


def _images_of(images: Images | None) -> Number:
    if images is None:
        return cells.NONE
    held_out = f" + {images.validation:,}" if images.validation else ""
    return Number(images.train, f"{images.train:,}{held_out} / {images.test:,}")


def _costs(study: Study, run: str) -> tuple[Number, ...]:
    row = next((row for row in study.rows["costs"] if row["run"] == run), None)
    if row is None:
        return (cells.NONE,) * len(COSTS)
    operations = float(row["operations"])
    return (cells.number(row["parameters_trainable"]), cells.number(row["stored_mb"], 1),
            cells.number(row["activation_mb"]),
            Number(operations, quantity(operations, "operations").removesuffix(" operations")))
