"""The report: the answer, what it rests on, and how to get it again. No statistics here: everything
is read from the tables that the stage summarize writes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from unfreeze import files, places, words
from unfreeze.expecting.costs import COSTS
from unfreeze.params.plan import base
from unfreeze.reporting import images
from unfreeze.reporting.document import (
    Code,
    Inline,
    Items,
    Number,
    Picture,
    Section,
    Strong,
    Table,
    Verdict,
    line,
    listed,
)

TABLES = ("accuracy", "claims", "confused", "confusion", "costs", "fractions", "learning_curves",
          "movement", "pareto", "recommendation", "reliability", "reported", "scores",
          "similarity", "wall_clock")
# Where a group of knobs begins, in the order in which a settled run has them.
GROUPS = {"dataset": "Data", "model": "Model", "tune": "What is trained", "phases": "Training",
          "image_size": "Images"}


@dataclass(frozen=True)
class Study:
    """What a report is written from.

    Attributes:
        plan: {run: settled knobs}, plan/runs.yaml.
        budget: {cost: at most}, plan/budget.yaml.
        pairs: {pair: [run, run]}, compared/pairs.yaml.
        details: {run: metrics/details/RUN.json}.
        rows: {name of TABLES: rows of plots/tables/NAME.csv}.
        cards: {dataset: data/NAME/card.json}.
        not_run: {run that is declared and not run: {"why", "changes"}}, plan/not_run.yaml.
        place: its folder, seen from that of stages/.
    """

    plan: dict[str, dict]
    budget: dict[str, float]
    pairs: dict[str, list[str]]
    details: dict[str, dict]
    rows: dict[str, list[dict[str, str]]]
    cards: dict[str, dict] = field(default_factory=dict)
    not_run: dict[str, dict] = field(default_factory=dict)
    place: str = "."

    @property
    def failed(self) -> dict[str, str]:
        """{run: why}, of the runs without scores."""
        return {run: own["failed"] for run, own in self.details.items() if "failed" in own}

    @property
    def shown(self) -> str | None:
        """The run whose mistakes are shown: `base`, or the first; None if that failed."""
        run = base(self.plan)
        return None if run in self.failed else run


def read(root: Path, place: str = ".") -> Study:
    """Read a study's tables below its folder.

    Args:
        place: of Study.
    """
    plan = files.read_yaml(root / places.PLAN / "runs.yaml")
    return Study(
        plan=plan,
        budget=files.read_yaml(root / places.PLAN / "budget.yaml"),
        pairs=files.read_yaml(root / places.COMPARED / "pairs.yaml"),
        details={run: files.read_json(root / places.METRICS / f"details/{run}.json")
                 for run in plan},
        rows={name: files.read_csv(root / places.TABLES / f"{name}.csv") for name in TABLES},
        cards={name: files.read_json(root / places.DATA / f"{name}/card.json")
               for name in sorted({settled["dataset"] for settled in plan.values()})},
        not_run=files.read_yaml(root / places.PLAN / "not_run.yaml"),
        place=place,
    )


def title(study: Study) -> str:
    datasets = sorted({settled["dataset"] for settled in study.plan.values()})
    return f"Which fine-tuning strategy is best? {', '.join(datasets)}"


def sections(study: Study) -> list[Section]:
    """The report's sections, what readers ask first at the top; those with nothing to say are left
    out."""
    found = [recommendation(study), claims(study), reported(study), results(study),
             not_run(study), other_scores(study), matched(study), costs(study), fractions(study),
             mistakes(study), calibration(study), movement(study), similarity(study),
             images.section(study.cards), what_was_run(study), how_sure()]
    return [section for section in found if section.blocks]


def recommendation(study: Study) -> Section:
    """Which run to take under the budget, and what else could be taken."""
    rows = [row for row in study.rows["recommendation"] if row["run"] not in study.failed]
    budget = "; ".join(f"at most {quantity(limit, COSTS[cost].unit)} ({COSTS[cost].text})"
                       for cost, limit in study.budget.items())
    best = next((row for row in rows if row["best"] == "yes"), None)
    over = [row for row in rows if row["within_budget"] == "no"]
    items = []
    if best:
        items += _chosen(study, rows, best, " within the budget" if budget else "")
    elif rows:
        items.append((Strong("No run is within the budget."),))
    else:
        items.append((Strong("No run has finished."),))
    if over:
        better = [f"{row['run']} ({percent(row['accuracy'])} %; {row['over']})" for row in over
                  if not best or float(row["accuracy"]) > float(best["accuracy"])]
        some = f"{_count(len(over), 'run')}; with a higher accuracy: " if best else ""
        items.append((f"Over the budget: {some}", *listed(better or ["none"], "; "), "."))
    items += [(Strong(row["run"]), f": {row['note']}.") for row in rows if row["note"]]
    items += [(Strong(run), f" failed: {why}.") for run, why in study.failed.items()]
    return Section("Recommendation", [
        line(f"Budget: {budget}." if budget else
             "No budget is set (`budget:` in params.yaml), so any cost will do."), Items(items)])


def _chosen(study: Study, rows: list[dict], best: dict, within: str) -> list[tuple[Inline, ...]]:
    """The recommended run, why it is, and what it is chosen from.

    Args:
        rows: of tables/recommendation.csv; best: the one with the highest accuracy. within: the
            budget, in words.
    """
    chosen = next(row for row in rows if row["recommended"] == "yes")
    tied = [row for row in rows if row["tied"] == "yes" and row is not best]
    if sum(row["within_budget"] == "yes" for row in rows) == 1:
        why = f"it is the only run{within}{' that finished' if study.failed else ''}."
    elif not tied:
        why = (f"it has the highest accuracy{within}, and no other run{within} that could be "
               "compared with it is tied with it.")
    elif chosen is best:
        why = (f"it has the highest accuracy{within}, and it is the cheapest of the "
               f"{len(tied) + 1} runs that are not distinguishable by their accuracy.")
    else:
        why = (f"it is the cheapest of {len(tied) + 1} runs{within}: {best['run']}, which has the "
               "highest accuracy, and those not distinguishable from it by their accuracy.")
    if tied:
        why += (" Cheapest: the least training time, or fewer trained parameters where that "
                "differs by less than 10 %.")
    items = [("Take ", Strong(chosen["run"]), f" ({_changes(study, chosen['run'])}): ",
              _accuracy(study, chosen), f", {quantity(chosen['seconds'], 's')} of training, "
              f"{quantity(chosen['parameters_trainable'], 'parameters')} trained."), ("Why: ", why)]
    if chosen is not best:
        items.append((f"Highest accuracy{within}: ", Strong(best["run"]), ", ",
                      _accuracy(study, best), f", {quantity(best['seconds'], 's')}."))
    if tied:
        names = [f"{row['run']} ({percent(row['accuracy'])} %, {quantity(row['seconds'], 's')})"
                 for row in tied]
        items.append((f"Not distinguishable from {best['run']}: ", *listed(names), "."))
    return items


def claims(study: Study) -> Section:
    """Each claim with its verdict; one of several comparisons is followed by these."""
    by_claim: dict[str, list[dict]] = {}
    for row in study.rows["claims"]:
        by_claim.setdefault(row["number"], []).append(row)
    if not by_claim:
        return Section("Claims", [line("None are made: `claims:` in params.yaml is empty.")])
    lines = []
    for first, *others in by_claim.values():
        own = (Number(None, ""),) * 2 if others else _effect_cells(first)
        why, note = "" if others else first["why"], first["note"] and f"note: {first['note']}"
        lines.append((Code(first["claim"]), Verdict(first["claim_verdict"]), *own,
                      p_value(first["p_corrected"]), _remarks(first["advice"], why, note)))
        lines += [(f"↳ {row['comparison']}", Verdict(row["verdict"]), *_effect_cells(row),
                   Number(None, ""), _remarks(row["why"])) for row in (first, *others) if others]
    verdicts = [first["claim_verdict"] for first, *_ in by_claim.values()]
    counts = [f"{verdicts.count(verdict)} × {verdict}" for verdict in dict.fromkeys(verdicts)]
    return Section("Claims", [
        line(f"{_count(len(verdicts), 'claim')}: ", *listed(counts), ". An effect above 0 is as "
             "claimed. p is corrected for the number of claims (Holm); what is counted or measured "
             "once has none."),
        Table("claims", ("claim", "verdict", "effect", "95 % interval", "p", "remarks"), lines,
              frozenset({"effect", "95 % interval", "p"})),
        Picture("charts/claims.svg",
                "Effect and 95 % interval of every comparison that is claimed"),
    ])


def _remarks(*texts: str) -> str:
    return "; ".join(text for text in texts if text)


def reported(study: Study) -> Section:
    rows = study.rows["reported"]
    if not rows:
        return Section("Reported numbers")
    lines = [(row["run"], row["metric"].replace("_", " "), _number(row["reported"], 2),
              _number(row["ours"], 2), interval(row, 2), _number(row["difference"], 2, sign=True),
              row["within"]) for row in rows]
    return Section("Reported numbers beside ours", [
        Table("reported numbers", ("run", "score", "reported", "ours", "95 % interval",
                                   "ours - reported", "within the interval"), lines,
              frozenset({"reported", "ours", "95 % interval", "ours - reported"})),
    ])


def results(study: Study) -> Section:
    """Accuracy and costs of every run, best first, failed ones last."""
    costs = {row["run"]: row for row in study.rows["costs"]}
    lines = []
    one_seed = False
    for row in study.rows["accuracy"]:
        run = row["run"]
        images_only = row["interval"] == "images"
        one_seed |= images_only
        entropy = study.details[run]["cross_entropy"]["mean"]
        lines.append((run, _changes(study, run), _number(row["accuracy"], 1),
                      _interval_cell(row, 1, " †" if images_only else ""),
                      _number(entropy, 2), _number(row["replicates"]), *_cost_cells(costs[run])))
    none = Number(None, "-")
    for run, why in study.failed.items():
        seeds = len(study.plan[run]["seeds"])
        lines.append((run, f"{_changes(study, run)} (failed: {why})", Number(None, "failed"), none,
                      none, _number(seeds), *_cost_cells(costs.get(run))))
    columns = ("run", "what it changes", "accuracy (%)", "95 % interval", "cross-entropy", "seeds",
               "trained parameters", "stored (MB)", "activations (MB)", "training time (s)")
    tests = sorted({str(scores["test_images"]) for scores in study.details.values()})
    dagger = (" † One seed: the interval is over test images only, and says nothing of how another "
              "seed would do.") if one_seed else ""
    return Section("All runs", [
        Table("all runs", columns, lines, frozenset(columns[2:]), True,
              ("accuracy (%)", "descending")),
        line(f"Means over seeds, on {' or '.join(tests)} test images.{dagger} Stored: what one "
             "seed's model adds to the pretrained weights. Activations: what autograd keeps for "
             "the backward pass of a batch, counted in float32. Training time: of one seed, "
             "without validation and testing, on the machine named below."),
        Picture("charts/accuracy.svg", "Test accuracy of all runs with 95 % intervals"),
    ])


def not_run(study: Study) -> Section:
    """Runs that are part of the question and were left out."""
    name = "Not run here"
    if not study.not_run:
        return Section(name)
    reported: dict[str, list[str]] = {}
    for row in study.rows["reported"]:
        reported.setdefault(row["run"], []).append(
            f"{row['metric'].replace('_', ' ')} {row['reported']}")
    return Section(name, [
        line(f"{_count(len(study.not_run), 'run')} of this question, declared under ",
             Code("not_run:"), " in params.yaml. Comparisons with them are not computed; the other "
             "comparisons of such a claim are judged, and may contradict it, but it does not hold "
             "before all of them do."),
        Table("runs that were not run", ("run", "what it changes", "reported", "why"), [
            (run, _changes_text(own["changes"]), ", ".join(reported.get(run, ["-"])), own["why"])
            for run, own in study.not_run.items()]),
    ])


# Columns of the table of other scores: (metric, decimals, title).
SCORES = (("balanced_accuracy", 1, "balanced accuracy (%)"), ("top5", 1, "top-5 (%)"),
          ("cross_entropy", 3, "cross-entropy (nats)"), ("brier", 3, "Brier score"),
          ("ece", 1, "calibration error (%)"), ("ece_scaled", 1, "after scaling (%)"))


def other_scores(study: Study) -> Section:
    by_run: dict[str, dict[str, dict]] = {}
    for row in study.rows["scores"]:
        by_run.setdefault(row["run"], {})[row["metric"]] = row
    shown = [each for each in SCORES if any(each[0] in own for own in by_run.values())]
    if not shown:
        return Section("Other scores")
    scaled = (", before and after scaling the logits by one temperature fitted on the validation "
              "images" if any("ece_scaled" in own for own in by_run.values()) else "")
    columns = ("run", *(column for _, _, column in shown))
    lines = []
    for row in study.rows["accuracy"]:
        own = by_run.get(row["run"], {})
        lines.append((row["run"], *(_score_cell(own.get(metric), digits)
                                    for metric, digits, _ in shown)))
    return Section("Other scores", [
        Table("other scores", columns, lines, frozenset(columns[1:]), True),
        line("With 95 % intervals. Calibration error: expected, over 15 bins of equal width"
             f"{scaled}; as such sums go it is too high by a point or two with few images, which "
             "is why it has no interval. Brier score: sum over classes of squared differences, "
             "from 0 to 2. Per class: ", Code("metrics/details/RUN.json"), "."),
    ])


def matched(study: Study) -> Section:
    """Validation accuracy after as many epochs, and after as many seconds, for every run."""
    name = "Matched epochs, matched time"
    curves: dict[str, dict[str, list[dict]]] = {}
    for row in study.rows["wall_clock"]:
        if row["accuracy"]:
            curves.setdefault(row["run"], {}).setdefault(row["seed"], []).append(row)
    if not curves:  # without validation images: what there is of training
        pictures = [Picture("charts/learning_curves.svg",
                            "Accuracy on the training images over epochs")]
        return Section("Learning curves", pictures if study.rows["learning_curves"] else [])
    lasts = {run: [seed[-1] for seed in own.values()] for run, own in curves.items()}
    epochs = min(int(last["epoch"]) for own in lasts.values() for last in own)
    needed = {run: max(float(last["seconds"]) for last in own) for run, own in lasts.items()}
    fastest = min(needed, key=lambda run: needed[run])
    limit = study.budget.get("seconds", needed[fastest])
    lines = []
    for run, own in curves.items():
        same_epoch = [row for seed in own.values() for row in seed if int(row["epoch"]) == epochs]
        in_time = [[row for row in seed if float(row["seconds"]) <= limit]
                   for seed in own.values()]
        finished = [rows[-1] for rows in in_time if rows]
        complete = len(finished) == len(own)  # else the mean would be of the faster seeds alone
        lines.append((
            run, _mean(same_epoch, "accuracy"),
            _mean(finished, "accuracy") if complete else Number(None, "-"),
            _mean(finished, "epoch") if complete else Number(None, "-"),
            _mean(lasts[run], "epoch"), _mean(lasts[run], "seconds")))
    in_epochs, in_seconds = f"after {_count(epochs, 'epoch')} (%)", f"after {limit:.1f} s (%)"
    lines.sort(key=lambda row: (row[2].value is None, -(row[2].value or 0)))
    why = "the budget" if "seconds" in study.budget else f"what {fastest} needs for all its epochs"
    columns = ("run", in_epochs, in_seconds, f"epochs in {limit:.1f} s", "epochs",
               "training time (s)")
    return Section(name, [
        line(f"Accuracy on the validation images, mean over seeds, after {_count(epochs, 'epoch')} "
             f"and at the end of the last epoch within {limit:.1f} s of training ({why}; - where "
             "not every seed had finished an epoch). Validation images are few: differences of "
             "some points mean little here. The learning rate was not planned to end there, so a "
             "run cut short is not at its best."),
        Table("matched epochs and time", columns, lines, frozenset(columns[1:]), True,
              (in_seconds, "descending")),
        Picture("charts/learning_curves.svg", "Accuracy over epochs"),
        Picture("charts/wall_clock.svg", "Validation accuracy over training time"),
    ])


def costs(study: Study) -> Section:
    """Which runs no other beats in accuracy and cost at once."""
    fronts: dict[str, list[str]] = {}
    for row in study.rows["pareto"]:
        front = fronts.setdefault(row["cost"], [])
        if row["dominated"] == "no":
            front.append(row["run"])
    if not fronts:
        return Section("Accuracy against cost")
    return Section("Accuracy against cost", [
        line("Not dominated, by cost: no other run has at least their accuracy (the mean) for at "
             "most their cost."),
        Items([(Code(cost), f" ({COSTS[cost].text}): ", *listed(runs))
               for cost, runs in fronts.items()]),
        Picture("charts/pareto.svg", "Accuracy of all runs against each cost"),
    ])


def fractions(study: Study) -> Section:
    name = "How much data"
    if not study.rows["fractions"]:
        return Section(name)
    return Section(name, [
        Picture("charts/fractions.svg", "Accuracy against the fraction of the training images"),
    ])


def mistakes(study: Study) -> Section:
    run = study.shown
    if run is None:
        return Section("Mistakes")
    pairs = [row for row in study.rows["confused"] if row["run"] == run]
    blocks = [Picture("charts/confusion.svg", f"Confusion matrix of {run}")]
    if pairs:
        blocks.append(Table(
            "most confused classes", ("true class", "taken for", "images of that class (%)"),
            [(row["actual"], row["predicted"], _number(row["percent"], 1)) for row in pairs],
            frozenset({"images of that class (%)"}), True,
            ("images of that class (%)", "descending")))
    return Section(f"What {run} gets wrong", [
        *blocks, Picture("charts/mistakes.png", f"The most confident mistakes of {run}")])


def calibration(study: Study) -> Section:
    name = "Calibration"
    if not study.rows["reliability"]:
        return Section(name)
    return Section(name, [
        line("Share of right predictions against the confidence of the model, pooled over seeds; "
             "on the diagonal a model is right as often as it says."),
        Picture("charts/reliability.svg",
                "Reliability diagrams, before and after temperature scaling"),
    ])


def movement(study: Study) -> Section:
    name = "How far the weights moved"
    if not study.rows["movement"]:
        return Section(name)
    return Section(name, [
        line("Distance of the pretrained parameters of each part from where they started, over "
             "the norm of where they started; mean over seeds."),
        Picture("charts/movement.svg", "Relative distance of each part, for each run"),
    ])


def similarity(study: Study) -> Section:
    """Pairs of runs, part by part: means over seeds, and of cosines over the part's tensors."""
    name = "How alike the trained models are"
    if not study.pairs:
        return Section(name)
    blocks: list = []
    for pair, runs in study.pairs.items():
        own = [row for row in study.rows["similarity"] if row["pair"] == pair]
        moved = [run for run in runs if any(row["run"] == run for row in own)]
        columns = ("part", "cosine, biases", "cosine, weights", "CKA",
                   *(f"distance of {run}" for run in moved))
        lines = []
        for part in dict.fromkeys(row["part"] for row in own):
            here = [row for row in own if row["part"] == part]
            kinds = [
                [row for row in here if row["kind"] == "bias"],
                # scales of normalisations are vectors
                [row for row in here if row["kind"] == "weight" and "x" in row["shape"]],
                [row for row in here if row["measure"] == "cka"],
                *([row for row in here if row["measure"] == "relative_distance"
                   and row["run"] == run] for run in moved)]
            lines.append((part, *(_mean(rows, "value", 2) for rows in kinds)))
        blocks += [line(Strong(pair), f": {runs[0]} and {runs[1]}"),
                   Table(f"similarity of {pair}", columns, lines, frozenset(columns[1:]))]
    return Section(name, [
        *blocks,
        line("Means over the seeds that both runs have. Cosine: between corresponding tensors, "
             "mean over the part's tensors, without the scales of normalisations, which start at "
             "1 and so stay alike in any case; unrelated tensors come out near 0. What is new in "
             "both runs (the head) has the same random start in both, since they share the seed. "
             "CKA: linear centred kernel alignment of what the parts put out for the same test "
             "images, from 0 to 1 (equal up to rotation and scale). Distance: of a part's "
             "parameters from the pretrained ones, over their norm. Every tensor is in ",
             Code("plots/tables/similarity.csv"), "."),
        Picture("charts/similarity.svg", "Similarity of pairs of runs"),
    ])


