"""A fingerprint changes with what a script reaches, and with nothing else."""

import ast
import importlib
import re
import shutil
import sys
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import ROOT, params
from unfreeze.fingerprint import Fingerprints, fingerprint, of_recipes
from unfreeze.params.settle import resolve

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
    "src/pack/plugins/__init__.py":
        "from importlib import import_module\n\n\n"
        'def get(name):\n    return import_module(f"{__name__}.{name}")\n',
    "src/pack/plugins/chosen.py": "def work():\n    return 7\n",
    "src/pack/plugins/other.py": "def work():\n    return 8\n",
    "src/pack/reporting.py": "import pack.engine\nCOLOUR = 'red'\n",
    "stages/train.py": "import sys\n\nfrom pack import engine, plugins\n\n"
                       "print(engine.run(1) + plugins.get(sys.argv[1]).work())\n",
}
PLUGINS = {"pack.plugins": ["chosen"]}


def write(base: Path, tree: dict[str, str]) -> None:
    for name, text in tree.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def digest(tmp_path):
    """A function: the fingerprint of the tree above with some files changed."""
    def of(changes=None, place="project"):
        base = tmp_path / place
        shutil.rmtree(base, ignore_errors=True)
        write(base, TREE | (changes or {}))
        return fingerprint(base / "stages/train.py", base / "src", PLUGINS)

    return of


ENGINE, INNER, STAGE = (TREE[name] for name in (
    "src/pack/engine.py", "src/pack/inner.py", "stages/train.py"))
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
    "new function that nobody calls": {
        "src/pack/engine.py": f"{ENGINE}\n\ndef walk(x):\n    return run(x) + run(x)\n"},
    "new function that imports what nobody needs": {
        "src/pack/engine.py": f"{ENGINE}\n\ndef walk():\n    import json\n"
                              "    from pack.reporting import COLOUR\n    return COLOUR, json\n"},
    "new method of a name that is mentioned, of a class that is not": {
        "src/pack/engine.py": f"{ENGINE}\n\nclass Walk:\n    def twice(self):\n        return 0\n"},
    "value that nobody reads": {"src/pack/far/leaf.py": "FAR = 2\n"},
    "annotations": {"src/pack/engine.py": ENGINE.replace("run(x):", "run(x: int) -> float:")},
    "plugin that is not chosen": {"src/pack/plugins/other.py": "def work():\n    return 9\n"},
    "new plugin": {"src/pack/plugins/new.py": "def work():\n    return 9\n"},
    "unused function in a plugin": {
        "src/pack/plugins/chosen.py": "def work():\n    return 7\n\n\ndef rest():\n    return 0\n"},
    "import by another word": {"src/pack/engine.py": ENGINE.replace(
        "from pack import helper", "import pack.helper as aid").replace("helper.t", "aid.t")},
    "import of the function itself": {"src/pack/engine.py": ENGINE.replace(
        "from pack import helper", "from pack.helper import twice as double").replace(
        "helper.twice", "double")},
    "import in the function": {"src/pack/engine.py": ENGINE.replace(
        "from pack import helper\n", "").replace(
        "    return", "    from pack import helper\n    return")},
    "constant in another file": {
        "src/pack/inner.py": "from pack.far.leaf import TWO\n",
        "src/pack/far/leaf.py": "FAR = 1\nTWO = 2\n"},
    "function in another file": {
        "src/pack/helper.py": "", "src/pack/deep/leaf.py": "ONE = 1\n\n\n" + TREE[
            "src/pack/helper.py"],
        "src/pack/engine.py": ENGINE.replace("helper.twice", "leaf.twice").replace(
            "from pack import helper\n", "")},
    "import of what is imported": {"src/pack/inner.py": f"import pack.reporting\n{INNER}"},
}
OTHER = {
    "code": {"src/pack/engine.py": ENGINE.replace("+ leaf", "- leaf")},
    "constant": {"src/pack/deep/leaf.py": "ONE = 1.0\n"},  # equal, but not the same
    "name of an argument": {"src/pack/engine.py": ENGINE.replace("(x)", "(y)")},
    "import of an import, in a function": {"src/pack/inner.py": INNER.replace("2", "3")},
    "work of a package on the way": {"src/pack/far/__init__.py": "print('far')\n"},
    "import for what it does": {"src/pack/deep/__init__.py": "import antigravity\n"},
    "work of the package itself": {"src/pack/__init__.py": "import os\nos.umask(0)\n"},
    "plugin": {"src/pack/plugins/chosen.py": "def work():\n    return 6\n"},
    "attribute that a plugin gains": {
        "src/pack/plugins/chosen.py": "work = int\nargv = 1\n"},
    "stage": {"stages/train.py": STAGE.replace("run(1)", "run(2)")},
    "text that is no docstring": {"src/pack/inner.py": INNER.replace("2", '"2"')},
    "file beside the stage": {"stages/train.py": f"import beside\n{STAGE}",
                              "stages/beside.py": "import gc\n\ngc.disable()\n"},
    "the same name from elsewhere": {
        "src/pack/engine.py": ENGINE.replace("from pack import helper", "from pack import far as "
                                             "helper"),
        "src/pack/far/__init__.py": "def twice(x):\n    return x\n"},
}


@pytest.mark.parametrize("change", SAME)
def test_fingerprint_ignores(digest, change):
    assert digest() == digest(SAME[change])


@pytest.mark.parametrize("change", OTHER)
def test_fingerprint_sees_changed(digest, change):
    assert digest() != digest(OTHER[change])


def test_all_changes_differ_from_one_another(digest):
    assert len({digest(change) for change in OTHER.values()}) == len(OTHER)


