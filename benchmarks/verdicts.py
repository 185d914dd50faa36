"""How often verdicts are wrong, intervals hold the truth, and differences are found: simulated
studies whose truth is known, judged with the project's own `judge` and `effects`.

    false      studies in which nothing differs and at least one of the claims is found to hold or
               to be contradicted, percent
    coverage   95 % intervals that hold the truth, percent
    power      true claims that are found to hold, percent

Studies are simulated as in regret.py: replicates of 65 %, with a deviation of 1 point of their own
and 0.7 common to all runs of a seed, hits that correlate as in this project's predictions. Unstable
runs deviate five times as much; of seeds that collapse, the accuracy falls by 30 points.

So that tens of thousands of studies can be judged, some things are simpler than in a real one, and
none of them changes what is promised (`simplified`): fewer draws; means over resampled images are
normal, with their exact covariance (of 500 images or more they hardly differ from that). Where
verdicts are counted, nothing else is computed: no intervals, levels, advice and plans.

What is believed of variances beforehand (judging/spread.py: DEGREES) and how much wider intervals
are than that says (judging/statistics.py: CAUTIOUS) was chosen on other studies, numbered from
700,000; the table's are numbered from 0.

Usage: python benchmarks/verdicts.py [--studies 1000] [--jobs 1] [--write]   (--write:
docs/verdicts.md)
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from benchmarks.regret import CENTRE, COMMON, OWN, drawn_hits  # noqa: E402

from unfreeze.judging import advice, correction, estimates, planning, statistics, verdicts  # noqa: E402
from unfreeze.judging.estimates import Sum  # noqa: E402
from unfreeze.judging.runs import TrainedRun  # noqa: E402
from unfreeze.judging.verdicts import (  # noqa: E402
    CONTRADICTED,
    CONTRADICTED_HERE,
    HOLDS,
    HOLDS_HERE,
)
from unfreeze.params.plan import Claim  # noqa: E402

PAGE = ROOT / "docs/verdicts.md"
DRAWS = 2_499
_until_the_end = ExitStack()
FALL = 30.0  # points, of a seed that collapses


@dataclass(frozen=True)
class Setting:
    """What a study is like.

    Attributes:
        runs, seeds, images, claims: how many.
        own: deviation of a run's own, points. unstable: of the runs, those that deviate five times
            as much. lognormal: standard deviation of the logarithm of the runs' deviations.
        collapse: share of seeds that collapse. one_seed: of the runs, those that have one seed.
    """

    runs: int = 10
    seeds: int = 2
    images: int = 2000
    claims: int = 12
    own: float = OWN
    unstable: int = 0
    lognormal: float = 0.0
    collapse: float = 0.0
    one_seed: int = 0

    @property
    def text(self) -> str:
        """Without the number of seeds."""
        special = [
            f"deviation {self.own:g}" if self.own != OWN else "",
            f"{self.unstable} unstable" if self.unstable else "",
            f"lognormal deviations ({self.lognormal:g})" if self.lognormal else "",
            f"{100 * self.collapse:g} % of seeds collapse" if self.collapse else "",
            f"{self.one_seed} with one seed" if self.one_seed else ""]
        return ", ".join([f"{self.runs} runs, {self.claims} claims, {self.images:,} images",
                          *filter(None, special)])


@dataclass(frozen=True)
class Study:
    """A simulated study: its runs, and which of them are unstable."""

    runs: dict[str, TrainedRun]
    unstable: set[str]


@contextmanager
def simplified(draws: int = DRAWS) -> Iterator[None]:
    """Judging that is fast enough for simulations, see above."""
    with (mock.patch.object(statistics, "RESAMPLES", draws),
          mock.patch.object(statistics, "_resampled_means", _normal_means)):
        yield


def words(claims: Sequence[Claim], runs: dict[str, TrainedRun]) -> list[str]:
    """The verdicts, without what else `judge` finds out."""
    with (mock.patch.object(statistics, "_interval", lambda *_: (-np.inf, np.inf)),
          mock.patch.object(correction, "level", lambda null, alpha: alpha),
          mock.patch.object(advice, "text", lambda claim: ""),
          mock.patch.object(planning, "smallest", lambda *_: np.nan),
          mock.patch.object(planning, "seeds_needed", lambda *_: None)):
        return [verdict.verdict for verdict in verdicts.judge(claims, runs, {})]


def _normal_means(columns: np.ndarray, draws: int) -> np.ndarray:
    """(N, M) deviations -> (B, M) of their means over resampled images, were those normal."""
    images, count = columns.shape
    variances, directions = np.linalg.eigh(columns.T @ columns / images**2)
    return _normal(draws, count) @ (directions * np.sqrt(np.maximum(variances, 0))).T


@cache
def _normal(draws: int, count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(draws, count))


def simulate(setting: Setting, random: np.random.Generator,
             true: Sequence[float] | None = None) -> Study:
    """A study of that kind.

    Args:
        true: accuracies of its runs; None: all alike.
    """
    true = np.full(setting.runs, CENTRE) if true is None else np.asarray(true, float)
    special = random.permutation(setting.runs)
    unstable, few = np.split(special, [setting.unstable])[:2]
    few = few[:setting.one_seed]
    own = setting.own * np.exp(setting.lognormal * random.normal(size=setting.runs))
    own[unstable] *= 5
    shape = setting.runs, setting.seeds
    accuracy = (true[:, None] + random.normal(0, COMMON, setting.seeds)
                + own[:, None] * random.normal(size=shape)
                + FALL * (setting.collapse - (random.random(shape) < setting.collapse)))
    runs = {}
    for place, values in enumerate(drawn_hits(accuracy, setting.images, random)):
        seeds = tuple(range(1 if place in few else setting.seeds))
        runs[f"r{place}"] = TrainedRun(f"r{place}", {"dataset": "simulated", "test_fraction": 1.0},
                                       {}, {}, {}, seeds, {"accuracy": values[:len(seeds)]})
    return Study(runs, {f"r{place}" for place in unstable})


def of_nothing(setting: Setting) -> list[Claim]:
    """As many claims as wanted, as people make them: neighbours, chains, lists, gaps."""
    if setting.runs == 5:
        pattern = ["0 > 1", "1 > [2, 3]", "0 > 2 > 4", "3 < 4", "4 > 0", "gap(0, 1) > gap(2, 3)",
                   "4 > [0, 1, 3]", "2 < 3", "1 > 4", "3 > 0", "1 < 2", "2 > 4"]
    else:
        pattern = ["0 > 1", "2 > 3", "4 < 5", "6 > 7", "8 > 9", "0 > 5 > 9", "1 > [6, 7]",
                   "8 > [3, 4, 5]", "gap(0, 1) > gap(2, 3)", "gap(4, 5) > gap(6, 7)", "9 > 0",
                   "3 < 6", "1 > 2", "3 > 4", "5 > 6", "7 > 8", "1 < 3", "5 < 7", "2 < 9", "0 < 8"]
    texts = [re.sub(r"[0-9]", lambda found: f"r{int(found[0]) * setting.runs // 10}" if
                    setting.runs > 10 else f"r{found[0]}", text) for text in pattern]
    return [Claim(text, "") for text in texts[:setting.claims]]


def false_studies(setting: Setting, studies: int, first: int = 0) -> tuple[int, int]:
    """Of so many studies, those with a verdict that is wrong about the runs, and those with one
    about these models.

    Args:
        first: number of the first study; the same number is the same study.
    """
    claims, wrong, here = of_nothing(setting), 0, 0
    for number in range(first, first + studies):
        found = set(words(claims, simulate(setting, _random(setting, number)).runs))
        wrong += bool(found & {HOLDS, CONTRADICTED})
        here += bool(found & {HOLDS_HERE, CONTRADICTED_HERE})
    return wrong, here


def coverage(setting: Setting, studies: int, first: int = 0) -> dict[str, tuple[float, float]]:
    """Percent of the intervals of runs, and of differences between neighbours, that hold the truth:
    {"unstable": of runs that are, and of differences with them, "others"}."""
    held: dict[str, list[list[bool]]] = {"others": [[], []], "unstable": [[], []]}
    for number in range(first, first + studies):
        random = _random(setting, number)
        true = random.normal(CENTRE, 3.0, setting.runs)
        study = simulate(setting, random, true)
        pairs = [(place, (place + 1) % setting.runs) for place in range(setting.runs)]
        found = estimates.effects(study.runs, [
            *(Sum("accuracy", {name: 1.0}) for name in study.runs),
            *(Sum("accuracy", {f"r{one}": 1.0, f"r{other}": -1.0}) for one, other in pairs)])
        truths = [*((each, {f"r{place}"}) for place, each in enumerate(true)),
                  *((true[one] - true[other], {f"r{one}", f"r{other}"}) for one, other in pairs)]
        for place, (effect, (truth, of)) in enumerate(zip(found, truths, strict=True)):
            held["unstable" if of & study.unstable else "others"][place >= setting.runs].append(
                effect.low <= truth <= effect.high)
    return {name: tuple(float(100 * np.mean(each)) for each in both)
            for name, both in held.items() if both[0]}


def power(setting: Setting, difference: float, single: bool, studies: int,
          first: int = 0) -> float:
    """Percent of true claims that hold, where runs with an even number are better than the others
    by so much; `single`: only r0, in one claim of all."""
    even = range(0, setting.runs, 2)
    texts = [f"r{one} > r{(one + step) % setting.runs}" for step in (1, 3, 5) for one in even]
    claims = [Claim(text, "") for text in list(dict.fromkeys(texts))[:setting.claims]]
    true = CENTRE - difference * (np.arange(setting.runs) % 2)
    if single:
        claims = [Claim("r0 > r1", ""), *of_nothing(replace(setting, claims=setting.claims - 1))]
        claims = list({claim.claim: claim for claim in claims}.values())
        true = CENTRE - difference * (np.arange(setting.runs) == 1)
    held = []
    for number in range(first, first + studies):
        found = words(claims, simulate(setting, _random(setting, number), true).runs)
        held += [word == HOLDS for word in (found[:1] if single else found)]
    return float(100 * np.mean(held))


def _random(setting: Setting, number: int) -> np.random.Generator:
    return np.random.default_rng([
        number, setting.runs, setting.seeds, setting.images, setting.claims, setting.unstable,
        setting.one_seed, round(100 * setting.own), round(100 * setting.lognormal),
        round(100 * setting.collapse)])


ALIKE = (Setting(), Setting(seeds=3), Setting(seeds=5), Setting(runs=5),
         Setting(runs=17, claims=20),
         Setting(runs=17, claims=20, seeds=5), Setting(images=500), Setting(images=500, seeds=3))
UNLIKE = (Setting(unstable=2), Setting(unstable=2, seeds=3),
          Setting(runs=17, claims=20, unstable=3),
          Setting(runs=17, claims=20, unstable=3, seeds=5), Setting(lognormal=0.7),
          Setting(lognormal=0.7, seeds=3), Setting(collapse=0.07), Setting(collapse=0.07, seeds=3),
          Setting(runs=5, unstable=1), Setting(seeds=1), Setting(seeds=1, own=0.3),
          Setting(one_seed=2))
COVERED = (Setting(), Setting(seeds=3), Setting(seeds=5), Setting(unstable=2),
           Setting(unstable=2, seeds=3), Setting(unstable=2, seeds=5))
# By seeds (2, 3, 5): a difference, and in which share of cases it was found before.
FOUND = {
    "all true, deviation 1": (Setting(), False, ((7.5, 80), (5.4, 80), (3.4, 80))),
    "one true, deviation 1": (Setting(), True, ((8.7, 80), (6.2, 80), (4.2, 80))),
    "all true, deviation 0.4": (Setting(own=0.4), False, ((5.1, 80), (3.5, 80), (2.6, 80))),
    "two runs, one claim": (Setting(runs=2, claims=1), False, ((8.0, 38), (5.7, 80), (3.2, 80)))}


def _false(setting: Setting, studies: int) -> str:
    wrong, here = false_studies(setting, studies)
    about_models = f"{100 * here / studies:.1f}" if here else "-"
    return f"| {setting.text} | {setting.seeds} | {100 * wrong / studies:.1f} | {about_models} |"


def _covered(setting: Setting, studies: int) -> str:
    held = coverage(setting, studies)
    cells = [f"{each:.1f}" for each in held["others"]]
    cells += [f"{each:.1f}" for each in held["unstable"]] if "unstable" in held else ["-", "-"]
    return f"| {setting.text} | {setting.seeds} | {' | '.join(cells)} |"


def _found(name: str, setting: Setting, difference: float, single: bool, before: int,
           studies: int) -> str:
    found = power(setting, difference, single, studies)
    with mock.patch.object(correction, "stepped_down", lambda p, null: correction.holm(p)):
        apart = power(setting, difference, single, studies)
    return (f"| {name} | {setting.seeds} | {difference:g} | {before} | {apart:.0f} | {found:.0f} |")


def _simplify(draws: int) -> None:
    """Of a process, until it ends."""
    _until_the_end.enter_context(simplified(draws))


def rows(studies: int, draws: int, jobs: int) -> dict[str, list[str]]:
    """Of the tables, each printed as soon as it is there."""
    differences = [
        (name, replace(setting, seeds=seeds), difference, single, before)
        for name, (setting, single, found) in FOUND.items()
        for seeds, (difference, before) in zip((2, 3, 5), found, strict=True)]
    with ProcessPoolExecutor(jobs, initializer=_simplify, initargs=(draws,)) as pool:
        found = {
            "unlike": [pool.submit(_false, each, studies) for each in UNLIKE],
            "alike": [pool.submit(_false, each, studies) for each in ALIKE],
            "covered": [pool.submit(_covered, each, studies // 2) for each in COVERED],
            "found": [pool.submit(_found, *each, studies // 5) for each in differences]}
        for table in found.values():
            for row in table:
                print(row.result(), flush=True)
    return {name: [row.result() for row in table] for name, table in found.items()}


def page(studies: int, draws: int, rows: Mapping[str, Sequence[str]]) -> str:
    """docs/verdicts.md."""
    return "\n".join([
        "# How often verdicts are wrong, and what they find", "",
        "Written by `python benchmarks/verdicts.py --write`, which says how the studies are "
        f"simulated and what is simpler in them; {draws:,} draws a study.", "",
        "## At least one false verdict where nothing differs", "",
        f"{studies:,} studies a row: the standard error is at most "
        f"{100 * np.sqrt(0.05 * 0.95 / studies):.1f}. Promised are at most 5 %.", "",
        "| study | seeds | % of studies | for these models, % |", "|---|---:|---:|---:|",
        *rows["alike"], *rows["unlike"], "",
        "A verdict for these models is about what was trained, not about what other seeds would "
        "give; that trained models differ is nothing false.", "",
        "## Coverage of 95 % intervals", "",
        f"{studies // 2:,} studies a row. Where runs borrow their spread, intervals are wide "
        "enough for an unstable run, which few seeds do not tell from another one; so of the "
        "others they hold the truth more often than they need.", "",
        "| study | seeds | runs, % | differences, % | unstable runs, % | differences with them, %"
        " |",
        "|---|---:|---:|---:|---:|---:|", *rows["covered"], "",
        "## True claims that are found to hold", "",
        f"{studies // 5:,} studies a row. Before, verdicts took the runs' variances for more "
        "alike, by Holm's bound, and were false in 3 to 54 % of the studies with unstable or "
        "one-seed runs. Variances that may be unlike make the tails wider, which costs "
        "what lies between that column and the next; stepping down with joint draws wins some of "
        "it back.", "",
        "| claims | seeds | difference | before, % | wider tails, Holm's bound, % | "
        "wider tails, stepping down, % |", "|---|---:|---:|---:|---:|---:|",
        *rows["found"]]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=DRAWS, help="of images and seeds, a study")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    made = rows(arguments.studies, arguments.draws, arguments.jobs)
    if arguments.write:
        PAGE.write_text(page(arguments.studies, arguments.draws, made), encoding="utf-8")


if __name__ == "__main__":
    main()