def what_was_run(study: Study) -> Section:
    settled = next((own for own in study.plan.values() if not own["changes"]),
                   next(iter(study.plan.values())))
    keys = list(settled)
    groups: dict[str, dict] = {}
    for key in keys[:keys.index("changes")]:  # what follows is derived from the knobs
        group = GROUPS.get(key, list(groups)[-1] if groups else "Data")
        groups.setdefault(group, {})[key] = settled[key]
    machines = sorted({f"{row['device']} ({row['precision']})" for row in study.rows["costs"]})
    replicates = sum(len(own["seeds"]) for own in study.plan.values())
    return Section("What was run, and how to repeat it", [
        line(f"{_count(len(study.plan), 'run')}, {_count(replicates, 'model')} trained. Unless a "
             "run changes it:"),
        Items([(Strong(group), ": ", Code(words.settings(knobs)))
               for group, knobs in groups.items()]),
        line("Machine: ", "; ".join(machines), ". The same parameters, code and machine give the "
             "same scores bit for bit; ", Code("recipes/RUN.yaml"), " holds all that determines a "
             "run but the machine, ", Code("metrics/details/RUN.json"), " all of its scores, ",
             Code("plots/tables/"), " the tables behind every picture here."),
        line("To repeat: ", Code("make repro" if study.place == "." else
                                 f"dvc repro {study.place}/dvc.yaml"),
             " in a clone of the repository. To ask something "
             "else: edit ", Code("params.yaml"), ", then ", Code("dvc repro"), "; only what the "
             "change affects is computed again."),
    ])


