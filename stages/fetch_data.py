"""plan/datasets.yaml -> data/NAME/: arrays and a card, checked by digest. What is there stays."""

from pathlib import Path

import _source  # noqa: F401
from unfreeze import files
from unfreeze.data import arrays, sources
from unfreeze.data.datasets import dataset
from unfreeze.errors import UserError, run_stage


def main() -> None:
    for name in files.read_yaml(Path("plan/datasets.yaml")):
        fetch(name, Path("data") / name)


def fetch(name: str, folder: Path) -> None:
    facts = dataset(name)
    try:
        if arrays.digest(arrays.load(folder)) == facts.DIGEST:
            print(f"{name}: already there, digest checked")
            return
    except UserError:
        pass  # missing or damaged: fetched below
    content = sources.obtain(facts.ASSETS[0], facts.read)
    found = arrays.digest(content)
    if found != facts.DIGEST:
        raise sources.wrong_bytes(f"data/{name}", "SHA-256 over the arrays", facts.DIGEST, found)
    arrays.save(folder, content, {
        "name": name,
        "digest": found,
        "classes": list(facts.CLASSES),
        "train": len(content.train_labels),
        "test": len(content.test_labels),
        "image_shape": list(content.train_images.shape[1:]),
        "url": facts.URL,
        "licence": facts.LICENCE,
        "citation": facts.CITATION,
    })


if __name__ == "__main__":
    run_stage(main)
