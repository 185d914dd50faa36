"""_made/plan/ -> _made/weights/NAME.safetensors, checked by digest. What is there stays; what is
there beside stages/ is copied."""

import _utf8  # noqa: F401
from _source import ROOT
from unfreeze import models, places
from unfreeze.models import official, own, weights
from unfreeze.params import plan
from unfreeze.stage import run_stage


def main() -> None:
    places.WEIGHTS.mkdir(parents=True, exist_ok=True)
    for name, source in plan.read().weights.items():
        file = weights.path(places.WEIGHTS, name)
        if isinstance(source, plan.Checkpoint):
            own.take_over(source, file)
        else:
            known = models.official_weights(source.model, source.key)
            official.fetch(official.noted(known, places.RECIPES), file, ROOT / file)


if __name__ == "__main__":
    run_stage(main)