def test_fingerprint_is_of_no_place(digest):
    assert digest(place="here") == digest(place="elsewhere/deep")


def in_stage(digest, text: str, **modules: str) -> str:
    """The fingerprint of a script, beside modules pack.a, pack.b ..."""
    return digest({"stages/train.py": text} | {
        f"src/pack/{name}.py": content for name, content in modules.items()})


@pytest.mark.parametrize(("one", "other"), [
    ("f(1, 2)", "f((1, 2))"), ("x = [None]", "x = []"), ("x = None", "x = ()"), ("return_ = 1", ""),
    ("x = 1", "x = True"), ("x = '1'", "x = b'1'"), ("x = f'{y}'", "x = f'{y!r}'"),
    ("f(*x)", "f(**x)"), ("f(a, b=1)", "f(a, c=1)"), ("x = a if b else c", "x = a if c else b"),
    ("def f(x): return", "def f(x): return None"), ("def f(x=None): ...", "def f(x): ..."),
    ("def f(*, x): ...", "def f(x): ..."), ("def f(x, /): ...", "def f(x): ..."),
    ("def f(x, y=1): ...", "def f(x=1, y=1): ..."), ("lambda x: 1", "lambda y: 1"),
    ("def f(*x): ...", "def f(**x): ..."), ("def f(*, x, y=1): ...", "def f(*, x=1, y): ..."),
    ("x = {**y}", "x = {None: y}"), ("x = 'doc'", "'doc'"),
    ("[a for b in c if d]", "[a for b in c for d in c]"), ("{a for b in c}", "[a for b in c]"),
    ("{a: b for b in c}", "{b: a for b in c}"), ("[a for b in c]", "(a for b in c)"),
    ("if x:\n    y()\nz()", "if x:\n    y()\n    z()"), ("x = 0.1", "x = 0.10000000000000002"),
    ("class A:\n    x: int = 1", "class A:\n    x: float = 1"),
    ("class A:\n    x = 1", "class A:\n    y = 1"), ("class A(B): ...", "class A(C): ..."),
    ("import torch.nn as n\nn.f()", "import torch as n\nn.f()"),
    ("from os import path as p\np()", "from sys import path as p\np()"),
    ("global x\nx = 1", "x = 1"), ("a.b = 1", "a.c = 1"), ("a['b'] = 1", "a['c'] = 1"),
    ("print('a', file=f)", "print('b', file=f)"), ("f('a')", "f('b')"),
    ("raise E(f'{g()}')", "raise E(f'{h()}')"), ("print(f'{g():{h()}}')", "print(f'{g()}')"),
    ("raise ValueError(f('a'))", "raise ValueError(f('b'))"), ("print(*a)", "print(*b)"),
    ("raise ValueError(1)", "raise ValueError(2)"), ("raise ValueError", "raise KeyError"),
    ("print(a := 1)", "print(a := 2)"), ("sys.exit(1)", "sys.exit(2)"),
    ("from a import NotKnown\nNotKnown('a')", "from a import NotKnown\nNotKnown('b')"),
    ("@f\ndef g(x: int): ...", "@f\ndef g(x: str): ..."),
])
def test_fingerprint_tells_apart(digest, one, other):
    within = ["def main():\n    {}\n    return 0\n\n\nmain()".format(text.replace("\n", "\n    "))
              for text in (one, other)]
    assert in_stage(digest, within[0]) != in_stage(digest, within[1])


@pytest.mark.parametrize(("one", "other"), [
    ("raise ValueError('a')", "raise ValueError('b')"),
    ("raise ValueError('a' + b)", "raise ValueError('c' + b)"),
    ("raise ValueError(f'a {b}')", "raise ValueError(f'{c!r} d {e:.3f}')"),
    ("raise ValueError(f'a {g()}')", "raise ValueError(f'b {g()!r} {c}')"),
    ("raise ValueError('a' if b else 'c')", "raise ValueError('d' if b else 'e')"),
    ("raise Oops('a') from None", "raise Oops(f'b {c}') from None"),
    ("raise Worse('a', 1)", "raise Worse('b', 1)"), ("x = Oops('a')", "x = Oops('b')"),
    ("print('a')", "print('b')"), ("print(f'a {b}', flush=True)", "print('c', sep='')"),
    ("print('a', file=sys.stderr)", "print('b', file=sys.stderr)"),
    ("assert a, 'b'", "assert a, f'c {d}'"), ("sys.exit('a')", "sys.exit(f'b {c}')"),
    ("bar.set_postfix(loss='a')", "bar.set_postfix(error=f'b {c}')"),
    ("tqdm(x, desc='a', unit='b')", "tqdm(x, desc=f'{c}', unit='d')"),
    ("tqdm.write('a')", "tqdm.write('b')"), ("warnings.warn('a')", "warnings.warn('b')"),
    ("self._say('a')", "self._say(f'b {c}')"), ("x: int = 1", "x: float = 1"),
    ("def f(x: int) -> int: ...", "def f(x: str): ..."),
    ("@property\ndef f(x: int): ...", "@property\ndef f(x): ..."),
])
def test_fingerprint_ignores_texts_for_people(digest, one, other):
    heads = ("import sys\nimport warnings\nfrom tqdm import tqdm\n"
             "from pack.a import Oops, Worse\n\n\n"
             "def main(self, bar, a, b, c, d, e, g):\n    {}\n"
             "    return sys, warnings, tqdm\n\n\nmain()")
    errors = "class Oops(Exception): ...\n\n\nclass Worse(Oops): ...\n"
    within = [heads.format(text.replace("\n", "\n    ")) for text in (one, other)]
    assert in_stage(digest, within[0], a=errors) == in_stage(digest, within[1], a=errors)


