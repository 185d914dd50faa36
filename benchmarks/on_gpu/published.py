"""Step 5: runs of two studies at their published settings, with one seed: of `layers` those at 32
px, then of `fractions` those with a ResNet18 at 224 px; the ones that the write-ups' claims ask for
most first. Several at once. What does not end in time is declared as not run."""

import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from on_gpu import inputs
from on_gpu.setting import ROOT, Setting, processors
from on_gpu.study import Study, make_up

NAME = "published"
RUNS = {
    "layers": (
        "full", "scratch-stem", "fc-conv1", "fc", "layer3", "layer4", "layer2", "layer1",
        "full-discriminative", "scratch", "layer1-layer4", "layer2-layer3", "layer1-layer2",
        "layer3-layer4", "fc-unfrozen", "lora", "l2-sp", "gradual"),
    "fractions": (
        "freeze-last-only", "freeze-none", "freeze-middle", "freeze-early", "resnet18-10",
        "resnet18-10-scratch", "resnet18-20", "resnet18-20-scratch", "resnet18-50-scratch",
        "resnet18-50"),
}
REHEARSED = {"layers": 2, "fractions": 1}  # of the runs
AT_ONCE = {"layers": 4, "fractions": 2}
NO_TIME = "no time was left for it on the GPU"
NOT_CHOSEN = "not among the runs chosen for the minutes that a GPU is lent for"
_REHEARSED = {"fraction": 0.1, "test_fraction": 1.0, "epochs": 1, "image_size": 32,
              "batch_size": 16}
_KEPT = (".npz", ".csv", ".json", ".txt")  # of a run; models are left behind


def run(setting: Setting) -> None:
    content: dict = {"studies": {}}
    setting.write(NAME, content)
    if setting.rehearse:
        source = make_up(setting.work / "made-up", 320, 40, ("resnet18",))
    elif (setting.inputs / "data/cifar10").is_dir():
        source = setting.inputs
    else:
        try:
            source = inputs.unpack(setting.inputs, setting.work)
        except ValueError as error:
            setting.write(NAME, content | {"skipped": str(error)})
            return
    for name in RUNS:
        chosen = list(RUNS[name])[:REHEARSED[name] if setting.rehearse else None]
        if setting.left() > 0:
            params = scaled_down(name, chosen) if setting.rehearse else of(name, chosen)
            study = Study(setting, setting.work / name, params, source / "data",
                          source / "weights")
            content["studies"][name] = _train(setting, name, study, chosen,
                                              lambda: setting.write(NAME, content))
        setting.write(NAME, content)


def of(study: str, chosen: list[str]) -> dict:
    """The content of params.yaml for some runs of a study at its published settings, with its first
    seed; the others are declared as not run."""
    from unfreeze import files

    params = files.read_yaml(ROOT / "studies" / study / "params.yaml")
    others = {name: {"why": NOT_CHOSEN} | (changes or {})
              for name, changes in params["runs"].items() if name not in chosen}
    return params | {
        "seeds": params["seeds"][:1],
        "runs": {name: changes for name, changes in params["runs"].items() if name in chosen},
        "not_run": (params.get("not_run") or {}) | others,
        "compare": {},  # needs the trained models, which are left behind
    }


def scaled_down(study: str, chosen: list[str]) -> dict:
    """As `of`, for a rehearsal."""
    params = of(study, chosen)
    return params | {"runs": {name: (changes or {}) | _REHEARSED
                              for name, changes in params["runs"].items()}}


def _train(setting: Setting, name: str, study: Study, chosen: list[str],
           write: Callable[[], None]) -> dict:
    """Train the runs of a study, several at once, until all have ended or no time is left."""
    study.pin()
    at_once = min(AT_ONCE[name], max(1, processors() // 2))
    progress: dict = {"at_once": at_once, "seconds": {}, "failed": {}}
    waiting = [run for run in chosen if not study.trained(run)]
    if len(waiting) < len(chosen):  # by an earlier call
        pack(setting, name, study, [run for run in chosen if run not in waiting])
    going: dict[str, tuple[subprocess.Popen, float]] = {}
    threads = {"OMP_NUM_THREADS": str(max(1, processors() // at_once))}
    while waiting or going:
        for run, (process, start) in list(going.items()):
            if process.poll() is None:
                continue
            del going[run]
            if process.returncode == 0:
                progress["seconds"][run] = round(time.monotonic() - start, 1)
                pack(setting, name, study, [run for run in chosen if study.trained(run)])
            else:
                progress["failed"][run] = _log(setting, name, run).read_text()[-2000:]
            write()
        longest = max(progress["seconds"].values(), default=0)
        while waiting and len(going) < at_once and setting.left() > longest:
            run = waiting.pop(0)
            going[run] = (study.start(run, _log(setting, name, run), **threads), time.monotonic())
        if setting.left() <= 0 or not going:
            break
        time.sleep(0.1)
    for process, _ in going.values():
        process.kill()
        process.wait()
    progress["not_run"] = [run for run in chosen if not study.trained(run)]
    return progress


def pack(setting: Setting, name: str, study: Study, trained: list[str]) -> Path:
    """published-STUDY.zip: params.yaml, and of the runs that have ended recipes and outputs."""
    file = setting.results / f"{NAME}-{name}.zip"
    temporary = file.with_name(f".{file.name}.part")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(study.folder / "params.yaml", "params.yaml")
        for run in trained:
            for made in study.settings(run):
                archive.write(made, made.relative_to(study.folder))
            for made in sorted(study.run_folder(run).rglob("*")):
                if made.suffix in _KEPT:
                    archive.write(made, f"runs/{run}/{made.relative_to(study.run_folder(run))}")
    temporary.replace(file)
    return file


def _log(setting: Setting, name: str, run: str) -> Path:
    return setting.work / name / "logs" / f"{run}.log"
