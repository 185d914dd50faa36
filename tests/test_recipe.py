import copy
from pathlib import Path

import pytest

from helpers import ROOT
from unfreeze import recipe
from unfreeze.tuning import methods

TREE = {
    "src/pack/__init__.py": "",
    "src/pack/engine.py": '"""Doc."""\nfrom pack import helper\nfrom pack.deep import leaf\n\n\n'
                          'def run(x):\n    """Run it."""\n    return helper.twice(x) + leaf.ONE\n',
    "src/pack/helper.py": "def twice(x):\n    import pack.inner\n    return pack.inner.TWO * x\n",
    "src/pack/far/__init__.py": "",
    "src/pack/far/leaf.py": "FAR = 1\n",
    "src/pack/inner.py": "import pack.far.leaf\n\nTWO = 2\n",
    "src/pack/deep/__init__.py": "",
    "src/pack/deep/leaf.py": "ONE = 1\n",
    "src/pack/plugin.py": "CHOSEN = True\n",
    "src/pack/reporting.py": "import pack.engine\nCOLOUR = 'red'\n",
    "stages/train.py": "import os\n\nfrom pack import engine\n\nprint(engine.run(1))\n",
}
ROOTS = ("stages/train.py", "src/pack/plugin.py")


@pytest.fixture
def fingerprint(tmp_path):
    """A function: the fingerprint of the tree above with some files changed."""
    def of(changes=None, place="project"):
        for name, text in (TREE | (changes or {})).items():
            path = tmp_path / place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        base = tmp_path / place
        return recipe.fingerprint([base / root for root in ROOTS], base / "src")

    return of


ENGINE, INNER = TREE["src/pack/engine.py"], TREE["src/pack/inner.py"]
SAME = {
    "comment": {"src/pack/engine.py": f"# why\n{ENGINE}# end\n"},
    "module docstring": {"src/pack/engine.py": ENGINE.replace("Doc.", "Better.")},
    "no module docstring": {"src/pack/engine.py": ENGINE.replace('"""Doc."""\n', "")},
    "function docstring": {"src/pack/engine.py": ENGINE.replace("Run it.", "Run\n    it now.")},
    "blank lines": {"src/pack/engine.py": ENGINE.replace("\n\n", "\n\n\n\n")},
    "line layout": {"src/pack/engine.py": ENGINE.replace(
        "helper.twice(x) + leaf.ONE", "(\n        helper.twice( x )\n        + leaf.ONE)")},
    "comment in an import of an import": {"src/pack/inner.py": f"{INNER}# two\n"},
    "module that nothing imports": {"src/pack/reporting.py": "COLOUR = 'blue'\n"},
    "new module": {"src/pack/new.py": "X = 1\n"},
    "docstring in an empty package": {"src/pack/deep/__init__.py": '"""What it is."""\n'},
}
OTHER = {
    "code": {"src/pack/engine.py": ENGINE.replace("+ leaf", "- leaf")},
    "constant": {"src/pack/deep/leaf.py": "ONE = 1.0\n"},  # equal, but not the same
    "name of an argument": {"src/pack/engine.py": ENGINE.replace("(x)", "(y)")},
    "import of an import, in a function": {"src/pack/inner.py": INNER.replace("2", "3")},
    "package imported from": {"src/pack/deep/__init__.py": "import os\n"},
    "package on the way": {"src/pack/far/__init__.py": "import os\n"},
    "the package itself": {"src/pack/__init__.py": "X = 1\n"},
    "plugin": {"src/pack/plugin.py": "CHOSEN = False\n"},
    "stage": {"stages/train.py": TREE["stages/train.py"].replace("run(1)", "run(2)")},
    "text that is no docstring": {"src/pack/inner.py": INNER.replace("2", '"2"')},
    "new import": {"src/pack/inner.py": f"import pack.reporting\n{INNER}"},
}


@pytest.mark.parametrize("change", SAME)
def test_fingerprint_ignores(fingerprint, change):
    assert fingerprint() == fingerprint(SAME[change])


@pytest.mark.parametrize("change", OTHER)
def test_fingerprint_sees_changed(fingerprint, change):
    assert fingerprint() != fingerprint(OTHER[change])


def test_all_changes_differ_from_one_another(fingerprint):
    assert len({fingerprint(change) for change in OTHER.values()}) == len(OTHER)


def test_fingerprint_is_of_no_place(fingerprint):
    assert fingerprint(place="here") == fingerprint(place="elsewhere/deep")


