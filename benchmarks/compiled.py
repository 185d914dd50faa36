"""torch.compile beside the model as it is: seconds of a training step, in turns, and what compiling
takes. From both follows how many operations must lie ahead for it to pay (training/compiled.py).

Usage: python benchmarks/compiled.py [--cases mobilenet_v2-96 ...] [--rounds 5]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE)]
# What an earlier call compiled would come from there.
os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(prefix="unfreeze-inductor-")

import torch  # noqa: E402

from throughput import CASES, bare_step, build  # noqa: E402
from unfreeze.data.catalogue import cifar10  # noqa: E402
from unfreeze.stage import run_stage  # noqa: E402
from unfreeze.training import compiled, cost, devices  # noqa: E402

WARM_UP = 3  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES)[:3])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    options = parser.parse_args()
    device = devices.pick()
    print(f"{device.name}, {device.precision}, torch {torch.__version__}, batch "
          f"{options.batch_size}; load average {os.getloadavg()[0]:.1f}")
    print(f"{'case':20}{'step, s':>9}{'compiled':>10}{'ratio':>7}{'min..max':>12}"
          f"{'compiling, s':>14}{'pays after, operations':>24}")
    for case in options.cases:
        compile_it = partial(compiled.Compiled, batch_size=options.batch_size, accumulate=1,
                             device=device)
        sides = {"plain": bare_step(case, options.batch_size, device),
                 "compiled": bare_step(case, options.batch_size, device, compile_it)}
        # CUDA graphs are recorded in the steps after the first.
        first = {name: sum(timed(step, device) for _ in range(WARM_UP))
                 for name, step in sides.items()}
        rounds = []
        for number in range(options.rounds):
            order = list(sides)[::1 if number % 2 else -1]
            rounds.append({name: timed(sides[name], device) for name in order})
        plain, own = (statistics.median(each[name] for each in rounds) for name in sides)
        ratios = [each["plain"] / each["compiled"] for each in rounds]
        compiling = first["compiled"] - WARM_UP * own
        pays = "never" if own >= plain else (
            f"{compiling / (plain - own) * operations(case, options.batch_size):.0e}")
        print(f"{case:20}{plain:9.3f}{own:10.3f}{statistics.median(ratios):7.2f}"
              f"{f'{min(ratios):.2f}..{max(ratios):.2f}':>12}{compiling:14.0f}{pays:>24}",
              flush=True)


def timed(step: Callable[[], None], device: devices.Device) -> float:
    """Seconds of a step."""
    start = time.perf_counter()
    step()
    device.synchronize()
    return time.perf_counter() - start


def operations(case: str, batch_size: int) -> int:
    """Of a training step."""
    counted = cost.count(build(case), CASES[case][2], batch_size, len(cifar10.CLASSES))
    return (counted["flops_forward"] + counted["flops_backward"]) * batch_size


if __name__ == "__main__":
    run_stage(main)
