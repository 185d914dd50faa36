"""Which study is meant, which run it recommends, and whether that is trained. No torch."""

import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from unfreeze import files, places
from unfreeze.data.photos.names import shown
from unfreeze.errors import UserError, nearest

_FOLDER = "studies"  # of the repository, in which studies have names


def is_study(path: Path) -> bool:
    return (path / "params.yaml").is_file() and (path / "dvc.yaml").is_file()


def find(name: str) -> Path | None:
    """The folder of a study, by its path, or by its name in the repository that one is in; None:
    there is no such study."""
    here = Path(name).expanduser()
    if is_study(here):
        return here
    if not name or here.is_absolute() or ".." in here.parts:
        return None
    above = (folder / _FOLDER / name for folder in (Path.cwd(), *Path.cwd().parents))
    return next((path for path in above if is_study(path)), None)


def found(name: str) -> Path:
    """As `find`.

    Raises:
        UserError: there is no such study.
    """
    study = find(name)
    if study is None:
        raise UserError(f"{shown(name)}: is no study{nearest(name, names())}: a study is a folder "
                        "with params.yaml and dvc.yaml, named by its path, or by its name if it "
                        "lies in studies/; `unfreeze new` makes one")
    return study


def names() -> list[str]:
    """Of the studies of the repository that one is in, as `find` knows them, sorted; those deeper
    than the project's own are passed over, since looking for them would go through all photos."""
    return sorted({path.parent.relative_to(folder / _FOLDER).as_posix()
                   for folder in (Path.cwd(), *Path.cwd().parents)
                   for depth in ("*", "*/*")
                   for path in (folder / _FOLDER).glob(f"{depth}/params.yaml")
                   if is_study(path.parent)})


def named(words: Sequence[str]) -> tuple[Path, str | None, list[str]]:
    """The study and the run that are named at the beginning of what was typed, and what is left.
    Where no study is, it is this folder's; where no run is, it is None.

    Raises:
        UserError: no study is named, and none lies here.
    """
    rest = list(words)
    study = find(rest[0]) if rest else None
    if study is not None:
        rest.pop(0)
    else:
        study = Path(".")
        if not is_study(study):
            if rest and os.path.lexists(Path(rest[0]).expanduser()):
                raise UserError(f"{shown(rest[0])}: is no study, and nor is this folder; name the "
                                "study first, by its folder or its name in studies/")
            found(rest[0] if rest else ".")  # which says what a study is
    run = rest.pop(0) if rest and has(study, rest[0]) else None
    return study, run, rest


def runs(study: Path) -> list[str]:
    """Names of the runs that have a recipe, sorted."""
    return sorted(path.stem for path in (study / places.RECIPES).glob("*.yaml"))


def has(study: Path, run: str) -> bool:
    """Whether a word is the name of a run of the study."""
    return "/" not in run and (study / places.RECIPES / f"{run}.yaml").is_file()


def chosen(study: Path, run: str | None) -> str:
    """A run that is trained: the one that is named, or the one that the study recommends.

    Raises:
        UserError: the study has not been run, has no such run, recommends none; or the run failed,
            or is not trained as its recipe says.
    """
    known = runs(study)
    if not known:
        raise UserError(f"{_shown(study)}: has not been run; {_remedy(study)}, which trains its "
                        "models")
    if run is None:
        run = _recommended(study, known)
    if run not in known:
        raise UserError(f"{_shown(study)}: has no run {run!r}{nearest(run, known)}; there are "
                        f"{', '.join(known)}")
    _check(study, run)
    return run


def _recommended(study: Path, known: list[str]) -> str:
    table = study / places.TABLES / "recommendation.csv"
    if not table.is_file():
        raise UserError(f"{_shown(study)}: has not been run to its end, so it recommends no run "
                        f"yet; {_remedy(study)}, or name one of {', '.join(known)}")
    run = next((row["run"] for row in files.read_csv(table) if row["recommended"] == "yes"), None)
    if run is None:
        raise UserError(f"{_shown(study)}: recommends no run (report.md says why); name one of "
                        f"{', '.join(known)}")
    return run


def _check(study: Path, run: str) -> None:
    """Is it trained, by the recipe that is there now?"""
    recipe, model = study / places.RECIPES / f"{run}.yaml", model_file(study, run)
    if not model.is_file():
        raise UserError(f"{_shown(study)}: the models of {run} are not here ({model}); "
                        f"{_remedy(study)} trains them, or `dvc checkout` (`dvc pull`) brings "
                        "what was trained before")
    noted = _noted(study / "dvc.lock", f"train@{run}")
    for path in (recipe, model):
        digest = noted.get(path.relative_to(study).as_posix())
        if digest and digest != files.file_digest(path, "md5"):
            raise UserError(f"{path}: is not the one that dvc.lock notes, so the models of {run} "
                            f"are not those of its recipe; {_remedy(study)}")
    details = study / places.METRICS / "details" / f"{run}.json"
    failed = files.read_json(details).get("failed") if details.is_file() else None
    if failed:
        raise UserError(f"{_shown(study)}: {run} failed ({failed}), so it has no model that could "
                        f"be used; choose another of {', '.join(runs(study))}")


def model_file(study: Path, run: str) -> Path:
    return study / places.RUNS / run / "model.safetensors"


def _noted(lock: Path, stage: str) -> dict[str, str]:
    """{path: MD5} of what a stage of dvc.lock read and wrote; {} where it does not say. Only the
    stage is parsed: a lock of many runs has thousands of lines, which take YAML seconds."""
    try:
        lines = lock.read_text(encoding="utf-8").splitlines()
        start = lines.index(f"  {stage}:")
    except (OSError, ValueError):
        return {}
    stop = next((number for number, line in enumerate(lines[start + 1:], start + 1)
                 if line.strip() and not line.startswith("   ")), len(lines))
    try:
        content = yaml.safe_load("\n".join(lines[start:stop]))[stage]
        return {entry["path"]: entry["md5"] for side in ("deps", "outs")
                for entry in content.get(side, ())}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError):
        return {}


def _remedy(study: Path) -> str:
    inside = study.resolve() == Path.cwd()
    return "`dvc repro`" if inside else f"`cd {shown(study)} && dvc repro`"


def _shown(study: Path) -> str:
    return shown(study.resolve().name if study == Path(".") else study)
