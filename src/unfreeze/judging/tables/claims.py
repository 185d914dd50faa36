"""A row for each comparison; `p` and `verdict` are its own, `p_corrected`, `claim_verdict` and
`advice` its claim's; wide_low and wide_high are the ends of its simultaneous 95 % interval, level
is the p at or below which its claim is decided. What there is none of is empty. What is claimed of
a measured cost has no verdict here: these files hold nothing measured, and
_made/measured/claims.csv has it."""

from unfreeze.expecting.costs import COSTS
from unfreeze.judging.cells import number, p_value
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.verdicts import NOT_COMPUTED, Finding, Verdict

HEADER = ("number", "claim", "note", "comparison", "quantity", "unit", "effect", "low", "high",
          "wide_low", "wide_high", "p", "p_corrected", "level", "verdict", "claim_verdict", "seeds",
          "images", "settings", "advice", "why")
MEASURED = "measured"  # in place of a verdict


def rows(outcome: Outcome) -> list[tuple]:
    return [_row(position, claim, finding) if not is_measured(claim) else
            _unjudged(position, claim, finding)
            for position, claim in enumerate(outcome.verdicts, start=1)
            for finding in claim.comparisons]


def measured_rows(outcome: Outcome) -> list[tuple]:
    """What is claimed of measured costs, with its verdicts."""
    return [_row(position, claim, finding)
            for position, claim in enumerate(outcome.verdicts, start=1) if is_measured(claim)
            for finding in claim.comparisons]


def is_measured(claim: Verdict) -> bool:
    return claim.quantity in COSTS and COSTS[claim.quantity].measured


def _row(position: int, claim: Verdict, finding: Finding) -> tuple:
    return (*_named(position, claim, finding), number(finding.effect), number(finding.low),
            number(finding.high), number(finding.wide_low), number(finding.wide_high),
            p_value(finding.p), p_value(claim.p_corrected), p_value(claim.level), finding.verdict,
            claim.verdict, finding.seeds, finding.images, _settings(claim), claim.advice,
            finding.why)


def _unjudged(position: int, claim: Verdict, finding: Finding) -> tuple:
    """That a run was not run or failed is known without measuring."""
    known = finding.verdict == NOT_COMPUTED
    return (*_named(position, claim, finding), *(None,) * 8,
            finding.verdict if known else MEASURED,
            NOT_COMPUTED if claim.verdict == NOT_COMPUTED else MEASURED, None, None,
            _settings(claim), "",
            finding.why if known else f"{claim.quantity} is measured: see _made/report.html")


def _named(position: int, claim: Verdict, finding: Finding) -> tuple:
    return position, claim.claim, claim.note, finding.text, claim.quantity, claim.unit


def _settings(claim: Verdict) -> str:
    return "; ".join(f"{run}: {settings}" for run, settings in claim.settings.items())