REACHED = {  # {how: (script, files, what lies in one of them and is reached)}
    "getattr": ("from pack import a\nuse(getattr(a, 'f')())", {"a": "def f(): return 1"}),
    "getattr, a name made at run time": (
        "import sys\nfrom pack import a\nuse(getattr(a, sys.argv[1])())",
        {"a": "def f(): return 1"}),
    "vars": ("import sys\nfrom pack import a\nuse(vars(a)[sys.argv[1]]())",
             {"a": "def f(): return 1"}),
    "__dict__": ("import sys\nfrom pack import a\nuse(a.__dict__[sys.argv[1]]())",
                 {"a": "def f(): return 1"}),
    "module handed on": ("from pack import a, b\nuse(b.call(a))",
                         {"a": "def f(): return 1", "b": "def call(m): return m.f()"}),
    "module handed on, a name made at run time": (
        "import sys\nfrom pack import a, b\nuse(b.call(a, sys.argv[1]))",
        {"a": "def f(): return 1", "b": "def call(m, name): return getattr(m, name)()"}),
    "module of a module handed on": (
        "from pack import a, b\nuse(b.call(a))",
        {"c": "def f(): return 1", "a": "from pack import c", "b": "def call(m): return m.c.f()"}),
    "attrgetter": ("from operator import attrgetter\nfrom pack import a\nuse(attrgetter('f')(a))",
                   {"a": "def f(): return 1"}),
    "import_module": ("from importlib import import_module\nuse(import_module('pack.a').f())",
                      {"a": "def f(): return 1"}),
    "import_module, a name made at run time": (
        "import sys\nfrom importlib import import_module\nuse(import_module(sys.argv[1]).f())",
        {"a": "def f(): return 1"}),
    "import_module of a package without chosen plugins": (
        "import sys\nimport importlib\nuse(importlib.import_module('pack.' + sys.argv[1]).f())",
        {"a": "def f(): return 1"}),
    "import_module, a relative name": (
        "from pack.b import g\nuse(g('a'))",
        {"a": "def f(): return 1", "b": "import importlib\n\n\ndef g(x):\n    return "
                                        "importlib.import_module(f'.{x}', __package__).f()"}),
    "sys.modules": ("import sys\nimport pack.a\nuse(sys.modules[sys.argv[1]].f())",
                    {"a": "def f(): return 1"}),
    "eval": ("import sys\nfrom pack.a import g\nuse(g(sys.argv[1]))",
             {"a": "def g(x): return eval(x)()\n\n\ndef f(): return 1"}),
    "globals": ("import sys\nfrom pack.a import g\nuse(g(sys.argv[1]))",
                {"a": "def g(x): return globals()[x]()\n\n\ndef f(): return 1"}),
    "star": ("from pack.a import *\nuse(f())", {"a": "def f(): return 1"}),
    "star of a star": ("from pack.b import *\nuse(f())",
                       {"a": "def f(): return 1", "b": "from pack.a import *"}),
    "relative import": ("from pack.b import g\nuse(g())", {
        "a": "def f(): return 1", "b": "from . import a\n\n\ndef g(): return a.f()"}),
    "relative import of a name": ("from pack.b import g\nuse(g())", {
        "a": "def f(): return 1", "b": "from .a import f as h\n\n\ndef g(): return h()"}),
    "decorator that registers": ("from pack import a, b\nuse([f() for f in a.ALL], b)", {
        "a": "ALL = []\n\n\ndef add(f):\n    ALL.append(f)\n    return f",
        "b": "from pack.a import add\n\n\n@add\ndef f(): return 1"}),
    "subclass that registers": ("from pack import a, b\nuse([c.f() for c in a.A.all], b)", {
        "a": "class A:\n    all = []\n\n    def __init_subclass__(cls): A.all.append(cls)",
        "b": "from pack.a import A\n\n\nclass B(A):\n    def f(): return 1"}),
    "__subclasses__": ("from pack import a, b\nuse([c.f() for c in a.A.__subclasses__()], b)", {
        "a": "class A: ...", "b": "from pack.a import A\n\n\nclass B(A):\n    def f(): return 1"}),
    "work at import": ("import pack.b\nfrom pack.a import X\nuse(X)", {
        "a": "X = []", "b": "from pack import a\n\na.X.append(1)"}),
    "function in a value that works": ("import pack.b\nfrom pack.a import X\nuse(X)", {
        "a": "X = []", "b": "from pack import a\n\nY = a.X.append(1)"}),
    "function that is called where it is defined": (
        "from pack.a import X\nuse(X)", {"a": "def f(): return 1\n\n\nX = f()"}),
    "default of an argument": ("from pack.a import g\nuse(g())", {
        "a": "F = 1\n\n\ndef g(x=F): return x"}),
    "decorator": ("from pack.a import g\nuse(g())", {
        "a": "def d(f): return lambda: f() + 1\n\n\n@d\ndef g(): return 0"}),
    "base class": ("from pack.a import B\nuse(B().f())", {
        "a": "class A:\n    def f(self): return 1\n\n\nclass B(A): ..."}),
    "method that others call": ("import json\nfrom pack.a import B\nuse(json.JSONEncoder, B())", {
        "a": "class B:\n    def default(self, x): return 1"}),
    "name defined in a condition": ("from pack.a import f\nuse(f())", {
        "a": "if True:\n    def f(): return 1\nelse:\n    f = None"}),
    "name imported in a condition": ("from pack.b import f\nuse(f())", {
        "a": "def f(): return 1", "b": "try:\n    from pack.a import f\nexcept ImportError:\n"
                                       "    f = None"}),
    "name bound twice": ("from pack.a import f\nuse(f)", {"a": "f = 0\nf = 1"}),
    "several names at once": ("from pack.a import f\nuse(f)", {"a": "g, f = 0, 1"}),
    "global of a function": ("from pack import a\na.put()\nuse(a.get())", {
        "a": "F = 0\n\n\ndef put():\n    global F\n    F = 1\n\n\ndef get(): return F"}),
    "name that a parameter hides elsewhere": ("from pack.b import g, h\nuse(g(h))", {
        "a": "def f(): return 1",
        "b": "from pack import a\n\n\ndef g(a): return a()\n\n\ndef h(): return a.f()"}),
    "name that a class has and a function reads": ("from pack.a import A\nuse(A().g())", {
        "a": "f = 1\n\n\nclass A:\n    f = 0\n\n    def g(self): return f"}),
    "first list of a comprehension": ("from pack.a import g\nuse(g())", {
        "a": "f = [1]\n\n\ndef g(): return [f for f in f]"}),
    "name imported in a class": ("from pack.b import B\nuse(B.f())", {
        "a": "def f(): return 1", "b": "class B:\n    from pack.a import f"}),
    "module imported in a class": ("from pack.b import B\nuse(B.a.f())", {
        "a": "def f(): return 1", "b": "class B:\n    from pack import a"}),
    "name imported for a global": ("from pack import b\nb.put()\nuse(b.get())", {
        "a": "def f(): return 1",
        "b": "def put():\n    global f\n    from pack.a import f\n\n\ndef get(): return f()"}),
    "module imported for a global": ("from pack import b\nb.put()\nuse(b.get())", {
        "a": "def f(): return 1",
        "b": "def put():\n    global a\n    from pack import a\n\n\ndef get(): return a.f()"}),
    "name imported for the function around": ("from pack import b\nuse(b.g())", {
        "a": "def f(): return 1",
        "b": "def g():\n    f = None\n\n    def put():\n        nonlocal f\n"
             "        from pack.a import f\n    put()\n    return f()"}),
    "match": ("from pack.a import g\nuse(g(0))", {
        "a": "F = 1\n\n\ndef g(x):\n    match x:\n        case 0:\n            return F"}),
    "field of a dataclass": ("from pack.a import A\nuse(A())", {
        "a": "from dataclasses import dataclass\n\n\n@dataclass\nclass A:\n    f: int = 1"}),
    "docstring that is read": ("from pack.a import f\nuse(len(f.__doc__))", {
        "a": "def f():\n    '''1'''"}),
    "annotation that is read": ("from pack.a import f\nuse(list(f.__annotations__))", {
        "a": "def f(x: 1): ..."}),
    "attribute put from elsewhere": ("from pack import a, b\nb.put()\nuse(a.f())", {
        "a": "", "b": "from pack import a\n\n\ndef put():\n    a.f = lambda: 1"}),
    "__getattr__ of a module": ("from pack import a\nuse(a.f)", {
        "a": "def __getattr__(name): return 1"}),
    "property of a handed object": ("from pack.a import A\nuse(A().f)", {
        "a": "class A:\n    @property\n    def f(self): return 1"}),
}


