"""What choices of an earlier params.yaml left behind, of runs that are no more."""

from collections.abc import Collection
from pathlib import Path

from unfreeze import places

_OF_A_RUN = ((places.RECIPES, ".yaml"), (places.CHOICES, ".yaml"), (places.SEARCHED, ".json"),
             (places.SEARCHED, ".npz"))


def remove(runs: Collection[str], study: Path = Path(".")) -> None:
    """Delete what choose@RUN wrote of other runs than these: recipes/ counts as a whole among what
    stages depend on, so that a clone, which lacks it, would never be up to date. What else lies
    there stays.

    Args:
        study: the study's folder.
    """
    for folder, suffix in _OF_A_RUN:
        for file in (study / folder).glob(f"*{suffix}"):
            if file.stem not in runs:
                file.unlink()
