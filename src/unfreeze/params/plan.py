"""What the pipeline is going to do, settled from params.yaml; what lies in _made/plan/.

Every stage reads it through `read`, and none asks params.yaml itself.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from unfreeze import files, places
from unfreeze.errors import UserError, nearest
from unfreeze.expecting.costs import COSTS
from unfreeze.params.race import Race
from unfreeze.plain import from_plain, to_plain
from unfreeze.recipe import Knobs, Phase, Preprocessing
from unfreeze.scoring.scores import SCORES


@dataclass(frozen=True)
class PlannedPreprocessing:
    """As recipe.Preprocessing; mean and std are None where only decoding the photos tells."""

    image_size: int
    resize: int | str
    interpolation: str
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None

    def settled(self, photos: Any) -> Preprocessing:
        """With mean and std of the decoded photos, where the plan has none.

        Args:
            photos: data.reading.decoded.Card; None where there are none.
        """
        known = self if self.mean is not None else photos
        return Preprocessing(self.image_size, self.resize, self.interpolation,
                             tuple(map(float, known.mean)), tuple(map(float, known.std)))


@dataclass(frozen=True)
class Run:
    """A run, settled.

    Attributes:
        knobs: every knob of params.yaml: `dataset` is the name of its folder, `image_size` a
            number; the others as the user wrote them.
        changes: of these, what the run sets itself, as the user wrote it.
        training_knobs, augmentations, phases: as recipe.Recipe has them.
        preprocessing: of every image.
        classes: how many; None where the dataset is to be fetched first.
        decoded: name of the folder of its decoded photos; "" for stored arrays.
        weights: name of the weights that it starts from; "" from scratch, and for one that is
            not run.
        subsets: {seed: index file}.
    """

    knobs: Knobs
    changes: Knobs
    training_knobs: Knobs
    augmentations: Knobs
    phases: tuple[Phase, ...]
    preprocessing: PlannedPreprocessing
    classes: int | None
    decoded: str
    weights: str
    subsets: Mapping[int, str]

    @property
    def trains(self) -> bool:
        """Whether anything is trained; not with `epochs: 0`."""
        return any(phase.trains for phase in self.phases)


@dataclass(frozen=True)
class ImageSource:
    """Where the images of a dataset come from.

    Attributes:
        kind: "arrays" or "photos".
        path, url: of one's own images, one of them; both "" for a dataset of the catalogue.
        digest: of the images at `path` when plan ran.
        skip_broken: whether files among them that are no sound images are left out.
    """

    kind: str
    path: str = ""
    url: str = ""
    digest: str = ""
    skip_broken: bool = False

    @property
    def own(self) -> bool:
        return bool(self.path or self.url)

    @property
    def title(self) -> str:
        """Of one's own images: the name of the folder or archive, without what says how it is
        packed."""
        name = PurePosixPath(unquote(urlsplit(self.url).path) if self.url else self.path).name
        name = re.sub(r"(\.[ct]sv)#.*$", r"\1", name)  # columns of a table of labels
        return re.sub(r"(\.tar)?\.\w+$", "", name)


@dataclass(frozen=True)
class Decoded:
    """Photos to decode.

    Attributes:
        dataset: name of its folder. splits: those that runs read.
        image_size, resize, interpolation: as of recipe.Preprocessing.
    """

    dataset: str
    image_size: int
    resize: int | str
    interpolation: str
    splits: tuple[str, ...]


@dataclass(frozen=True)
class OfficialWeights:
    """Official weights of a model by their key in torchvision, such as IMAGENET1K_V1, or timm's
    tag, such as a1_in1k."""

    model: str
    key: str


@dataclass(frozen=True)
class LicensedWeights(OfficialWeights):
    """Official weights whose publisher states a licence, in words."""

    licence: str


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of the user's own.

    Attributes:
        model, stem, image_size: what it is meant for.
        path: of the file. digest: SHA-256 that it had when plan ran.
    """

    model: str
    stem: str
    image_size: int
    path: str
    digest: str


@dataclass(frozen=True)
class Subset:
    """What an index file is drawn with; `per_class`, where it is not 0, in place of `fraction`.

    Attributes:
        folds: into how many parts the images are divided for cross-validation; 1: they are not.
        fold: which of these is held out, from 0, instead of the share `validation`.
    """

    dataset: str
    seed: int
    fraction: float
    per_class: int
    validation: float
    test_fraction: float
    fold: int = 0
    folds: int = 1


@dataclass(frozen=True)
class Candidate:
    """What a searched run may become: the searched knobs with their values, and it settled."""

    values: Knobs
    run: Run


@dataclass(frozen=True)
class Search:
    """The search of a run.

    Attributes:
        candidates: at least two, in the order in which they are tried.
        subsets: {seed of a trial: index file of each fold}.
        choose_by: the score on validation by which one is chosen.
        halving, drawn_from: as of choosing.pinned.Pinned.
        operations: what the trials may take together; None: no limit.
    """

    candidates: tuple[Candidate, ...]
    subsets: Mapping[int, tuple[str, ...]]
    choose_by: str
    halving: int
    operations: float | None
    drawn_from: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """A claim as written, one line, and what the study notes beside it, perhaps nothing."""

    claim: str
    note: str


@dataclass(frozen=True)
class NotRun:
    """A run that is declared and not run: why, and its own overrides."""

    why: str
    changes: Knobs