@pytest.mark.parametrize("how", REACHED)
def test_fingerprint_reaches(digest, how):
    script, modules = REACHED[how]
    changed = {name: re.sub(r"\b1\b", "2", text, count=1) for name, text in modules.items()}
    assert changed != modules
    assert in_stage(digest, script, **modules) != in_stage(digest, script, **changed)


@pytest.mark.parametrize(("script", "one", "other"), [
    # What a name leads to counts, and not only what is reached.
    ("from pack import a, b\nfrom pack.a import f as g\nuse(a.f(), b.f(), g())",
     {"a": "def f(): return 1", "b": "def f(): return 2"},
     "from pack import a, b\nfrom pack.b import f as g\nuse(a.f(), b.f(), g())"),
    ("from pack.a import f, g\nuse(f(), g())", {"a": "def f(): return 1\n\n\ndef g(): return 2"},
     "from pack.a import f as g, g as f\nuse(f(), g())"),
    # The order in which modules work.
    ("import pack.a\nimport pack.b\nuse(pack)", {
        "a": "import os\nos.umask(1)", "b": "import os\nos.umask(2)"},
     "import pack.b\nimport pack.a\nuse(pack)"),
    ("def main():\n    import pack.a\n    import pack.b\n    use(pack)\n\n\nmain()", {
        "a": "import os\nos.umask(1)", "b": "import os\nos.umask(2)"},
     "def main():\n    import pack.b\n    import pack.a\n    use(pack)\n\n\nmain()"),
])
def test_what_is_wired_otherwise_is_something_else(digest, script, one, other):
    assert in_stage(digest, script, **one) != in_stage(digest, other, **one)


@pytest.mark.parametrize(("one", "other"), [
    ("X = []\nY = list(X)\nX.append(1)", "X = []\nX.append(1)\nY = list(X)"),
    ("X = 1\nprint(X)\nX = 2", "X = 1\nX = 2\nuse(X)"),
    ("import os\nos.umask(1)\nos.umask(2)", "import os\nos.umask(2)\nos.umask(1)"),
    ("X = []\ndef f(x=len(X)): return x\nX.append(1)",
     "X = []\nX.append(1)\ndef f(x=len(X)): return x"),
])
def test_order_of_what_works_at_import_counts(digest, one, other):
    script = "from pack import a\nuse(getattr(a, 'Y', 0), a.f)"
    assert in_stage(digest, script, a=one) != in_stage(digest, script, a=other)


@pytest.mark.parametrize("value", [
    "(1, 2)", "{'a': [1]}", "Made(1)", "make(1)", "frozenset({1})", "lambda x: f(x)", "-1",
    "1024 ** 2", "len", "A.b", "MappingProxyType({'a': 1})", "'a'.join(['b'])", "Made(make(1))",
    "[make(n) for n in (1, 2)]", "WORDS[0]", "WORDS + ('c',)"])
