"""The report of a study in the system's browser: `unfreeze open`."""

import os
import sys
import webbrowser
from pathlib import Path

from unfreeze import places
from unfreeze.errors import UserError


def open_report(study: Path) -> None:
    """Open it, or print its path where there is no display, or no browser opens.

    Raises:
        UserError: the study has not been run.
    """
    page = (study / places.PAGE).resolve()
    if not page.is_file():
        raise UserError(f"{study / places.PAGE}: no such file, since {study} has not been run to "
                        f"its end; `cd {study} && dvc repro` writes it")
    print(page, flush=True)
    if has_display():
        webbrowser.open(page.as_uri())


def has_display() -> bool:
    """Whether a browser could show something to who typed the command."""
    return (sys.platform in ("darwin", "win32")
            or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
                    or os.environ.get("BROWSER")))
