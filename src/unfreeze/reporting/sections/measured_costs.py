"""Time and memory, as this machine's clock and gauges had them."""

from unfreeze.reporting import cells
from unfreeze.reporting.document import Cell, Number, Picture, Section, Table, line
from unfreeze.reporting.sections import costs
from unfreeze.reporting.study import Study

COLUMNS = ("run", "training time (s)", "least to most", "seeds", "search (s)",
           "images per second", "peak memory (MB)", "machine")


def section(study: Study) -> Section:
    name = "Time and memory"
    rows = study.measured.get("costs", [])
    if not rows:
        return Section(name, measured=True)
    machines = {machine(row) for row in rows}
    left_out = {"machine"} if len(machines) == 1 else set()
    if not any(float(row["search_seconds"]) for row in rows):
        left_out.add("search (s)")
    kept = [place for place, column in enumerate(COLUMNS) if column not in left_out]
    columns = tuple(COLUMNS[place] for place in kept)
    lines = [tuple(cells_of_line[place] for place in kept)
             for cells_of_line in map(_line, rows)]
    lines.sort(key=lambda cells: (cells[1].value is None, cells[1].value or 0))
    apart = "" if len(machines) == 1 else (
        " Between runs of another device, precision or number of threads (the last column) "
        "neither time nor memory says which is cheaper.")
    searching = " The search is all of its trials." if "search (s)" in columns else ""
    return Section(name, [
        line(f"On {' and '.join(sorted(machines))}. Training time is that of one seed, without "
             "validation and testing: of the processor on a CPU, so that what else the machine did "
             f"does not count, of the device on a GPU.{searching}{apart}"),
        Table("measured costs", columns, lines, frozenset(columns) - {"run", "machine"}, True,
              (columns[1], "ascending")),
        *costs.fronts(study, study.measured["pareto"]),
        Picture.chart("pareto", measured=True)], measured=True)


def machine(row: dict[str, str]) -> str:
    threads = row["threads"] and f", {row['threads']} thread{'s' * (row['threads'] != '1')}"
    return f"{row['device']} ({row['precision']}{threads})"


def _line(row: dict[str, str]) -> tuple[Cell, ...]:
    return (row["run"], cells.number(row["seconds_per_replicate"], 1), _spread(row),
            cells.number(row["replicates"]), cells.number(row["search_seconds"], 1),
            cells.number(row["images_per_second"]), cells.number(row["peak_memory_mb"]),
            machine(row))


def _spread(row: dict[str, str]) -> Number:
    if row["replicates"] == "1":
        return cells.NONE
    return cells.interval({"low": row["seconds_least"], "high": row["seconds_most"]}, 1)
