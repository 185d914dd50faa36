"""Files of a user's own in every folder of a study that a person might use, and the commands of
DVC's that docs name: none of these deletes, moves or rewrites any of those."""

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import yaml
from PIL import Image

from conftest import Project

# Not for people: git's and DVC's own, and what is made and not tracked.
NOT_FOR_PEOPLE = {".git", ".dvc", "_made", "dvc_plots", "__pycache__"}
# Which are not there by themselves.
MADE_BY_PEOPLE = (
    "data/flowers/red", "weights", "arrays", "runs/base", "plan", "subsets", "compared", "images",
    "photos", "models", "checkpoints", "logs", "results", "exports", "notebooks", "plots/mine",
    "metrics/mine", "metrics/runs/mine", "recipes/old", "choices/old", "studies/fractions/data",
    "docs")
NAMES = ("mine.pth", "notes.txt", "data.zip")
# In folders of code a file of these kinds would be part of it.
MORE_NAMES = ("mine.csv", "mine.json", "mine.svg", "mine.yaml", ".hidden")
CODE = ("src", "stages")
# Where `dvc exp apply` keeps what was there.
_KEPT = "refs/exps/apply/stash"
_EDITED = b", edited since"
# In folders that are made, beside what is.
_BUDGET = "budget.parameters_trainable"
BESIDE = ("_made/runs/base/notes.txt", "_made/mine.pth", "_made/runs/mine/model.pth")


def lay(project: Project, elsewhere: Path) -> dict[Path, str]:
    """{file: digest} of files that are put into a finished study, of photos in it and of a
    checkpoint elsewhere, all of a user's own."""
    folders = {project.folder / name for name in MADE_BY_PEOPLE}
    for path in (project.folder, *project.folder.rglob("*/")):
        if not NOT_FOR_PEOPLE & {*path.relative_to(project.folder).parts}:
            folders.add(path)
    contents = {folder / name: f"the only copy of {folder.name}/{name}".encode()
                for folder in sorted(folders)
                for name in NAMES + (() if _is_code(project, folder) else MORE_NAMES)}
    contents |= {project.folder / name: b"the only copy" for name in BESIDE}
    for number in range(6):
        for label in ("red", "green"):
            content = io.BytesIO()
            Image.new("RGB", (9, 9), (40 * number, 9, 9)).save(content, "PNG")
            contents[project.folder / f"data/flowers/{label}/{number}.png"] = content.getvalue()
    contents[elsewhere / "mine.pth"] = b"named in params.yaml from there"
    for file, content in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    os.symlink(elsewhere / "mine.pth", project.folder / "metrics/link.pth")
    return {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}


def _is_code(project: Project, folder: Path) -> bool:
    return any(folder.is_relative_to(project.folder / name) for name in CODE)


