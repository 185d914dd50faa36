"""plan/datasets.yaml -> data/NAME/: labels, a card, and arrays, official files or a list of photos.
What is there stays; what is in data/ beside stages/ is copied from there."""


from _source import ROOT
from unfreeze import files, places
from unfreeze.data.acquire import cards, fetch
from unfreeze.stage import run_stage

DATA = places.DATA


def main() -> None:
    DATA.mkdir(exist_ok=True)
    for name, entry in files.read_yaml(places.PLAN / "datasets.yaml").items():
        cards.warn(fetch.fetch(name, entry, DATA / name, ROOT / DATA / name))


if __name__ == "__main__":
    run_stage(main)
