"""The report: the answer, what it rests on, and how to get it again.

Nothing is computed here: the stage summarize does that, and the report says what its tables hold.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath

from unfreeze import places
from unfreeze.reporting.document import Block, Picture, Section
from unfreeze.reporting.sections import (
    calibration,
    claims,
    costs,
    curves,
    fractions,
    how_sure,
    images,
    measured_claims,
    measured_costs,
    measured_curves,
    measured_models,
    measured_recommendation,
    mistakes,
    models,
    movement,
    not_run,
    other_scores,
    race,
    recommendation,
    reported,
    runs,
    search,
    similarity,
    warnings,
    what_was_run,
)
from unfreeze.reporting.study import Study

# What readers ask first stands at the top; what was measured follows what it adds to.
RESULTS = (warnings, recommendation, measured_recommendation, claims, measured_claims, race, runs,
           search, models, measured_models, reported, not_run, other_scores, costs, measured_costs,
           curves, measured_curves, fractions, mistakes, calibration, movement, similarity, images)
CONDITIONS = (what_was_run, how_sure)  # below all pictures


def title(study: Study) -> str:
    return f"Which fine-tuning strategy is best? {', '.join(study.dataset_names)}"


def sections(study: Study, drawn: Mapping[str, str]) -> list[Section]:
    """The report's sections; those with nothing to say are left out.

    Args:
        drawn: {file of a picture, seen from the study's folder: what it shows}. Sections show those
            that they know, if they are there; what none of them shows comes at the end.
    """
    results, conditions = ([_with_charts(part.section(study), drawn) for part in parts]
                           for parts in (RESULTS, CONDITIONS))
    shown = {block.file for section in (*results, *conditions) for block in section.blocks
             if isinstance(block, Picture)}
    rest = [[Picture(file, text) for file, text in drawn.items()
             if file not in shown and (PurePath(file).parent == places.MEASURED_CHARTS) == measured]
            for measured in (False, True)]
    more = (Section("More pictures", rest[0]),
            Section("More pictures of what was measured", rest[1], measured=True))
    return [section for section in (*results, *more, *conditions) if section.blocks]


def tracked(sections: list[Section]) -> list[Section]:
    """What goes into report.md: without what was measured, and without pictures that git does not
    track."""
    return [replace(section, blocks=[block for block in section.blocks if not _is_untracked(block)])
            for section in sections if not section.measured]


def _is_untracked(block: Block) -> bool:
    return isinstance(block, Picture) and PurePath(block.file).is_relative_to(places.MADE)


def _with_charts(section: Section, drawn: Mapping[str, str]) -> Section:
    """Its charts with what they show; without those for which there was nothing to draw."""
    blocks = []
    for block in section.blocks:
        if isinstance(block, Picture) and PurePath(block.file).parent in (
                places.CHARTS, places.MEASURED_CHARTS, places.PICTURES):
            if block.file in drawn:
                blocks.append(Picture(block.file, block.text or drawn[block.file]))
        else:
            blocks.append(block)
    return replace(section, blocks=blocks)
