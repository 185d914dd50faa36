"""What it costs that training checks what it reads: the digests of data, decoded photos, weights
and subsets, and of the code and software that a recipe names.

Of a finished study: seconds of its checks, with a scratch folder that remembers nothing and with
one that does, beside those that its replicates were trained in. Nothing is trained, nor written
there.

Usage: python benchmarks/checks.py [STUDY]
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from unfreeze import files, places  # noqa: E402
from unfreeze import recipe as recipes  # noqa: E402
from unfreeze.data.reading import splits  # noqa: E402
from unfreeze.fingerprint import of_recipes  # noqa: E402
from unfreeze.models import weights  # noqa: E402
from unfreeze.recipe import Recipe  # noqa: E402
from unfreeze.training import inputs  # noqa: E402

ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("study", nargs="?", type=Path, default=ROOT,
                        help="its folder (default: the default study's)")
    study = parser.parse_args().study
    if not (study / places.RUNS).is_dir():
        parser.error(f"{study}: is no finished study; run `dvc repro` there")
    os.chdir(study)
    trained = first = later = 0.0
    replicates = 0
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["UNFREEZE_SCRATCH"] = scratch
        for path in sorted(places.RECIPES.glob("*.yaml")):
            recipe = recipes.read(path)
            cost = files.read_json(places.RUNS / path.stem / "cost.json")
            first += check(path, recipe)  # of each file once for all runs
            later += min(check(path, recipe) for _ in range(ROUNDS)) * len(recipe.seeds)
            trained += cost["seconds_per_replicate"] * len(recipe.seeds)
            replicates += len(recipe.seeds)
    print(f"{replicates} replicates were trained in {trained:.1f} s; checking what they read takes "
          f"{first:.2f} s where nothing is remembered, once for all runs, and {later:.2f} s more "
          f"as each replicate begins: {100 * (first + later) / trained:.1f} %")


def check(path: Path, recipe: Recipe) -> float:
    """As the stage train and each replicate do; in seconds of the processor."""
    start = time.process_time()
    of_recipes.check(path, recipe, ROOT / "stages/train.py", ROOT / "src")
    splits.open_pinned(recipe.dataset, places.DATA, places.DECODED)
    for seed in recipe.seeds:
        inputs.indices(recipe, seed, places.SUBSETS)
    if recipe.weights is not None:
        weights.tensors_digest(weights.read_arrays(
            weights.path(places.WEIGHTS, recipe.weights.name)))
    return time.process_time() - start


if __name__ == "__main__":
    main()
