"""The section `race` in the text of params.yaml; all else in it stays as its author wrote it."""

import re
from pathlib import Path
from typing import Any

import yaml

from unfreeze import files
from unfreeze.errors import UserError
from unfreeze.params import race
from unfreeze.params.race import Race

HEAD = ("# Written by `unfreeze race`: how many seeds each run has, and what earlier looks have\n"
        "# decided. Taken out, every run has its own `seeds` again.\n")
_SECTION = re.compile(rf"(?:{re.escape(HEAD)})?^race:.*\n?(?:^[ \t].*\n?)*", re.MULTILINE)


def put(path: Path, raced: Race | None) -> None:
    """Write the section, in place of the one that is there.

    Args:
        raced: None takes it out.

    Raises:
        UserError: the file cannot be edited so that nothing else in it changes.
    """
    before = path.read_text(encoding="utf-8")
    text = _SECTION.sub("", before).rstrip("\n") + "\n"
    if raced is not None:
        text += f"\n{HEAD}{files.yaml_text({'race': race.section(raced)})}"
    if _others(text) != _others(before):
        raise UserError(f"{path}: the section race cannot be told from what stands around it; put "
                        "it at the end of the file")
    if text != before:
        files.write_text(path, text)


def _others(text: str) -> Any:
    content = yaml.safe_load(text)
    return {key: value for key, value in content.items() if key != "race"}
