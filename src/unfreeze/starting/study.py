"""From a folder of photos to a study that `dvc repro` answers."""

import contextlib
import json
import math
import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from unfreeze import files, models
from unfreeze.data.photos.names import shown
from unfreeze.errors import UserError
from unfreeze.params.facts import Datasets
from unfreeze.params.plan import Plan
from unfreeze.params.settle import resolve
from unfreeze.ranking.written import as_text
from unfreeze.starting import lora, ranking, settings, written
from unfreeze.starting.look import Look, look_at
from unfreeze.starting.settings import Setting, Sides
from unfreeze.timing import work
from unfreeze.timing.work import Speed
from unfreeze.words import count

HOURS = 1.0  # that a study may take where nobody says
MEASURED_AT = 128  # pixels, at most: quick enough everywhere
MOMENT = 0.5  # seconds of each measurement
_LONGEST = 100  # letters of a study's name: file systems take 255, and files beside it need some
AROUND = 120.0  # seconds that the pipeline takes beside training: the start of its stages, scores,
#                 charts. Measured with five runs; downloads and the decoding of photos come on top

_HERE = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Started:
    """A study that has been made.

    Attributes:
        folder: where. look: what the images are. setting: what fits them.
        model: that its runs fine-tune. other: another, which one run fine-tunes; "" for none.
        seconds: that `dvc repro` takes here, about. limit: that were wanted.
        twice: what it would do with twice the time, each in words; () for nothing.
        warnings: where it can hardly mean anything, as plan will say.
    """

    folder: Path
    look: Look
    setting: Setting
    model: str
    other: str
    seconds: float
    limit: float
    twice: tuple[str, ...]
    warnings: tuple[str, ...]


def new(name: str, images: str, model: str = "mobilenet_v2", hours: float = HOURS,
        skip_broken: bool = False, say: Callable[[str], None] = lambda text: None,
        measure: Callable[[Mapping], Speed] | None = None, rank: Sequence[str] = ()) -> Started:
    """Make a study. Nothing is written unless it can be planned.

    Args:
        name: of a folder of studies/, or with a slash the path of any other of the project.
        images: as of `look_at`. model: that is fine-tuned, by its name.
        hours: that the study may take here.
        skip_broken: whether files that are no sound images are left out.
        say: takes a line of what is found, as soon as it is.
        measure: gives the speed of a kind of work (timing.work.kind_of, read); measured here where
            None.
        rank: models, or patterns of their names, of which the two that are best before any is
            trained are fine-tuned in place of `model`; where that cannot be told, the first.

    Raises:
        UserError: nothing can come of it; the message says what would.
    """
    home = _home()
    folder = _place(name, home)
    candidates = ranking.listed(rank)
    model, other = candidates[0] if candidates else model, ""
    if not models.facts_of(model).weights:
        raise UserError(f"{model}: has no pretrained weights to be fine-tuned; take mobilenet_v2, "
                        "resnet18 or another one of torchvision")
    look = look_at(images, skip_broken)
    _say_images(look, say)
    if candidates:
        model, other = _best_two(look, candidates, home, skip_broken, say)
    known = Datasets(known={(look.images, skip_broken and look.own): look.facts})
    asked = written.Models(model, other, tuple(rank), lora.rank_for(model))

    def planned(setting: Setting) -> Plan:
        text = written.params(look, look.images, asked, setting, "", skip_broken)
        return resolve(yaml.safe_load(text), str(folder / "params.yaml"), known)

    def works(setting: Setting) -> list[work.Work]:
        return list(work.works(planned(setting), {
            look.facts.name: (sum(look.train), sum(look.test))}))

    sides = _sides([each for each in (model, other) if each])
    most = next(settings.settings(look, sides))
    at = sides.fitting(min(most.image_size, MEASURED_AT))
    kinds = {each.kind for each in works(replace(most, image_size=at))}
    say("measuring how fast this machine trains ...")
    speeds = _measured(kinds, measure)

    def seconds(setting: Setting) -> float:
        scaled = {each.kind: _scaled(speeds[_at(each.kind, at)], at / setting.image_size)
                  for each in works(setting)}
        return AROUND + work.seconds(works(setting), scaled)

    limit = 3600 * hours
    setting = settings.choose(look, sides, seconds, limit)
    more = settings.choose(look, sides, seconds, 2 * max(limit, seconds(setting)))
    started = Started(folder, look, setting, model, other, seconds(setting), limit,
                      tuple(settings.differences(setting, more)), planned(setting).warnings)
    _write(started, home, name, images, asked, hours, skip_broken)
    return started


def _best_two(look: Look, candidates: Sequence[str], home: Path, skip_broken: bool,
              say: Callable[[str], None]) -> tuple[str, str]:
    """The best of some models, and the next, or "" where that is not known."""
    sides = _sides(candidates)
    ranked = ranking.best_first(look, candidates, sides.fitting(min(
        settings.seen_at(look, sides), MEASURED_AT)), home, skip_broken, say)
    if not ranked:
        say(f"what {', '.join(candidates)} are worth for these images is known once they, and "
            f"weights, are here: {candidates[0]} is taken, and `dvc repro rank` ranks them")
        return candidates[0], ""
    for line in as_text(ranked).splitlines():
        say(f"  {line}")
    names = [each.name for each in ranked]
    return names[0], names[1] if len(names) > 1 else ""


