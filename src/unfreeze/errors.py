"""Bad input is one clear line, never a traceback.

Everything that a user can get wrong is raised as `UserError`; `stage.run_stage` is the only place
that turns it into a line on standard error and an exit status.
"""

import difflib
import errno
from collections.abc import Iterable

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


_LONGEST = 2000  # characters of a message


class UserError(Exception):
    """What a user can mend. The message names the file, the key, the value and what is allowed,
    on one line whatever the user's own words in it are, and as text alone (`in_a_terminal`)."""

    def __init__(self, message: str) -> None:
        super().__init__(shortened(in_a_terminal(" ".join(message.splitlines())), _LONGEST))


def shortened(text: str, most: int) -> str:
    """A text of more characters than that without its middle; its end says what is allowed."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} ... ({len(text) - 2 * half:,} characters) ... {text[-half:]}"


def in_a_terminal(text: object) -> str:
    """A text with what is no character to be seen spelled out: names of files, of classes and of
    tensors may hold what colours a terminal, moves its cursor or turns its text round."""
    text = str(text)
    return text if text.isprintable() else "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


class Fault(UserError):
    """What is wrong with the value of a knob, raised where it is not known who set the knob: the
    place (`params.yaml: runs.base.freeze`) is put before it where it is.

    Args:
        knob: its name. problem: the value, what is allowed, and how to mend it.
    """

    def __init__(self, knob: str, problem: str) -> None:
        super().__init__(f"{knob}: {problem}")
        self.knob, self.problem = knob, problem


def nearest(word: object, allowed: Iterable[str]) -> str:
    """" (did you mean 'early'?)" for a misspelt word, "" when nothing is near."""
    by_lower_case = {name.lower(): name for name in allowed}
    near = difflib.get_close_matches(str(word).lower(), by_lower_case, n=1, cutoff=0.6)
    return f" (did you mean {by_lower_case[near[0]]!r}?)" if near else ""
