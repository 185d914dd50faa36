"""_made/plan/, _made/data/, _made/decoded/ -> plots/data/: classes.svg and gallery.png; the gallery
of images of the user's own -> _made/gallery/, unless they are to be shared."""

from pathlib import Path

import _source  # noqa: F401
import _utf8  # noqa: F401
from unfreeze import among, files, places
from unfreeze.data.reading import arrays, splits
from unfreeze.params import plan
from unfreeze.reporting.figures import datasets
from unfreeze.stage import run_stage


def main() -> None:
    planned = plan.read()
    # Of the sizes at which a dataset's photos are decoded, the first that has training images.
    decoded: dict[str, str] = {}
    for name, wanted in sorted(planned.decoded.items(),
                               key=lambda item: "train" not in item[1].splits):
        decoded.setdefault(wanted.dataset, name)
    cards = [arrays.read_card(places.DATA / name) | {"name": planned.title(name)}
             for name in planned.datasets]
    examples: dict[Path, list[datasets.Examples]] = {places.DATA_PICTURES: [], places.GALLERY: []}
    for name, card in zip(planned.datasets, cards, strict=True):
        images = splits.images_of(name, decoded.get(name, ""))
        split = "train" if "train" in images else "test"
        chosen = datasets.choose(card["classes"], arrays.load_labels(places.DATA / name)[split])
        place = places.GALLERY if planned.is_private(name) else places.DATA_PICTURES
        examples[place].append(datasets.Examples(planned.title(name), len(card["classes"]), [
            (title, images[split][rows]) for title, rows in chosen]))
    for place, shown in examples.items():
        fill = files.whole_folder if place == places.GALLERY else among.others
        with fill(place) as folder:
            if shown:
                files.write_bytes(folder / "gallery.png", datasets.gallery(shown))
            if place == places.GALLERY:
                about, text = places.ABOUT_PICTURES
                files.write_text(folder / about, text)
            else:
                files.write_text(folder / "classes.svg", datasets.class_counts(cards))


if __name__ == "__main__":
    run_stage(main)
