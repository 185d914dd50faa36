"""plan/, data/, arrays/, weights/, subsets/, src/ -> recipes/RUN.yaml: what determines a run."""

from importlib import metadata
from pathlib import Path

import _source  # noqa: F401
from unfreeze import files, fingerprint, models, places, recipe
from unfreeze.data.reading import arrays, maps
from unfreeze.models import weights
from unfreeze.params import config
from unfreeze.stage import run_stage
from unfreeze.tuning import methods, rules

STAGES = Path(__file__).resolve().parent
SOURCE = STAGES.parent / "src"


def main() -> None:
    runs = files.read_yaml(places.PLAN / "runs.yaml")
    cards = {name: arrays.read_card(places.DATA / name)
             for name in files.read_yaml(places.PLAN / "datasets.yaml")}
    digests = {
        name: weights.tensors_digest(weights.read_arrays(weights.path(places.WEIGHTS, name)))
        for name in files.read_yaml(places.PLAN / "weights.yaml")
    }
    tuned = {name: tuple(sorted(rules.methods_used(run["training"]))) for name, run in runs.items()}
    code = {
        (model, used): fingerprint.fingerprint(
            [STAGES / "train.py", *models.source_files(model), *map(methods.source_file, used)],
            SOURCE)
        for model, used in {(run["model"], tuned[name]) for name, run in runs.items()}
    }
    decoded = {name: maps.read_card(places.DECODED / name)
               for name in files.read_yaml(places.PLAN / "maps.yaml")}
    with files.whole_folder(places.RECIPES) as folder:
        for name, run in runs.items():
            found = decoded.get(run["map"])
            files.write_yaml(folder / f"{name}.yaml", {
                "knobs": config.training_knobs(run),
                "phases": run["training"],
                "normalization": run["normalization"] or {
                    key: found[key] for key in ("mean", "std")},
                # A map has been resized and cropped already.
                "transform": run["transform"] | ({"resize": None} if found else {}),
                "dataset": {"name": run["dataset"], "digest": cards[run["dataset"]]["digest"]}
                | ({"map": map_entry(run, found)} if found else {}),
                "weights": run["weights"] and weights_entry(run, digests[run["weights"]]),
                "classes": cards[run["dataset"]]["classes"],
                "seeds": {seed: {"subset": file,
                                 "digest": files.file_digest(places.SUBSETS / file)}
                          for seed, file in run["subsets"].items()},
                "software": software(run),
                "code": code[run["model"], tuned[name]],
            })
    print(f"{len(runs)} recipes; `git diff recipes/` explains what will be trained again")


def map_entry(run: dict, found: dict) -> dict:
    """The map, and the digests of the splits that the run reads."""
    splits = maps.SPLITS if config.trains(run["training"]) else ("test",)
    return {"name": run["map"], "digests": {split: found["digests"][split] for split in splits}}


def weights_entry(run: dict, digest: str) -> dict:
    version = run["source"].get("weights")  # None for a checkpoint of the user's own
    official = models.facts_of(run["model"]).weights
    unused = {module for name, each in official.items() if version in (name, None)
              for module in each.unused}
    return {"name": run["weights"], "digest": digest, "own": version is None,
            "unused": sorted(unused)}


def software(run: dict) -> dict[str, str]:
    """Versions of what draws or changes numbers in this run."""
    return recipe.software() | {
        name: metadata.version(name) for name, used in (
            ("numpy", run["mixup"] or run["cutmix"]), ("pillow", run["augment"] != "none"))
        if used}


if __name__ == "__main__":
    run_stage(main)
