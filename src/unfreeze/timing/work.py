"""What a plan has to compute: images of each kind of work, and how long they take at given speeds.

Runs that differ in nothing that sets the speed (a learning rate, a seed, how many images) are of
one kind. Fetching and decoding, scoring, comparing and the report are not counted; early stopping
and halving are not foreseen.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from unfreeze.data import facts
from unfreeze.errors import UserError
from unfreeze.params.plan import ImageSource, Plan, Run, Search
from unfreeze.plain import to_plain


@dataclass(frozen=True)
class Work:
    """A phase of a run, or of the trials of its search.

    Attributes:
        run: its name.
        kind: all that sets its speed, as JSON: equal for phases that are equally fast.
        epochs: of the phase.
        images: that an epoch trains on, of all replicates together.
        different: of these, how many are to be computed anew where what frozen layers put out is
            kept: replicates on the same images share it.
        tested: images that are validated and tested on.
    """

    run: str
    kind: str
    epochs: int
    images: int
    different: int
    tested: int

    @property
    def trained(self) -> int:
        """Images trained on, over all epochs and replicates."""
        return self.epochs * self.images


@dataclass(frozen=True)
class Speed:
    """How fast a kind of work is.

    Attributes:
        train, test: images per second of a replicate by itself; None where nothing trains.
        side_by_side: replicates that are trained at the same time.
        kept: share of the forward pass that is in frozen leading layers.
        variants: in how many ways an image is seen; what frozen layers put out is kept where an
            image is read more often.
    """

    train: float | None
    test: float
    side_by_side: int = 1
    kept: float = 0.0
    variants: int = 1


LEAST_READING = 0.05  # of a forward pass: what reading kept activations takes, at least


def works(plan: Plan, counts: Mapping[str, tuple[int, int]] | None = None) -> Iterator[Work]:
    """The phases of all runs and of the trials of their searches; testing belongs to the last.

    Args:
        counts: {dataset: its training and test images}; looked up where None.

    Raises:
        UserError: images of an address, which are counted once they are fetched, or epochs that go
            by counted work, which are counted then too.
    """
    counts = counts or {name: counted(name, source) for name, source in plan.datasets.items()}
    for name, run in plan.runs.items():
        knobs, (train, test) = run.knobs, counts[run.knobs["dataset"]]
        # As data.subsets draws them.
        taken = knobs["per_class"] * run.classes or round(knobs["fraction"] * train)
        if name in plan.searches:
            yield from _trials(name, plan.searches[name], taken)
        taken *= run.trains
        held_out = int(knobs["validation"] * taken)
        if run.training_knobs["train_on"] == "all":
            held_out = 0
        tested = round(knobs["test_fraction"] * test)
        yield from _phases(name, run, len(knobs["seeds"]), len(knobs["seeds"]), taken - held_out,
                           held_out, tested, every_epoch=True)


def _trials(name: str, search: Search, taken: int) -> Iterator[Work]:
    seen: set[str] = set()
    for candidate in search.candidates:
        knobs, trials = candidate.run.knobs, sum(map(len, search.subsets.values()))
        folds = trials // len(search.subsets)
        held_out = taken // folds if folds > 1 else int(knobs["validation"] * taken)
        # As training.replicate validates trials.
        every_epoch = candidate.run.training_knobs["select"] == "best" or (
            candidate.run.training_knobs["patience"] > 0)
        for work in _phases(name, candidate.run, trials, trials, taken - held_out, held_out, 0,
                            every_epoch):
            shared = work.kind in seen
            seen.add(work.kind)
            yield Work(work.run, work.kind, work.epochs, work.images,
                       0 if shared else work.different, work.tested)


def _phases(name: str, run: Run, replicates: int, different: int, images: int, held_out: int,
            tested: int, every_epoch: bool) -> Iterator[Work]:
    """The phases of a run.

    Args:
        replicates: of it. images, held_out, tested: of each, to train on, to validate on (after
            every epoch, or after the last one alone) and to test on.
        different: as of `Work`, in replicates.
    """
    last = run.phases[-1]
    for phase in run.phases:
        epochs = phase.knobs["epochs"]
        if not isinstance(epochs, int):
            raise UserError(f"runs.{name}: epochs: {epochs} are known once their work is counted")
        passes = epochs if every_epoch else int(phase is last)
        yield Work(name, kind_of(run, phase), epochs, replicates * images * bool(epochs),
                   different * images * bool(epochs),
                   replicates * (passes * held_out + (phase is last) * tested))


def counted(name: str, source: ImageSource) -> tuple[int, int]:
    """Training and test images of a dataset."""
    if source.url:
        raise UserError(f"{source.url}: how many images there are is known once it is fetched")
    known = facts.facts_of(source.path or name, source.skip_broken)
    return known.train, known.test


def kind_of(run: Run, phase) -> str:
    """What sets the speed of a phase. The pull of L2-SP takes no time to speak of."""
    return json.dumps(to_plain({
        "knobs": {**run.training_knobs, "l2_sp": 0.0, "train_on": "all"},
        "augmentations": run.augmentations,
        "freeze": phase.knobs["freeze"], "image_size": run.preprocessing.image_size,
        "scratch": run.knobs["init"] == "scratch", "classes": run.classes,
        "trains": phase.trains}), sort_keys=True)


def seconds(some: Iterable[Work], speeds: Mapping[str, Speed]) -> float:
    """That some works take, given the speed of each kind."""
    return sum(_seconds(work, speeds[work.kind]) for work in some)


def _seconds(work: Work, speed: Speed) -> float:
    took = work.tested / speed.test
    if work.trained:
        once = speed.kept / speed.test if speed.variants < work.epochs else 0.0
        again = max(1 / speed.train - once, LEAST_READING / speed.test)
        took += work.different * speed.variants * once + work.trained * again
    return took / speed.side_by_side
