"""What was tried for each run, what was chosen, and how much it mattered."""

from unfreeze.reporting import cells
from unfreeze.reporting.document import (
    Block,
    Cell,
    Items,
    Number,
    Picture,
    Section,
    Strong,
    Table,
    line,
    listed,
)
from unfreeze.reporting.study import Rows, Study
from unfreeze.words import count, quantity

NUMBERS = ("tried", "validation score", "worst tried", "accuracy (%)", "trials", "operations")


def section(study: Study) -> Section:
    rows = study.rows["choices"]
    if not rows:
        return Section("The search")
    columns = ("run", "chosen", *NUMBERS)
    edges = [(Strong(row["run"]), f": {row['edges']}") for row in rows if row["edges"]]
    return Section("The search", [
        _protocol(study, rows),
        Table("choices of the search", columns, [_line(row) for row in rows], frozenset(NUMBERS),
              True),
        *([line("Chosen at the end of what was tried, so that more might be gained beyond:"),
           Items(edges)] if edges else []),
        Picture.chart("search"),
        *([line("How much searching a run needs: the best validation score to expect of so many of "
                "its candidates, tried in a random order (the mean over all subsets of that size: "
                "Dodge et al. 2019, with the unbiased estimate of Tang et al. 2020). A line that "
                "is flat from the start is a run that any of its settings would do for.")]
          if study.rows["expected_best"] else []),
        Picture.chart("expected_best")])


def _protocol(study: Study, rows: Rows) -> Block:
    scores = dict.fromkeys(_title(row) for row in rows)
    searched = {row["run"] for row in rows}
    others = [run for run in study.plan.runs if run not in searched]
    rest = ("Not searched: ", *listed(others), ".") if others else ()
    folds = {int(row["folds"]) for row in rows}
    where = ("images held out of training" if folds == {1} else
             "training images, by cross-validation" if 1 not in folds else
             "images held out of training, or by cross-validation")
    return line(f"{count(len(rows), 'run')} had settings to choose. Every candidate was trained "
                f"with a seed that is none of the tested ones and judged on {where}, never on test "
                f"images, by {' or '.join(scores)}. The chosen settings were then trained anew "
                "with the seeds that are tested. ", *rest)


def _title(row: dict[str, str]) -> str:
    scaled = " after temperature scaling" if row["quantity"] == "cross_entropy" else ""
    return f"{row['text']}{scaled} ({row['better']} is better)"


def _line(row: dict[str, str]) -> tuple[Cell, ...]:
    decimals = cells.decimals(row["unit"])
    operations = float(row["operations"])
    return (row["run"], row["chosen"] or "nothing: all trained in full diverged", _tried(row),
            cells.number(row["score"], decimals), _worst(row, decimals),
            cells.number(row["accuracy"], 1), cells.number(row["trials"]),
            Number(operations, quantity(operations, "operations").removesuffix(" operations")))


def _tried(row: dict[str, str]) -> Number:
    """How many candidates, where not all that are listed."""
    tried = int(row["tried"])
    stopped = f", {row['stopped']} of them stopped early" if row["stopped"] != "0" else ""
    of_all = f" of {row['listed']}" if row["listed"] != row["tried"] else ""
    return Number(tried, f"{tried}{of_all}{stopped}")


def _worst(row: dict[str, str], decimals: int) -> Number:
    if row["diverged"] != "0":
        return Number(None, "diverged" if row["diverged"] == "1" else f"{row['diverged']} diverged")
    return cells.number(row["worst"], decimals)
