"""What becomes of a study when it is killed, its files are damaged, its disk or its memory is full,
or two commands work on it at once: at the end its metrics are the same bytes, and every damaged
byte was noticed.

Usage: python tests/faults.py FOLDER [--kills 200] [--seed 0] [--only damage limits kills files] \\
    [--minutes 7] [--table docs/faults.md]
FOLDER: an empty one, for the study, which is tiny; or one of an earlier call. --minutes: then the
kills stop, and the same command goes on. --table: the tables in a file that has their marks are
written anew.
"""

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

import own_files  # noqa: E402
import warm  # noqa: E402
from conftest import Project, fill_mirror, make_project  # noqa: E402
from unfreeze import files, mending  # noqa: E402

RUNS = """runs:
  base: {}
  head: {freeze: last_only}
  photos: {dataset: PHOTOS, model: tiny_b, init: CHECKPOINT, epochs: 1, test_fraction: 1}
compare: {}
claims: [base > head]
budget: {parameters_trainable: 1000}
"""
MARKS = ("<!-- the table of tests/faults.py -->\n", "<!-- its end -->\n")
FILES_MARKS = ("<!-- the files of tests/own_files.py -->\n", "<!-- these are all -->\n")
KILLS_MARKS = ("<!-- the kills of tests/faults.py -->\n", "<!-- their end -->\n")


def make(folder: Path) -> Project:
    """A tiny study: arrays and photos, official weights and a checkpoint, a frozen run."""
    fill_mirror(folder / "mirror")
    project = make_project(folder / "study", folder / "mirror", folder / "scratch")
    params = project.folder / "params.yaml"
    text = params.read_text()
    # By absolute paths, as `dvc exp run --temp` needs them of what DVC does not track.
    runs = RUNS.replace("PHOTOS", str(folder / "photos")).replace(
        "CHECKPOINT", str(project.folder / "start.pth"))
    params.write_text(text[:text.index("runs:\n")] + runs)
    for label, name in enumerate(("cat", "dog")):
        for number in range(10):
            file = folder / "photos" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            shade = np.random.default_rng([label, number]).integers(0, 99, (9, 9, 3))
            content = io.BytesIO()
            Image.fromarray((shade + 100 * label).astype(np.uint8)).save(content, "PNG")
            file.write_bytes(content.getvalue())
    shutil.copy(folder / "mirror/tiny_b.pth", project.folder / "start.pth")
    (project.folder / ".gitignore").open("a").write("/start.pth\n")
    project.commit("study")
    return project


