"""_made/plan/, metrics/, plots/tables/ -> plots/charts/, report.md and _made/report.html."""

import os
from pathlib import Path

import _utf8  # noqa: F401
from _source import ROOT
from unfreeze import files, places
from unfreeze.reporting import document, html, pictures, report, study
from unfreeze.reporting.figures import vega
from unfreeze.stage import run_stage

HERE = Path(".")


def main() -> None:
    finished = study.read(HERE, folder=os.path.relpath(Path.cwd(), ROOT))
    templates = vega.charts(finished.rows)
    with files.whole_folder(places.CHARTS) as folder:
        drawn = pictures.draw(finished, templates, HERE, folder)
    title, sections = report.title(finished), report.sections(finished, drawn)
    files.write_text(places.REPORT, document.markdown(title, sections))
    files.write_text(places.PAGE, html.page(title, sections, templates, HERE))


if __name__ == "__main__":
    run_stage(main)
