"""Where in params.yaml a fault lies. Whoever finds a fault names the knob alone; who set it is put
before it here: `params.yaml: runs.base.freeze: ...`, or `params.yaml: freeze (of runs.base): ...`
where the run takes it from the top level.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from unfreeze.errors import Fault, UserError


class PhaseFault(Fault):
    """A fault of an entry of `phases`.

    Args:
        number: of the phase, from 1.
        knob: that the phase sets; "" for the phase as a whole.
    """

    def __init__(self, number: int, knob: str, problem: str) -> None:
        super().__init__(knob, problem)
        self.number = number


@contextmanager
def about(knob: str) -> Iterator[None]:
    """What is raised by code that knows no knobs is about this one."""
    try:
        yield
    except Fault:
        raise
    except UserError as error:
        raise Fault(knob, str(error)) from None


@contextmanager
def in_phase(number: int, knobs: Collection[str]) -> Iterator[None]:
    """Faults of these knobs, which the phase sets, are the phase's."""
    try:
        yield
    except PhaseFault:
        raise
    except Fault as fault:
        if fault.knob not in knobs:
            raise
        raise PhaseFault(number, fault.knob, fault.problem) from None


@contextmanager
def in_search(values: Collection[str], own: bool) -> Iterator[None]:
    """Faults of these knobs, which a candidate of a search sets, are the search's.

    Args:
        own: whether the search is the run's own, and not that of all runs.
    """
    way_out = "" if own else "; or set search: {} in this run"
    try:
        yield
    except PhaseFault as fault:
        if "phases" not in values:
            raise
        raise Fault("search.phases", f"{fault.number}" + f": {fault.knob}" * bool(fault.knob)
                    + f": {fault.problem}{way_out}") from None
    except Fault as fault:
        if fault.knob not in values:
            raise
        raise Fault(f"search.{fault.knob}", fault.problem + way_out) from None


@contextmanager
def in_run(run: str, overrides: Collection[str]) -> Iterator[None]:
    """Faults are of a run, such as runs.base, which sets some knobs itself."""

    def place(knob: str) -> str:
        own = knob in overrides or knob.split(".")[0] in overrides
        return f"{run}.{knob}" if own else f"{knob} (of {run})"

    try:
        yield
    except PhaseFault as fault:
        raise Fault(f"{place('phases')} {fault.number}" + f": {fault.knob}" * bool(fault.knob),
                    fault.problem) from None
    except Fault as fault:
        raise Fault(place(fault.knob), fault.problem) from None


@contextmanager
def in_file(file: str) -> Iterator[None]:
    try:
        yield
    except Fault as fault:
        raise UserError(f"{file}: {fault.knob}: {fault.problem}") from None