def test_values_that_nobody_reads_do_not_count(digest, value):
    text = ("from dataclasses import dataclass\nfrom types import MappingProxyType\n\n"
            "from pack import b as A\n\nWORDS = ('a', 'b')\n\n\n@dataclass(frozen=True)\n"
            "class Made:\n    x: int\n\n\ndef make(x):\n    return Made(f'{x} a')\n\n\n"
            "def f(x):\n    return MappingProxyType(x)\n\n\n")
    script = "from pack.a import f\nuse(f(0))"
    assert in_stage(digest, script, a=text, b="b = 1") == in_stage(
        digest, script, a=f"{text}X = {value}\n", b="b = 1")


@pytest.mark.parametrize("value", [
    "add(1)", "ALL.append(1)", "Works(1)", "os.umask(0)", "[add(n) for n in (1, 2)]",
    "Made(add(1))", "THING + 1", "THING[0]", "list(map(add, [1]))", "add"])
def test_values_that_may_work_when_they_are_made_count(digest, value):
    text = ("import os\nfrom dataclasses import dataclass\n\nALL = []\n\n\n"
            "def add(x):\n    ALL.append(x)\n\n\nclass Works:\n    def __init__(self, x):\n"
            "        ALL.append(x)\n\n    def __add__(self, x):\n        ALL.append(x)\n\n"
            "    __getitem__ = __add__\n\n\nTHING = Works(0)\n\n\n@dataclass\nclass Made:\n"
            "    x: int\n\n\ndef f(x):\n    return x, os\n\n\n")
    script = "from pack.a import f\nuse(f(0))"
    changes = in_stage(digest, script, a=text) != in_stage(digest, script, a=f"{text}X = {value}\n")
    assert changes is (value != "add")


# Made-up packages, which really run

KINDS = ("function", "lambda", "constant", "class", "property", "cached", "dataclass", "method",
         "generator", "nested", "registered", "conditional", "default", "derived", "subclass")
AT_TOP = ("name", "alias", "dotted", "module", "module_alias", "relative", "relative_module",
          "through", "getattr", "handed", "listed", "getter", "table", "star")
INSIDE = ("inner", "inner_alias", "inner_module", "inner_dotted", "by_name", "by_made_name")
PLAIN_INSIDE = INSIDE[:4]  # that lead where they say


@dataclass(frozen=True)
class Definition:
    """One of a made-up package: what it adds to a sum, and what else it mentions.

    Attributes:
        uses: (number of a later definition, how it is mentioned).
    """

    number: int
    kind: str
    module: int
    value: int
    uses: tuple[tuple[int, str], ...]

    @property
    def name(self) -> str:
        return f"{'C' if 'class' in self.kind else 'd'}{self.number}"


@st.composite
def packages(draw, kinds=KINDS, forms=AT_TOP + INSIDE) -> list[Definition]:
    """Definitions of a package of up to four modules. What is first is used by the script."""
    count, made = draw(st.integers(2, 7)), []
    for number in range(count):
        later = list(range(number + 1, count))
        uses = draw(st.lists(st.tuples(st.sampled_from(later), st.sampled_from(forms)),
                             max_size=2)) if later else []
        made.append(Definition(number, draw(st.sampled_from(kinds)), draw(st.integers(0, 3)),
                               1000 + number, tuple(uses)))
    return made


