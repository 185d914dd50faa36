"""How alike the runs of a pair are, part by part."""

from unfreeze.reporting import cells
from unfreeze.reporting.document import Code, Picture, Section, Strong, Table, line
from unfreeze.reporting.study import Study


def section(study: Study) -> Section:
    name = "How alike the trained models are"
    if not study.plan.compare:
        return Section(name)
    blocks: list = []
    for pair, runs in study.plan.compare.items():
        rows = [row for row in study.rows["similar_parts"] if row["pair"] == pair]
        blocks += [line(Strong(pair), f": {runs[0]} and {runs[1]}"), _table(pair, runs, rows)]
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
        Picture.chart("similarity"),
    ])


def _table(pair: str, runs: tuple[str, ...], rows: list[dict[str, str]]) -> Table:
    moved = [run for run in runs if any(row["run"] == run for row in rows)]
    measures = {("cosine_biases", ""): "cosine, biases", ("cosine_weights", ""): "cosine, weights",
                ("cka", ""): "CKA",
                **{("relative_distance", run): f"distance of {run}" for run in moved}}
    values: dict[str, dict[tuple[str, str], str]] = {}
    for row in rows:
        values.setdefault(row["part"], {})[row["measure"], row["run"]] = row["value"]
    lines = [(part, *(cells.number(of_part.get(measure, ""), 2) for measure in measures))
             for part, of_part in values.items()]
    return Table(f"similarity of {pair}", ("part", *measures.values()), lines,
                 frozenset(measures.values()))
