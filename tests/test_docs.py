"""README.md and docs/ say what is so: their commands are understood by the programs that they name,
their links lead somewhere, their tables are those of their sources, and README is short."""

import importlib.util
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dvc.cli import parse_args
from dvc.utils.hydra import apply_overrides
from markdown_it import MarkdownIt

from helpers import ROOT, in_git
from unfreeze import command
from unfreeze.data import catalogue
from unfreeze.params import plugins
from unfreeze.params.knobs import CHOSEN_BY
from unfreeze.params.settle import resolve

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")),
         *in_git("studies/**/README.md"), ROOT / "benchmarks/README.md"]
SHELL = ("", "bash", "sh", "console")
MADE_BY_NEW = ROOT / "studies/photos"  # stands for the study that a reader makes
SETS = re.compile(r"[A-Z_]+=")  # a variable of the environment
TREE = re.compile(r"^\S+/\S+ \.\.\.$")  # a block that shows folders begins so


def blocks(page: Path) -> Iterator[str]:
    """Its fenced blocks of commands."""
    for token in MarkdownIt().parse(page.read_text()):
        if token.type in ("fence", "code_block") and token.info.strip() in SHELL:
            yield token.content


def commands() -> list[tuple[str, str, str]]:
    """(page, folder that it is given in, a command), each once."""
    found = {}
    for page in PAGES:
        folder = "."
        for block in blocks(page):
            lines = block.replace("\\\n", " ").splitlines()
            if TREE.match(lines[0]) or not any(_program(line) in KNOWN for line in lines):
                continue
            if lines[0].startswith("srun "):  # one command, in quotes that end on a later line
                lines = [block.replace("\\\n", " ")]
            for line in lines:
                words = shlex.split(line, comments=True)
                for part in " ".join(map(shlex.quote, words)).split(" '&&' "):
                    if part.startswith("cd "):
                        folder = part[3:]
                    elif part:
                        found[page.relative_to(ROOT).as_posix(), folder, part] = None
    return list(found)


def _program(line: str) -> str:
    """Behind what it sets of the environment; "" for none."""
    words = [word for word in line.split() if not SETS.match(word)]
    return words[0].removeprefix(".venv/bin/") if words else ""


def _unfreeze(folder: str, words: list[str], scratch: Path) -> None:
    """Its own parser takes it."""
    try:
        command.parser().parse_args(words)
    except SystemExit as error:
        pytest.fail(f"refused with exit status {error.code}")


def _dvc(folder: str, words: list[str], scratch: Path) -> None:
    """DVC's parser takes it; its stages are there, its knobs are, and the study can be planned."""
    arguments = parse_args(words)
    place = ROOT / folder / (arguments.cd if arguments.cd != "." else "")
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    if arguments.cmd in ("repro", "exp") and getattr(arguments, "targets", None):
        assert {target.split("@")[0] for target in arguments.targets} <= stages.keys()
    if not place.is_dir():
        place = MADE_BY_NEW
    for override in getattr(arguments, "set_param", None) or []:
        assert _plannable(place, override, scratch)


def _plannable(place: Path, override: str, scratch: Path) -> bool:
    """Whether DVC can set it in the params.yaml of a place, and the outcome can be planned."""
    copy = scratch / "params.yaml"
    copy.write_text((place / "params.yaml").read_text())
    apply_overrides(copy, [override])
    if "path/to" in override or override == "dataset=PATH":  # images that nobody has
        return True
    if "=timm/" in override and not importlib.util.find_spec("timm"):
        return True
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return bool(resolve(yaml.safe_load(copy.read_text())).runs)


def _make(folder: str, words: list[str], scratch: Path) -> None:
    """Its targets are there."""
    rules = (ROOT / "Makefile").read_text()
    targets = [word for word in words if "=" not in word]
    assert targets and all(re.search(rf"^{target}:", rules, re.M) for target in targets)
    variables = [word.split("=")[0] for word in words if "=" in word]
    assert all(f"$({name})" in rules or f"$(if $({name})" in rules for name in variables)


