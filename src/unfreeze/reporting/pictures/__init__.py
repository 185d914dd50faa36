"""The pictures of the stage plot: those of reporting/templates/, and one for each file here.

A file here offers FILE, the picture's name; TEXT, what it shows; and `draw(study, root)`, which
gives its content, or None where there is nothing to draw.

What is drawn from measured tables lies in _made/charts; what is made of pixels in _made/pictures
where these are of the user's own photos, unless they are to be shared; all else in plots/charts.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unfreeze import among, files, places
from unfreeze.reporting.figures import vega
from unfreeze.reporting.figures.vega import Chart
from unfreeze.reporting.study import Study


@dataclass(frozen=True)
class Drawn:
    """What has been drawn, by files as seen from the study's folder.

    Attributes:
        texts: {file: what it shows}. charts: {file: chart}, without those made of pixels.
    """

    texts: dict[str, str] = field(default_factory=dict)
    charts: dict[str, Chart] = field(default_factory=dict)


def draw(study: Study, root: Path) -> Drawn:
    """Draw all there is to draw.

    Args:
        root: the study's folder.
    """
    drawn = Drawn()
    for place, tables in ((places.CHARTS, study.rows), (places.MEASURED_CHARTS, study.measured),
                          (places.PICTURES, {})):
        charts = vega.charts(tables, study.score.title)
        fill = among.others if place == places.CHARTS else files.whole_folder
        with fill(root / place) as folder:
            texts = draw_charts(charts, folder)
            if place == places.PICTURES:
                about, text = places.ABOUT_PICTURES
                files.write_text(folder / about, text)
            if place == study.place_of_photos:
                texts |= draw_pixels(study, root, folder)
        drawn.texts.update((str(place / file), text) for file, text in texts.items())
        drawn.charts.update((str(place / f"{name}.svg"), chart) for name, chart in charts.items())
    return drawn


def draw_charts(charts: Mapping[str, Chart], folder: Path) -> dict[str, str]:
    """Draw charts into a folder: {file: what it shows}, without those that have no size."""
    texts = {}
    for name, chart in charts.items():
        picture = vega.svg(chart.spec)
        if picture is not None:
            files.write_text(folder / f"{name}.svg", picture)
            texts[f"{name}.svg"] = chart.text
    return texts


def draw_pixels(study: Study, root: Path, folder: Path) -> dict[str, str]:
    """Draw the pictures made of pixels into a folder: {file: what it shows}."""
    texts = {}
    for _, name, _ in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{name}")
        content = module.draw(study, root)
        if content is not None:
            files.write_bytes(folder / module.FILE, content)
            texts[module.FILE] = module.TEXT
    return texts
