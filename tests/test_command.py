"""The command as a whole: its verbs, and that the examples of their --help are commands."""

import re
import shlex

import pytest

from unfreeze import command, verbs

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
