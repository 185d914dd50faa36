"""A training loop in a process of its own, which does what it is told, a JSON line each:

    {"do": "begin", "case", "batch_size", "precision", "images", "compile"}   -> {"precision"}
    {"do": "time", "seconds"}   -> {"images_per_second", "steps", "memory_bytes": at most}
    {"do": "waits"}             -> {"waits": {place in the code: times a step that the host waits
                                   there for the device}}

One process for all cases: a start takes longer than a case. Usage: side.py SIDE, one of SIDES.
"""

import argparse
import collections
import gc
import json
import os
import sys
import warnings
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCHMARKS.parent / "src"), str(BENCHMARKS)]

import throughput  # noqa: E402

SIDES = ("plain", "ours", "step")
throughput.CASES.update({
    "mobilenet_v2-224": ("mobilenet_v2", "original", 224),
    "resnet50-224": ("resnet50", "original", 224),
    "resnet18-32": ("resnet18", "original", 32),
})


def main() -> None:
    (side,) = sys.argv[1:]
    doing = Side(side)
    for line in sys.stdin:
        order = json.loads(line)
        answer = getattr(doing, order.pop("do"))(**order)
        print(json.dumps(answer), flush=True)


class Side:
    def __init__(self, name: str) -> None:
        import torch

        self._torch, self._name, self._portion, self._largest = torch, name, None, 0
        self._cuda = torch.cuda.is_available()

    def begin(self, case: str, batch_size: int, precision: str, images: int,
              compile: bool = False) -> dict:
        torch = self._torch
        self._portion = None
        self._tidy()
        os.environ["UNFREEZE_PRECISION"] = precision
        options = argparse.Namespace(cases=[case], batch_size=batch_size, images=images,
                                     device="cuda" if self._cuda else "cpu")
        self._batch_size = batch_size
        self._largest = images // batch_size - throughput.WARM_UP
        if self._name == "plain":  # as torch has it, but for what the write-ups cannot have meant
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = True
        if compile:
            self._portion, about = throughput.step(
                case, options, lambda model: torch.compile(
                    model, dynamic=False, mode="reduce-overhead" if self._cuda else "default"))
        else:
            self._portion, about = getattr(throughput, self._name)(
                case, options, *([] if self._name == "step" else [throughput.made_up(images)]))
        self._speed = None
        return {"precision": about.get("precision")}

    def time(self, seconds: float) -> dict:
        if self._cuda:
            self._torch.cuda.reset_peak_memory_stats()
        if self._speed is None:
            steps = min(3, self._largest)
            self._portion(1)  # the very first steps choose algorithms and take memory
            self._speed = steps / self._portion(steps)
        steps = max(1, min(round(seconds * self._speed), self._largest))
        took = self._portion(steps)
        self._speed = steps / took
        memory = throughput.memory()
        self._tidy()  # or what it keeps for its next step would be missing to the other sides
        return {"images_per_second": steps * self._batch_size / took, "steps": steps,
                "memory_bytes": memory}

    def waits(self) -> dict:
        if not self._cuda:
            return {"waits": {}}
        few, more = (self._count_waits(steps) for steps in (5, 15))
        more.subtract(few)
        return {"waits": {place: count / 10 for place, count in more.items() if count > 0}}

    def _count_waits(self, steps: int) -> collections.Counter:
        cuda = self._torch.cuda
        self._portion(1)
        cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self._portion(steps)
        finally:
            cuda.set_sync_debug_mode("default")
        return collections.Counter(
            f"{os.path.relpath(warning.filename, BENCHMARKS.parent)}:{warning.lineno}"
            for warning in caught if "synchroniz" in str(warning.message))

    def _tidy(self) -> None:
        gc.collect()
        if self._cuda:
            self._torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
