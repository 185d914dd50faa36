"""A whole project in a temporary git repository: this one's code, tiny images, two tiny models.

The tiny dataset and models are added as a user would add their own: one new file each.
"""

import fcntl
import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import unfreeze  # noqa: F401  # before a test imports torch: src/unfreeze/instructions.py
import warm

ROOT = Path(__file__).resolve().parents[1]
CLASSES, PER_CLASS, SIDE = 3, 40, 8


# The longest of all come first, so that the processes among which the Makefile divides the files
# end together; next to the first, which prepares the project of many, one that has its own.
FIRST = ("test_pipeline.py", "test_own_images.py", "test_extending.py", "test_ranking.py",
         "test_photos.py", "test_timm.py", "test_new.py", "test_prefix_cache.py",
         "test_replicate.py", "test_threads.py", "test_methods.py", "test_together.py",
         "test_ahead.py", "test_export.py", "test_fingerprint.py", "test_models.py",
         "test_hostile.py", "test_busy.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.name, len(FIRST)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """A million objects come that stay: nobody need look through them for garbage, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


_begun: set[Path] = set()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What files of tests have imported and cached until now stays too: to count the work of a step
    looks for garbage several times, which takes longer than all else there."""
    if item.path not in _begun:
        _begun.add(item.path)
        gc.collect()
        gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    # The processes that tests start from cold would each compile this project's code anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # A process beside this one imports torch for seconds, to do what takes a tenth of one here.
    os.environ["UNFREEZE_WORKERS"] = "1"
    if config.getoption("numprocesses", None):  # one server for all processes that run tests
        warm.path()


@pytest.fixture(autouse=True)
def _subnormal_numbers() -> Iterator[None]:
    """Training in this process has the processor take them for 0; hypothesis, in a test that the
    same process runs later, refuses to draw numbers then."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names of tests must be the same in every process that runs some of them (pytest-xdist); bytes
    of an archive hold its time."""
    return argname if isinstance(val, bytes) else None


DATASET = '''
"""Tiny made-up images, served from the mirror folder."""
import io
import numpy as np
from unfreeze.data.reading.arrays import Arrays
from unfreeze.fetching.assets import Asset
from unfreeze.errors import UserError

KIND, SIZES = "arrays", "8 x 8"
CLASSES = ("red", "green", "blue")
COUNT = 3
TRAIN, TEST = 120, 60
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
DIGEST = "{digest}"
URL, LICENCE, CITATION = "http://127.0.0.1:9/", "none", "none"
ASSETS = (Asset(title="tiny images", url="http://127.0.0.1:9/tiny.npz"),)


def read(source):
    try:
        with np.load(source.path) as found:
            return Arrays(**found)
    except Exception as error:
        raise UserError(f"{{source.label}}: damaged ({{error}})") from None
'''

MODEL = '''
"""A tiny convolutional network."""
from unfreeze.fetching.assets import Asset
from unfreeze.models.facts import Model, Weights

MODELS = {{
    "{name}": Model(
        parts={{"stem": ("stem",), "stage1": ("stage1",), "stage2": ("stage2",),
                "head": ("head",)}},
        strides={{"original": 2}},
        last="head",
        weights={{"TINY": Weights(
            name="{name}", digest="{digest}", sha256_prefix="{prefix}",
            asset=Asset(title="{name}", url="http://127.0.0.1:9/{name}.pth"))}},
    ),
}}


def build(name, stem, classes, image_size):
    from torch import nn

    class Tiny(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
            self.stage1 = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU())
            self.stage2 = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.Dropout(0.1), nn.ReLU())
            self.head = nn.Linear(8, classes)

        def forward(self, x):
            return self.head(self.stage2(self.stage1(self.stem(x))).mean((2, 3)))

    return Tiny()
'''

PARAMS = {
    "dataset: .*": "dataset: tiny",
    "fraction: .*": "fraction: 0.5",
    "validation: .*": "validation: 0.1",
    "train_on: .*": "train_on: auto",
    "test_fraction: .*": "test_fraction: 1",
    "image_size: .*": f"image_size: {SIDE}",
    "seeds: .*": "seeds: [1]",
    "model: .*": "model: tiny_a",
    "epochs: .*": "epochs: 3",
    "batch_size: .*": "batch_size: 16",
    "lr: .*": "lr: 0.01",
    "search: .*": "search: {}",
    "runs:(\n|.)*": "runs:\n"
                    "  base: {}\n"
                    "  own_freeze: {freeze: last_only, reported: 50}\n"
                    # Long enough to be killed within.
                    "  own_lr: {lr: 0.02, seeds: [1, 2], epochs: 40, rotation: 10}\n"
                    "  other_model: {model: tiny_b, init: scratch, freeze: none}\n"
                    "compare:\n"
                    "  pair: [base, own_lr]\n"
                    "claims:\n"
                    "  - {claim: own_lr > own_freeze, note: more epochs and more to train}\n"
                    "  - base.cross_entropy < o*\n"
                    "  - own_freeze.parameters_trainable < base\n"
                    "budget: {parameters_trainable: 1000}\n",
}


class Project:
    """A project folder and the commands that a user would type in it.

    Args:
        warm: start stages and DVC without the time that their imports take (warm.py).
    """

    def __init__(self, folder: Path, mirror: Path, scratch: Path, warm: bool = True) -> None:
        self.folder, self.warm = folder, warm
        bin_folder = str(Path(sys.executable).parent)
        self.environment = os.environ | {
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "UNFREEZE_MIRROR": str(mirror),
            "UNFREEZE_SCRATCH": str(scratch),
            "UNFREEZE_DEVICE": "cpu",
            # On tensors this small threads only wait for each other, seconds on a busy machine.
            "OMP_NUM_THREADS": "1",
            # Processes for what is this small take longer to start than it takes.
            "UNFREEZE_SLOTS": "1",
            "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org",
        }
        # Bytecode in a folder of sources would be a change of the code to DVC (bytecode.py).
        for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "UNFREEZE_ENGINE", "RAY_ADDRESS"):
            self.environment.pop(name, None)

    @property
    def made(self) -> Path:
        """The folder of what is made and not tracked by git."""
        return self.folder / "_made"

    def popen(self, *command: str, **keywords) -> subprocess.Popen:
        """Never warm, since it is there to be killed."""
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **keywords)

    def try_run(self, *command: str) -> tuple[int, str]:
        path = self.environment["PATH"]
        done = subprocess.run(command, cwd=self.folder, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=self.environment | {
            "PATH": f"{warm.path()}{os.pathsep}{path}" if self.warm else path})
        return done.returncode, done.stdout

    def run(self, *command: str) -> str:
        status, output = self.try_run(*command)
        assert status == 0, f"{command} exited with {status}:\n{output}"
        return output

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", message)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new, 1))

    def restore(self) -> None:
        """Back to the last commit of main, outputs included. (DVC puts dvc.lock into git's index,
        so `git checkout .` would keep the one to get rid of.)"""
        self.run("git", "checkout", "-qf", "main")
        self.run("git", "clean", "-qfd")
        self.run("dvc", "checkout", "--force")


def ran(output: str, stage: str) -> set[str]:
    """The runs of a foreach stage whose command was executed; {""} for a stage of its own."""
    return set(re.findall(rf"Running stage '{stage}@?([\w-]*)'", output))


def once(tmp_path_factory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills in one process, for all those that run tests (pytest-xdist)."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / name
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(base / f"{name}.part", ignore_errors=True)
            make(base / f"{name}.part")
            os.rename(base / f"{name}.part", folder)
    return folder


@pytest.fixture(scope="session")
def mirror(tmp_path_factory) -> Path:
    """Official files of the tiny dataset and models. Not to be changed: others read them too."""
    return once(tmp_path_factory, "mirror", fill_mirror)


def fill_mirror(folder: Path) -> None:
    import numpy as np
    import torch

    folder.mkdir()
    rng = np.random.default_rng(0)

    def images(per_class: int):
        labels = np.repeat(np.arange(CLASSES), per_class)
        pixels = rng.integers(0, 160, (len(labels), SIDE, SIDE, 3))
        pixels[np.arange(len(labels)), :, :, labels] += 60  # a class is a tint
        return pixels.astype(np.uint8), labels

    train_images, train_labels = images(PER_CLASS)
    test_images, test_labels = images(PER_CLASS // 2)
    np.savez(folder / "tiny.npz", train_images=train_images, train_labels=train_labels,
             test_images=test_images, test_labels=test_labels)
    for name in ("tiny_a", "tiny_b"):
        scope: dict = {}
        exec(MODEL.format(name=name, digest="", prefix=""), scope)
        torch.manual_seed(len(name))
        torch.save(scope["build"](name, "original", 5, SIDE).state_dict(), folder / f"{name}.pth")


def make_project(folder: Path, mirror: Path, scratch: Path) -> Project:
    """This repository's code with the tiny dataset, models and study, committed to git."""
    import hashlib

    import numpy as np
    import torch

    from unfreeze.data.reading.arrays import Arrays, digest
    from unfreeze.models.weights import tensors_digest

    ignore = shutil.ignore_patterns("__pycache__", "cache", "tmp", "config.local")
    for name in ("src", "stages", ".dvc"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("dvc.yaml", "params.yaml", ".gitignore", ".dvcignore", "requirements.lock"):
        shutil.copy(ROOT / name, folder / name)
    package = folder / "src" / "unfreeze"
    with np.load(mirror / "tiny.npz") as found:
        identity = digest(Arrays(**found))
    (package / "data" / "catalogue" / "tiny.py").write_text(DATASET.format(digest=identity))
    for name in ("tiny_a", "tiny_b"):
        file = mirror / f"{name}.pth"
        state = torch.load(file, weights_only=True)
        (package / "models" / "families" / f"{name}.py").write_text(MODEL.format(
            name=name, prefix=hashlib.sha256(file.read_bytes()).hexdigest()[:8],
            digest=tensors_digest({key: value.numpy() for key, value in state.items()})))
    params = (folder / "params.yaml").read_text()
    for pattern, line in PARAMS.items():
        params, count = re.subn(rf"^{pattern}", line, params, count=1, flags=re.MULTILINE)
        assert count == 1, pattern
    (folder / "params.yaml").write_text(params)
    project = Project(folder, mirror, scratch)
    project.run("git", "init", "-q", "-b", "main")
    project.commit("code")
    return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory, mirror) -> tuple[Project, str]:
    """A project after its first `dvc repro`, committed, and what that printed. Tests that change
    it must call `restore`."""
    def reproduce(folder: Path) -> None:
        project = make_project(folder / "project", mirror, folder / "scratch")
        (folder / "output").write_text(project.run("dvc", "repro"))
        project.commit("results")

    folder = tmp_path_factory.mktemp("own") / "finished"
    shutil.copytree(once(tmp_path_factory, "finished", reproduce), folder)
    return (Project(folder / "project", mirror, folder / "scratch"),
            (folder / "output").read_text())
