"""Where a replicate stands on its way through the epochs of its phases."""

from dataclasses import dataclass, replace

Score = tuple[float, float]  # (accuracy, -loss) on validation: the larger is the better
WORST: Score = (-1.0, 0.0)  # below every other


@dataclass(frozen=True)
class Place:
    """Where a replicate stands after an epoch; with the tensors, what a checkpoint holds.

    Attributes:
        phase: that comes next or goes on, from 0.
        epoch: that comes next in it, from 0.
        waited: epochs since validation was best in the phase.
        best: score of the best epoch so far.
        best_of_phase: the same, of the phase.
    """

    phase: int = 0
    epoch: int = 0
    waited: int = 0
    best: Score = WORST
    best_of_phase: Score = WORST

    def after_epoch(self, loss: float | None, accuracy: float | None) -> "Place":
        """After an epoch of the phase; its scores are None without validation images. At equal
        accuracy the lower loss is the better. One that is not a number is never better."""
        here = replace(self, epoch=self.epoch + 1)
        if loss is None:
            return here
        score = (accuracy, -loss)
        return replace(here, waited=0 if score > self.best_of_phase else self.waited + 1,
                       best=max(self.best, score),
                       best_of_phase=max(self.best_of_phase, score))

    def after_phase(self) -> "Place":
        """At the start of the next phase, whose epochs need not beat those before it."""
        return Place(phase=self.phase + 1, best=self.best)
