"""The command as a whole: its verbs, and that the examples of their --help are commands."""

import re
import shlex

import pytest

from unfreeze import command, verbs
from unfreeze.errors import UserError

EXAMPLES = [line.strip() for verb in verbs.all_of_them().values()
            for line in verb.EXAMPLE.splitlines() if line.startswith("  unfreeze ")]


def test_every_verb_shows_an_example_of_itself():
    for name, verb in verbs.all_of_them().items():
        assert f"  unfreeze {name} " in verb.EXAMPLE, name


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_are_commands(line):
    """What they do is tested where the verb is."""
    parsed = command.parser().parse_args(shlex.split(line)[1:])
    assert parsed.run is verbs.all_of_them()[line.split()[1]].run


def test_help_says_what_there_is_in_the_order_of_use(capsys):
    with pytest.raises(SystemExit) as ended:
        command.parser().parse_args(["--help"])
    assert ended.value.code == 0
    listed = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.M)
    assert listed == list(verbs.all_of_them()) and listed[0] == "new"


def test_an_interruption_is_one_line_that_speaks_of_no_epochs(monkeypatch):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs.all_of_them()["open"], "run", interrupted)
    monkeypatch.setattr("sys.argv", ["unfreeze", "open"])
    with pytest.raises(UserError, match="^interrupted, with nothing half-written; run the same"):
        command._run()


@pytest.mark.parametrize(("line", "words"), [
    ("new", "the following arguments are required: name, --images; `unfreeze new --help`"),
    ("new a --images b --hours 0", "'0' is not allowed; it must be a number above 0; `unfreeze"),
    ("export --to x --formats tflite", "'tflite' is not allowed; allowed are safetensors, pt2"),
    ("sell", "invalid choice: 'sell'"), ("", "required: VERB"),
])
def test_what_cannot_be_parsed_is_one_line(line, words, capsys):
    with pytest.raises(SystemExit) as ended:
        command.parser().parse_args(shlex.split(line))
    said = capsys.readouterr().err
    assert ended.value.code == 2 and words in said and len(said.splitlines()) == 1