def metrics(project: Project) -> str:
    """Digest of what a study came to."""
    digest = hashlib.sha256()
    for folder in ("metrics", "recipes", "plots/tables"):
        for file in sorted((project.folder / folder).rglob("*.*")):
            digest.update(file.relative_to(project.folder).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


# --- Killed


def kill(project: Project, command: tuple[str, ...], after: float) -> str:
    """Start a command and kill its process group; where the project is warm, the processes that
    the server has started for it too.

    Returns:
        What was at work then, such as "train.py"; "" where it had ended before.
    """
    environment = dict(project.environment)
    if project.warm:
        environment["PATH"] = f"{warm.path()}{os.pathsep}{environment['PATH']}"
    process = subprocess.Popen(command, cwd=project.folder, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        at_work = stage_of(project.folder) or "DVC itself"
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()  # until none is left that could write
        return at_work
    return ""


def stage_of(study: Path) -> str:
    """The script of stages/ that is at work in a study, "" for none."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode(errors="replace").split("\0")
            script = next((word for word in words if "stages/" in word), "")
            if script and os.readlink(place / "cwd") == str(study):
                return script.partition("stages/")[2].partition(" ")[0].strip("'\"")
        except OSError:  # it has just ended
            continue
    return ""


def mended(project: Project) -> bool:
    """Whether dvc.lock was half written; then it is whole again."""
    os.environ["UNFREEZE_SCRATCH"] = project.environment["UNFREEZE_SCRATCH"]
    mending.mend_list(project.folder)
    return bool(mending.mend_lock(project.folder))


def forget(project: Project, cache: bool) -> None:
    """All that was made: all of it, or all but DVC's cache and the scratch folder."""
    shutil.rmtree(project.folder / "_made", ignore_errors=True)
    for name in ("metrics", "recipes", "choices", "plots/tables"):
        shutil.rmtree(project.folder / name, ignore_errors=True)
    (project.folder / "dvc.lock").unlink(missing_ok=True)
    if not cache:
        shutil.rmtree(project.folder / ".dvc/cache", ignore_errors=True)
        shutil.rmtree(project.environment["UNFREEZE_SCRATCH"], ignore_errors=True)


def kills(project: Project, count: int, seed: int, minutes: float = float("inf"),
          command: tuple[str, ...] = ("dvc", "repro", "summarize")) -> dict:
    """Kill a command at moments that are spread evenly over the time that it takes, until it ends;
    from nothing, and where all comes from the cache, in turns. It goes on where it stopped.

    Args:
        count: of the kills. minutes: after so many, no round is begun.

    Returns:
        What is kept in kills.json of the folder, too.
    """
    start, kept = time.monotonic(), project.folder.parent / "kills.json"
    state = json.loads(kept.read_text()) if kept.exists() else {
        "kills": 0, "rounds": 0, "from the cache": 0, "cold": 0, "dvc.lock mended": 0,
        "other metrics": 0, "expected": metrics(project), "usual": {}, "at work": {}}
    while state["kills"] < count and time.monotonic() - start < minutes * 60:
        _round(project, count, random.Random(f"{seed} {state['rounds']}"), command, state)
        files.write_json(kept, state)
        print(" ".join(f"{name}: {value}," for name, value in state.items()
                       if isinstance(value, int)), f"{time.monotonic() - start:.0f} s", flush=True)
    return state


_MOST = 8  # kills of a round
_STARTED = {True: 0.3, False: 1.5}  # seconds, until DVC begins with its first stage; warm, or cold


def _round(project: Project, count: int, numbers: random.Random, command: tuple[str, ...],
           state: dict) -> None:
    """Killed until it ends. Every fifth round starts all processes cold, as a user does, and every
    tenth trains two replicates side by side."""
    number = state["rounds"]
    cache = bool(number % 2)
    project.warm = number % 5 != 4
    project.environment["UNFREEZE_SLOTS"] = "2" if number % 10 == 4 else "1"
    forget(project, cache)
    kind = f"{'from the cache' if cache else 'from nothing'}, {'warm' if project.warm else 'cold'}"
    usual, spent = state["usual"].get(kind, 20 if project.warm else 60), 0.0
    before = state["kills"]
    for _ in range(min(_MOST, count - before)):
        begun = time.monotonic()
        at_work = kill(project, command, numbers.uniform(0.1, max(usual - spent, usual / 4)))
        spent += max(time.monotonic() - begun - _STARTED[project.warm], 0)
        if not at_work:
            break
        state["kills"] += 1
        state["from the cache"] += cache
        state["cold"] += not project.warm
        state["at work"][at_work] = state["at work"].get(at_work, 0) + 1
        state["dvc.lock mended"] += mended(project)
    begun = time.monotonic()
    project.run(*command)
    # Where nothing is killed, a round takes so long; else about.
    took = spent + time.monotonic() - begun
    state["usual"][kind] = (usual + took) / 2 if state["kills"] > before else took
    state["rounds"] += 1
    state["other metrics"] += metrics(project) != state["expected"]


def kills_table(state: dict) -> str:
    lines = ["| at work when it was killed | kills |", "|---|---:|"]
    lines += [f"| {what} | {number} |" for what, number in
              sorted(state["at work"].items(), key=lambda item: (-item[1], item[0]))]
    return "\n".join([
        *lines, "",
        f"{state['kills']} kills in {state['rounds']} rounds, {state['from the cache']} of them "
        f"where all came from the cache, {state['cold']} with processes that were started cold; a "
        f"dvc.lock that was left half written was mended {state['dvc.lock mended']} times; "
        f"{state['other metrics']} rounds ended with other metrics.", ""])


# --- Damaged


@dataclass(frozen=True)
class Kept:
    """A kind of file that is kept.

    Attributes:
        kind: in words. pattern: of the file, below the study's folder or that of all.
        command: what reads it, or looks for damage.
        before: what is done first, so that it is read.
    """

    kind: str
    pattern: str
    command: tuple[str, ...]
    before: tuple[str, ...] = ()


_TRAIN = ("python", "stages/train.py")
_MEND = ("unfreeze", "mend", "--bytes")
KINDS = (
    Kept("predictions", "study/_made/runs/base/predictions.npz", _MEND),
    Kept("trained model", "study/_made/runs/base/model.safetensors", _MEND),
    Kept("history of a run", "study/_made/runs/base/history.csv", _MEND),
    Kept("plan", "study/_made/plan/runs.yaml", _MEND),
    Kept("what determines a run", "study/_made/pinned/base.yaml", _MEND),
    Kept("DVC's cache", "study/.dvc/cache/files/md5/??/*", _MEND),
    # Before what comes after it is tried it is deleted, so that something is read.
    Kept("finished replicate", "scratch/replicates/*.done", (*_TRAIN, "base")),
    Kept("arrays of a dataset", "study/_made/data/tiny/train_images.npy", (*_TRAIN, "base"),
         ("replicates",)),
    Kept("labels of a dataset", "study/_made/data/tiny/train_labels.npy", (*_TRAIN, "base"),
         ("replicates",)),
    Kept("decoded photos", "study/_made/decoded/*/train_images.npy", (*_TRAIN, "photos"),
         ("replicates",)),
    Kept("official weights", "study/_made/weights/tiny_a.safetensors", (*_TRAIN, "base"),
         ("replicates",)),
    Kept("own checkpoint, as taken over", "study/_made/weights/own-*.safetensors",
         (*_TRAIN, "photos"), ("replicates",)),
    Kept("subset", "study/_made/subsets/*tiny*.json", (*_TRAIN, "base"), ("replicates",)),
    Kept("outputs of frozen layers", "scratch/prefixes/*.npy", (*_TRAIN, "head"),
         ("replicates",)),
    Kept("what a scan of photos found", "scratch/scans/*.json", ("python", "stages/plan.py")),
    Kept("recipe", "study/recipes/base.yaml", ("git", "diff", "--exit-code", "recipes")),
    Kept("own photo", "photos/cat/1.png", ("dvc", "status", "plan")),
    Kept("own checkpoint", "study/start.pth", ("dvc", "status", "plan")),
)
# Which of these keep their time: a fault of a disk changes none, an editor does.
_EDITED = ("own photo", "own checkpoint")


def flip(file: Path, numbers: random.Random, keep_time: bool) -> None:
    """Change one bit of a file, through no link that shares it."""
    status, content = file.stat(), bytearray(file.read_bytes())
    content[numbers.randrange(len(content))] ^= 1 << numbers.randrange(8)
    mode = file.stat().st_mode
    file.unlink()  # DVC's cache may hold the same file under another name
    file.write_bytes(content)
    file.chmod(mode)
    if keep_time:
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def files_of(project: Project, kept: Kept) -> list[Path]:
    """The files that are damaged, perhaps none: the largest of a kind; of the scratch folder all,
    since their names do not say whose they are."""
    pattern = kept.pattern.replace("study/", f"{project.folder.name}/", 1)
    files = sorted(project.folder.parent.glob(pattern), key=lambda file: file.stat().st_size)
    return files if pattern.startswith("scratch/") else files[-1:]


def damage(project: Project, kept: Kept, numbers: random.Random) -> tuple[bool, str]:
    """Whether a changed bit was noticed, and what the command said of it or did."""
    files = files_of(project, kept)
    file = files[-1]
    sound = file.read_bytes()
    for name in kept.before:
        shutil.rmtree(project.folder.parent / "scratch" / name, ignore_errors=True)
    for each in files:
        flip(each, numbers, keep_time=kept.kind not in _EDITED)
    status, output = project.try_run(*kept.command)
    name = file.name
    if "Traceback" in output:
        return False, "a traceback"
    if "was damaged, " in output and name in output:
        return True, "taken away, to be made anew"
    if status == 0 and "modified:" in output and "_made/watched" in output:
        return True, "shown as modified; `dvc repro` notes it"
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    if status and errors:
        return True, "refused in one line, which names it"
    if status and kept.command[0] == "git":
        return True, "shown by git, written anew by `dvc repro`"
    # What is made anew: the same bytes again.
    if status == 0 and file.exists() and file.read_bytes() == sound:
        return True, "made anew"
    if status == 0 and kept.kind == "finished replicate" and "finished before" not in output:
        return True, "thrown away, trained again"
    if status == 0 and kept.kind == "outputs of frozen layers" and "earlier run" not in output:
        return True, "thrown away, computed again"
    return False, f"exit status {status}"


def damages(project: Project, numbers: random.Random,
            kinds: tuple[Kept, ...] = KINDS) -> Iterator[tuple[Kept, bool, str]]:
    """Each kind in turn, brought back in between."""
    for kept in kinds:
        sound = {file: file.read_bytes() for file in files_of(project, kept)}
        noticed, how = damage(project, kept, numbers)
        for file, content in sound.items():
            if not file.exists() or file.read_bytes() != content:
                file.unlink(missing_ok=True)
                file.write_bytes(content)
        print(f"{kept.kind}: {'noticed' if noticed else 'NOT NOTICED'}: {how}", flush=True)
        yield kept, noticed, how


def all_damaged(project: Project, numbers: random.Random) -> bool:
    """Whether a study of which all kinds are damaged at once comes to the same; what is the
    user's own is not."""
    expected = metrics(project)
    for kept in KINDS:
        if kept.kind not in _EDITED:
            for file in files_of(project, kept):
                flip(file, numbers, keep_time=True)
    project.run("git", "checkout", "-q", "--", "recipes")
    print(project.run("unfreeze", "mend", "--bytes"))
    project.run("dvc", "repro", "summarize")
    right = metrics(project) == expected
    print(f"all at once: {'the same metrics' if right else 'OTHER METRICS'}", flush=True)
    return right


def table(rows: list[tuple[Kept, bool, str]]) -> str:
    lines = ["| one bit changed in | noticed by | what it does |", "|---|---|---|"]
    for kept, noticed, how in rows:
        what = how if noticed else f"**not noticed**: {how}"
        lines.append(f"| {kept.kind} | `{' '.join(kept.command)}` | {what} |")
    return "\n".join(lines) + "\n"


# --- No room, no memory, two at once


def limits(project: Project) -> Iterator[tuple[str, bool]]:
    """(what was tried, whether it ended as it should and the metrics are the same in the end)."""
    expected = metrics(project)

    def tried(words: str, work: Callable[[], bool]) -> tuple[str, bool]:
        forget(project, cache=False)
        right = work()
        mended(project)
        project.run("dvc", "repro", "summarize")
        right = right and metrics(project) == expected
        print(f"{words}: {'right' if right else 'WRONG'}", flush=True)
        return words, right

    def limited(limit: str) -> Callable[[], bool]:
        """Under a limit of the shell's it fails, and says why in a line."""
        def work() -> bool:
            status, output = project.try_run(
                "bash", "-c", f"ulimit {limit}; exec dvc repro summarize")
            return status != 0 and "Traceback" not in output and (
                "error: " in output or "ERROR: " in output)
        return work

    for blocks in (1, 8, 40):
        yield tried(f"no file may have more than {blocks} kB",
                    limited(f"-f {blocks}"))
    if os.geteuid() == 0 and shutil.which("mount"):
        yield tried("a disk of 200 kB is full", lambda: _on_a_small_disk(project))
    # torch needs more to be imported, to compute, and for a batch.
    for megabytes in (600, 2000, 3000, 3300):
        yield tried(f"memory for {megabytes} MB of addresses", limited(f"-v {megabytes * 1000}"))
    yield tried("two commands at once", lambda: _two(project))


def _on_a_small_disk(project: Project) -> bool:
    made = project.folder / "_made"
    made.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(made)],
                      capture_output=True, check=False).returncode:
        return True  # not allowed here, as in containers
    try:
        status, output = project.try_run("dvc", "repro", "summarize")
        return status != 0 and "Traceback" not in output
    finally:
        subprocess.run(["umount", str(made)], check=True)