def commands(elsewhere: Path, all_of_them: bool = True) -> list[tuple[str, ...]]:
    """Each with all that it does to a study that lies so; or one of each kind: that makes, brings
    back, deletes and checks out."""
    if not all_of_them:
        return [
            ("dvc", "exp", "run", "-f", "-s", "show-data", "summarize", "plot", "--name", "drawn"),
            ("dvc", "exp", "apply", "drawn"),
            ("dvc", "exp", "run", "decode", "-S", "dataset=data/flowers", "-S", "skip_broken=true",
             "-S", f"init={elsewhere}/mine.pth"),
            ("git", "checkout", "-q", "--", "params.yaml"),
            ("dvc", "checkout", "--force"),
            ("dvc", "push", "-q", "decode"),
            ("dvc", "gc", "-w", "-f", "-q"),
            ("dvc", "pull", "-q", "--force", "decode"),
            ("unfreeze", "mend", "--bytes"),
        ]
    return [
        ("dvc", "exp", "run", "-f", "-s", "show-data", "summarize", "plot", "--name", "drawn"),
        ("dvc", "exp", "apply", "drawn"),
        ("dvc", "exp", "run", "decode", "-S", "dataset=data/flowers", "-S", "skip_broken=true"),
        ("dvc", "repro", "-f", "plan"),  # which links to them
        ("dvc", "exp", "run", "plan", "-S", f"init={elsewhere}/mine.pth"),
        ("git", "checkout", "-q", "--", "params.yaml"),
        ("dvc", "exp", "run", "--temp", "plan", "-S", f"{_BUDGET}=2000", "--name", "aside"),
        ("dvc", "repro", "pin"),
        ("dvc", "exp", "branch", "aside", "branched"),
        ("dvc", "exp", "apply", "aside"),
        ("dvc", "checkout", "--force"),
        ("dvc", "push", "-q", "decode"),
        ("dvc", "gc", "-w", "-f", "-q"),
        ("dvc", "pull", "-q", "--force", "decode"),
        ("unfreeze", "mend", "--bytes"),
        ("dvc", "repro", "-f", "show-data", "summarize", "plot"),
        ("dvc", "status"),
        ("dvc", "exp", "run", "--queue", "plan", "-S", "lr=0.03", "--name", "queued"),
        ("dvc", "exp", "run", "--temp", "-S", f"{_BUDGET}=4000", "--name", "all"),
        ("dvc", "exp", "run", "-S", f"{_BUDGET}=3000", "--name", "here"),
        ("dvc", "exp", "show", "--csv"),
        ("dvc", "metrics", "diff", "HEAD"),
        ("dvc", "metrics", "show"),
        ("dvc", "plots", "show"),
        ("dvc", "plots", "diff", "HEAD"),
        ("dvc", "repro"),
        ("dvc", "exp", "apply", "all"),
        ("dvc", "exp", "apply", "here"),
        ("dvc", "checkout", "--force"),
        ("dvc", "fetch", "-q", "decode"),
        ("dvc", "repro"),
    ]


def tried(project: Project, files: dict[Path, str], elsewhere: Path,
          all_of_them: bool = True) -> Iterator[tuple[str, list[str], int]]:
    """(command, what is not as it was, how many came back as an experiment has them) of each. All
    but the photos are edited before an experiment is applied, so that it has older ones."""
    project.run("dvc", "remote", "add", "--local", "-d", "shelf", str(elsewhere / "remote"))
    for command in commands(elsewhere, all_of_them):
        applies = command[:3] == ("dvc", "exp", "apply")
        if applies:
            edit(files)
        project.run(*command)
        older = bring_back(project, files) if applies else 0
        yield " ".join(command).replace(str(elsewhere), "ELSEWHERE"), changed(files), older


def edit(files: dict[Path, str]) -> None:
    for file in files:
        if file.suffix != ".png":
            file.write_bytes(file.read_bytes() + _EDITED)
            files[file] = hashlib.sha256(file.read_bytes()).hexdigest()


def of_experiments(project: Project) -> list[Path]:
    """What is in experiments whole: inputs and outputs of stages that git may track."""
    stages = yaml.safe_load((project.folder / "dvc.yaml").read_text())["stages"].values()
    named = [name for stage in stages for kind in ("deps", "outs")
             for name in stage.get("do", stage).get(kind, [])]
    names = [next(iter(name)) if isinstance(name, dict) else name for name in named]
    return [project.folder / name.replace("${root}", ".") for name in names
            if "${key}" not in name and not name.startswith("_made")]


def bring_back(project: Project, files: dict[Path, str]) -> int:
    """How many are in experiments and were older there: brought back as docs/faults.md says."""
    folders = of_experiments(project)
    older = [file.relative_to(project.folder) for file in map(Path, changed(files))
             if any(file.is_relative_to(folder) for folder in folders)]
    for name in older:
        project.run("bash", "-c", f"git show '{_KEPT}^3:{name}' > '{name}'")
    return len(older)


def changed(files: dict[Path, str]) -> list[str]:
    return [str(file) for file, digest in files.items()
            if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest]


def table(files: dict[Path, str], rows: list[tuple[str, list[str], int]]) -> str:
    """What was counted, for docs/faults.md."""
    folders = {file.parent for file in files}
    lines = [f"{len(files):,} files in {len(folders)} folders, edited before each `exp apply`, "
             "hashed after each command:", "",
             "| command | deleted, moved or rewritten | as in the experiment, and kept by DVC |",
             "|---|---:|---:|"]
    lines += [f"| {command} | {len(lost)} | {older or ''} |" for command, lost, older in rows]
    return "\n".join([*lines, ""])
