"""`epochs: {like: run}`: as many epochs as the work that another run takes allows. Which run may
that be? How many they are, pin finds out, which counts the work."""

from collections.abc import Collection, Mapping
from typing import Any

from unfreeze.errors import Fault, nearest
from unfreeze.params.plan import Run, Search


def check(name: str, runs: Mapping[str, Run], searches: Mapping[str, Search],
          absent: Collection[str]) -> None:
    """Check the run that a run is like, in every candidate of it.

    Args:
        name: of the run. absent: runs that are not run.

    Raises:
        Fault: of epochs: there is no such run, or no work of its own to be like.
    """
    candidates = searches[name].candidates if name in searches else ()
    for run, values in [(each.run, each.values) for each in candidates] or [(runs[name], {})]:
        for phase in run.phases:
            other = like(phase.knobs["epochs"])
            problem = other and _problem(name, other, runs, searches, absent)
            if problem:
                raise Fault("search.epochs" if "epochs" in values else "epochs",
                            f"{{like: {other}}}: {problem}")


def like(epochs: Any) -> str:
    """The run that the value of a knob `epochs` names; "" for none."""
    return epochs.get("like", "") if isinstance(epochs, dict) else ""


def _problem(name: str, other: str, runs: Mapping[str, Run], searches: Mapping[str, Search],
             absent: Collection[str]) -> str:
    if other == name:
        return "is this run itself; set a whole number of epochs here"
    if other in absent:
        return f"{other} is under not_run; allowed: {_allowed(name, runs)}"
    if other not in runs:
        return f"{other!r} is no run{nearest(other, runs)}; allowed: {_allowed(name, runs)}"
    if other in searches and {"epochs", "phases"} & {*searches[other].candidates[0].values}:
        return (f"the epochs of {other} are searched, and how long it trains is not known before "
                "all are; name another run, or set {operations: number}")
    if not runs[other].trains:
        return f"{other} tests a model as it is, which takes no training; name another run"
    theirs = next(filter(None, (like(phase.knobs["epochs"]) for phase in runs[other].phases)), "")
    if theirs:
        return f"{other} is itself like {theirs}; name {theirs}" if theirs != name else (
            f"{other} is itself like {name}; set a whole number of epochs in one of them")
    return ""


def _allowed(name: str, runs: Mapping[str, Run]) -> str:
    return ", ".join(run for run in runs if run != name) or "none, since there is no other run"
