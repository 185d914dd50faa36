"""The section `race` of params.yaml, which `unfreeze race` writes: how many seeds each run has by
now, and what earlier looks at the results have decided.

    race:
      claims: 3fa9c81d2b04          # digests of what the looks were at
      runs: 90c1d6f0aa37
      code: 5d7e0b1c99e2
      order: [42, 43, 44, 45]       # seeds, in the order in which runs get them
      looks:
      - {seeds: 2, runs: [a, b, c], decided: {}, hopeless: []}
      - {seeds: 4, runs: [a, b], decided: {a > c: holds}, hopeless: []}

Where it is there, the seeds of a run are those of the largest look that the run is in. Each look
has a share of the 5 % of studies in which any verdict may be wrong, so that all of them together
have no more (Bonferroni over looks, step-down within one: Tamhane et al. 2021,
https://doi.org/10.1002/sim.9128); what is decided stays so.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unfreeze import places, recipe
from unfreeze.errors import Fault, UserError
from unfreeze.plain import from_plain, to_plain

SEEDS = 2, 4, 8, 16  # of a run at each look
ALPHAS = 0.0075, 0.0125, 0.015, 0.015
_AGAIN = "`unfreeze race --until decided --again` starts again, with fresh seeds"
_APART = ("race", "claims", "compare", "score", "margin", "worth", "budget", "share_photos",
          "rank")


@dataclass(frozen=True)
class Look:
    """A look at the results.

    Attributes:
        seeds: how many each of its runs has. runs: those that got more seeds for it.
        decided: {claim: its verdict}, those that the look before decided.
        hopeless: claims that were given up after the look before.
    """

    seeds: int
    runs: tuple[str, ...]
    decided: Mapping[str, str]
    hopeless: tuple[str, ...]


@dataclass(frozen=True)
class Race:
    """What the section says; without it, nothing was raced.

    Attributes:
        claims, runs: digests of what was looked at. code: that of what trained it; "" before the
            second look.
        order: seeds, in the order in which runs get them.
        looks: the last one is that of now.
    """

    claims: str = ""
    runs: str = ""
    code: str = ""
    order: tuple[int, ...] = ()
    looks: tuple[Look, ...] = field(default=())

    @property
    def alpha(self) -> float | None:
        """The chance of any wrong verdict in the look of now; None: nothing was raced."""
        return ALPHAS[len(self.looks) - 1] if self.looks else None

    @property
    def decided(self) -> dict[str, str]:
        """{claim: verdict} of the looks before."""
        return {claim: verdict for look in self.looks for claim, verdict in look.decided.items()}

    @property
    def hopeless(self) -> list[str]:
        """Claims that were given up."""
        return [claim for look in self.looks for claim in look.hopeless]

    @property
    def trainings(self) -> int:
        """Replicates that all looks have trained."""
        return sum(map(self.trained_for, range(len(self.looks))))

    def trained_for(self, number: int) -> int:
        """Replicates that were trained for a look, counted from 0."""
        look = self.looks[number]
        return sum(look.seeds - _seeds(self.looks[:number], run) for run in look.runs)

    def seeds(self, run: str) -> list[int]:
        """Those that a run has by now."""
        return list(self.order[:_seeds(self.looks, run)])


def _seeds(looks: Iterable[Look], run: str) -> int:
    """How many seeds a run has after some looks."""
    return max((look.seeds for look in looks if run in look.runs), default=0)


def identity(params: Mapping[str, Any]) -> tuple[str, str]:
    """Digests of the claims, and of all else that decides what a run is."""
    claims = [" ".join(str(entry["claim"] if isinstance(entry, dict) else entry).split())
              for entry in params.get("claims", [])]
    return _digest(sorted(claims)), _digest(
        {key: value for key, value in params.items() if key not in _APART})


def code(runs: Iterable[str], study: Path) -> str:
    """Digest of the code and software that train runs, by their recipes in a study's folder."""
    read = {run: recipe.read(study / places.RECIPES / f"{run}.yaml") for run in runs}
    return _digest({run: [each.code, each.software] for run, each in read.items()})


def check_code(race: Race, runs: Iterable[str], study: Path) -> None:
    """Whether earlier looks were at models that the same code trained.

    Raises:
        UserError: they were not.
    """
    if race.code and race.code != code(runs, study):
        raise UserError("params.yaml: race: was looked at when other code or software trained the "
                        f"runs, so that what it decided is not about these models; {_AGAIN}")


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read(params: Mapping[str, Any], runs: Collection[str]) -> Race:
    """The section of params.yaml.

    Args:
        runs: names of those that are run.

    Raises:
        Fault: it is not what `unfreeze race` writes, or its looks were at something else.
    """
    if params.get("race") is None:
        return Race()
    try:
        race = from_plain(Race, params["race"])
    except TypeError:
        race = Race()
    seeds = [look.seeds for look in race.looks]
    if not (seeds and seeds == list(SEEDS[:len(seeds)]) and len(set(race.order)) == SEEDS[-1]):
        raise Fault("race", f"is not what `unfreeze race` writes; {_AGAIN}")
    claims, others = identity(params)
    if race.claims != claims:
        raise Fault("race", "was looked at with other claims than `claims` lists now, so that its "
                            f"correction for several looks does not hold for them; {_AGAIN}")
    if race.runs != others or set(race.looks[0].runs) != set(runs):
        raise Fault("race", "was looked at with other runs or knobs than there are now, so that "
                            f"what it decided is not about them; {_AGAIN} (to go on as it was, "
                            "take back the change)")
    return race


def section(race: Race) -> dict[str, Any]:
    """What `read` reads."""
    return to_plain(race)