@dataclass(frozen=True)
class Plan:
    """What the pipeline is going to do. Each field but `compare` is a file of _made/plan/.

    Attributes:
        runs: {run: settled}; a searched one as its first candidate.
        datasets: {name of its folder: where it comes from}, sorted by name.
        decoded: {name of the folder: what is decoded into it}.
        weights: {name: where they come from}.
        subsets: {index file: what it is drawn with}.
        claims: each readable by expecting.claims.
        budget: {cost: the most that is allowed, in the unit of expecting.costs}.
        reported: {run: {metric: number that somebody reported}}, those that are not run included.
        reported_curves: {run: accuracy on its training images after each epoch, in percent, that
            somebody reported}.
        not_run: {run}.
        compare: {pair: its two runs}.
        searches: {run that is searched}.
        rank: {model as `rank` lists it: what is scored of it before anything is trained}.
        score: the metric by which runs are compared where nothing else is said.
        margin: how far below the best the recommended run may be expected to be, in the score's
            unit. worth: the difference that is worth finding, in the same.
        race: what `unfreeze race` has looked at; without looks where it has not run.
        share_photos: whether pictures of images of the user's own may go where git tracks them.
        warnings: where the study can hardly mean anything, and what would mend it, each a line.
    """

    runs: Mapping[str, Run]
    datasets: Mapping[str, ImageSource]
    decoded: Mapping[str, Decoded]
    weights: Mapping[str, Checkpoint | OfficialWeights | LicensedWeights]
    subsets: Mapping[str, Subset]
    claims: tuple[Claim, ...]
    budget: Mapping[str, float]
    reported: Mapping[str, Mapping[str, float]]
    not_run: Mapping[str, NotRun]
    compare: Mapping[str, tuple[str, ...]]
    searches: Mapping[str, Search] = field(default_factory=dict)
    rank: Mapping[str, Run] = field(default_factory=dict)
    reported_curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    score: str = "accuracy"
    margin: float = 1.0
    worth: float = 2.0
    race: Race = Race()
    share_photos: bool = False
    warnings: tuple[str, ...] = ()

    def is_private(self, dataset: str) -> bool:
        """Whether pictures of its images are to be kept from what git tracks."""
        return self.datasets[dataset].own and not self.share_photos

    def title(self, dataset: str) -> str:
        """What the user calls a dataset: of images of one's own the name of the folder or archive
        (that of ours holds a digest), unless two have the same."""
        titles = {name: source.title for name, source in self.datasets.items() if source.own}
        title = titles.get(dataset)
        return title if title and list(titles.values()).count(title) == 1 else dataset


_TYPES: dict[str, Any] = {each.name: each.type for each in fields(Plan)}


def write(plan: Plan, folder: Path = Path(".")) -> None:
    """The files of a plan in a study's folder."""
    content = to_plain(plan)
    files.write_yaml(folder / places.COMPARED / "pairs.yaml", content.pop("compare"))
    with files.whole_folder(folder / places.PLAN) as new:
        for name, part in content.items():
            files.write_yaml(new / f"{name}.yaml", part)


def read(folder: Path = Path(".")) -> Plan:
    """The plan in a study's folder.

    Raises:
        UserError: a file is missing, or is of another version.
    """
    plan = Plan(**{name: _part(folder, name) for name in _TYPES})
    for part, name in _named(plan):
        if name not in getattr(plan, part):
            raise UserError(f"{_file(folder, part)}: lacks {name}, which another file of the plan "
                            "names; run `dvc repro`, which writes them anew")
    for part, written, known in (("score", [plan.score], SCORES), ("budget", plan.budget, COSTS)):
        for name in written:
            if name not in known:
                raise UserError(
                    f"{_file(folder, part)}: {name!r} is no {part}{nearest(name, known)}; allowed: "
                    f"{', '.join(known)}; run `dvc repro`, which writes it anew")
    runs, searches, rank = (_file(folder, part) for part in ("runs", "searches", "rank"))
    return replace(
        plan, runs={name: _of_file(run, runs) for name, run in plan.runs.items()},
        rank={name: _of_file(run, rank) for name, run in plan.rank.items()},
        searches={name: replace(search, candidates=tuple(
            replace(each, run=_of_file(each.run, searches)) for each in search.candidates))
            for name, search in plan.searches.items()})


def _named(plan: Plan) -> Iterator[tuple[str, str]]:
    """(part of the plan, a name that other parts take to be there)."""
    yield from (("runs", run) for pair in plan.compare.values() for run in pair)
    yield from (("runs", run) for run in plan.searches)
    yield from (("datasets", each.dataset)
                for each in (*plan.decoded.values(), *plan.subsets.values()))
    searched = [each.run for search in plan.searches.values() for each in search.candidates]
    for run in (*plan.runs.values(), *searched, *plan.rank.values()):
        yield from (("subsets", file) for file in run.subsets.values())
        yield from ((part, name) for part, name in (
            ("weights", run.weights), ("decoded", run.decoded)) if name)
    for search in plan.searches.values():
        yield from (("subsets", file) for folds in search.subsets.values() for file in folds)


def _of_file(run: Run, path: Path) -> Run:
    """The run, telling which file it is from when a knob is asked for that is not there."""
    return replace(run, knobs=files.Content(run.knobs, path),
                   training_knobs=files.Content(run.training_knobs, path),
                   phases=tuple(Phase(files.Content(phase.knobs, path)) for phase in run.phases))


def _part(folder: Path, name: str) -> Any:
    path = _file(folder, name)
    content = files.read_yaml(path)
    try:
        return from_plain(_TYPES[name], content)
    except TypeError:
        raise UserError(f"{path}: is no plan of this version of unfreeze; run `dvc repro`, which "
                        "writes it anew") from None


def _file(folder: Path, part: str) -> Path:
    return folder / (places.COMPARED / "pairs.yaml" if part == "compare" else
                     places.PLAN / f"{part}.yaml")


def base(runs: Iterable[str]) -> str:
    """The run that stands for a study where one must: `base`, or the first where there is none."""
    names = list(runs)
    return "base" if "base" in names else names[0]