def _sides(names: Sequence[str]) -> Sides:
    """Of images that all of some models take."""
    facts = [models.facts_of(name) for name in names]
    return Sides(min(next(iter(each.weights.values())).crop for each in facts),
                 max(each.strides["original"] for each in facts),
                 math.lcm(*(each.multiple for each in facts)))


def _home() -> Path:
    """The project in which one stands, or that this code belongs to."""
    here = Path.cwd().resolve()
    return next((each for each in (here, *here.parents)
                 if (each / "stages/plan.py").is_file() and (each / "dvc.yaml").is_file()), _HERE)


def _place(name: str, home: Path) -> Path:
    """Where a study of that name goes.

    Raises:
        UserError: it cannot go there.
    """
    if not name:
        raise UserError("a study needs a name, such as flowers: `unfreeze new NAME --images PATH`")
    folder = Path(os.path.abspath(name)) if "/" in name else home / "studies" / name
    if not folder.is_relative_to(home) or folder == home:
        raise UserError(f"{shown(name)}: lies outside of the project {home}, whose stages a study "
                        "runs; give a name alone, which makes studies/NAME, or a path in there")
    within = folder.relative_to(home)
    for part in within.parts:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", part):
            raise UserError(f"{shown(name)}: {part!r} is no name for a study's folder; allowed are "
                            "letters, digits, -, _ and ., beginning with a letter or a digit")
        if len(part) > _LONGEST:
            raise UserError(f"{part[:20]}...: is too long for a study's folder; {_LONGEST} letters "
                            "at most")
    blocking = next((each for each in folder.parents if each.exists() and not each.is_dir()), None)
    if blocking:
        raise UserError(f"{within}: {blocking.relative_to(home)} is a file, and no study lies "
                        "beneath one; take another name")
    if os.path.lexists(folder):
        raise _there(within)
    return folder


def _there(within: Path) -> UserError:
    return UserError(f"{within}: is there already; take another name, or delete it")


def _say_images(look: Look, say: Callable[[str], None]) -> None:
    say(f"{shown(look.title)}: {count(len(look.names), 'class', 'classes')}, {sum(look.train):,} "
        f"training and {sum(look.test):,} test images ({look.split}), {look.size}")
    if look.own:
        listed = [f"{shown(name)} {train:,} + {test:,}" for name, train, test in zip(
            look.names[:12], look.train, look.test, strict=False)]
        say(f"  {', '.join(listed)}{', ...' * (len(look.names) > 12)}")
    for note in look.notes:
        say(f"  note: {note}")


def _measured(kinds: set[str], measure: Callable[[Mapping], Speed] | None) -> dict[str, Speed]:
    if measure is not None:
        return {kind: measure(json.loads(kind)) for kind in kinds}
    from tqdm import tqdm

    from unfreeze.timing import speed
    from unfreeze.training import devices  # here, since it imports torch

    with _environment("UNFREEZE_PREFIX_GB", "0"):  # a few random images have nothing to spare
        device = devices.pick()
        return {kind: speed.measure(json.loads(kind), device, MOMENT) for kind in tqdm(
            sorted(kinds), desc="measuring", unit="kind", disable=None, leave=False)}


@contextlib.contextmanager
def _environment(name: str, value: str):
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _at(kind: str, image_size: int) -> str:
    """The same kind of work, with images of another size."""
    return json.dumps(json.loads(kind) | {"image_size": image_size}, sort_keys=True)


def _scaled(speed: Speed, side: float) -> Speed:
    """Of images whose side is 1 / `side` of what was measured: work goes with the area."""
    return replace(speed, train=speed.train and speed.train * side**2, test=speed.test * side**2)


def _write(started: Started, home: Path, name: str, images: str, asked: written.Models,
           hours: float, skip_broken: bool) -> None:
    folder, look, setting = started.folder, started.look, started.setting
    dataset = look.images
    if look.own and "://" not in dataset:
        # Within the project by the way from here to there, which is the same in every clone.
        place = Path(os.path.abspath(dataset))
        dataset = (os.path.relpath(place, folder) if place.is_relative_to(home) else str(place))
    options = [*(["--model", asked.model] if not asked.ranked else [] if
                 asked.ranked == ranking.candidates() else ["--rank", ",".join(asked.ranked)]),
               *(["--hours", f"{hours:g}"] if hours != HOURS else []),
               *(["--skip-broken"] if skip_broken else [])]
    command = shlex.join(["unfreeze", "new", name, "--images", images, *options])
    rules = os.path.relpath(home / "params.yaml", folder)
    fresh = files.unfinished(folder)
    fresh.mkdir(parents=True)
    try:
        written.write(fresh, home, folder, {
            "params.yaml": written.params(look, dataset, asked, setting, rules, skip_broken),
            "README.md": written.readme(folder.name, look, asked, setting,
                                        str(folder.relative_to(home)), command, look.own)})
        try:
            os.rename(fresh, folder)  # not onto what was put there since `_place` looked
        except OSError:
            if os.path.lexists(folder):
                raise _there(folder.relative_to(home)) from None
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
