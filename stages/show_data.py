"""_made/plan/, _made/data/, _made/decoded/ -> plots/data/: gallery.png and classes.svg."""

import _source  # noqa: F401
import _utf8  # noqa: F401
from unfreeze import files, places
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
    examples = []
    for name, card in zip(planned.datasets, cards, strict=True):
        images = splits.images_of(name, decoded.get(name, ""))
        split = "train" if "train" in images else "test"
        chosen = datasets.choose(card["classes"], arrays.load_labels(places.DATA / name)[split])
        examples.append(datasets.Examples(planned.title(name), len(card["classes"]), [
            (title, images[split][rows]) for title, rows in chosen]))
    with files.whole_folder(places.DATA_PICTURES) as folder:
        files.write_bytes(folder / "gallery.png", datasets.gallery(examples))
        files.write_text(folder / "classes.svg", datasets.class_counts(cards))


if __name__ == "__main__":
    run_stage(main)
