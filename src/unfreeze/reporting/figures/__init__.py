"""The pictures: from plots/tables/*.csv to figures. Deterministic: no dates, no random ids.

Each function takes one table and draws one picture; `save` writes it. Nothing to draw (no claims,
no pairs) gives a line that says so and what to put in params.yaml.
"""

from unfreeze.reporting.figures.costs import pareto
from unfreeze.reporting.figures.curves import learning_curves, wall_clock
from unfreeze.reporting.figures.predictions import confusion, mistakes, reliability
from unfreeze.reporting.figures.results import accuracy, claims, fractions
from unfreeze.reporting.figures.style import save
from unfreeze.reporting.figures.weights import movement, similarity

__all__ = ["accuracy", "claims", "confusion", "fractions", "learning_curves", "mistakes",
           "movement", "pareto", "reliability", "save", "similarity", "wall_clock"]
