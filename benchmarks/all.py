"""What users wait for, measured one after another on this machine: throughput of training beside
other loops, the prefix cache, start-up, a `dvc repro` with nothing to do (which needs the project
committed and up to date). An idle machine, please: about an hour on two slow cores.

The throughput is kept as throughput.json, and drawn as throughput.svg: every loop's part of the
ceiling, which is the model's bare step on a batch that is there.

Usage: python benchmarks/all.py [--rounds 3] [--timm path/to/pytorch-image-models] [--folder FOLDER]
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE)]

import throughput  # noqa: E402
from unfreeze.stage import run_stage  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timm", type=Path, help="a checkout of pytorch-image-models")
    parser.add_argument("--folder", type=Path, default=HERE, help="for throughput.json and .svg")
    options = parser.parse_args()
    rounds, found = ["--rounds", str(options.rounds)], options.folder / "throughput.json"
    timm = ["--timm", str(options.timm)] if options.timm else []
    options.folder.mkdir(parents=True, exist_ok=True)
    run("throughput", "--cases", *throughput.CASES, *rounds, *timm, "--json", str(found))
    draw(json.loads(found.read_text()), options.folder / "throughput.svg")
    for name in ("prefix_cache", "startup", "noop"):
        run(name, *rounds)


def run(name: str, *arguments: str) -> None:
    print(f"\n== benchmarks/{name}.py {' '.join(arguments)}", flush=True)
    if subprocess.run([sys.executable, str(HERE / f"{name}.py"), *arguments]).returncode:
        sys.exit(f"error: benchmarks/{name}.py failed, see above")


def draw(results: dict, file: Path) -> None:
    """Bars: for each case, what part of the ceiling each loop reaches; medians over the rounds, and
    a line from the smallest to the largest."""
    from unfreeze.reporting.figures.pixels import plt

    plt.rcParams |= {"svg.hashsalt": "unfreeze", "svg.fonttype": "none", "legend.fontsize": 9,
                     "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
                     "axes.axisbelow": True, "grid.color": "#e0e0e0"}
    sides = {"ours": ("unfreeze", "#0072B2"), "timm+": ("timm, best flags", "#009E73"),
             "timm": ("timm, defaults", "#56B4E9"), "plain": ("plain loop", "#777777")}
    figure, axes = plt.subplots(figsize=(8, 1 + 0.9 * len(results)))
    height = 0.8 / len(sides)
    for row, result in enumerate(results.values()):
        for place, (side, (name, colour)) in enumerate(sides.items()):
            if side not in result["images_per_second"][0]:
                continue
            parts = [each[side] / each["step"] for each in result["images_per_second"]]
            middle = statistics.median(parts)
            y = row + (place - (len(sides) - 1) / 2) * height
            axes.barh(y, middle, height * 0.9, color=colour, label=name if row == 0 else None)
            axes.plot([min(parts), max(parts)], [y, y], color="black", linewidth=1)
            axes.text(max(parts) + 0.01, y, f"{middle:.2f}", va="center", fontsize=8)
    axes.axvline(1, color="black", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(results)), [
        f"{model}{', CIFAR stem' if stem == 'cifar' else ''}\n{size} px"
        for model, stem, size in (throughput.CASES[case] for case in results)])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel("images per second, as a part of the model's bare step (dashed)")
    axes.set_title(next(iter(results.values()))["machine"], fontsize=9)
    figure.legend(loc="outside lower center", ncols=len(sides), frameon=False)
    figure.savefig(file, metadata={"Date": None}, dpi=150)


if __name__ == "__main__":
    run_stage(main)
