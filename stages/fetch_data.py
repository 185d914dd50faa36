"""_made/plan/ -> _made/data/NAME/: labels, a card, and arrays, official files or a list of photos.
What is there stays; what is there beside stages/ is copied."""

import _utf8  # noqa: F401
from _source import ROOT
from unfreeze import places
from unfreeze.data.acquire import cards, fetch
from unfreeze.params import plan
from unfreeze.stage import run_stage


def main() -> None:
    places.DATA.mkdir(parents=True, exist_ok=True)
    for name, source in plan.read().datasets.items():
        folder = places.DATA / name
        cards.warn(fetch.fetch(name, source, folder, ROOT / folder))


if __name__ == "__main__":
    run_stage(main)
