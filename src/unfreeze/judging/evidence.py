"""The scores that a recommendation rests on: of validation images where there was a search, else of
test images.

Where every run that competes was searched, each was tuned on validation images, and they choose
among the runs too, so that the test images choose nothing: those of the final models where they
have some, else those of the chosen trials. The images of a replicate are then its own (another
seed or fold holds out others), and runs that share seed and subset share them. Where a run was not
searched, test images choose, and what the winner scored on them is corrected for having won.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unfreeze.judging.posterior import Replicates
from unfreeze.judging.runs import TrainedRun
from unfreeze.scoring.scores import SCORES

TEST, VALIDATION = "test", "validation"


@dataclass(frozen=True)
class Evidence:
    """What is known of runs that compete.

    Attributes:
        runs: their names, in the order of `replicates`.
        replicates: what theirs scored, with the sign with which higher is better.
        sign: that one.
        chosen_by: TEST or VALIDATION. why: in words.
        knob: that makes more such replicates: "seeds" or "search_seeds".
        seeds: (K,) of each run. images: that models of one seed were scored on, the fewest of any.
    """

    runs: tuple[str, ...]
    replicates: Replicates
    sign: int
    chosen_by: str
    why: str
    knob: str
    seeds: np.ndarray
    images: int


@dataclass(frozen=True)
class _Scored:
    """A replicate: of which run, its seed and fold, on which images, and what each scored."""

    run: int
    replicate: tuple[int, int]
    images: Hashable
    values: np.ndarray


def gather(runs: Sequence[TrainedRun], score: str) -> Evidence:
    """Of runs that have a score on the same test images, at least one.

    Args:
        score: a name of SCORES.
    """
    unsearched = [run.name for run in runs if not run.searched.searched]
    if unsearched:
        names = ", ".join(unsearched[:3]) + (" and others were" if len(unsearched) > 3 else
                                             " was" if len(unsearched) == 1 else " were")
        if len(unsearched) == len(runs):
            names = "the runs were"
        return on_test(runs, score, f"{names} not searched, so test images choose")
    for name, knob in (("finals", "seeds"), ("trials", "search_seeds")):
        if all(getattr(run, name) for run in runs):
            models = "the tested models" if name == "finals" else "the chosen trials"
            return _evidence(runs, _on_validation(runs, name, score), score, VALIDATION,
                             f"every run was searched, so validation images of {models} choose, "
                             "and test images do not", knob)
    return on_test(runs, score, "not every run has validation images, so test images choose")


def on_test(runs: Sequence[TrainedRun], score: str, why: str = "") -> Evidence:
    """What the tested models of those runs say of test images."""
    scored = [_Scored(place, (seed, 0), "test", values) for place, run in enumerate(runs)
              for seed, values in zip(run.seeds, run.scores[score], strict=True)]
    return _evidence(runs, scored, score, TEST, why, "seeds")


def _on_validation(runs: Sequence[TrainedRun], which: str, score: str) -> list[_Scored]:
    return [_Scored(place, replicate, (replicate, run.validation_set, len(values[score])),
                    values[score])
            for place, run in enumerate(runs) for replicate, values in getattr(run, which).items()]


def _evidence(runs: Sequence[TrainedRun], scored: Sequence[_Scored], score: str, chosen_by: str,
              why: str, knob: str) -> Evidence:
    sign = 1 if SCORES[score].better == "higher" else -1
    number = _numbered(each.replicate for each in scored)
    replicates = Replicates(
        run=np.array([each.run for each in scored]),
        seed=np.array([number[each.replicate] for each in scored]),
        score=sign * np.array([each.values.mean() for each in scored]),
        images=_covariance(scored))
    images: dict[tuple[int, int], int] = {}  # of each run and seed
    for each in scored:
        key = each.run, each.replicate[0]
        images[key] = images.get(key, 0) + len(each.values)
    return Evidence(tuple(run.name for run in runs), replicates, sign, chosen_by, why, knob,
                    np.bincount([run for run, _ in images]), min(images.values()))


def _numbered(values: Iterable[Hashable]) -> Mapping[Hashable, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values))}


def _covariance(scored: Sequence[_Scored]) -> np.ndarray:
    """(M, M), of the replicates' means under sampling of images; 0 for two on different ones."""
    covariance = np.zeros((len(scored), len(scored)))
    for images in dict.fromkeys(each.images for each in scored):
        places = [place for place, each in enumerate(scored) if each.images == images]
        values = np.stack([scored[place].values for place in places]).astype(np.float64)
        count = values.shape[1]
        if count > 1:
            off = values - values.mean(axis=1, keepdims=True)
            covariance[np.ix_(places, places)] = off @ off.T / (count - 1) / count
    return covariance
