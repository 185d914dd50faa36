"""Step 2: the same recipe gives the same bytes: trained twice, killed and resumed, and with what
frozen layers put out kept or computed anew. Each in a process of its own, all at the same time:
what else the card does must not matter either. On made-up images."""

import shutil
import subprocess
import time
from pathlib import Path

from on_gpu.setting import Setting
from on_gpu.study import Study, make_up

NAME = "determinism"
PARAMS = {
    "dataset": "cifar10", "fraction": 1.0, "test_fraction": 1.0, "validation": 0.1, "seeds": [1],
    "model": "resnet18", "init": "scratch", "stem": "cifar", "image_size": 32, "optimizer": "sgd",
    "lr": 0.01, "batch_size": 128, "epochs": 8, "flip": True, "rotation": 10, "crop_padding": 4,
    "runs": {
        "base": {},
        "frozen": {"freeze": {"last": 1}, "rotation": 0, "crop_padding": 0, "model": "mobilenet_v2",
                   "stem": "original", "image_size": 64},
    },
}
IMAGES = 12_000
_REHEARSED = {"epochs": 3, "batch_size": 32, "stem": "original"}
# What is trained apart from the others: its run, and what differs.
TRAININGS: dict[str, tuple[str, dict[str, str]]] = {
    "first": ("base", {}), "second": ("base", {}), "resumed": ("base", {}),
    "kept": ("frozen", {}), "computed": ("frozen", {"UNFREEZE_PREFIX_GB": "0"}),
}
PAIRS = {  # what is shown: the two trainings that must be alike
    "two replicates": ("first", "second"),
    "killed and resumed": ("first", "resumed"),
    "frozen layers' outputs kept or computed anew": ("kept", "computed"),
}


def run(setting: Setting) -> None:
    folder = setting.work / NAME
    images, params = (100, PARAMS | _REHEARSED) if setting.rehearse else (IMAGES, PARAMS)
    start = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)  # what finished in an earlier call would be taken
    made_up = make_up(folder / "made-up", images, images // 10)
    studies, processes = {}, {}
    for name in TRAININGS:
        studies[name] = Study(setting, folder / name, params, made_up / "data",
                              made_up / "weights")
    first = studies["first"]
    first.pin()
    for name, study in studies.items():
        if study is not first:
            _copy(first, study)
        scratch = folder / name / "scratch"
        processes[name] = study.start(TRAININGS[name][0], folder / f"{name}.log",
                                      UNFREEZE_SCRATCH=str(scratch), **TRAININGS[name][1])
    killed = _kill(processes["resumed"], folder / "resumed/scratch/replicates", setting)
    if killed:
        processes["resumed"] = studies["resumed"].start(
            TRAININGS["resumed"][0], folder / "resumed.log",
            UNFREEZE_SCRATCH=str(folder / "resumed/scratch"))
    for process in processes.values():
        _wait(process, setting)
    logs = {name: (folder / f"{name}.log").read_text() for name in TRAININGS}
    shown = {what: _compare(*((studies[name], TRAININGS[name][0], logs[name]) for name in pair))
             for what, pair in PAIRS.items()}
    if not (killed and "goes on after epoch" in logs["resumed"]):
        shown["killed and resumed"] = {"same": None, "why": "it ended before it could be killed"}
    if "prefix cache on" not in logs["kept"]:
        shown["frozen layers' outputs kept or computed anew"] = {
            "same": None, "why": "they were not kept: " + logs["kept"][-300:]}
    setting.write(NAME, {"shown": shown, "images": images, "epochs": params["epochs"],
                         "seconds": round(time.monotonic() - start, 1)})


def _copy(source: Study, study: Study) -> None:
    """What is pinned, from one study to another of the same params."""
    from unfreeze import places

    for place in (places.PLAN, places.SUBSETS, places.RECIPES):
        shutil.copytree(source.folder / place, study.folder / place, dirs_exist_ok=True)


def _kill(process: subprocess.Popen, checkpoints: Path, setting: Setting) -> bool:
    """Kill a training once it has a checkpoint; whether it was still running then."""
    while process.poll() is None and setting.left() > 0:
        if any(checkpoints.glob("*.epoch.pt")):
            process.kill()
            return process.wait() != 0
        time.sleep(0.02)
    return False


def _wait(process: subprocess.Popen, setting: Setting) -> None:
    try:
        process.wait(max(1, setting.left()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _compare(one: tuple[Study, str, str], other: tuple[Study, str, str]) -> dict:
    """{"same": whether all trained models and predictions are the same bytes, "why": if not}"""
    for study, run, log in (one, other):
        if not study.trained(run):
            return {"same": None, "why": f"a training did not end: {log[-1000:]}"}
    first, second = (study.digests(run) for study, run, _ in (one, other))
    differ = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    return {"same": not differ} | ({"why": f"these differ: {differ}"} if differ else {})
