"""As of unfreeze.judging.tables.claims: what is claimed of measured costs, with its verdicts."""

from unfreeze.judging.tables import claims

HEADER, rows = claims.HEADER, claims.measured_rows
