"""The most confident mistakes of one run's first seed, as a gallery."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unfreeze import files, places
from unfreeze.data.reading import splits
from unfreeze.reporting.study import Study
from unfreeze.words import fixed

FILE = "mistakes.png"
TEXT = "The most confident mistakes"
MOST = 24
COLUMNS = 6


@dataclass(frozen=True)
class Mistake:
    """A wrongly classified image.

    Attributes:
        image: (H, W, 3) uint8.
        truth, prediction: classes.
        confidence: in the prediction, 0 to 1.
    """

    image: np.ndarray
    truth: str
    prediction: str
    confidence: float


def draw(study: Study, root: Path) -> bytes | None:
    run = study.shown
    mistakes = most_confident(study, root) if run else []
    return gallery(mistakes, f"{run}: the most confident mistakes") if mistakes else None


def most_confident(study: Study, root: Path, most: int = MOST) -> list[Mistake]:
    """Of the run that is shown, the most confident first.

    Args:
        root: the study's folder.
    """
    settled = study.plan.runs[study.shown]
    scores = files.read_arrays(root / places.RUNS / study.shown / "scores/per_image.npz",
                               ["seeds", "labels", "classes", "predicted", "confidence"])
    seed, labels, classes = int(scores["seeds"][0]), scores["labels"], scores["classes"]
    predicted, confidence = scores["predicted"][0], scores["confidence"][0]
    wrong = np.flatnonzero(predicted != labels)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    subset = files.read_json(root / places.SUBSETS / settled.subsets[seed])
    images = splits.images_of(settled.knobs["dataset"], settled.decoded, root)["test"]
    shown = images[np.array(subset["test"], dtype=int)[chosen]]
    return [Mistake(image, str(classes[labels[row]]), str(classes[predicted[row]]),
                    float(confidence[row])) for image, row in zip(shown, chosen, strict=True)]


def gallery(mistakes: list[Mistake], title: str) -> bytes:
    """As PNG, in the order given."""
    from unfreeze.reporting.figures.pixels import plt, png, wrap  # slow, and not always needed

    columns = min(COLUMNS, len(mistakes))
    rows = -(-len(mistakes) // columns)
    figure, grid = plt.subplots(rows, columns, squeeze=False,
                                figsize=(max(1.75 * columns, 4.5), 2.25 * rows + 0.4))
    for axes in grid.flat:
        axes.axis("off")
    for axes, mistake in zip(grid.flat, mistakes, strict=False):
        axes.imshow(mistake.image, interpolation="nearest")
        axes.set_title("\n".join(wrap(line, 24) for line in caption(mistake)), fontsize=8)
    figure.suptitle(title, fontsize=10)
    return png(figure)


def caption(mistake: Mistake) -> tuple[str, str, str]:
    return (f"true: {mistake.truth}", f"predicted: {mistake.prediction}",
            f"{fixed(100 * mistake.confidence, 1)} % confident")
