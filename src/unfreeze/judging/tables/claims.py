"""A row for each comparison; `p` and `verdict` are its own, `p_corrected`, `claim_verdict` and
`advice` its claim's. What there is none of is empty."""

from unfreeze.judging.cells import number, p_value
from unfreeze.judging.outcome import Outcome

HEADER = ("number", "claim", "note", "comparison", "quantity", "unit", "effect", "low", "high", "p",
          "p_corrected", "verdict", "claim_verdict", "seeds", "images", "advice", "why")


def rows(outcome: Outcome) -> list[tuple]:
    return [
        (position, claim.claim, claim.note, finding.text, claim.quantity, claim.unit,
         number(finding.effect), number(finding.low), number(finding.high), p_value(finding.p),
         p_value(claim.p_corrected), finding.verdict, claim.verdict, finding.seeds, finding.images,
         claim.advice, finding.why)
        for position, claim in enumerate(outcome.verdicts, start=1)
        for finding in claim.comparisons
    ]
