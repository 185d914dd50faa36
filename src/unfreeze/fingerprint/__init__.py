"""What code a run depends on, as a digest.

It is over definitions, not files: the functions, classes and values that a script reaches, and the
statements that work when a module is imported.

- A name reaches what it leads to, through imports of whatever form. A class counts whole, since
  what is outside the package calls methods by names of its own (`forward`, `write`).
- Modules that a run chooses by name (`import_module(f"{__name__}.families.{family}")`) are given
  as plugins. Their definitions are reached by attributes of that name of any object.
- Where a name is made at run time (`getattr(x, name)`, `vars(x)`), modules that go from hand to
  hand count whole; where anything may happen (`eval`, `inspect`), all that is loaded does.
- Not counted: comments, docstrings, annotations of parameters; literal text of errors, printed
  lines and progress bars, with what is put into it without a call; the file that a definition lies
  in, and what it is imported as; modules that are named as making such texts.
"""

import ast
import hashlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from unfreeze.fingerprint.modules import Code, Found, Module, Statement, imports_at_once
from unfreeze.fingerprint.quiet import Quiet
from unfreeze.fingerprint.spelling import Load, Reference, Spelled, spell, spell_import

Plugins = Mapping[str, Iterable[str]]  # {package: names of the modules in it that a run chooses}


def fingerprint(script: Path, source: Path, plugins: Plugins | None = None) -> str:
    """SHA-256 over the code that a script reaches.

    Args:
        script: the file where it starts.
        source: src/, below which the package lies.
        plugins: in packages whose modules are imported by a name made at run time, those that the
            run chooses; modules of other packages that are imported so count all.

    Raises:
        ValueError: a plugin is no module there.
    """
    return Fingerprints(script, source).of(plugins)


class Fingerprints:
    """The fingerprints of a script with one choice of plugins or another, each file read once.

    Args:
        script, source: as of `fingerprint`.
        texts: dotted names of modules that make nothing but texts for people, which do not count.
    """

    def __init__(self, script: Path, source: Path, texts: Iterable[str] = ()) -> None:
        self.texts = frozenset(texts)
        self.code = Code(source, script)
        self.quiet = Quiet(self.code)
        self._spelled: dict[Statement, Spelled] = {}

    def of(self, plugins: Plugins | None = None) -> str:
        """The fingerprint with these plugins; as `fingerprint`."""
        return _Reach(self, plugins or {}).digest()

    def reached(self, plugins: Plugins | None = None) -> list[str]:
        """What counts, sorted: `module:name`, and `module:` for what works at its import."""
        return _Reach(self, plugins or {}).names()

    def spell(self, statement: Statement) -> Spelled:
        if statement not in self._spelled:
            self._spelled[statement] = spell(self.code, self.quiet, statement)
        return self._spelled[statement]


