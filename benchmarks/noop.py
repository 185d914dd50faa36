"""A `dvc repro` with nothing to do: this project's pipeline beside the same graph of empty stages,
and beside itself without studies/.

The floor of a no-op is DVC's own: starting, reading dvc.yaml and asking the disk about every
dependency and output. So the project is compared with a twin that has its stages, dependencies,
parameters and output names, but whose commands only make tiny files. Both live in temporary git
repositories:

    project   a clone at HEAD, its outputs checked out from the project's DVC cache
    twin      a clone at HEAD whose dvc.yaml got the empty commands, reproduced once
    alone     the same as project, without studies/, each a DVC project of its own, which the
              root's commands do not read

They take turns, and the order is turned round every time. The project must be committed and up to
date; if it is not, this says so and stops, and nothing is trained.

Usage: python benchmarks/noop.py [--rounds 13]
"""

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path, PurePosixPath

import yaml

ROOT = Path(__file__).resolve().parents[1]
DVC = [sys.executable, "-m", "dvc"]
UP_TO_DATE = "Data and pipelines are up to date."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=13)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="unfreeze-noop-") as folder:
        repositories = {name: Path(folder) / name for name in ("project", "twin", "alone")}
        for repository in repositories.values():
            _run(["git", "clone", "--quiet", str(ROOT), str(repository)], ROOT)
            # DVC's notes on files (its state) too belong to the temporary folder.
            _configure(repository, "core.site_cache_dir", str(Path(folder) / "site"))
        shutil.rmtree(repositories["alone"] / "studies", ignore_errors=True)
        stages = _bring_up_to_date(repositories["project"])
        _bring_up_to_date(repositories["alone"])
        _make_twin(repositories["twin"])
        studies = len(list(repositories["project"].glob("studies/**/dvc.yaml")))
        print(f"{stages} stages, and {studies} projects in studies/; load average before the "
              f"rounds: {os.getloadavg()[0]:.1f} of {os.cpu_count()} processors", flush=True)
        seconds = _measure(repositories, rounds)
    print(_table(seconds))


def _bring_up_to_date(project: Path) -> int:
    """Check the outputs out and make sure that nothing is left to do; the number of stages."""
    if not (project / "dvc.lock").is_file():
        sys.exit("error: the project's HEAD has no dvc.lock; run `dvc repro` and commit it")
    cache = _run([*DVC, "cache", "dir"], ROOT).strip()
    _configure(project, "cache.dir", cache)
    # Not from the cache come links to the user's own images; plan makes them, and takes a second.
    # --dry, so that a project that is not up to date is found out without training anything.
    checkout = subprocess.run([*DVC, "checkout", "dvc.yaml"], cwd=project, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    _run([*DVC, "repro", "--quiet", "plan"], project)
    dry = subprocess.run([*DVC, "repro", "--dry"], cwd=project, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if checkout.returncode or UP_TO_DATE not in dry.stdout:
        sys.exit(f"{checkout.stdout}{dry.stdout}\nerror: the project's HEAD is not up to date (see "
                 "above); run `dvc repro`, commit, and start this again")
    return len(yaml.safe_load((project / "dvc.lock").read_text())["stages"])


def _make_twin(twin: Path) -> None:
    """Give every stage an empty command, and run them all once."""
    lock = yaml.safe_load((twin / "dvc.lock").read_text())["stages"]
    pipeline = yaml.safe_load((twin / "dvc.yaml").read_text())
    read = {dep["path"] for stage in lock.values() for dep in stage.get("deps", [])}
    for stage in pipeline["stages"].values():
        definition = stage.get("do", stage)
        definition["cmd"] = [command for out in definition["outs"] for command in _make(out, read)]
    (twin / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    (twin / "dvc.lock").unlink()
    _run([*DVC, "repro", "--quiet"], twin)


def _make(out: str | dict, read: set[str]) -> list[str]:
    """Shell commands that make one declared output.

    An output without a suffix is a folder; it gets the files that other stages depend on, which
    dvc.lock names in full (dvc.yaml has `_made/pinned/${key}.yaml`).
    """
    (path,) = [out] if isinstance(out, str) else out
    if PurePosixPath(path).suffix:
        # Not quoted whole: DVC fills in the ${key} of a foreach stage before the shell sees it.
        return [f'mkdir -p "{PurePosixPath(path).parent}"', f'echo > "{path}"']
    inside = sorted(file for file in read if path in map(str, PurePosixPath(file).parents))
    files = inside or [f"{path}/empty"]
    return [f"mkdir -p {shlex.quote(path)}", *(f"echo > {shlex.quote(file)}" for file in files)]


def _measure(repositories: dict[str, Path], rounds: int) -> dict[str, list[float]]:
    """Seconds of each no-op; the round before the first fills DVC's state and is not counted."""
    seconds = {name: [] for name in repositories}
    for number in range(-1, rounds):
        for name in list(repositories)[::1 if number % 2 == 0 else -1]:
            start = time.perf_counter()
            output = _run([*DVC, "repro"], repositories[name])
            took = time.perf_counter() - start
            if UP_TO_DATE not in output:
                sys.exit(f"{output}\nerror: this was no no-op of the {name}")
            if number >= 0:
                seconds[name].append(took)
    return seconds


def _table(seconds: dict[str, list[float]]) -> str:
    lines = [f"{name:8} {statistics.median(took):6.2f} s   ({min(took):.2f}..{max(took):.2f})"
             for name, took in seconds.items()]
    for other, title in (("twin", "project beside its twin"),
                         ("alone", "with and without studies/")):
        ratios = [a / b for a, b in zip(seconds["project"], seconds[other], strict=True)]
        lines.append(f"{title}: {statistics.median(ratios):.2f} "
                     f"({min(ratios):.2f}..{max(ratios):.2f}), median over {len(ratios)} rounds")
    return "\n".join(lines)


def _configure(repository: Path, key: str, value: str) -> None:
    _run([*DVC, "config", "--local", key, value], repository)


def _run(command: list[str], folder: Path) -> str:
    """Run a command; its standard output, or the end with its error shown."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\nerror: {' '.join(command)} failed in {folder}")
    return done.stdout


if __name__ == "__main__":
    main()