def how_sure() -> Section:
    return Section("How sure is this", [
        line("An interval of 95 % covers both what other test images and what other seeds would "
             "have given. Test images are resampled with replacement (bootstrap, bias-corrected "
             "and accelerated, BCa), the same samples for all runs, so that runs are compared on "
             "the same images. Seeds, of which there are few, add a part after Student's t; with "
             "two or three of them its variance is borrowed in part from the study's other runs, "
             "less for a run that varies more than chance explains. With one seed there is no such "
             "part: the interval is over test images only and holds for these trained models, and "
             "two runs' hits and misses are compared by McNemar's exact test."),
        line("A claim holds, or is contradicted, where its p-value stays at or below 0.05 after "
             "Holm's correction for all claims tested; else it is not distinguishable, which does "
             "not mean equal. A claim of several comparisons holds only if all of them do. Counted "
             "costs are compared as they are; measured ones (training time, peak memory) are "
             "measured once a run, so differences under 10 % do not count."),
        line("Recommended is the cheapest of the runs that no test (one-sided, Holm) shows to be "
             "worse than the one with the highest accuracy: the run that is best in truth is left "
             "out in at most 5 % of studies."),
    ])


def quantity(value: float | str, unit: str, sign: bool = False) -> str:
    """A cost or a score as people write it: `9.08 MB`, `12.8 s`, `2,236,682 parameters`.

    Args:
        unit: of a scoring.costs.Cost or a scoring.metrics.Metric. sign: for a difference.
    """
    value, plus = float(value), "+" if sign else ""
    if unit in ("bytes", "operations"):
        scale, prefix = next(((scale, prefix) for scale, prefix in (
            (1e9, "G"), (1e6, "M"), (1e3, "k")) if abs(value) >= scale), (1, ""))
        return f"{value / scale:{plus}.3g} {prefix}{'B' if unit == 'bytes' else ' ' + unit}"
    if unit == "parameters":
        return f"{value:{plus},.0f} {unit}"
    if unit == "s":
        return f"{value:{plus}.{3 if abs(value) < 100 else 4}g} s"
    if unit in ("%", "points"):
        return f"{value:{plus}.1f} {unit}"
    return f"{value:{plus}.3f} {unit}".rstrip()