def _python(folder: str, words: list[str], scratch: Path) -> None:
    """The script is there, and names each option."""
    if words[0] == "-m":
        return
    script = (ROOT / folder / words[0]).read_text()
    assert all(word.split("=")[0] in script for word in words[1:] if word.startswith("--"))


def _git(folder: str, words: list[str], scratch: Path) -> None:
    assert words[0] in ("add", "checkout", "clone", "commit", "diff", "init", "merge", "push")


def _source(folder: str, words: list[str], scratch: Path) -> None:
    assert words == [".venv/bin/activate"]


KNOWN = {"unfreeze": _unfreeze, "dvc": _dvc, "make": _make, "python": _python, "git": _git,
         "source": _source}
# Of other programs, which only those have who follow that page.
OTHERS: dict[str, tuple[str, ...]] = {"docs/many-runs.md": ("ray", "srun")}


# Those that tests/test_readme.py does not run, as (page, command): why; both are patterns.
NOT_RUN = {
    (r".*", r"make env.*|source .*"): "downloads gigabytes: every test stands on what it made",
    (r"docs/gpu.md", r"make gpu REHEARSE=1|python .*gpu\.py (pack|run|keep) .*|make gpu"):
        "wants a GPU; tests/test_gpu.py rehearses it and packs, runs and keeps",
    (r"docs/gpu.md", r"dvc repro fetch-data fetch-weights"): "two stages of every other dvc repro",
    (r"docs/many-runs.md", r"ray .*|(RAY_ADDRESS|UNFREEZE_ENGINE)=.*|srun .*"):
        "wants a cluster; tests/test_cluster.py starts one of two nodes. Slurm was never tried",
    (r"docs/race.md", r"unfreeze race .*"): "tests/test_race.py runs both kinds on a tiny study",
    (r"docs/strategies-and-models.md", r"dvc exp run -S model=timm/.*"):
        "wants an extra, and weights of a registry; tests/test_timm.py trains and exports timm's",
    (r"docs/(studies|strategies-and-models).md|studies/.*",
     r"dvc --cd \S+ repro|make studies|dvc repro"):
        "hours of training, or half of one; tests/test_studies.py plans each, .ci/run checks that "
        "what is committed of them is what the code makes",
    (r"docs/studies.md", r"dvc --cd studies/layers exp run .*"): "hours, on a tenth of the images",
    (r"studies/.*", r"dvc exp run .*"): "the same",
    (r"docs/studies.md", r"python benchmarks/hours.py"):
        "minutes of measuring; its --help is run below, and tests/test_timing.py has its parts",
    (r"docs/which-model.md", r"python benchmarks/ranking.py .*"):
        "of studies of one's own; tests/test_ranking_order.py gathers a made-up one",
    (r"studies/photos/.*", r"unfreeze new .*"):
        "tests/test_studies.py compares what it makes with what is committed",
    (r"studies/adaptation/README.md", r"dvc --cd studies/adaptation add fruit|python .*top5.py .*"):
        "wants fruit, and 100 MB of weights; tests/test_top5.py runs the script",
}


def why_not(page: str, text: str) -> str:
    """Why tests/test_readme.py does not run a command; "" where it does."""
    return next((why for (pages, texts), why in NOT_RUN.items()
                 if re.fullmatch(pages, page) and re.fullmatch(texts, text, re.S)), "")


def test_what_is_not_run_is_there():
    shown = commands()
    for pages, texts in NOT_RUN:
        assert any(re.fullmatch(pages, page) and re.fullmatch(texts, text, re.S)
                   for page, _, text in shown), (pages, texts)


@pytest.mark.parametrize(("page", "folder", "text"), commands(), ids=lambda value: value)
def test_a_command_that_is_shown_is_understood(page, folder, text, tmp_path):
    words = shlex.split(text)
    while SETS.match(words[0]):
        words = words[1:]
    program = words[0].removeprefix(".venv/bin/")
    if program in OTHERS.get(page, ()):
        return
    assert program in KNOWN, f"no test knows {program}"
    KNOWN[program](folder, words[1:], tmp_path)