class Written:
    """The files of a package. A module imports only later ones at its top, so that no import is
    circular; where a definition uses one of an earlier module, its function imports it."""

    def __init__(self, package: list[Definition]) -> None:
        self.package = package
        self.tops: dict[int, list[str]] = {}
        self.edges: dict[int, set[int]] = {}
        bodies: dict[int, list[str]] = {}
        for definition in reversed(package):  # what is used stands above
            self.edges[definition.number] = set()
            bodies.setdefault(definition.module, []).append(self._text(definition))
        self.files = {"src/pack/__init__.py": "", "src/pack/registry.py":
                      "ALL = []\n\n\ndef register(f):\n    ALL.append(f)\n    return f\n",
                      "src/pack/tools.py": "def call(module, name):\n"
                                           "    return getattr(module, name)\n"}
        for module in range(4):
            tops = sorted(set(self.tops.get(module, [])))
            lines = [*tops, *bodies.get(module, []), ""]
            self.files[f"src/pack/m{module}.py"] = "\n".join(lines)
            self.files[f"src/pack/via{module}.py"] = f"from pack.m{module} import *\n" + "".join(
                f"from pack.m{module} import {each.name}\n" for each in package
                if each.module == module)
        first = package[0]
        self.files["stages/train.py"] = (
            f"from pack.m{first.module} import {first.name}\nfrom pack.registry import ALL\n\n"
            f"RESULT = [{_value(first, first.name)}, sum(f() for f in ALL)]\n")

    def _text(self, definition: Definition) -> str:
        kind, name, value = definition.kind, definition.name, definition.value
        inner: list[str] = []
        terms = [str(value)]
        for number, form in definition.uses:
            used = self.package[number]
            at_top = used.module >= definition.module or kind in ("default", "derived", "subclass")
            if kind in ("constant", "lambda", "registered", "default", "derived", "subclass",
                        "dataclass"):
                continue
            terms.append(_value(used, self._mention(definition, used, form, at_top, inner)))
            self.edges[definition.number].add(number)
        total, within = " + ".join(terms), "".join(f"        {line}\n" for line in inner)
        plain = within.replace("        ", "    ")
        body = {
            "function": f"def {name}():\n{plain}    return {total}\n",
            "conditional": f"if True:\n    def {name}():\n{within}        return {total}\n"
                           f"else:\n    {name} = None\n",
            "lambda": f"{name} = lambda: {total}\n",
            "constant": f"{name} = {total}\n",
            "default": f"D{definition.number} = {total}\n\n\n"
                       f"def {name}(x=D{definition.number}):\n    return x\n",
            "derived": f"D{definition.number} = {total}\n{name} = (D{definition.number},) * 1\n",
            "class": f"class {name}:\n    def value(self):\n{within}        return {total}\n",
            "subclass": f"class B{name}:\n    def value(self):\n        return {total}\n\n\n"
                        f"class {name}(B{name}):\n    def other(self):\n        return 0\n",
            "property": f"class {name}:\n    @property\n    def value(self):\n{within}"
                        f"        return {total}\n",
            "method": f"class {name}:\n    @classmethod\n    def make(cls):\n"
                      "        return cls()\n\n"
                      f"    def __call__(self):\n{within}        return {total}\n",
            "cached": f"import functools\n\n\n@functools.cache\ndef {name}():\n{plain}"
                      f"    return {total}\n",
            "dataclass": "from dataclasses import dataclass\n\n\n@dataclass\n"
                         f"class {name}:\n    size: int = {total}\n",
            "generator": f"def {name}():\n{plain}    yield {total}\n",
            "nested": f"def {name}():\n{plain}    def inner():\n        return {total}\n"
                      "    return inner()\n",
            "registered": "from pack.registry import register\n\n\n@register\n"
                          f"def {name}():\n    return {total}\n",
        }[kind]
        return f"\n\n{body}"

    def _mention(self, definition: Definition, used: Definition, form: str, at_top: bool,
                 inner: list[str]) -> str:
        """An expression that is a definition, and the imports that it needs."""
        name, module = used.name, f"m{used.module}"
        if used.module == definition.module and form in ("name", "alias", "through", "star",
                                                         "inner", "module", "dotted"):
            return name
        if used.module == definition.module or not at_top:
            form = (PLAIN_INSIDE[AT_TOP.index(form) % len(PLAIN_INSIDE)]
                    if form in AT_TOP else form)
        tops = inner if form in INSIDE or not at_top else self.tops.setdefault(
            definition.module, [])

        def needs(line: str, expression: str) -> str:
            tops.append(line)
            return expression

        if form in ("handed", "table"):
            needs("from pack import tools", "")
        return {
            "name": lambda: needs(f"from pack.{module} import {name}", name),
            "inner": lambda: needs(f"from pack.{module} import {name}", name),
            "alias": lambda: needs(f"from pack.{module} import {name} as a{name}", f"a{name}"),
            "inner_alias": lambda: needs(f"from pack.{module} import {name} as i{name}",
                                         f"i{name}"),
            "dotted": lambda: needs(f"import pack.{module}", f"pack.{module}.{name}"),
            "inner_dotted": lambda: needs(f"import pack.{module}", f"pack.{module}.{name}"),
            "module": lambda: needs(f"from pack import {module}", f"{module}.{name}"),
            "inner_module": lambda: needs(f"from pack import {module}", f"{module}.{name}"),
            "module_alias": lambda: needs(f"import pack.{module} as x{module}",
                                          f"x{module}.{name}"),
            "relative": lambda: needs(f"from .{module} import {name}", name),
            "relative_module": lambda: needs(f"from . import {module}", f"{module}.{name}"),
            "through": lambda: needs(f"from pack.via{used.module} import {name} as v{name}",
                                     f"v{name}"),
            "star": lambda: needs(f"from pack.{module} import *", name),
            "getattr": lambda: needs(f"from pack import {module}", f"getattr({module}, '{name}')"),
            "handed": lambda: needs(f"from pack import {module}",
                                    f"tools.call({module}, '{name}')"),
            "listed": lambda: needs(f"from pack import {module}", f"vars({module})['{name}']"),
            "getter": lambda: needs(f"import operator\nfrom pack import {module}",
                                    f"operator.attrgetter('{name}')({module})"),
            "table": lambda: needs(f"from pack import {module}",
                                   f"{{'m': {module}}}['m'].{name}"),
            "by_name": lambda: needs("import importlib",
                                     f"importlib.import_module('pack.{module}').{name}"),
            "by_made_name": lambda: needs(
                "import importlib",
                f"importlib.import_module('pack.' + str('{module}')).{name}"),
        }[form]()

    def reached(self) -> set[int]:
        """Numbers of what the first definition uses."""
        found, waiting = set(), [0]
        while waiting:
            number = waiting.pop()
            if number not in found:
                found.add(number)
                waiting += self.edges[number]
        return found


def _value(used: Definition, mention: str) -> str:
    return {"constant": mention, "class": f"{mention}().value()", "property": f"{mention}().value",
            "dataclass": f"{mention}().size", "method": f"{mention}.make()()",
            "generator": f"next({mention}())", "subclass": f"{mention}().value()",
            "derived": f"{mention}[0]"}.get(used.kind, f"{mention}()")


def run(base: Path) -> object:
    """What the script of a package computes."""
    sys.path.insert(0, str(base / "src"))
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    importlib.invalidate_caches()
    content: dict = {"__name__": "__main__"}
    try:
        exec((base / "stages/train.py").read_text(), content)
    finally:
        sys.path.remove(str(base / "src"))
        sys.dont_write_bytecode = before
        for name in [name for name in sys.modules if name.split(".")[0] == "pack"]:
            del sys.modules[name]
    return content["RESULT"]


def made(base: Path, package: list[Definition]) -> tuple[str, object]:
    """The fingerprint of a package, and what it computes."""
    shutil.rmtree(base, ignore_errors=True)
    write(base, Written(package).files)
    return fingerprint(base / "stages/train.py", base / "src"), run(base)


