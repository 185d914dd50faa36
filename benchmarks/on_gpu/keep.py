"""What came back from a machine with a GPU, into the project."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from on_gpu import published, table
from on_gpu.setting import ROOT, Setting, write_json
from on_gpu.study import Study

MEASURED = Path("benchmarks/gpu.json")
DOCUMENT = Path("docs/gpu.md")
BEGIN, END = "<!-- measured: made by benchmarks/gpu.py keep -->\n", "<!-- end of measured -->\n"
STEPS = ("tests", "determinism", "throughput", "several", "published")


def keep(folders: list[Path], data: Path, into: Path) -> Iterator[str]:
    """Write benchmarks/gpu.json, the measured part of docs/gpu.md and studies/NAME/gpu/.

    Args:
        folders: results of several calls; of a step the last counts, and cells of the throughput
            and runs of a study add up.
        data: with cifar10/, as it was trained on.
        into: the project, or a folder to look at it first.

    Yields:
        What was written, a line each.
    """
    measured = {step: content for step in STEPS if (content := _merged(step, folders))}
    write_json(into / MEASURED, measured)
    yield f"{into / MEASURED}: {', '.join(measured) or 'nothing'}"
    document = (ROOT / DOCUMENT).read_text()
    (into / DOCUMENT).parent.mkdir(parents=True, exist_ok=True)
    (into / DOCUMENT).write_text(with_measured(document, measured))
    yield f"{into / DOCUMENT}"
    for study in published.RUNS:
        archives = [file for folder in folders
                    if (file := folder / f"{published.NAME}-{study}.zip").is_file()]
        if archives:
            yield from _keep_study(study, archives, measured[published.NAME]["machine"], data, into)


def with_measured(document: str, measured: dict) -> str:
    """The document with what was measured in the place of what it says so far."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table.document(measured)}\n{END}{after}"


def _merged(step: str, folders: list[Path]) -> dict | None:
    contents = [json.loads(file.read_text()) for folder in folders
                if (file := folder / f"{step}.json").is_file()]
    if not contents:
        return None
    merged = contents[-1]
    if step == "throughput":
        for key in ("cells", "compiled"):
            by_case = {(each["case"], each.get("precision"), each.get("batch_size")): each
                       for content in contents for each in content.get(key, [])}
            merged[key] = list(by_case.values())
        measured = {(each["case"], each["precision"], each["batch_size"])
                    for each in merged["cells"]}
        merged["not_measured"] = [cell for cell in merged.get("not_measured", [])
                                  if tuple(cell) not in measured]
    if step == published.NAME:
        merged.pop("skipped", None)
        studies: dict[str, dict] = {}
        for content in contents:
            for name, each in content.get("studies", {}).items():
                before = studies.get(name, {"seconds": {}})
                seconds = before["seconds"] | each["seconds"]
                studies[name] = each | {"seconds": seconds, "not_run": [
                    run for run in each.get("not_run", []) if run not in seconds]}
        merged["studies"] = studies
    return merged


def _keep_study(name: str, archives: list[Path], machine: dict, data: Path,
                into: Path) -> Iterator[str]:
    """studies/NAME/gpu/: what its stages after training make of the runs that came back."""
    import yaml

    from unfreeze import places

    folder = into / "studies" / name / "gpu"
    with zipfile.ZipFile(archives[-1]) as archive:
        params = yaml.safe_load(archive.read("params.yaml"))
    trained = sorted({Path(member).stem for file in archives
                      for member in zipfile.ZipFile(file).namelist()
                      if member.startswith("recipes/")}, key=list(params["runs"]).index)
    setting = Setting(into, into / places.MADE / "gpu", into, rehearse=True)
    if not (data / "cifar10").is_dir():
        yield f"{folder}: not written, CIFAR-10 is not here; `dvc repro` fetches it"
        return
    study = Study(setting, folder, only(params, trained), data, None)
    (folder / "params.yaml").write_text(_HEAD.format(name=name) + (
        folder / "params.yaml").read_text())
    for file in archives:
        _unpack(file, study)
    for stage in ("plan", "subset"):
        study.stage(stage)
    for run in trained:
        study.stage("evaluate", run)
    study.stage("summarize")
    (folder / "README.md").write_text(_README.format(
        name=name, machine=table.describe(machine), runs=", ".join(trained)))
    yield f"{folder}: {', '.join(trained)}"
    try:
        study.stage("show_data")
        study.stage("plot")
    except RuntimeError as error:
        yield f"{folder}: without pictures and report: {str(error).strip().splitlines()[-1]}"
    shutil.rmtree(folder / places.MADE)


def only(params: dict, trained: list[str]) -> dict:
    """The content of params.yaml where the other runs are declared as not run."""
    left = {run: {"why": published.NO_TIME} | (changes or {})
            for run, changes in params["runs"].items() if run not in trained}
    return params | {
        "runs": {run: changes for run, changes in params["runs"].items() if run in trained},
        "not_run": (params.get("not_run") or {}) | left}


def _unpack(file: Path, study: Study) -> None:
    """The settings and the outputs of each run, where the stages look for them."""
    with zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            kind, _, rest = member.partition("/")
            if kind == "runs":
                run, _, rest = rest.partition("/")
                place = study.run_folder(run) / rest
            elif rest:
                place = study.folder / member
            else:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(archive.read(member))


_HEAD = """\
# {name} at its published settings, as far as a GPU was lent for it: one seed, and the runs that
# ended in time. Made from ../params.yaml by benchmarks/gpu.py, which says in README.md where.
"""
_README = """\
# {name}, at its published settings, on a GPU

Trained on {machine}, with `benchmarks/gpu.py`, several runs at once: times are no measure of what a
run takes alone. One seed: intervals and verdicts are about these trained models. Runs: {runs}; the
others are declared under `not_run:` in [params.yaml](params.yaml).

The answer is [report.md](report.md). No DVC stage made this, so there is no dvc.lock: the recipes
in recipes/ say what was trained, by which versions, and `dvc repro` in the folder above trains
everything.
"""