def within_sentences() -> list[tuple[str, str]]:
    """(page, a command within a sentence or a table), each once; names of commands alone are none.
    """
    parser, found = MarkdownIt().enable("table"), {}
    for page in PAGES:
        for token in parser.parse(page.read_text()):
            for part in token.children or ():
                words = part.content.split() if part.type == "code_inline" else []
                program = _program(" ".join(words))
                name = {"make": 1, "python": 1, "unfreeze": 2, "dvc": 2}.get(program)  # in words
                if name and len(words) > name and words[-1] not in ("-S", "apply"):
                    found[page.relative_to(ROOT).as_posix(), part.content] = None
    return list(found)


@pytest.mark.parametrize(("page", "text"), within_sentences(), ids=lambda value: value)
def test_a_command_within_a_sentence_is_understood(page, text, tmp_path):
    test_a_command_that_is_shown_is_understood(page, ".", text, tmp_path)


def test_most_commands_are_found():
    assert len(commands()) > 40
    assert {text.split()[0] for _, _, text in commands()} >= {*KNOWN}


PROGRAMS = sorted(path for path in (ROOT / "benchmarks").glob("*.py")
                  if "__main__" in path.read_text())


@pytest.mark.parametrize("script", PROGRAMS, ids=lambda path: path.name)
def test_a_program_finds_the_package_by_itself(script):
    """Nothing is installed: who starts one says where src/ lies, before the package is imported."""
    before, package, _ = script.read_text().partition("\nfrom unfreeze")
    assert not package or "\nsys.path" in before


@pytest.mark.slow
@pytest.mark.parametrize("script", PROGRAMS, ids=lambda path: path.name)
def test_a_program_says_how_it_is_used(script):
    said = subprocess.run([sys.executable, script, "--help"], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert said.returncode == 0 and said.stdout.startswith("usage: "), said.stderr


def slugs(page: Path) -> set[str]:
    """What links within a page may name, as GitHub makes it of titles."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:|mailto:", link):
            continue
        path, _, place = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not place or place in slugs(target), link


def test_every_page_of_docs_can_be_reached_from_the_readme():
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)", (ROOT / "README.md").read_text()))
    assert linked == {page.name for page in (ROOT / "docs").glob("*.md")}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 900


def test_the_environment_has_one_table():
    table = re.findall(r"^\| `(UNFREEZE_\w+)` \|", (ROOT / "docs/environment.md").read_text(), re.M)
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    read = {name for text in sources for name in re.findall(r'"(UNFREEZE_[A-Z_]+)"', text)}
    assert len(table) == len(set(table)) and set(table) == read


def check_tables(without: tuple[str, ...] = ()) -> None:
    tables = runpy.run_path(str(ROOT / ".ci/tables.py"))
    for page in tables["pages"]():
        text = page.read_text()
        assert tables["of_today"](text, without) == text, f"{page}: python .ci/tables.py --write"


def test_tables_of_results_are_those_of_their_sources():
    check_tables(without=("memory", "memory_of_transformer"))


@pytest.mark.slow
def test_all_of_them_are():
    check_tables()


def first_cells(page: str, title: str) -> set[str]:
    """Of the table that begins with a column of that title, without marks and what follows `@`."""
    rows = re.search(rf"^\| {title} \|.*\n\|-.*\n((?:\|.*\n)+)", (ROOT / page).read_text(), re.M)[1]
    cells = [line.split(" | ")[0].strip("| `") for line in rows.splitlines()]
    return {name.split("@")[0] for cell in cells for name in cell.split(", ")}


def test_every_stage_has_its_row():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert first_cells("docs/pipeline.md", "stage") == set(stages)


def test_every_dataset_of_the_catalogue_has_its_row():
    named = first_cells("docs/datasets.md", "`dataset`")
    assert {name for name in named if "/" not in name} == set(catalogue.names())


def test_every_way_of_tuning_has_its_row():
    assert first_cells("docs/strategies-and-models.md", "`tune`") == set(plugins.names(
        CHOSEN_BY["tune"]))
