"""Source files as modules: their top-level statements, and where a dotted name leads."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

Parts = tuple[str, ...]  # a dotted name
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Found:
    """Where a dotted name leads.

    Attributes:
        kind: "outside" of the package (`name` is the dotted name there), a "module", a
            "definition" of a module, or "nothing" that is bound at the top level of a module.
        rest: attributes that follow, of an object that is known only at run time.
    """

    kind: str
    module: str = ""
    name: str = ""
    rest: Parts = ()


class Statement:
    """A top-level statement of a module; names that it binds are definitions of that module."""

    def __init__(self, module: "Module", node: ast.stmt, names: Parts) -> None:
        self.module, self.node, self.names = module, node, names


class Module:
    """A parsed file.

    Attributes:
        name: dotted; that of a script is its file's.
        statements: in order, without docstrings and without imports of the top level itself.
        bindings: {name: the statements and the imported dotted names that it may stand for}.
        steps: what happens at its import, in order: statements, and import nodes.
        stars: dotted names of what `from ... import *` reads.
    """

    def __init__(self, name: str, text: str, is_package: bool) -> None:
        self.name, self.is_package = name, is_package
        self.tree = ast.parse(text, filename=name)
        self.steps: list[Statement | ast.Import | ast.ImportFrom] = []
        self.bindings: dict[str, list[Statement | Parts]] = {}
        self.stars: list[Parts] = []
        for node in self.tree.body:
            if not (is_text(node) or isinstance(node, ast.Pass)):
                self._add(node)

    def _add(self, node: ast.stmt) -> None:
        names = dict.fromkeys(name for name, source in bound([node]) if source is None)
        for name, source in bound([node]):
            if source == ("*",):
                self.stars.append(self.imported(node)[0])
            elif source is not None:
                self._bind(name, source)
        if isinstance(node, ast.Import | ast.ImportFrom):
            self.steps.append(node)
            return
        statement = Statement(self, node, tuple(names))
        self.steps.append(statement)
        for name in names:
            self._bind(name, statement)

    def _bind(self, name: str, meaning: "Statement | Parts") -> None:
        if isinstance(meaning, tuple):
            meaning = self.absolute(meaning)
        if meaning not in self.bindings.setdefault(name, []):
            self.bindings[name].append(meaning)

    @property
    def package(self) -> Parts:
        parts = tuple(self.name.split("."))
        return parts if self.is_package else parts[:-1]

    @property
    def statements(self) -> list[Statement]:
        return [step for step in self.steps if isinstance(step, Statement)]

    def absolute(self, parts: Parts) -> Parts:
        """A dotted name whose first part may be the dots of a relative import."""
        if not parts[0].startswith("."):
            return parts
        up = len(parts[0]) - 1
        return self.package[:len(self.package) - up] + parts[1:]

    def imported(self, node: ast.Import | ast.ImportFrom) -> list[Parts]:
        """Dotted names that an import names: modules, or what lies in one."""
        if isinstance(node, ast.Import):
            return [tuple(alias.name.split(".")) for alias in node.names]
        return [self.absolute(source_of(node) + ((alias.name,) if alias.name != "*" else ()))
                for alias in node.names]

    @cached_property
    def mentioned(self) -> frozenset[str]:
        """Names that are read anywhere in the file."""
        return frozenset(node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name))

    @cached_property
    def docstrings(self) -> str:
        return repr([node.value.value for node in ast.walk(self.tree)
                     if isinstance(node, ast.Expr) and is_text(node)])


@lru_cache(maxsize=1024)
def _parsed(name: str, text: str, is_package: bool) -> Module:
    return Module(name, text, is_package)


class Code:
    """The modules that a script can import.

    Args:
        source: src/, below which the package lies.
        script: the file where it all starts; files beside it can be imported, too.
    """

    def __init__(self, source: Path, script: Path) -> None:
        self._source, self._beside = source, script.parent
        self.script = _parsed(script.stem, script.read_text(encoding="utf-8"), False)
        self._modules: dict[str, Module | None] = {script.stem: self.script}

    def module(self, name: str) -> Module | None:
        """The module of a dotted name; None where there is none here."""
        if name not in self._modules:
            self._modules[name] = None if name.endswith(".__init__") else self._read(name)
        return self._modules[name]

    def _read(self, name: str) -> Module | None:
        place = self._source.joinpath(*name.split("."))
        files = [(place / "__init__.py", True), (place.with_name(f"{place.name}.py"), False)]
        if "." not in name:
            files.append((self._beside / f"{name}.py", False))
        for file, is_package in files:
            if file.is_file():
                return _parsed(name, file.read_text(encoding="utf-8"), is_package)
        return _parsed(name, "", True) if place.is_dir() else None

    def below(self, prefix: str) -> list[str]:
        """Dotted names of all modules below `source` that begin so, sorted."""
        return [name for name in self._names if name.startswith(prefix)]

    @cached_property
    def _names(self) -> list[str]:
        names = []
        for path in self._source.rglob("*.py"):
            parts = path.relative_to(self._source).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            names.append(".".join(parts))
        return sorted(names)

    def loaded_by(self, module: Module, node: ast.Import | ast.ImportFrom) -> list[str]:
        """Modules of the package that an import runs, in order, if they have not run yet."""
        found = {}
        for parts in module.imported(node):
            for end in range(1, len(parts) + 1):  # importing a.b.c runs a and a.b first
                name = ".".join(parts[:end])
                if self.module(name) is None:
                    break
                found[name] = None
        return list(found)

    def follow(self, parts: Parts, seen: frozenset = frozenset()) -> list[Found]:
        """Where an absolute dotted name leads; several places where that depends on what runs."""
        root = self.module(parts[0])
        if root is None:
            return [Found("outside", name=".".join(parts))]
        return self.within(root, parts[1:], seen)

    def within(self, module: Module, parts: Parts, seen: frozenset = frozenset()) -> list[Found]:
        """Where a dotted name leads that starts with a name of the top level of a module."""
        if not parts:
            return [Found("module", module.name)]
        name, rest = parts[0], parts[1:]
        found: list[Found] = []
        if (module.name, name) not in seen:
            seen |= {(module.name, name)}
            for binding in module.bindings.get(name, ()):
                found += ([Found("definition", module.name, name, rest)]
                          if isinstance(binding, Statement) else self.follow(binding + rest, seen))
        inner = self.module(f"{module.name}.{name}") if module.is_package else None
        if inner is not None:
            found += self.within(inner, rest, seen)
        if not found:
            for star in module.stars:
                found += [each for each in self.follow(star + parts, seen)
                          if each.kind not in ("nothing", "outside")]
        return list(dict.fromkeys(found)) or [Found("nothing", module.name, name, rest)]

    def definitions(self, module: str, name: str) -> list[Statement]:
        """The top-level statements that bind a name in a module."""
        return [binding for binding in self.module(module).bindings.get(name, ())
                if isinstance(binding, Statement)]


def is_text(node: ast.stmt) -> bool:
    """Whether a statement is a text alone, such as a docstring."""
    return (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str))


def source_of(node: ast.ImportFrom) -> Parts:
    """Of `from a.b import c` the a.b; the dots of a relative import are its first part."""
    dots = ("." * node.level,) if node.level else ()
    return dots + (tuple(node.module.split(".")) if node.module else ())


def bound(nodes: list[ast.AST]) -> Iterator[tuple[str, Parts | None]]:
    """Names that nodes bind in their own scope, each with the dotted name that is imported as it;
    None for one that is bound otherwise; ("*",) for a star."""
    waiting = [(node, False) for node in reversed(nodes)]
    while waiting:
        node, in_comprehension = waiting.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = tuple(alias.name.split("."))
                yield (alias.asname, parts) if alias.asname else (parts[0], parts[:1])
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    yield "*", ("*",)
                else:
                    yield alias.asname or alias.name, source_of(node) + (alias.name,)
        elif isinstance(node, ast.NamedExpr):
            yield node.target.id, None
            waiting.append((node.value, in_comprehension))
        elif isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load) and not in_comprehension:
                yield node.id, None
        else:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
                          | ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                yield node.name, None
            elif isinstance(node, ast.MatchMapping) and node.rest:
                yield node.rest, None
            inside = in_comprehension or isinstance(node, COMPREHENSIONS)
            waiting += [(child, inside) for child in reversed(list(_of_this_scope(node)))]


def _of_this_scope(node: ast.AST) -> Iterator[ast.AST]:
    """The children of a node that run in its own scope."""
    if isinstance(node, FUNCTIONS):
        yield from getattr(node, "decorator_list", ())
        yield from node.args.defaults
        yield from filter(None, node.args.kw_defaults)
    elif isinstance(node, ast.ClassDef):
        yield from node.decorator_list
        yield from node.bases
        yield from (keyword.value for keyword in node.keywords)
    else:
        yield from ast.iter_child_nodes(node)


def imports_at_once(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports within a statement that run when it runs, and not when a function is called."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
    elif isinstance(node, ast.ClassDef):
        for child in node.body:
            yield from imports_at_once(child)
    elif not isinstance(node, (*FUNCTIONS, ast.expr)):
        for child in ast.iter_child_nodes(node):
            yield from imports_at_once(child)
