"""The report: the answer, what it rests on, and how to get it again.

Nothing is computed here: the stage summarize does that, and the report says what its tables hold.
"""

from collections.abc import Mapping
from pathlib import PurePath

from unfreeze import places
from unfreeze.reporting.document import Picture, Section
from unfreeze.reporting.sections import (
    calibration,
    claims,
    costs,
    curves,
    fractions,
    how_sure,
    images,
    mistakes,
    movement,
    not_run,
    other_scores,
    recommendation,
    reported,
    runs,
    similarity,
    what_was_run,
)
from unfreeze.reporting.study import Study

# What readers ask first stands at the top.
RESULTS = (recommendation, claims, reported, runs, not_run, other_scores, curves, costs, fractions,
           mistakes, calibration, movement, similarity, images)
CONDITIONS = (what_was_run, how_sure)  # below all pictures


def title(study: Study) -> str:
    return f"Which fine-tuning strategy is best? {', '.join(study.datasets)}"


def sections(study: Study, drawn: Mapping[str, str]) -> list[Section]:
    """The report's sections; those with nothing to say are left out.

    Args:
        drawn: {file in plots/charts/: what it shows}. Sections show those that they know, if they
            are there; what none of them shows comes at the end.
    """
    charts = {str(places.CHARTS / file): text for file, text in drawn.items()}
    results, conditions = ([_with_charts(part.section(study), charts) for part in parts]
                           for parts in (RESULTS, CONDITIONS))
    shown = {block.file for section in (*results, *conditions) for block in section.blocks
             if isinstance(block, Picture)}
    more = Section("More pictures", [Picture(file, text) for file, text in charts.items()
                                     if file not in shown])
    return [section for section in (*results, more, *conditions) if section.blocks]


def _with_charts(section: Section, charts: Mapping[str, str]) -> Section:
    """Its charts with what they show; without those for which there was nothing to draw."""
    blocks = []
    for block in section.blocks:
        if isinstance(block, Picture) and PurePath(block.file).parent == places.CHARTS:
            if block.file in charts:
                blocks.append(Picture(block.file, block.text or charts[block.file]))
        else:
            blocks.append(block)
    return Section(section.title, blocks)
