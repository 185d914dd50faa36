"""Tables of results in README.md and docs/, made from what the pipeline and the benchmarks left.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a function here, which
makes its lines of those that are there.

Usage: python .ci/tables.py [--write]
Without --write it says which tables are not those of their sources, and exits with 1 if any is.
"""

import argparse
import csv
import json
import re
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

TABLE = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.S)
VERDICTS = ("holds", "contradicted", "measured", "not distinguishable", "not computed")
Lines = list[str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write them anew")
    write = parser.parse_args().write
    stale = []
    for page in pages():
        text = page.read_text()
        made = of_today(text)
        if made != text:
            stale.append(str(page.relative_to(ROOT)))
            if write:
                page.write_text(made)
    if stale:
        print(f"{', '.join(stale)}: " + ("written anew" if write else
              "a table is not that of its source; `python .ci/tables.py --write` makes it so"))
    return bool(stale) and not write


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def of_today(text: str, without: Collection[str] = ()) -> str:
    """A page with its tables made anew, but those of these names."""
    def made(match: re.Match) -> str:
        before, name, lines, after = match.groups()
        if name in without:
            return match.group()
        return before + "".join(f"{line}\n" for line in TABLES[name](lines.splitlines())) + after

    return TABLE.sub(made, text)


# The tables

RUNS = ("lora", "bias", "last_stage", "base", "last_only")  # that README shows
COLUMNS = ("run", "what it changes", "accuracy (%)", "95 % interval", "trained parameters",
           "operations of training")


def some_runs(_: Lines) -> Lines:
    """Of the default study's table of all runs: RUNS, in its order."""
    text = (ROOT / "report.md").read_text()
    table = re.search(r"^## All runs\n\n((?:\|.*\n)+)", text, re.M).group(1).splitlines()
    rows = [cells(line) for line in table]
    places = [rows[0].index(column) for column in COLUMNS]
    return [line_of([row[place] for place in places]) for row in rows
            if row[0] in ("run", "---", *RUNS)]


def searched(_: Lines) -> Lines:
    """Validation accuracy of each candidate of the default study, in bold what was chosen."""
    runs = yaml.safe_load((ROOT / "params.yaml").read_text())["runs"]
    choices = {run: yaml.safe_load((ROOT / f"choices/{run}.yaml").read_text()) for run in runs}
    of_run = {run: {candidate["values"]["lr"]: candidate for candidate in choice["candidates"]}
              for run, choice in choices.items()}
    rates = sorted({rate for found in of_run.values() for rate in found})

    def cell(run: str, rate: float) -> str:
        if rate not in of_run[run]:
            return ""
        found = of_run[run][rate]
        accuracy = f"{found['accuracy']:.1f}" if "accuracy" in found else "diverged"
        return f"**{accuracy}**" if choices[run]["chosen"]["lr"] == rate else accuracy

    return [line_of(["run", *(f"{rate:g}" for rate in rates)]),
            "|---" + "|---:" * len(rates) + "|",
            *(line_of([run, *(cell(run, rate) for rate in rates)]) for run in runs)]


def before_and_after(lines: Lines) -> Lines:
    """How many claims on scores came out how; the row `before` is history."""
    count = verdicts(ROOT / "plots/tables/claims.csv", tested=True)
    wanted = ("holds", "contradicted", "not distinguishable")
    return [line_of(["after", *(str(count[verdict]) for verdict in wanted)])
            if line.startswith("| after ") else line for line in lines]


def studies(lines: Lines) -> Lines:
    """The last cell of a study that has been run: how its claims came out."""
    made = []
    for line in lines:
        study = re.match(r"\| \[(\w+)\]\(", line)
        path = ROOT / f"studies/{study and study[1]}/small/plots/tables/claims.csv"
        if study and path.is_file():
            count = verdicts(path)
            said = ", ".join(f"{count[verdict]} {'hold' if verdict == 'holds' else verdict}"
                             for verdict in sorted(count, key=VERDICTS.index))
            line = line_of([*cells(line)[:-1], said])
        made.append(line)
    return made


def throughput(lines: Lines) -> Lines:
    """Of benchmarks/throughput.json, a row a case; what a case is called stays."""
    results = json.loads((ROOT / "benchmarks/throughput.json").read_text())
    sides = ("plain", "timm", "timm+", "ours", "step")

    def ratio(rounds: list[dict], other: str) -> str:
        found = [each["ours"] / each[other] for each in rounds if other in each]
        return (f"{statistics.median(found):.2f} ({min(found):.2f}..{max(found):.2f})"
                if found else "-")

    made = lines[:2]
    for line, case in zip(lines[2:], results.values(), strict=True):
        rounds = case["images_per_second"]
        speeds = (f"{statistics.median(each[side] for each in rounds):.1f}"
                  if side in rounds[0] else "-" for side in sides)
        made.append(line_of([cells(line)[0], *speeds,
                             *(ratio(rounds, other) for other in ("plain", "timm+", "step"))]))
    return made


def memory(_: Lines) -> Lines:
    """Counted anew, by benchmarks/memory.py."""
    from benchmarks import memory

    return memory.table(224).splitlines()


def memory_of_transformer(_: Lines) -> Lines:
    """Counted anew, by benchmarks/memory.py."""
    from benchmarks import memory

    return memory.table_of_transformer(224).splitlines()


def foretold(_: Lines) -> Lines:
    """How well each score of `rank` foretells fine-tuning, from benchmarks/ranking.json."""
    from benchmarks import ranking

    titles, *rows = ranking.rows(json.loads(ranking.KEPT.read_text()))
    return [line_of(titles), "|---" + "|---:" * (len(titles) - 1) + "|", *map(line_of, rows)]


def foretold_models(_: Lines) -> Lines:
    """What each model came to on each dataset: its linear probe, and fine-tuned."""
    from benchmarks import ranking

    kept = json.loads(ranking.KEPT.read_text())
    names = sorted(next(iter(kept.values()))["models"])
    return [line_of(["model", *kept]), "|---" + "|---:" * len(kept) + "|", *(
        line_of([name, *(f"{model['linear_probe']:.1f}, {statistics.mean(model['fine_tuned']):.1f}"
                         for model in (each["models"][name] for each in kept.values()))])
        for name in names)]


TABLES: dict[str, Callable[[Lines], Lines]] = {
    each.__name__: each
    for each in (some_runs, searched, before_and_after, studies, throughput, memory,
                 memory_of_transformer, foretold, foretold_models)}


# What they share

def cells(line: str) -> list[str]:
    """Of a line of a table."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def line_of(texts: list[str]) -> str:
    if all(re.fullmatch("-+:?", text) for text in texts):
        return "|" + "|".join(texts) + "|"
    return "| " + " | ".join(texts) + " |"


def verdicts(path: Path, tested: bool = False) -> Counter:
    """{verdict: claims} of a table claims.csv.

    Args:
        tested: only those that have a p-value, which costs have not.
    """
    with open(path, newline="") as file:
        of_claim = {row["number"]: row["claim_verdict"] for row in csv.DictReader(file)
                    if row["p_corrected"] or not tested}
    return Counter(of_claim.values())


if __name__ == "__main__":
    sys.exit(main())
