"""Where things lie in a study's folder, the root's or that of studies/NAME.

What is made and not tracked by git lies under one folder, whose name nobody uses for files of
their own: the user's files beside it are never touched.
"""

from pathlib import Path

MADE = Path("_made")
PLAN = MADE / "plan"
WATCHED = MADE / "watched"  # links to the user's own, for DVC to see them change
WATCHED_FILES = WATCHED / "files"
WATCHED_FOLDERS = tuple(WATCHED / f"folder{number}" for number in range(1, 5))
DATA = MADE / "data"  # a folder a dataset: labels, a card, arrays or official files
TRAIN_GROUPS = "train_groups.npy"  # in a dataset's folder, where images belong to groups
DECODED = MADE / "decoded"  # photos at the size that models see
WEIGHTS = MADE / "weights"
SUBSETS = MADE / "subsets"
RANKED = MADE / "ranked"  # what pretrained models are worth, before any is trained
PINNED = MADE / "pinned"  # of each run its candidates, what they read by its digest
SEARCHED = MADE / "searched"  # of each run what its search found, as others read it
AHEAD = MADE / "ahead"  # that trials and replicates were trained side by side: nothing else
LOGS = MADE / "logs"  # a file for each replicate that was trained ahead: what was printed meanwhile
RUNS = MADE / "runs"
COMPARED = MADE / "compared"
MEASURED = MADE / "measured"  # tables of what is not the same on every machine
MEASURED_CHARTS = MADE / "charts"  # drawn from them
# What shows photos of the user's own, unless they are to be shared.
GALLERY = MADE / "gallery"  # of the stage show-data
PICTURES = MADE / "pictures"  # of the stage plot
# In both, so that neither is empty, of which DVC warns.
ABOUT_PICTURES = ("about.txt", "Pictures that show photos of your own lie here; "
                  "with `share_photos: true` they lie in plots/, which git tracks.\n")
PAGE = MADE / "report.html"

# Tracked by git, and ours.
RECIPES = Path("recipes")
CHOICES = Path("choices")  # a file a run: what its search chose, and why
METRICS = Path("metrics")
PLOTS = Path("plots")
TABLES = PLOTS / "tables"
CHARTS = PLOTS / "charts"  # of the stage plot, with the gallery of mistakes
DATA_PICTURES = PLOTS / "data"  # of the stage show-data
REPORT = Path("report.md")


def remedy_in_a_copy(path: str | Path) -> str:
    """What to add to an error about a path of the user's that is not there, where the stage runs in
    a temporary copy of the project, as `dvc exp run --temp` and `--queue` make; else nothing."""
    if Path(path).is_absolute() or "/.dvc/tmp/exps/" not in Path.cwd().as_posix():
        return ""
    return ("; this is a temporary copy of the project, without files that neither git nor DVC "
            f"tracks: `dvc add {path}`, or give its absolute path")
