"""data/, arrays/ -> plots/data/: gallery.png and classes.svg."""

from pathlib import Path

import _source  # noqa: F401
from unfreeze import files, places
from unfreeze.data.reading import arrays, maps
from unfreeze.reporting.figures import datasets, save
from unfreeze.stage import run_stage

DATA = places.DATA


def main() -> None:
    names = list(files.read_yaml(places.PLAN / "datasets.yaml"))
    # Of the sizes at which a dataset's photos are decoded, the first that has training images.
    decoded: dict[str, str] = {}
    for key, entry in sorted(files.read_yaml(places.PLAN / "maps.yaml").items(),
                             key=lambda item: "train" not in item[1]["splits"]):
        decoded.setdefault(entry["dataset"], key)
    cards = [arrays.read_card(DATA / name) for name in names]
    found = []
    for name, card in zip(names, cards, strict=True):
        images = maps.images({"dataset": name, "map": decoded.get(name)}, Path("."))
        split = "train" if "train" in images else "test"
        labels = arrays.load_labels(DATA / name)[split]
        found.append(datasets.Examples(name, len(card["classes"]), [
            (title, images[split][rows]) for title, rows in datasets.choose(
                card["classes"], labels)]))
    with files.whole_folder(places.DATA_PICTURES) as folder:
        save(datasets.gallery(found), folder / "gallery.png")
        save(datasets.class_counts(cards), folder / "classes.svg")


if __name__ == "__main__":
    run_stage(main)