def percent(value: float | str) -> str:
    return f"{float(value):.1f}"


def p_value(text: str) -> Number:
    """A p-value of plots/tables/claims.csv; "" where nothing was tested."""
    if not text:
        return Number(None, "-")
    value = float(text)
    return Number(value, "< 0.001" if value < 0.001 else f"{value:.3f}")


def interval(row: dict[str, str], digits: int) -> str:
    """`66.8 to 70.5`, `-` where there is none."""
    if not row["low"]:
        return "-"
    return f"{float(row['low']):.{digits}f} to {float(row['high']):.{digits}f}"


def _interval_cell(row: dict[str, str], digits: int, mark: str) -> Number:
    return Number(float(row["low"]) if row["low"] else None, interval(row, digits) + mark)


def _effect_cells(row: dict[str, str]) -> tuple[Inline, Inline]:
    """Effect and interval; costs that are counted have no interval, what was not computed
    neither."""
    if not row["effect"]:
        return Number(None, "-"), Number(None, "-")
    effect = Number(float(row["effect"]), quantity(row["effect"], row["unit"], sign=True))
    if not row["low"]:
        return effect, Number(None, "-")
    low, high = (quantity(row[side], row["unit"], sign=True).split(" ")[0]
                 for side in ("low", "high"))
    return effect, Number(float(row["low"]), f"{low} to {high}")


