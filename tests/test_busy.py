"""What git tracks holds nothing that was measured: the real stages, as if on a busy machine."""

import csv
import io

import numpy as np
import pytest

from unfreeze import files, places
from unfreeze.choosing import searched
from unfreeze.choosing.searched import Candidate, Searched, Trial, Validation


@pytest.fixture
def project(finished):
    """The finished project; whatever a test changes is undone."""
    project, _ = finished
    yield project
    project.restore()


def slow_down(folder):
    """All that was measured of a run, on a machine that is another and does much else."""
    cost = files.read_json(folder / "cost.json")
    cost |= {"seconds": {seed: 7 * seconds + 1 for seed, seconds in cost["seconds"].items()},
             "seconds_per_replicate": 7 * cost["seconds_per_replicate"] + 1,
             "images_per_second": cost["images_per_second"] / 7,
             "peak_memory_bytes": 3 * cost["peak_memory_bytes"],
             "device": "another", "precision": "another"}
    rows = files.read_csv(folder / "history.csv")
    for row in rows:
        row["seconds"] = str(7 * float(row["seconds"]) + 1)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    for name, content in (("cost.json", None), ("history.csv", text.getvalue())):
        (folder / name).unlink()  # a link into DVC's cache, perhaps
        if content is None:
            files.write_json(folder / name, cost)
        else:
            files.write_text(folder / name, content)


def search(project, run, scale):
    """What a search of a run found, on a machine that is so many times slower."""
    labels = np.arange(20) % 2
    logits = np.random.default_rng(3).normal(size=(20, 2)).astype(np.float32)
    found = Searched("cross_entropy", "lower", 1, (
        Candidate({"lr": 0.01}, 0.75, 55.0, True), Candidate({"lr": 0.02}, 0.5, 65.0, True)), tuple(
            Trial(place, 7, 0, 3, score, accuracy, 2, 1000, 2.5 * scale)
            for place, score, accuracy in ((0, 0.75, 55.0), (1, 0.5, 65.0))), ())
    searched.write(run, found, Validation(
        np.full(20, 7), np.zeros(20, int), np.arange(20), labels, logits, 1.0), project.folder)


def test_a_busy_machine_changes_no_file_that_git_tracks(project):
    def reported() -> str:
        """What git tracks and is not as it was committed, once the report is made."""
        for stage in ("summarize", "plot"):
            project.run("python", f"stages/{stage}.py")
        return project.run("git", "diff")

    made = project.made
    assert project.run("git", "status", "--porcelain") == ""
    search(project, "base", 1)
    before = reported()
    assert "of 2 tried" in before  # the search is in what git tracks
    pages = {name: (made / name).read_text() for name in ("measured/costs.csv", "report.html")}
    for file in (project.folder / places.RUNS).glob("*/cost.json"):
        slow_down(file.parent)
    search(project, "base", 7)
    assert reported() == before
    for name, text in pages.items():
        assert (made / name).read_text() != text, name
    assert "another" in (made / "measured/costs.csv").read_text()