def changed(package: list[Definition], number: int, **change) -> list[Definition]:
    return [replace(each, **change) if each.number == number else each for each in package]


QUICK = settings(max_examples=20, deadline=None, print_blob=True, derandomize=True,
                 suppress_health_check=[HealthCheck.function_scoped_fixture,
                                        HealthCheck.too_slow])


@QUICK
@given(packages())
def test_whatever_changes_what_is_computed_changes_the_fingerprint(tmp_path, package):
    before, result = made(tmp_path / "p", package)
    for definition in package:
        after, other = made(tmp_path / "p", changed(package, definition.number,
                                                    value=definition.value + 500))
        assert other == result or after != before, definition
        if definition.number in Written(package).reached():
            assert other != result and after != before


EXACT = tuple(form for form in AT_TOP + INSIDE if form not in (
    "handed", "listed", "table", "by_made_name"))


@QUICK
@given(packages(kinds=[kind for kind in KINDS if kind not in ("registered", "conditional")],
                forms=EXACT))
def test_what_is_not_reached_changes_no_fingerprint(tmp_path, package):
    before, result = made(tmp_path / "p", package)
    for number in {each.number for each in package} - Written(package).reached():
        assert made(tmp_path / "p", changed(package, number, value=7)) == (before, result)
    added = Definition(len(package), "function", 0, 7, ())
    assert made(tmp_path / "p", [*package, added]) == (before, result)


@QUICK
@given(packages(kinds=[kind for kind in KINDS if kind not in
                       # When it is made may decide what a derived value is.
                       ("registered", "conditional", "derived")],
                forms=[form for form in EXACT if form not in ("getattr", "getter", "by_name")]),
       st.data())
def test_a_definition_in_another_file_is_the_same(tmp_path, package, data):
    before = made(tmp_path / "p", package)
    moved = changed(package, data.draw(st.integers(0, len(package) - 1)),
                    module=data.draw(st.integers(0, 3)))
    assert made(tmp_path / "p", moved) == before


@QUICK
@given(packages(forms=EXACT), st.data())
def test_what_uses_another_definition_is_something_else(tmp_path, package, data):
    before, result = made(tmp_path / "p", package)
    users = [each for each in package if Written(package).edges[each.number]]
    if users:
        user = data.draw(st.sampled_from(users))
        other = data.draw(st.integers(user.number + 1, len(package) - 1))
        rewired = changed(package, user.number, uses=((other, user.uses[0][1]), *user.uses[1:]))
        after, computed = made(tmp_path / "p", rewired)
        assert computed == result or after != before


# This package itself

RUNS = {"base": {}, "early": {"freeze": "early"}, "lora": {"tune": "lora"},
        "tinytl": {"tune": "tinytl"}, "append": {"head": "append"},
        "constant": {"schedule": "constant"}, "rotated": {"rotation": 10, "flip": False},
        "resnet18": {"model": "resnet18"}, "squeezenet1_1": {"model": "squeezenet1_1"}}


@pytest.fixture(scope="module")
def choices():
    """{run: the modules that it chooses}."""
    runs = resolve(params(RUNS)).runs
    return {name: of_recipes.chosen_code(run.training_knobs, run.augmentations, run.phases)
            for name, run in runs.items()}


@pytest.fixture(scope="module")
def project(tmp_path_factory, choices):
    """A function: the fingerprints of the runs with texts of the package's files replaced,
    {file: (text, other text)}, or put at their ends, ("", text)."""
    base = tmp_path_factory.mktemp("project")
    for folder in ("src", "stages"):
        shutil.copytree(ROOT / folder, base / folder,
                        ignore=shutil.ignore_patterns("__pycache__"))

    def of(*changes):
        kept = {}
        for name, (text, other) in chain.from_iterable(each.items() for each in changes):
            path = base / "src/unfreeze" / name
            content = path.read_text()
            kept.setdefault(path, content)
            assert text in content
            path.write_text(content.replace(text, other, 1) if text else content + other)
        made = of_recipes.fingerprints(base / "stages/train.py", base / "src")
        digests = {name: made.of(choice) for name, choice in choices.items()}
        for path, content in kept.items():
            path.write_text(content)
        return digests

    return of


@pytest.fixture(scope="module")
def unchanged(project):
    return project()


