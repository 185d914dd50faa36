"""plan/weights.yaml -> weights/NAME.safetensors, checked by digest. What is there stays; what is in
weights/ beside stages/ is copied from there."""

from pathlib import Path

from _source import ROOT
from unfreeze import files, models, places
from unfreeze.models import official, own, weights
from unfreeze.stage import run_stage


def main() -> None:
    folder = places.WEIGHTS
    folder.mkdir(exist_ok=True)
    for name, entry in files.read_yaml(places.PLAN / "weights.yaml").items():
        if "path" in entry:
            take_over(weights.path(folder, name), **entry)
        else:
            file = weights.path(folder, name)
            official.fetch(models.facts_of(entry["model"]).weights[entry["weights"]], file,
                           ROOT / file)


def take_over(file: Path, model: str, stem: str, image_size: int, path: str, digest: str) -> None:
    """A checkpoint of the user's own. It is opened even if it was taken over before: whether it
    fits depends on the model too, and it is at hand."""
    content, notes = own.read(Path(path), digest, model, stem, image_size)
    files.write_bytes(file, content)
    for line in [f"{path}: fits {model}", *notes]:
        print(line)


if __name__ == "__main__":
    run_stage(main)
