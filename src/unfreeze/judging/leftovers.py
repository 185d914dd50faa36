"""What runs and pairs of an earlier params.yaml left behind.

It would be part of what summarize depends on, so that a clone, which lacks it, would never be up
to date. DVC's cache keeps it.
"""

from collections.abc import Collection
from pathlib import Path

from unfreeze import places

OF_A_RUN = ("scores/metrics.json", "scores/confusion.csv", "scores/calibration.csv",
            "scores/per_image.npz", "model.safetensors", "predictions.npz", "history.csv",
            "movement.csv", "parts.csv", "cost.json")
OF_A_FILE_MANAGER = (".DS_Store", "Thumbs.db", "desktop.ini", ".directory")


def remove(runs: Collection[str], pairs: Collection[str], study: Path = Path(".")) -> None:
    """Delete what stages wrote of other runs and pairs than these. What else lies there stays.

    Args:
        study: the study's folder.
    """
    for folder in (study / places.RUNS).iterdir():
        if folder.name in OF_A_FILE_MANAGER:
            folder.unlink()
        elif folder.name not in runs and folder.is_dir() and not folder.is_symlink():
            for name in OF_A_RUN:
                (folder / name).unlink(missing_ok=True)
            for emptied in (folder / "scores", folder):
                if emptied.is_dir() and not any(emptied.iterdir()):
                    emptied.rmdir()
    for file in (study / places.COMPARED).glob("*.csv"):
        if file.stem not in pairs:
            file.unlink()