ALL = set(RUNS)
OF_THE_PROJECT = {  # {what: (changes, runs that they reach)}
    "a progress line": ({"training/replicate.py": ("goes on after epoch", "continues after")},
                        set()),
    "an unused function": ({"training/loop.py": ("", "\n\ndef walk(x):\n    return x.mean()\n"),
                            "tuning/methods/lora.py": ("", "\n\ndef walk():\n    return 1\n"),
                            "files.py": ("", "\n\ndef walk():\n    return 1\n")}, set()),
    "an error": ({"tuning/methods/lora.py": ("matches no Linear", "does not match a Linear"),
                  "models/weights.py": ("not a whole safetensors file", "no safetensors file"),
                  "recipe.py": ("is no recipe of this version", "is of another version")}, set()),
    "help of a knob": ({"tuning/methods/lora.py": ("of the update of a weight", "of updates")},
                       set()),
    "a knob's words": ({"params/knob.py": ("a whole number", "an integer")}, set()),
    "the way numbers are worded": ({"words.py": ("_TINY = 1e-12", "_TINY = 1e-9")}, set()),
    "what fetches": ({"fetching/sources.py": ("TIMEOUT = 20", "TIMEOUT = 30")}, set()),
    "what pins": ({"recipe.py": ("def write(", "def write_it("),
                   "fingerprint/quiet.py": ("", "X = 1\n"),
                   "fingerprint/of_recipes.py": ("", "X = 1\n"),
                   "pinning.py": ("", "X = 1\n")}, set()),
    "a random draw": ({"training/randomness.py": ("[:8]", "[8:16]")}, ALL),
    "a method": ({"tuning/methods/lora.py": ("math.sqrt(5)", "math.sqrt(6)")}, {"lora"}),
    "what a method is built on": ({"tuning/methods/bias.py": ('"in_proj_bias"', '"x"')},
                                  {"tinytl"}),
    "another method": ({"tuning/methods/tinytl.py": ("max(8,", "max(16,")}, {"tinytl"}),
    "methods that no run chooses": (
        {"tuning/methods/ssf.py": ("torch.zeros(channels)", "torch.ones(channels)"),
         "tuning/methods/dora.py": ("math.sqrt(5)", "math.sqrt(6)"),
         "tuning/shapes.py": ("image_size, image_size", "image_size, 2 * image_size"),
         "tuning/beside.py": ("output + added", "output - added")}, set()),
    "a head": ({"models/heads/append.py": ("KEEPS_CLASSIFIER = True", "KEEPS_CLASSIFIER = 1")},
               {"append"}),
    "a schedule": ({"training/schedules/constant.py": ("1.0", "0.5")}, {"constant"}),
    "a family": ({"models/families/resnet.py": ("kernel_size=3", "kernel_size=5")},
                 {"resnet18", "squeezenet1_1"}),
    "the family of the rest": ({"models/families/torchvision_zoo.py": ("(1, 1)", "(2, 2)")},
                               {"squeezenet1_1"}),
    "facts that are found": ({"models/with_torch/divide.py": ("STAGES_OF_ONE_RESOLUTION = 4",
                                                              "STAGES_OF_ONE_RESOLUTION = 5")},
                             {"squeezenet1_1"}),
    "the stage": ({"../../stages/train.py": ("run.train(name", "run.train(2 * name")}, ALL),
    "what a batch is": ({"training/loop.py": ("zero_grad(set_to_none=True)", "zero_grad()")}, ALL),
}


def test_nothing_in_the_project_changes_nothing(project, unchanged):
    assert project() == unchanged
    assert len(set(unchanged.values())) == len(RUNS) - 1  # base and early run the same code


# Each takes a second: by default those at once that reach runs of their own, and one that reaches
# all.
APART = ("a method", "another method", "a head", "a schedule", "a family")
BY_DEFAULT = ("the family of the rest", "what a batch is")


@pytest.mark.parametrize("what", [
    pytest.param(what, marks=[] if what in BY_DEFAULT else [pytest.mark.slow])
    for what, (_, runs) in OF_THE_PROJECT.items() if runs])
def test_a_change_in_the_project_reaches(project, unchanged, what):
    changes, runs = OF_THE_PROJECT[what]
    after = project(changes)
    assert {name for name in RUNS if after[name] != unchanged[name]} == runs


def test_changes_in_the_project_reach_each_their_own_runs(project, unchanged):
    changes, runs = zip(*(OF_THE_PROJECT[what] for what in APART), strict=True)
    after = project(*changes)
    assert {name for name in RUNS if after[name] != unchanged[name]} == set().union(*runs)


def test_changes_in_the_project_that_reach_no_run(project, unchanged):
    none = {what: changes for what, (changes, runs) in OF_THE_PROJECT.items() if not runs}
    assert len(none) > 5
    if project(*none.values()) != unchanged:  # all at once, since it takes long
        assert [what for what, changes in none.items() if project(changes) != unchanged] == []
        raise AssertionError("together they reach a run")


def test_a_plugin_that_is_not_there_is_an_error(tmp_path):
    write(tmp_path, TREE)
    with pytest.raises(ValueError, match="pack.plugins.chosn: no such module"):
        fingerprint(tmp_path / "stages/train.py", tmp_path / "src", {"pack.plugins": ["chosn"]})


def test_words_make_nothing_but_texts_in_training(choices):
    """So that they need not count: each call of theirs stands in a text."""
    made = Fingerprints(ROOT / "stages/train.py", ROOT / "src")
    names = {name for choice in choices.values() for name in made.reached(choice)}
    users = {name.split(":")[0] for name in names} - {"unfreeze.words"}
    for module in sorted(users):
        path = (ROOT / "src").joinpath(*module.split(".")).with_suffix(".py")
        tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
        words = {alias.asname or alias.name for node in ast.walk(tree)
                 if isinstance(node, ast.ImportFrom) and node.module == "unfreeze.words"
                 for alias in node.names}
        within = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
                  for inner in ast.walk(node)}
        assert all(id(node) in within for node in ast.walk(tree)
                   if isinstance(node, ast.Name) and node.id in words), path
        assert not any(isinstance(node, ast.ImportFrom) and node.module == "unfreeze" and any(
            alias.name == "words" for alias in node.names) for node in ast.walk(tree)), path


def test_the_stage_pin_depends_on_all_that_counts(choices):
    """Or a change would be overlooked: the stage would not run again."""
    made = of_recipes.fingerprints(ROOT / "stages/train.py", ROOT / "src")
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["pin"]
    deps = [dep.replace("${root}/", "") for dep in stage["deps"]]
    for name in {name.split(":")[0] for choice in choices.values()
                 for name in made.reached(choice)}:
        file = (ROOT / "src").joinpath(*name.split("."))
        places = [file.with_suffix(".py"), file / "__init__.py", ROOT / f"stages/{name}.py"]
        (found,) = [str(each.relative_to(ROOT)) for each in places if each.is_file()]
        assert any(found == dep or found.startswith(f"{dep}/") for dep in deps), found
