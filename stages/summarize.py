"""_made/plan, _made/searched and _made/runs of the planned runs, _made/compared of the planned
pairs -> metrics/, plots/tables/, and _made/measured/ for what is not the same everywhere."""

import _source  # noqa: F401
import _utf8  # noqa: F401
from unfreeze import among, files, places
from unfreeze.judging import leftovers, measured, outcome, quality, tables
from unfreeze.params import plan
from unfreeze.stage import run_stage


def main() -> None:
    planned = plan.read()
    leftovers.remove(planned.runs, planned.compare)
    judged = outcome.judge(planned)
    with among.others(places.METRICS, quality.FOLDERS) as folder:
        for name, content in quality.contents(judged).items():
            files.write_json(folder / name, content)
    for place, kind, fill in ((places.TABLES, tables, among.others),
                              (places.MEASURED, measured, files.whole_folder)):
        with fill(place) as folder:
            for name, table in kind.by_name().items():
                files.write_csv(folder / f"{name}.csv", table.HEADER, table.rows(judged))


if __name__ == "__main__":
    run_stage(main)
