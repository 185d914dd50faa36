"""Everything that only a GPU can show, in one go: for a machine with a CUDA GPU and nothing but
this checkout, Python, torch and torchvision. No network, no DVC.

    python benchmarks/gpu.py pack FOLDER     here: what such a machine needs, in parts under 50 MB
    python benchmarks/gpu.py run             there (or `make gpu`): the steps, within --minutes
    python benchmarks/gpu.py keep FOLDER     here: what came back, into benchmarks/gpu.json,
                                             docs/gpu.md and studies/NAME/gpu/

The steps, in the order of their worth, each with a file of its own, written as soon as there is
something to write:

    tests         the tests marked cuda                                tests.json, tests.log
    determinism   the same bytes, whatever else happens                determinism.json
    throughput    beside its ceiling and the plain loop                throughput.json
    several       several runs at once on one GPU                      several.json
    published     studies at their published settings     published.json, published-STUDY.zip

`--rehearse` runs all of them at a tiny scale, on a CPU too. One GPU tests no NCCL: training by
several processes stays untested.
"""

import argparse
import importlib
import json
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE)]

from on_gpu import inputs  # noqa: E402
from on_gpu.setting import ROOT, Setting, machine, write_json  # noqa: E402
from unfreeze import places  # noqa: E402

# Name, module, and the most of the whole time that it may take.
STEPS = (("tests", "tests", 0.3), ("determinism", "determinism", 0.15),
         ("throughput", "speed", 0.33), ("several", "several", 0.1),
         ("published", "published", 1.0))
_LEAST = 5  # seconds in which a step may find something


def main() -> None:
    options = _options()
    {"pack": _pack, "run": _run, "keep": _keep}[options.command](options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="the steps, on a machine with a GPU")
    run.add_argument("--minutes", type=float, help="for all of them; 9, without end in a rehearsal")
    run.add_argument("--steps", nargs="+", choices=[name for name, *_ in STEPS],
                     default=[name for name, *_ in STEPS])
    run.add_argument("--inputs", type=Path, default=ROOT / places.MADE,
                     help="folder of parts made by `pack`, or with data/ and weights/")
    run.add_argument("--results", type=Path, help="folder for what is to be kept")
    run.add_argument("--work", type=Path, help="folder for all else; a later call goes on there")
    run.add_argument("--rehearse", action="store_true", help="at a tiny scale, on a CPU too")

    pack = commands.add_parser("pack", help="what such a machine needs, in parts")
    pack.add_argument("folder", type=Path)
    pack.add_argument("--source", type=Path, default=ROOT / places.MADE,
                      help="folder with data/ and weights/")
    pack.add_argument("--python", default="3.12", help="version of Python there")
    pack.add_argument("--no-wheels", action="store_true", help="all is installed there")

    keep = commands.add_parser("keep", help="what came back")
    keep.add_argument("folders", type=Path, nargs="+", help="of several calls, the last one last")
    keep.add_argument("--data", type=Path, default=ROOT / places.DATA,
                      help="folder with cifar10/, as it was trained on")
    keep.add_argument("--into", type=Path, default=ROOT, help="another place, to look at it first")
    return parser.parse_args()


def _pack(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as wheels:
        if not options.no_wheels:
            inputs.fetch_wheels(Path(wheels), options.python)
        made = inputs.pack(options.folder, options.source / places.DATA.name,
                           options.source / places.WEIGHTS.name, Path(wheels))
    for part in made:
        print(f"{part}: {part.stat().st_size / 1e6:.1f} MB")


def _run(options: argparse.Namespace) -> None:
    start = time.monotonic()
    minutes = options.minutes or (float("inf") if options.rehearse else 9)
    folder = ROOT / places.MADE / ("gpu-rehearsal" if options.rehearse else "gpu")
    setting = Setting(
        (options.results or folder / "results").resolve(),
        (options.work or folder / "work").resolve(), options.inputs.resolve(),
        rehearse=options.rehearse, end=start + 60 * minutes)
    setting.results.mkdir(parents=True, exist_ok=True)
    setting.work.mkdir(parents=True, exist_ok=True)
    _bring_packages(setting)
    setting.machine = machine()
    if "cuda" not in setting.machine and not setting.rehearse:
        sys.exit("error: there is no CUDA GPU here; `--rehearse` does without")
    print(", ".join(f"{name}: {value}" for name, value in setting.machine.items()), flush=True)
    for name, module, share in STEPS:
        if name in options.steps:
            _step(name, module, setting, share * 60 * minutes)
    print(f"{time.monotonic() - start:.0f} s in all; to be kept: {setting.results}")


def _bring_packages(setting: Setting) -> None:
    """What is not installed here, from the wheels among the inputs."""
    lacking = inputs.lacking_packages()
    if not lacking:
        return
    try:
        wheels = inputs.unpack(setting.inputs, setting.work) / "wheels"
    except ValueError as error:
        sys.exit(f"error: {', '.join(lacking)} is not installed here, and {error}")
    setting.site = inputs.install(wheels, setting.work)
    sys.path.append(str(setting.site))
    importlib.invalidate_caches()


def _step(name: str, module: str, setting: Setting, seconds: float) -> None:
    from on_gpu import table

    started = time.monotonic()
    own = replace(setting, end=min(setting.end, started + seconds))
    file = setting.results / f"{name}.json"
    if setting.left() < _LEAST:
        print(f"\n== {name}: no time is left", flush=True)
        return
    print(f"\n== {name}, {min(seconds, setting.left()):.0f} s at most", flush=True)
    file.unlink(missing_ok=True)  # of another call
    try:
        importlib.import_module(f"on_gpu.{module}").run(own)
    except Exception:  # the next steps do not need it
        content = json.loads(file.read_text()) if file.is_file() else {"machine": setting.machine}
        write_json(file, content | {"failed": traceback.format_exc()[-5000:]})
    print(table.section(name, json.loads(file.read_text())))
    print(f"{time.monotonic() - started:.0f} s", flush=True)


def _keep(options: argparse.Namespace) -> None:
    from on_gpu import keep

    for line in keep.keep(options.folders, options.data, options.into.resolve()):
        print(line, flush=True)


if __name__ == "__main__":
    main()
