"""What the pretrained models were worth before any was trained, and whether that was the order in
which fine-tuning put them."""

import itertools

from unfreeze.ranking.table import SCORES
from unfreeze.reporting import cells
from unfreeze.reporting.document import Block, Cell, Number, Picture, Section, Table, line
from unfreeze.reporting.study import Rows, Study
from unfreeze.words import count, quantity


def section(study: Study) -> Section:
    name, rows = "Which model, before any training", study.rows.get("models", [])
    if not rows:
        return Section(name)
    trained = [row for row in rows if row["score"]]
    columns = ("model", *(title for title, _ in SCORES.values()), "features",
               "operations an image", *["fine-tuned, " + study.score.title] * bool(trained))
    lines = [_line(row, study, bool(trained)) for row in rows]
    return Section(name, [
        _about(rows),
        Table("scores of pretrained models", columns, lines, frozenset(columns[1:]), True),
        Picture.chart("models"), *_foretold(trained)])


def _about(rows: Rows) -> Block:
    images = int(rows[0]["images"])
    share = min(max(float(rows[0]["linear_probe"]) / 100, 0.01), 0.99)
    points = 196 * (share * (1 - share) / images) ** 0.5
    return line(
        f"{count(len(rows), 'pretrained model')}, best first by the linear probe, from what each "
        f"makes of {count(images, 'training image')}; no test image is read. The linear probe and "
        "the nearest neighbours answer for images that are held out of theirs: with so many, an "
        f"accuracy is known to about {points:.0f} points, and models that are closer than that "
        "cannot be told apart by it. LogME, H-score, LEEP and NCE are better the higher they are, "
        "and mean nothing by themselves.")


def _line(row: dict[str, str], study: Study, trained: bool) -> tuple[Cell, ...]:
    operations = float(row["operations"])
    score = cells.number(row["score"], cells.decimals(study.score.unit))
    return (row["model"], *(cells.number(row[name], decimals)
                            for name, (_, decimals) in SCORES.items()),
            cells.number(row["dimensions"]),
            Number(operations, quantity(operations, "operations").removesuffix(" operations")),
            *[score] * trained)


def _foretold(rows: Rows) -> list[Block]:
    """How many pairs of models each score put in the order of fine-tuning, whose ties count for
    neither."""
    if len(rows) < 2:
        return []
    pairs = list(itertools.combinations(rows, 2))
    said = []
    for name, (title, _) in SCORES.items():
        known = [(a, b) for a, b in pairs if a[name] and b[name] and a["score"] != b["score"]]
        right = sum((float(a[name]) - float(b[name])) * (float(a["score"]) - float(b["score"])) > 0
                    for a, b in known)
        if known:
            said.append(f"{title.removesuffix(' (%)')} {right} of {len(known)}")
    few = (" Of so few models that says next to nothing about a score." if len(rows) < 6 else "")
    return [line(f"Of these, {len(rows)} were fine-tuned in runs that differ in nothing else. "
                 "Pairs of them that each score had in the order in which fine-tuning put them: "
                 f"{', '.join(said)}.{few}")] if said else []
