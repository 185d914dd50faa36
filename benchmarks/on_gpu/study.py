"""A study in a folder of its own, its stages run one after another as DVC runs them, without DVC.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from on_gpu.setting import ROOT, Setting, python


class Study:
    """A folder with a params.yaml, and data and weights that are there already.

    Args:
        folder: for the study; what an earlier call left there stays.
        params: content of params.yaml.
        data, weights: folders that take the place of what is fetched; None: none are needed.
    """

    def __init__(self, setting: Setting, folder: Path, params: dict, data: Path | None,
                 weights: Path | None) -> None:
        from unfreeze import files, places

        self.folder, self._setting, self._places = folder, setting, places
        files.write_yaml(folder / "params.yaml", params)
        (folder / places.MADE).mkdir(parents=True, exist_ok=True)
        for place, source in ((places.DATA, data), (places.WEIGHTS, weights)):
            link = folder / place
            if source is not None and not link.exists():
                os.symlink(source.resolve(), link)

    def stage(self, name: str, *arguments: str, **environment: str) -> str:
        """Run a stage to its end, and what it printed.

        Raises:
            RuntimeError: it failed, with the end of what it printed.
        """
        done = subprocess.run(
            python(ROOT / "stages" / f"{name}.py", *arguments), cwd=self.folder, text=True,
            env=self._setting.environment(**environment), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        if done.returncode:
            raise RuntimeError(f"stages/{name}.py {' '.join(arguments)} failed:\n"
                               f"{done.stdout[-3000:]}")
        return done.stdout

    def pin(self) -> None:
        """Everything up to the recipes, trials of searches too. Of a run whose recipe is another
        one now, what is there is forgotten."""
        recipes = self.folder / self._places.RECIPES
        before = {file.stem: file.read_text() for file in recipes.glob("*.yaml")}
        for name in ("plan", "subset", "pin"):
            self.stage(name)
        pinned = {file.stem for file in (self.folder / self._places.PINNED).glob("*.yaml")}
        for run in sorted(pinned):
            self.stage("choose", run)
        for run in before.keys() - pinned:
            self.recipe(run).unlink()
        for run, text in before.items():
            if not self.recipe(run).is_file() or self.recipe(run).read_text() != text:
                shutil.rmtree(self.run_folder(run), ignore_errors=True)

    def start(self, run: str, log: Path, **environment: str) -> subprocess.Popen:
        """Train a run in a process of its own."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as file:
            return subprocess.Popen(
                python(ROOT / "stages/train.py", run), cwd=self.folder, stdout=file,
                env=self._setting.environment(**environment), stderr=subprocess.STDOUT)

    def run_folder(self, run: str) -> Path:
        return self.folder / self._places.RUNS / run

    def recipe(self, run: str) -> Path:
        return self.folder / self._places.RECIPES / f"{run}.yaml"

    def settings(self, run: str) -> list[Path]:
        """What says how a run was trained, and why so: its recipe, its choice, its search."""
        searched = self.folder / self._places.SEARCHED
        return [self.recipe(run), self.folder / self._places.CHOICES / f"{run}.yaml",
                searched / f"{run}.json", searched / f"{run}.npz"]

    def trained(self, run: str) -> bool:
        return self.run_folder(run).is_dir() and any(self.run_folder(run).rglob("*.safetensors"))

    def digests(self, run: str) -> dict[str, str]:
        """{file: SHA-256} of the trained models and the predictions of a run."""
        return {str(file.relative_to(self.run_folder(run))):
                hashlib.sha256(file.read_bytes()).hexdigest()
                for file in sorted(self.run_folder(run).rglob("*"))
                if file.suffix in (".safetensors", ".npz")}


def make_up(folder: Path, train: int, test: int, weights: tuple[str, ...] = ()) -> Path:
    """A folder with data/cifar10/, of images that are nothing but noise with a tint for each class,
    and weights/ of random numbers: what has the form of the real, and the same speed.

    Args:
        train, test: images.
        weights: names of models whose first official weights are made up.
    """
    import numpy as np
    import safetensors.torch
    import torch

    from unfreeze import models
    from unfreeze.data.reading import arrays

    random, shape = np.random.default_rng(0), (32, 32, 3)
    labels = {"train": np.arange(train) % 10, "test": np.arange(test) % 10}
    images = {}
    for split, classes in labels.items():
        tints = np.linspace(0, 80, 10)[classes, None, None, None] * (1, 0.5, 0)
        images[split] = (random.integers(0, 175, (len(classes), *shape)) + tints).astype(np.uint8)
    dataset = arrays.Arrays(images["train"], labels["train"], images["test"], labels["test"])
    arrays.save(folder / "data/cifar10", dataset, {
        "name": "cifar10", "kind": "arrays", "digest": arrays.digest(dataset),
        "classes": [f"class {number}" for number in range(10)], "train": train, "test": test,
        "counts": {split: np.bincount(each, minlength=10).tolist()
                   for split, each in labels.items()},
        "sizes": {size: [32, 32] for size in ("smallest", "median", "largest")},
        "duplicates": {"images": 0, "examples": []}, "split": "made up", "source": "made up",
        "licence": "none", "citation": "none"})
    (folder / "weights").mkdir(parents=True, exist_ok=True)
    for name in weights:
        torch.manual_seed(0)
        first = next(iter(models.facts_of(name).weights.values())).name
        state = models.build(name, "original", 1000, 224).state_dict()
        safetensors.torch.save_file(state, folder / "weights" / f"{first}.safetensors")
    return folder
