"""What docs/search.md shows of searches can be written so."""

import re

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from helpers import ROOT, params
from unfreeze.params.settle import resolve

PAGE = (ROOT / "docs/search.md").read_text()
TABLE = re.findall(r"^\| `(\{.*?\})` \|", PAGE, re.M)
SHOWN = re.findall(r"^search: .*?(?=  +#|$)", PAGE, re.M)


@pytest.mark.parametrize("written", list(dict.fromkeys(
    TABLE + [line.removeprefix("search: ") for line in SHOWN])))
def test_a_search_that_is_shown_can_be_planned(written):
    search = yaml.safe_load(written.replace("[...]", "[0.001, 0.003, 0.01]"))
    assert isinstance(search, dict)
    plan = resolve(params({"base": {"search": search, "validation": 0.2}}))
    if search:
        assert len(plan.searches["base"].candidates) >= 2
    else:
        assert not plan.searches


def test_the_tables_have_searches():
    assert len(TABLE) == 5 and len(SHOWN) >= 1


def test_the_study_that_is_shown_can_be_planned():
    """Its runs have the searches that their comments say."""
    (block,) = re.findall(r"```yaml\n(search:.*?)```", PAGE, re.S)
    given = yaml.safe_load(block)
    searches = resolve(params(given["runs"], search=given["search"])).searches
    found = {run: [candidate.values["lr"] for candidate in search.candidates]
             for run, search in searches.items()}
    assert found == {"base": given["search"]["lr"],
                     "last_only": given["runs"]["last_only"]["search"]["lr"]}


def test_the_commands_that_are_shown_do_as_they_say(tmp_path):
    """As `dvc exp run -S` rewrites params.yaml: of a mapping it changes what is named, so that {}
    changes nothing. (Of runs without a search of their own.)"""
    options = re.findall(r"^dvc exp run -S '(~?search.*?)'", PAGE, re.M)
    found = []
    for option in options:
        (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
        apply_overrides(tmp_path / "params.yaml", [option])
        plan = resolve(yaml.safe_load((tmp_path / "params.yaml").read_text()))
        found.append("lora" in plan.searches and len(plan.searches["lora"].candidates))
    assert found == [2, False]
