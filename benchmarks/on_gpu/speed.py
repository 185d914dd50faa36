"""Step 3: throughput beside its ceiling and the plain loop (what they are: ../throughput.py), in
turns, on made-up images; where our loop makes the host wait for the card; and the ceiling of the
compiled model."""

import time

from on_gpu.setting import Setting
from on_gpu.workers import Worker, workers

NAME = "throughput"
_CASES = ("mobilenet_v2-224", "resnet18-cifar-32", "resnet50-224", "vit_b_16-224")
# What tells most first.
CELLS = tuple((case, precision, batch_size) for batch_size in (64, 256)
              for precision in ("bf16", "tf32") for case in _CASES)
COMPILED = ("mobilenet_v2-224", "resnet18-cifar-32", "resnet50-224", "vit_b_16-224")
SIDES = ("ours", "step", "plain")
_IMAGES, _ROUNDS, _SECONDS = 20_000, 3, 0.8


def run(setting: Setting) -> None:
    content: dict = {"cells": [], "compiled": [], "not_measured": []}
    if setting.rehearse:
        cells, compiled = [("resnet18-32", "fp32", 8)], []
    else:
        cells, compiled = list(CELLS), list(COMPILED)
    setting.write(NAME, content)
    while cells and setting.left() > 0:
        # A case whose memory is full, say, ends the sides: they begin anew with the next.
        with workers(setting, list(SIDES), setting.work / f"{NAME}.log") as started:
            sides = dict(zip(SIDES, started, strict=True))
            while cells and setting.left() > 0:
                case, precision, batch_size = cell = cells.pop(0)
                try:
                    content["cells"].append(_measure(setting, sides, *cell))
                except RuntimeError as error:
                    content["cells"].append({"case": case, "precision": precision,
                                             "batch_size": batch_size, "failed": str(error)})
                    break
                finally:
                    setting.write(NAME, content)
    content["not_measured"] = [list(cell) for cell in cells]
    while compiled and setting.left() > 60:  # which compiling may take
        case = compiled.pop(0)
        with workers(setting, ["step"], setting.work / f"{NAME}-compiled.log") as (step,):
            try:
                content["compiled"].append(_compiled(step, case, "bf16", 64))
            except RuntimeError as error:
                content["compiled"].append({"case": case, "failed": str(error)})
        setting.write(NAME, content)
    setting.write(NAME, content)


def _measure(setting: Setting, sides: dict[str, Worker], case: str, precision: str,
             batch_size: int) -> dict:
    images, rounds, seconds = (80, 1, 0.1) if setting.rehearse else (_IMAGES, _ROUNDS, _SECONDS)
    order = {"case": case, "batch_size": batch_size, "precision": precision, "images": images}
    for side in sides.values():  # all at once: much of it is work for processors
        side.tell("begin", **order)
    about = {name: side.answer() for name, side in sides.items()}
    cell: dict = {"case": case, "precision": about["ours"]["precision"],
                   "batch_size": batch_size, "images_per_second": [], "memory_bytes": {}}
    for number in range(rounds):
        # The side that goes first changes, so that a drift of the machine favours none.
        turn = [*SIDES[number % len(SIDES):], *SIDES[:number % len(SIDES)]]
        said = {name: sides[name].ask("time", seconds=seconds) for name in turn}
        cell["images_per_second"].append(
            {name: round(said[name]["images_per_second"], 1) for name in SIDES})
        cell["memory_bytes"] = {name: said[name]["memory_bytes"] for name in SIDES}
    cell["waits"] = sides["ours"].ask("waits")["waits"]
    return cell


def _compiled(step: Worker, case: str, precision: str, batch_size: int) -> dict:
    """The bare step of the compiled model, with CUDA graphs."""
    start = time.monotonic()
    step.ask("begin", case=case, batch_size=batch_size, precision=precision, images=_IMAGES,
             compile=True)
    step.ask("time", seconds=0.1)
    compiling = time.monotonic() - start
    speeds = [round(step.ask("time", seconds=_SECONDS)["images_per_second"], 1)
              for _ in range(_ROUNDS)]
    return {"case": case, "precision": precision, "batch_size": batch_size,
            "images_per_second": speeds, "until_compiled_seconds": round(compiling, 1)}
