"""Where a study can hardly mean anything: settings that are allowed, and do not fit the images.
Each is a line, which plan prints and the report begins with."""

from collections.abc import Iterator, Mapping, Sequence

from unfreeze import models
from unfreeze.data import subsets
from unfreeze.data.acquire.cards import UNEQUAL
from unfreeze.data.facts import Facts
from unfreeze.data.photos.names import shown
from unfreeze.models.licence import forbids_commerce, worded
from unfreeze.params.plan import Run, Search
from unfreeze.words import count, share

FEW_TRAINING = 10  # images of a class, below which a model has next to nothing to learn it from
FEW_CHOSEN_BY, FEW_TEST = 100, 100  # images: an accuracy of them is known to some ten points
_LARGER = 4  # times as large as they are seen are photos of which much is lost,
_OF_WEIGHTS = 0.6  # where that is less than this part of what the weights were made for


def warnings(runs: Mapping[str, Run], searches: Mapping[str, Search],
             datasets: Mapping[str, Facts], score: str) -> tuple[str, ...]:
    """What does not fit, one line each; each once, with the runs that it is about.

    Args:
        datasets: {name of the folder: what is known}. score: by which runs are compared.
    """
    found: dict[str, list[str]] = {}
    for name, run in runs.items():
        if run.trains and datasets[run.knobs["dataset"]].classes is not None:
            for text in _of_run(run, searches.get(name), datasets[run.knobs["dataset"]]):
                found.setdefault(text, []).append(name)
    for name, run in runs.items():
        weights = run.weights and models.stated(run.knobs["model"], run.weights)
        if weights and forbids_commerce(weights.licence):
            found.setdefault(f"starts from weights of {run.knobs['model']} under "
                             f"{worded(weights.licence)}, of what is made of them too", []
                             ).append(name)
    lines = [f"{_whose(names, runs)}{text}" for text, names in found.items()]
    for facts in datasets.values():
        lines += _of_classes(facts, score)
    return tuple(lines)


def _whose(names: Sequence[str], runs: Mapping[str, Run]) -> str:
    if len(names) == len(runs):
        return "every run "
    return f"{names[0]} " if len(names) == 1 else f"each of {', '.join(names)} "


def _of_run(run: Run, search: Search | None, facts: Facts) -> Iterator[str]:
    knobs = run.knobs
    share_of_training = 1.0 if knobs["per_class"] else knobs["fraction"]
    taken = knobs["per_class"] * facts.classes or round(share_of_training * facts.train)
    of_smallest = knobs["per_class"] or share_of_training * facts.smallest
    kept = 1.0 if run.training_knobs["train_on"] == "all" else 1 - knobs["validation"]
    if kept * of_smallest < FEW_TRAINING:
        yield (f"trains on {count(int(kept * of_smallest), 'image')} of the smallest class, and "
               f"below {FEW_TRAINING} hardly anything can be learnt: add images"
               + ", or take a larger fraction" * (share_of_training < 1))
    if search is not None:
        folds = len(next(iter(search.subsets.values())))
        by = taken if folds > 1 else (
            facts.classes * subsets.number_held_out(knobs["per_class"], knobs["validation"])
            if knobs["per_class"] else int(knobs["validation"] * taken))
        if by < FEW_CHOSEN_BY:
            more = "" if folds > 1 else ", or let all images take turns: search_folds: 5"
            yield (f"chooses its settings by {count(by, 'image')}, too few to tell candidates "
                   f"apart that differ by less than {_points(by)} points: add images{more}")
    tested = round(knobs["test_fraction"] * facts.test)
    if tested < FEW_TEST:
        yield (f"is tested on {count(tested, 'image')}, which tells an accuracy to about "
               f"{_points(tested)} points: add test images"
               + ", or set test_fraction: 1.0" * (knobs["test_fraction"] < 1))
    size, whole = run.preprocessing.image_size, facts.side
    weights = next(iter(models.facts_of(knobs["model"]).weights.values()), None)
    if whole and weights and whole > _LARGER * size and size < _OF_WEIGHTS * weights.crop:
        yield (f"sees photos of {whole:,} pixels at {size}, and the weights were made for "
               f"{weights.crop}: what is small in them is lost; set a larger image_size")


def _points(images: int) -> int:
    """Half the width of a 95 % interval of an accuracy of 50 to 80 %, in points."""
    return round(2 * 45 / max(1, images) ** 0.5)


def _of_classes(facts: Facts, score: str) -> Iterator[str]:
    if facts.largest is None or facts.largest < UNEQUAL * facts.smallest:
        return
    if score == "balanced_accuracy":
        return
    yield (f"{facts.source.title or facts.name}: the classes have {facts.smallest} to "
           f"{facts.largest} training images: always to answer {shown(facts.commonest)} is right "
           f"for {share(facts.largest / facts.train)}, with a balanced accuracy of "
           f"{share(1 / facts.classes)}; set score: balanced_accuracy, by which "
           "each class counts the same")
