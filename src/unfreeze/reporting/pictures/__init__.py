"""The pictures of the stage plot: those of reporting/templates/, and one for each file here.

A file here offers FILE, the picture's name; TEXT, what it shows; and `draw(study, root)`, which
gives its content, or None where there is nothing to draw.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path

from unfreeze import files
from unfreeze.reporting.figures import vega
from unfreeze.reporting.figures.vega import Chart
from unfreeze.reporting.study import Study


def draw(study: Study, templates: Mapping[str, Chart], root: Path, folder: Path) -> dict[str, str]:
    """Draw all there is to draw: {file: what it shows}.

    Args:
        templates: of vega.charts. root: the study's folder. folder: where the pictures go.
    """
    drawn = {}
    for name, chart in templates.items():
        picture = vega.svg(chart.spec)
        if picture is not None:
            files.write_text(folder / f"{name}.svg", picture)
            drawn[f"{name}.svg"] = chart.text
    for _, name, _ in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{name}")
        content = module.draw(study, root)
        if content is not None:
            files.write_bytes(folder / module.FILE, content)
            drawn[module.FILE] = module.TEXT
    return drawn