def _two(project: Project) -> bool:
    one, other = (project.popen("dvc", "repro", "summarize") for _ in range(2))
    outputs = [process.communicate()[0] for process in (one, other)]
    return 0 in (one.returncode, other.returncode) and not any(
        "Traceback" in output for output in outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=["damage", "limits", "kills", "files"])
    parser.add_argument("--table", type=Path)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    options = parser.parse_args()
    folder, numbers = options.folder.resolve(), random.Random(options.seed)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command(folder / "bin")
    project = made(folder)
    wrong = False
    if "damage" in options.only:
        rows = list(damages(project, numbers))
        wrong |= not all(noticed for _, noticed, _ in rows)
        wrong |= not all_damaged(project, numbers)
        if options.table:
            put(options.table, MARKS, table(rows))
    if "limits" in options.only:
        wrong |= not all([right for _, right in limits(project)])
    if "kills" in options.only:
        counted = kills(project, options.kills, options.seed, options.minutes)
        print(kills_table(counted))
        wrong |= counted["other metrics"] > 0
        if counted["kills"] < options.kills:
            sys.exit("not all: the same command goes on")
        if options.table:
            put(options.table, KILLS_MARKS, kills_table(counted))
    if "files" in options.only:
        project.warm = True
        project.run("dvc", "repro")
        project.commit("all results")
        users = own_files.lay(project, folder / "elsewhere")
        rows = list(own_files.tried(project, users, folder / "elsewhere"))
        print(own_files.table(users, rows))
        wrong |= any(lost for _, lost, _ in rows)
        if options.table:
            put(options.table, FILES_MARKS, own_files.table(users, rows))
    sys.exit(bool(wrong))


def made(folder: Path) -> Project:
    """The study, run once and committed; or that of an earlier call."""
    done = folder / "made"
    if not done.exists():
        project = make(folder)
        project.warm = True
        project.run("dvc", "repro", "summarize")
        project.commit("results")
        done.touch()
    # What is limited and damaged is what a user starts.
    project = Project(folder / "study", folder / "mirror", folder / "scratch", warm=False)
    project.run("git", "reset", "-q", "--hard")
    return project


def put(file: Path, marks: tuple[str, str], content: str) -> None:
    """A table in the place of the one between two marks."""
    before, _, rest = file.read_text().partition(marks[0])
    file.write_text(f"{before}{marks[0]}{content}{marks[1]}{rest.partition(marks[1])[2]}")


def command(folder: Path) -> None:
    """The command `unfreeze`, as the Makefile makes it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "unfreeze"
    file.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT / 'src')!r})\n"
                    "from unfreeze.command import main\nmain()\n")
    file.chmod(0o755)


if __name__ == "__main__":
    main()