@pytest.mark.parametrize(("one", "other"), [
    ("f(1, 2)", "f((1, 2))"), ("x = [None]", "x = []"), ("x = None", "x = ()"), ("return_ = 1", ""),
    ("x = 1", "x = True"), ("x = '1'", "x = b'1'"), ("x = f'{y}'", "x = f'{y!r}'"),
    ("f(*x)", "f(**x)"), ("f(a, b=1)", "f(a, c=1)"), ("x = a if b else c", "x = a if c else b"),
    ("def f(x): return", "def f(x): return None"), ("def f(x=None): ...", "def f(x): ..."),
    ("def f(*, x): ...", "def f(x): ..."), ("def f(x, /): ...", "def f(x): ..."),
    ("x = {**y}", "x = {None: y}"), ("x: int = 1", "x = 1"), ("x = 'doc'", "'doc'"),
    ("if x:\n    y()\nz()", "if x:\n    y()\n    z()"), ("x = 0.1", "x = 0.10000000000000002"),
])
def test_fingerprint_tells_apart(fingerprint, one, other):
    assert fingerprint({"src/pack/inner.py": one}) != fingerprint({"src/pack/inner.py": other})


def test_import_of_the_same_modules_by_other_words_reaches_them():
    # The real tree: what trains is reached, what only reports is not.
    source = ROOT / "src"
    roots = [ROOT / "stages" / "train.py", source / "unfreeze/models/resnet.py"]
    found = {str(p.relative_to(ROOT)) for p in recipe.reachable(roots, source)}
    package = {f"src/unfreeze/{name}.py" for name in (
        "__init__", "errors", "files", "models/__init__", "models/resnet", "models/weights",
        "models/heads", "training/loop", "training/replicate", "training/assemble",
        "training/regularise", "training/randomness", "training/devices", "tuning/groups",
        "tuning/frozen", "tuning/methods/__init__", "data/batches", "data/mixing",
        "data/arrays")}
    assert package | {"stages/train.py"} <= found
    assert not [name for name in found if any(
        part in name for part in ("mobilenet", "scoring", "reporting", "config", "cifar10",
        "knobs", "rules", "lora", "tinytl", "divide"))]


def test_method_reaches_its_own_code_and_no_other_methods():
    source = ROOT / "src"
    found = {name: {path.stem for path in recipe.reachable([methods.source_file(name)], source)}
             & set(methods.names()) for name in methods.names()}
    assert found == {"full": {"full"}, "bias": {"bias"}, "norm": {"norm"}, "lora": {"lora"},
                     "tinytl": {"tinytl", "bias"}}


def test_no_source_uses_relative_imports():
    # `reachable` does not follow them.
    for path in [*Path(ROOT / "src").rglob("*.py"), *Path(ROOT / "stages").glob("*.py")]:
        assert "\nfrom ." not in path.read_text(), path


RECIPE = {
    "knobs": {"lr": 0.001, "epochs": 3},
    "phases": [{"epochs": 3, "parts": [{"module": "fc", "tune": "full"}]}],
    "transform": {"resize": None}, "dataset": {"name": "cifar10", "digest": "d"},
    "weights": {"name": "w", "digest": "e"},
    "seeds": {42: {"subset": "a.json", "digest": "1"}, 43: {"subset": "b.json", "digest": "2"}},
    "software": {"torch": "2"}, "code": "c",
}


def changed(change):
    content = copy.deepcopy(RECIPE)
    change(content)
    return content


@pytest.mark.parametrize("change", [
    lambda r: r["seeds"].update({44: {"subset": "c.json", "digest": "3"}}),
    lambda r: r["seeds"].pop(43),
    lambda r: r["seeds"][43].update(digest="x"),
    lambda r: r.update(seeds=dict(reversed(r["seeds"].items()))),
    lambda r: r.update(knobs=dict(reversed(r["knobs"].items()))),
])
def test_replicate_is_the_same_whatever_other_seeds_do(change):
    assert recipe.replicate_digest(changed(change), 42) == recipe.replicate_digest(RECIPE, 42)


@pytest.mark.parametrize("change", [
    lambda r: r["seeds"][42].update(digest="x"),
    lambda r: r["knobs"].update(lr=0.002),
    lambda r: r["knobs"].update(new=1),
    lambda r: r["phases"][0]["parts"][0].update(trainable=False),
    lambda r: r["phases"].append(r["phases"][0]),
    lambda r: r["transform"].update(resize=64),
    lambda r: r["dataset"].update(digest="x"),
    lambda r: r.update(weights=None),
    lambda r: r["software"].update(torch="3"),
    lambda r: r.update(code="x"),
])
def test_replicate_is_another_when_what_it_reads_changes(change):
    assert recipe.replicate_digest(changed(change), 42) != recipe.replicate_digest(RECIPE, 42)


def test_seeds_are_different_replicates():
    same_subset = changed(lambda r: r["seeds"].update({43: r["seeds"][42]}))
    assert recipe.replicate_digest(same_subset, 42) != recipe.replicate_digest(same_subset, 43)


def test_software_has_no_local_suffix():
    import torch

    assert recipe.software()["torch"] == torch.__version__.split("+")[0]
    assert set(recipe.software()) == {"torch", "torchvision"}