def _accuracy(study: Study, row: dict[str, str]) -> str:
    one_seed = any(own["run"] == row["run"] and own["interval"] == "images"
                   for own in study.rows["accuracy"])
    return (f"{percent(row['accuracy'])} % accuracy (95 % interval {interval(row, 1)}"
            f"{', over test images only: one seed' if one_seed else ''})")


def _changes(study: Study, run: str) -> str:
    return _changes_text(study.plan[run]["changes"])


def _changes_text(changes: dict) -> str:
    return words.settings({key: value for key, value in changes.items() if key != "seeds"})


def _cost_cells(row: dict[str, str] | None) -> tuple[Number, ...]:
    if row is None:
        return (Number(None, "-"),) * 4
    return (Number(float(row["parameters_trainable"]), f"{int(row['parameters_trainable']):,}"),
            _number(row["stored_mb"], 1), _number(row["activation_mb"]),
            _number(row["seconds_per_replicate"]))


def _score_cell(row: dict[str, str] | None, digits: int) -> Number:
    if row is None:
        return Number(None, "-")
    mean = float(row["mean"])
    inside = f" ({interval(row, digits)})" if row["low"] else ""
    return Number(mean, f"{mean:.{digits}f}{inside}")


def _number(text: float | str, digits: int = 0, sign: bool = False) -> Number:
    if text == "":
        return Number(None, "-")
    value = float(text)
    return Number(value, f"{value:{'+' if sign else ''}.{digits}f}")


def _mean(rows: Iterable[dict[str, str]], field: str, digits: int = 1) -> Number:
    """Without the undefined; `-` where nothing is left."""
    values = [float(row[field]) for row in rows if row[field]]
    if not values:
        return Number(None, "-")
    mean = sum(values) / len(values)
    return Number(mean, f"{round(mean, digits) + 0.0:.{digits}f}")  # no -0.00


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
