"""What git is to keep of a study, and what DVC keeps alone."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from unfreeze import places

ROOT = Path(__file__).resolve().parents[1]


def outputs() -> dict[str, bool]:
    """{output: whether git tracks it} of every stage, with a run or a pair called `one`. Without
    the links to a user's own files, which nobody keeps."""
    tracked = {}
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values():
        for out in stage.get("do", stage).get("outs", []):
            (path, how), = out.items() if isinstance(out, dict) else [(out, {})]
            if not Path(path).is_relative_to(places.WATCHED):
                tracked[path.replace("${key}", "one")] = how.get("cache") is False
    return tracked


def ignored(*paths: str) -> list[str]:
    done = subprocess.run(["git", "check-ignore", "--no-index", "--stdin"], cwd=ROOT, text=True,
                          input="\n".join(paths), capture_output=True)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()


def test_what_git_does_not_track_lies_in_one_folder():
    for path, tracked in outputs().items():
        assert Path(path).is_relative_to(places.MADE) is not tracked, path


def test_a_clone_without_symbolic_links_lacks_nothing():
    """As on Windows, and with `git clone -c core.symlinks=false`."""
    listed = subprocess.run(["git", "ls-files", "--stage"], cwd=ROOT, capture_output=True,
                            text=True, check=True).stdout
    assert listed and not re.findall("^120000 .*", listed, re.MULTILINE)


@pytest.mark.parametrize("folder", ["", "studies/one/", "studies/one/small/"])
def test_git_ignores_what_dvc_keeps_and_nothing_else(folder):
    # A folder that is not there is taken for a file, so files within stand for it.
    of_dvc = [f"{folder}{path}" if "." in Path(path).name else f"{folder}{path}/file"
              for path, tracked in outputs().items() if not tracked]
    assert len(of_dvc) > 12 and ignored(*of_dvc) == of_dvc
    of_git = [f"{folder}{path}" for path, tracked in outputs().items() if tracked]
    assert of_git
    assert ignored(*of_git, *(f"{folder}{path}" for path in (
        "metrics/runs/one.json", "plots/charts/ranking.svg", "recipes/one.yaml", "params.yaml",
        "dvc.yaml", "dvc.lock", ".dvc/config", ".dvc/plots/README", "README.md"))) == []


def test_only_folders_are_ignored_and_files_in_the_root():
    """`dvc exp apply` stashes what git neither tracks nor ignores, and with a folder of which git
    tracks nothing goes what is ignored in it: a user's `*.pth` beside notes, or `images/` in a
    study that is not committed yet, would be lost. The root is never such a folder."""
    lines = (ROOT / ".gitignore").read_text().splitlines()
    ours = ("_made/", "dvc_plots/", "__pycache__/", "*.egg-info/", ".pytest_cache/",
            ".hypothesis/", ".ruff_cache/")
    assert all(line in ours or re.fullmatch("/[^/]+/?", line)
               for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("path", [
    "images/daisy/1.jpg", "photos/daisy/1.jpg", "photos/train/daisy/1.png", "flowers.zip",
    "flowers.tar", "flowers.tar.gz", "flowers.tgz", "flowers.tar.bz2", "flowers.tar.xz"])
def test_photos_where_the_readme_puts_them_are_never_added(path):
    assert ignored(path) == [path]
    assert ignored(f"docs/{path}") == []


def test_what_lies_where_earlier_versions_made_it_is_not_for_git():
    left = ["data/flowers/daisy/1.jpg", "weights/mine.pth", "runs/base/model.safetensors"]
    assert ignored(*left) == left
    assert ignored(*(f"studies/one/{path}" for path in left)) == []  # perhaps not yet tracked
