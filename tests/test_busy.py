"""What git tracks holds nothing that was measured: the real stages, as if on a busy machine."""

import csv
import io

import pytest

from unfreeze import files, places


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


def test_a_busy_machine_changes_no_file_that_git_tracks(project):
    def tracked() -> str:
        return project.run("git", "status", "--porcelain")

    made = project.made
    before = {name: (made / name).read_text() for name in ("measured/costs.csv", "report.html")}
    assert tracked() == ""
    for file in (project.folder / places.RUNS).glob("*/cost.json"):
        slow_down(file.parent)
    for stage in ("summarize", "plot"):
        project.run("python", f"stages/{stage}.py")
    assert tracked() == ""
    for name, text in before.items():
        assert (made / name).read_text() != text, name
    assert "another" in (made / "measured/costs.csv").read_text()
