"""_made/plan/, metrics/, plots/tables/, _made/measured/ -> plots/charts/, report.md; _made/charts/,
_made/report.html.

What was measured is drawn and told in _made/ alone: git tracks the rest, which comes out the same
on another day.
"""

import os
from pathlib import Path

import _utf8  # noqa: F401
from _source import ROOT
from unfreeze import files, places
from unfreeze.reporting import document, html, pictures, report, study
from unfreeze.stage import run_stage

HERE = Path(".")


def main() -> None:
    finished = study.read(HERE, folder=os.path.relpath(Path.cwd(), ROOT))
    drawn = pictures.draw(finished, HERE)
    title, sections = report.title(finished), report.sections(finished, drawn.texts)
    files.remove_unfinished(places.REPORT)
    files.write_text(places.REPORT, document.markdown(title, report.tracked(sections)))
    files.write_text(places.PAGE, html.page(title, sections, drawn.charts, HERE))


if __name__ == "__main__":
    run_stage(main)