class _Reach:
    """What one choice of plugins reaches.

    Modules are loaded as Python does: each once, imports before what stands below them. What is
    loaded by the script's own imports is loaded in an order that is known; what functions import,
    later, each for itself.
    """

    def __init__(self, fingerprints: Fingerprints, plugins: Plugins) -> None:
        self._of = fingerprints
        self._code, self._quiet = fingerprints.code, fingerprints.quiet
        self._plugins = {package: [f"{package}.{name}" for name in sorted(set(names))]
                         for package, names in plugins.items()}
        self._events: dict[str, list[Statement | str]] = {}  # of each module, at its import
        self._early: list[Statement | str] = []
        self._reached: dict[Statement, None] = {}
        self._waiting: list[Statement] = []
        self._values: set[str] = set()  # modules that go from hand to hand
        self._attributes: set[str] = set()
        self._by_any_name = self._opaque = self._documented = self._annotated = False
        self._load(self._code.script, self._early)
        self._loaded_early = frozenset(self._events)
        for name in sorted(name for names in self._plugins.values() for name in names):
            if self._code.module(name) is None:
                raise ValueError(f"{name}: no such module")
            self._value(name)
        while self._waiting:
            self._follow(self._of.spell(self._waiting.pop()))

    # -- loading

    def _load(self, module: Module, order: list) -> None:
        """Load a module and what it imports, unless that has been done."""
        if module.name in self._events or module.name in self._of.texts:
            return
        events = self._events[module.name] = []
        for step in module.steps:
            node = step.node if isinstance(step, Statement) else step
            for imported in imports_at_once(node):
                for name in self._code.loaded_by(module, imported):
                    self._load(self._code.module(name), order)
            if isinstance(step, Statement):
                event = step
                if not self._quiet.statement(step) or "__getattr__" in step.names:
                    self._reach(step)
            else:
                event = spell_import(self._code, module, step)
            if event:
                events.append(event)
                order.append(event)

    def _load_late(self, name: str) -> Module | None:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            module = self._code.module(".".join(parts[:end]))
            if module is None:
                return None
            self._load(module, [])
        return module

    def _reach(self, statement: Statement) -> None:
        if statement not in self._reached:
            self._reached[statement] = None
            self._waiting.append(statement)

    # -- following

    def _follow(self, spelled: Spelled) -> None:
        for name in sorted(spelled.loads):
            self._load_late(name)
        for found in spelled.found:
            self._arrive(found)
        for prefix in spelled.prefixes:
            self._import_by_name(prefix)
        for name in spelled.attributes - self._attributes:
            self._attributes.add(name)
            for module in sorted(self._values):
                self._attribute(module, name)
        self._documented |= spelled.documented
        self._annotated |= spelled.annotated
        if spelled.by_any_name and not self._by_any_name:
            self._by_any_name = True
            for module in sorted(self._values):
                self._whole(module)
        if spelled.opaque and not self._opaque:
            self._opaque = True
        if self._opaque:
            for module in list(self._events):
                for statement in self._code.module(module).statements:
                    self._reach(statement)

    def _arrive(self, found: Found) -> None:
        if found.module in self._of.texts:
            return
        if found.kind == "definition":
            self._load_late(found.module)
            for statement in self._code.definitions(found.module, found.name):
                self._reach(statement)
        elif found.kind == "module":
            self._value(found.module)

    def _import_by_name(self, prefix: str) -> None:
        if prefix.endswith("\n"):  # a whole name
            self._value(prefix.strip())
            return
        chosen = {name for names in self._plugins.values() for name in names}
        for name in self._code.below(prefix):
            if name.rpartition(".")[0] not in self._plugins or name in chosen:
                self._value(name)

    def _value(self, name: str) -> None:
        """A module goes from hand to hand: attributes of any object may be its own."""
        if name in self._values or self._load_late(name) is None:
            return
        self._values.add(name)
        for attribute in sorted(self._attributes):
            self._attribute(name, attribute)
        if self._by_any_name:
            self._whole(name)

    def _attribute(self, module: str, name: str) -> None:
        for found in self._code.within(self._code.module(module), (name,)):
            self._arrive(found)

    def _whole(self, name: str) -> None:
        for attribute in self._code.module(name).bindings:
            self._attribute(name, attribute)

    # -- the digest

    def names(self) -> list[str]:
        return sorted({f"{statement.module.name}:"
                       f"{','.join(statement.names) if self._quiet.statement(statement) else ''}"
                       for statement in self._reached})

    def digest(self) -> str:
        """SHA-256 over what is reached: definitions in no order, and what works at import in the
        order in which it does."""
        late = sorted(repr(self._in_order(events)) for name, events in self._events.items()
                      if name not in self._loaded_early)
        definitions = sorted(self._render(statement) for statement in self._reached
                             if self._quiet.statement(statement))
        everything = [definitions, self._in_order(self._early), [each for each in late
                                                                 if each != "[]"]]
        if self._opaque or self._documented:
            modules = [self._code.module(name) for name in sorted(self._events)]
            everything.append([(module.name, module.docstrings) for module in modules])
            if self._opaque:
                everything.append([ast.dump(module.tree) for module in modules])
        if self._annotated:
            everything.append(sorted(
                self._label(statement) + self._of.spell(statement).annotations
                for statement in self._reached))
        return hashlib.sha256(repr(everything).encode()).hexdigest()

    def _in_order(self, events: list) -> list:
        """What works at import, in order, and between it, in no order, the reached definitions
        whose value may depend on when they are made; [] where nothing works."""
        order: list = []
        between: list[str] = []
        for event in events:
            if isinstance(event, str):
                order += [sorted(between), event]
                between = []
            elif not self._quiet.statement(event):
                order += [sorted(between), self._render(event)]
                between = []
            elif event in self._reached and not self._quiet.timeless(event):
                between.append(self._label(event))
        return [*order, sorted(between)] if order else []

    @cached_property
    def _homes(self) -> dict[str, set[str]]:
        """{name: modules that define it}, of what is reached."""
        homes: dict[str, set[str]] = {}
        for statement in self._reached:
            for name in statement.names:
                homes.setdefault(name, set()).add(statement.module.name)
        return homes

    def _name(self, module: str, name: str) -> str:
        """A definition is called by its name; by its module's, too, where several modules define
        one of that name, so that which is meant makes a difference."""
        return name if len(self._homes.get(name, ())) < 2 else f"{module}:{name}"

    def _label(self, statement: Statement) -> str:
        return ",".join(self._name(statement.module.name, name) for name in statement.names)

    def _render(self, statement: Statement) -> str:
        pieces = [self._label(statement), "\n"]
        for piece in self._of.spell(statement).pieces:
            if isinstance(piece, Reference):
                pieces.append(self._leads(piece.found))
            elif isinstance(piece, Load):
                pieces.append(self._works(piece))
            else:
                pieces.append(piece)
        return "".join(pieces)

    def _leads(self, found: Found) -> str:
        if found.kind == "definition":
            return f"<{self._name(found.module, found.name)}>"
        if found.kind == "outside":
            return f"<outside {found.name}>"
        return f"<{found.kind} {found.module}:{found.name}>"

    def _works(self, load: Load) -> str:
        """What an import in a function does besides binding names."""
        order = []
        for name in self._below(load.modules):
            if name not in self._loaded_early:
                order += [name, *self._in_order(self._events[name])] * bool(
                    self._in_order(self._events[name]))
        return f"<load {order}>" if order else ""

    def _below(self, names: Iterable[str]) -> list[str]:
        """Modules that some modules load, themselves included."""
        found: dict[str, None] = {}

        def visit(name: str) -> None:
            if name in found or name not in self._events:
                return
            found[name] = None
            module = self._code.module(name)
            for step in module.steps:
                node = step.node if isinstance(step, Statement) else step
                for imported in imports_at_once(node):
                    for inner in self._code.loaded_by(module, imported):
                        visit(inner)

        for name in names:
            visit(name)
        return list(found)
