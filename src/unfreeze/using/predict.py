"""A class and a probability for each picture: `unfreeze predict`.

    predicted = predict(Path("studies/flowers"), None, [Path("photos")])
    predicted.probabilities    # (N, C)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unfreeze import files, places
from unfreeze.errors import UserError
from unfreeze.using import pictures as reading
from unfreeze.using import studies
from unfreeze.using.pictures import Picture


@dataclass(frozen=True)
class Predicted:
    """What a run says of N pictures in C classes.

    Attributes:
        study, run, seeds: whose models they are, S of them.
        classes: C names.
        pictures: N that were read. problems: "path: why" of those that cannot be.
        logits: (S, N, C) float32, of each seed's model.
        probabilities: (N, C) float64, after temperature scaling, averaged over the seeds.
        scaled: whether a temperature is known; where not, probabilities are as sure as training
            left them.
        trained_on: how many of the pictures are training images of the study, byte for byte; of
            stored arrays nobody can tell.
    """

    study: Path
    run: str
    seeds: tuple[int, ...]
    classes: tuple[str, ...]
    pictures: Sequence[Picture]
    problems: Sequence[str]
    logits: np.ndarray
    probabilities: np.ndarray
    scaled: bool
    trained_on: int

    @property
    def order(self) -> np.ndarray:
        """(N, C): the classes of each picture, the likeliest first, equal ones in their order."""
        return np.argsort(-self.probabilities, axis=1, kind="stable")


def predict(study: Path, run: str | None, paths: Sequence[Path], seed: int | None = None,
            thumbnails: bool = False) -> Predicted:
    """What a trained run says of pictures.

    Args:
        study: its folder. run: the one that it recommends if None.
        paths: pictures, folders and archives of pictures.
        seed: the model of this one alone; None: of all, whose probabilities are averaged.
        thumbnails: whether those of the pictures are wanted.

    Raises:
        UserError: of `studies.chosen`; there is no such seed; or of `pictures.prepared`.
        OSError: no room is left on the disk.
    """
    run = studies.chosen(study, run)
    from unfreeze.using import trained  # here: torch takes seconds, which no mistyped name should

    opened = trained.open_run(study, run)
    seeds = opened.seeds if seed is None else (seed,)
    if not set(seeds) <= set(opened.seeds):
        raise UserError(f"--seed {seed}: {run} has none; its seeds are "
                        f"{', '.join(map(str, opened.seeds))}")
    scaled = trained.is_scaled(opened)  # reads its predictions: a run that diverged ends here
    with reading.prepared(paths, opened.recipe, thumbnails) as prepared:
        logits = trained.logits(opened, seeds, prepared.stored, prepared.rows)
    return Predicted(study, run, seeds, opened.recipe.classes, prepared.pictures,
                     prepared.problems, logits,
                     trained.probabilities(opened, seeds, logits), scaled,
                     _trained_on(study, opened.recipe.dataset.name, prepared.pictures))


def _trained_on(study: Path, dataset: str, pictures: Sequence[Picture]) -> int:
    index = study / places.DATA / dataset / "index.csv"
    if not index.is_file():
        return 0
    known = {row["sha256"] for row in files.read_csv(index) if row["split"] == "train"}
    return sum(picture.sha256 in known for picture in pictures)
