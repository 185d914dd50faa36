"""What a statement means, as text, and what it mentions.

The text is free of layout, comments, docstrings and annotations of parameters, and differs between
versions of Python only where meaning does. In it stands for an expression that names something of
the package what it leads to, wherever that lies and whatever it was imported as; what is outside
goes by its full name there.
"""

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from unfreeze.fingerprint.modules import (
    COMPREHENSIONS,
    Code,
    Found,
    Module,
    Parts,
    Statement,
    bound,
    is_text,
)
from unfreeze.fingerprint.quiet import Quiet, annotations, calls_nothing, dotted

# Where these are used anything of the package may be reached: all that is loaded counts whole.
_OPAQUE_NAMES = {"__import__", "compile", "eval", "exec", "globals"}
_OPAQUE_ATTRIBUTES = {"__builtins__", "__code__", "__globals__", "__module__", "__subclasses__"}
_OPAQUE_OUTSIDE = (
    "builtins", "code", "copyreg", "gc.get_objects", "gc.get_referrers", "importlib.__import__",
    "importlib.reload", "importlib.util", "inspect", "pickle.Unpickler",
    "pickle.load", "pickle.loads", "pkgutil.resolve_name", "runpy", "sys._getframe", "sys.modules",
    "types.FunctionType")
_BY_NAME = {"getattr", "hasattr", "setattr", "delattr"}
_LISTING = {"vars", "dir"}
_PLACE = {"__name__", "__file__", "__path__", "__package__", "__spec__"}

# Calls whose arguments are for people.
_LINES = {"print", "tqdm.tqdm.write", "tqdm.auto.tqdm.write", "warnings.warn"}
_LINE_METHODS = {"set_postfix", "set_postfix_str", "set_description", "set_description_str", "say",
                 "_say"}
_MESSAGES = {"tqdm.tqdm", "tqdm.auto.tqdm", "tqdm.trange", "tqdm.auto.trange", "sys.exit", "exit",
             "quit"}
_STREAMS = {"sys.stdout", "sys.stderr"}
_ERRORS = ("Error", "Exception", "Warning", "Exit", "Interrupt")


@dataclass(frozen=True)
class Reference:
    """In a spelled text: what a name leads to, to be labelled when it is known what else is
    reached."""

    found: Found


@dataclass(frozen=True)
class Load:
    """In a spelled text: an import in a function, which runs these modules."""

    modules: Parts


@dataclass
class Spelled:
    """A statement.

    Attributes:
        pieces: texts, references and loads, in order.
        found: what names lead to.
        attributes: names of attributes of objects that are known only at run time.
        loads: modules that are imported when its functions are called.
        prefixes: how the names of modules begin that are imported by a name made at run time.
        by_any_name: whether it looks for attributes by a name made at run time.
        opaque: whether it may reach anything.
        documented, annotated: whether it reads docstrings, annotations.
        annotations: of its functions, as text.
    """

    pieces: list[str | Reference | Load] = field(default_factory=list)
    found: set[Found] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    loads: set[str] = field(default_factory=set)
    prefixes: set[str] = field(default_factory=set)
    by_any_name: bool = False
    opaque: bool = False
    documented: bool = False
    annotated: bool = False
    annotations: str = ""


@dataclass
class _Scope:
    """A scope within a top-level statement.

    Attributes:
        names: {name: where it is imported from, None for each other way of binding it}.
        types: {name: annotation} of what an annotation tells about.
        fields: names that only go through the fields of dataclasses, each as often as it is bound.
    """

    names: dict[str, list[Parts | None]]
    is_class: bool = False
    globals: frozenset[str] = frozenset()
    types: dict[str, ast.expr] = field(default_factory=dict)
    fields: dict[str, int] = field(default_factory=dict)


def spell(code: Code, quiet: Quiet, statement: Statement) -> Spelled:
    return _Speller(code, quiet, statement.module).spell(statement.node)


def spell_import(code: Code, module: Module, node: ast.Import | ast.ImportFrom) -> str:
    """Of an import that which is imported from outside for what its import does alone: it has a
    name that the file nowhere mentions. "" where there is none."""
    names = [name for name, _ in bound([node])]
    unused = [".".join(parts) for name, parts in zip(names, module.imported(node), strict=True)
              if name not in module.mentioned and code.module(parts[0]) is None]
    return f"Import({','.join(unused)})" if unused else ""


class _Speller:
    def __init__(self, code: Code, quiet: Quiet, module: Module) -> None:
        self._code, self._quiet, self._module = code, quiet, module
        self._scopes: list[_Scope] = []
        self._spelled = Spelled()

    def spell(self, node: ast.stmt) -> Spelled:
        self._any(node)
        self._spelled.pieces = list(_joined(self._spelled.pieces))
        return self._spelled

    # -- text

    def _put(self, *pieces: str | Reference | Load) -> None:
        self._spelled.pieces += pieces

    def _any(self, node: object) -> None:
        """Spell a node, a list, or a plain value."""
        if isinstance(node, list):
            self._put("[")
            for each in node:
                self._any(each)
                # An import leaves no trace where it only binds names.
                self._put("" if isinstance(each, ast.Import | ast.ImportFrom) else ",")
            self._put("]")
        elif not isinstance(node, ast.AST):
            self._put(repr(node))
        else:
            special = getattr(self, f"_{type(node).__name__}", None)
            if special:
                special(node)
            elif isinstance(node, COMPREHENSIONS):
                self._comprehension(node)
            else:
                self._fields(node)

    def _fields(self, node: ast.AST, **changed: object) -> None:
        """Spell a node by its fields, some of them changed; empty ones are left out, since newer
        versions of Python add some."""
        self._put(type(node).__name__, "(")
        for name, value in (dict(ast.iter_fields(node)) | changed).items():
            # `kind` is that of u"", and of no meaning.
            if value not in (None, []) and name not in ("kind", "type_comment"):
                self._put(name, "=")
                self._any(value)
                self._put(",")
        self._put(")")

    # -- scopes

    def _FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node, returns=None)

    _AsyncFunctionDef = _FunctionDef

    def _Subscript(self, node: ast.Subscript) -> None:
        """x.__dict__["name"] is x.name."""
        listed, name = node.value, node.slice
        if (isinstance(listed, ast.Attribute) and listed.attr == "__dict__"
                and isinstance(name, ast.Constant) and isinstance(name.value, str)):
            self._put("Subscript(")
            self._any(ast.Attribute(listed.value, name.value, node.ctx))
            self._put(")")
        else:
            self._fields(node)

    def _function(self, node: ast.FunctionDef, **changed: object) -> None:
        plain = all(calls_nothing(self._outside(getattr(each, "func", each)) or "")
                    for each in node.decorator_list)
        self._put(type(node).__name__, "(", node.name)
        self._any(node.decorator_list)
        self._arguments_outside(node.args, annotated=not plain)
        if not plain and node.returns:  # a decorator may read them
            self._any(node.returns)
        self._spelled.annotations += "".join(map(ast.unparse, annotations(node)))
        self._within(self._function_scope(node), _without_docstring(node.body))
        self._put(")")

    def _Lambda(self, node: ast.Lambda) -> None:
        self._put("Lambda(")
        self._arguments_outside(node.args, annotated=False)
        self._within(self._function_scope(node), node.body)
        self._put(")")

    def _within(self, scope: _Scope, body: object) -> None:
        self._scopes.append(scope)
        self._any(body)
        self._scopes.pop()

    def _arguments_outside(self, node: ast.arguments, annotated: bool) -> None:
        """Parameters and their defaults, which are made in the scope around the function."""
        for kind in ("posonlyargs", "args", "vararg", "kwonlyargs", "kwarg"):
            value = getattr(node, kind)
            for argument in value if isinstance(value, list) else [value] if value else []:
                self._put(kind, " ", argument.arg, ",")
                if annotated and argument.annotation:
                    self._any(argument.annotation)
        self._any(node.defaults)
        self._any(node.kw_defaults)

    def _function_scope(self, node: ast.FunctionDef | ast.Lambda) -> _Scope:
        body = node.body if isinstance(node.body, list) else [node.body]
        outer = _declared(body, ast.Global)
        scope = _Scope({}, globals=frozenset(outer))
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                scope.names[argument.arg] = [None]
                if argument.annotation:
                    scope.types[argument.arg] = argument.annotation
        self._fill(scope, body, outer | _declared(body, ast.Nonlocal))
        for loop in _own(body):
            if isinstance(loop, ast.For):
                self._loop(scope, loop.target, loop.iter)
        return scope

    def _loop(self, scope: _Scope, target: ast.expr, over: ast.expr) -> None:
        """Note a loop over the fields of a dataclass."""
        if (isinstance(target, ast.Name) and isinstance(over, ast.Call)
                and self._outside(over.func) == "dataclasses.fields"):
            scope.fields[target.id] = scope.fields.get(target.id, 0) + 1

    def _fill(self, scope: _Scope, nodes: list, but: set[str] = frozenset()) -> None:
        for name, source in bound(nodes):
            if name not in but:
                meaning = None if source is None else self._module.absolute(source)
                scope.names.setdefault(name, []).append(meaning)

    def _ClassDef(self, node: ast.ClassDef) -> None:
        self._put("ClassDef(", node.name)
        for outside in (node.decorator_list, node.bases, node.keywords):
            self._any(outside)
        scope = _Scope({}, is_class=True, globals=frozenset(_declared(node.body, ast.Global)))
        self._fill(scope, node.body, scope.globals)
        self._within(scope, _without_docstring(node.body))
        self._put(")")
        self._spelled.attributes |= {part.target.id for part in node.body if isinstance(
            part, ast.AnnAssign) and isinstance(part.target, ast.Name)}

    def _comprehension(self, node: ast.expr) -> None:
        first = node.generators[0]
        self._any(first.iter)  # made in the scope around
        names: dict[str, list] = {}
        for generator in node.generators:
            for name, _ in bound([generator.target]):
                names.setdefault(name, []).append(None)
        scope = _Scope(names)
        for generator in node.generators:
            self._loop(scope, generator.target, generator.iter)
        self._scopes.append(scope)
        self._put(type(node).__name__, "(")
        for name in ("elt", "key", "value"):
            if hasattr(node, name):
                self._any(getattr(node, name))
                self._put(",")
        for generator in node.generators:
            self._any(generator.target)
            if generator is not first:
                self._any(generator.iter)
            self._any(generator.ifs)
            self._put("async" if generator.is_async else "", ";")
        self._put(")")
        self._scopes.pop()

    def _AnnAssign(self, node: ast.AnnAssign) -> None:
        in_function = self._scopes and not self._scopes[-1].is_class
        self._fields(node, **({"annotation": None} if in_function else {}))

    # -- names

    def _lookup(self, name: str) -> tuple[bool, bool, list[Parts]]:
        """Whether a name may be a variable of a function or a class, whether it may be one of the
        module, and the dotted names that are imported as it within the statement."""
        local, imported = False, []
        for number, scope in enumerate(reversed(self._scopes)):
            if name in scope.globals:
                break
            if name not in scope.names or scope.is_class and number:
                continue
            imported += [source for source in scope.names[name] if source is not None]
            local |= None in scope.names[name]
            if not scope.is_class:
                return local, False, imported
        return local, True, imported

    def _leads(self, parts: Parts) -> tuple[bool, list[Found]]:
        """Where a dotted name leads, and whether it may also be what is known at run time alone."""
        local, of_module, imported = self._lookup(parts[0])
        found = [each for source in imported for each in self._code.follow(source + parts[1:])]
        if of_module:
            leads = self._code.within(self._module, parts)
            if leads != [Found("nothing", self._module.name, parts[0], parts[1:])]:
                found += leads
            elif not self._is_builtin(parts[0]):
                local = True
        return local, list(dict.fromkeys(found))

    def _is_builtin(self, name: str) -> bool:
        return hasattr(builtins, name) or name in _PLACE

    def _builtin(self, node: ast.expr) -> str | None:
        """The name of a builtin, where an expression is one."""
        if not isinstance(node, ast.Name) or not self._is_builtin(node.id):
            return None
        local, found = self._leads((node.id,))
        return None if local or found else node.id

    def _outside(self, node: ast.expr) -> str | None:
        """The full name of what an expression names outside the package, builtins included."""
        if self._builtin(node):
            return node.id
        parts = dotted(node)
        if not parts:
            return None
        local, found = self._leads(parts)
        if local or len(found) != 1 or found[0].kind != "outside":
            return None
        return found[0].name

    def _Name(self, node: ast.Name) -> None:
        self._dotted(node, (node.id,))

    def _Attribute(self, node: ast.Attribute) -> None:
        parts = dotted(node)
        if parts:
            self._dotted(node, parts)
        else:
            self._put("Attribute(")
            self._any(node.value)
            self._attribute(node.attr)
            self._any(node.ctx)
            self._put(")")

    def _dotted(self, node: ast.Name | ast.Attribute, parts: Parts) -> None:
        if self._builtin(ast.Name(parts[0], ast.Load())):
            self._special_name(parts[0])
        local, found = self._leads(parts)
        self._put(type(node.ctx).__name__, "(")
        if local or not found:
            self._put(parts[0])
            for name in parts[1:]:
                self._attribute(name)
        for each in found:
            self._reference(each)
        self._put(")")

    def _special_name(self, name: str) -> None:
        if name in _OPAQUE_NAMES:
            self._spelled.opaque = True
        if name in ("getattr", "hasattr") or name in _LISTING:
            self._spelled.by_any_name = True
        if name in _PLACE:
            self._put("of ", self._module.name)
        if name == "__doc__":
            self._spelled.documented = True

    def _attribute(self, name: str) -> None:
        self._put(".", name)
        self._spelled.attributes.add(name)
        self._spelled.opaque |= name in _OPAQUE_ATTRIBUTES
        self._spelled.by_any_name |= name == "__dict__"
        self._spelled.documented |= name == "__doc__"
        self._spelled.annotated |= name == "__annotations__"

    def _reference(self, found: Found) -> None:
        self._spelled.found.add(found)
        self._put(Reference(found))
        for name in found.rest:
            self._attribute(name)
        if found.kind == "nothing":
            self._attribute(found.name)
            if found.name.startswith("__") and found.name not in _PLACE:
                self._spelled.found.add(Found("module", found.module))
        if found.kind == "outside":
            self._spelled.opaque |= any(found.name == each or found.name.startswith(f"{each}.")
                                        for each in _OPAQUE_OUTSIDE)
            self._spelled.annotated |= found.name == "typing.get_type_hints"
            if found.name == "importlib.import_module":
                self._spelled.prefixes.add("")
            if found.name in ("operator.attrgetter", "operator.methodcaller"):
                self._spelled.by_any_name = True

    # -- imports within a statement

    def _goes_elsewhere(self, name: str) -> bool:
        """Whether a name that is imported in this scope may be read where that is not seen: as an
        attribute of a class, or where it is declared as of another scope."""
        scope = self._scopes[-1]
        return scope.is_class or name not in scope.names

    def _Import(self, node: ast.Import | ast.ImportFrom) -> None:
        names = self._code.loaded_by(self._module, node)
        outside = [".".join(parts) for parts in self._module.imported(node)
                   if self._code.module(parts[0]) is None]
        in_function = any(not scope.is_class for scope in self._scopes)
        if in_function:
            self._spelled.loads.update(names)
            self._put(Load(tuple(names)), spell_import(self._code, self._module, node))
        else:
            self._put("Import(", ",".join(outside or names), ")")
        for (name, _), parts in zip(bound([node]), self._module.imported(node), strict=True):
            if self._scopes and self._goes_elsewhere(name):
                for found in self._code.follow(parts):
                    self._reference(found)

    _ImportFrom = _Import

    # -- calls

    def _Call(self, node: ast.Call) -> None:
        name = self._outside(node.func)
        if self._tells_package(node):
            self._put("Call(of the package ")
            self._any(node.func.value.value)
            self._any(node.args)
            self._put(")")
        elif name in _BY_NAME and len(node.args) >= 2:
            self._by_name(node)
        elif name in _LISTING:
            self._listing(node)
        elif name == "importlib.import_module" and node.args:
            self._import_module(node)
        elif name in ("operator.attrgetter", "operator.methodcaller") and node.args:
            self._getter(node)
        elif self._is_line(node, name):
            self._call(node, self._line)
        elif name in _MESSAGES or self._is_error(node.func, name):
            self._call(node, self._message)
        else:
            self._fields(node)

    def _tells_package(self, node: ast.Call) -> bool:
        """Whether a call is x.__module__.startswith("package."), which is so for the whole
        package, whatever the module. (Only a class that is moved into it or out of it would be
        told otherwise.)"""
        return (isinstance(node.func, ast.Attribute) and node.func.attr == "startswith"
                and isinstance(node.func.value, ast.Attribute)
                and node.func.value.attr == "__module__" and len(node.args) == 1
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str) and node.args[0].value.endswith("."))

    def _call(self, node: ast.Call, argument) -> None:
        self._put("Call(")
        self._any(node.func)
        self._put("[")
        for value in node.args:
            argument(value)
        for keyword in node.keywords:
            argument(keyword.value, keyword.arg or "**")
        self._put("])")

    def _is_line(self, node: ast.Call, name: str | None) -> bool:
        """Whether a call prints a line for people; one into a file is something else."""
        if name in _LINES or (name or "").startswith("logging."):
            return all(keyword.arg != "file" or self._outside(keyword.value) in _STREAMS
                       for keyword in node.keywords)
        return isinstance(node.func, ast.Attribute) and node.func.attr in _LINE_METHODS

    def _is_error(self, node: ast.expr, name: str | None) -> bool:
        """Whether a call makes an exception."""
        if name:
            kind = getattr(builtins, name, None)
            return name.endswith(_ERRORS) if kind is None else (
                isinstance(kind, type) and issubclass(kind, BaseException))
        parts = dotted(node)
        local, found = self._leads(parts) if parts else (True, [])
        return not local and bool(found) and all(
            each.kind == "definition" and not each.rest and _is_exception(
                self._code, self._quiet, each.module, each.name) for each in found)

    def _line(self, node: ast.expr, keyword: str = "") -> None:
        """An argument of which only what it does counts."""
        if _acts(node):
            self._message(node)
            self._put(",")

    def _message(self, node: ast.expr, keyword: str = "") -> None:
        """An argument whose literal text does not count."""
        self._put(keyword, "=" if keyword else "")
        self._without_text(node)
        self._put(",")

    def _without_text(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self._put("text")
        elif isinstance(node, ast.JoinedStr):
            self._put("text")
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    if _acts(part.value):
                        self._put("(")
                        self._any(part.value)
                        self._put(")")
                    if part.format_spec and _acts(part.format_spec):
                        self._without_text(part.format_spec)
        elif isinstance(node, ast.BinOp):
            self._put("BinOp(")
            self._without_text(node.left)
            self._any(node.op)
            self._without_text(node.right)
            self._put(")")
        elif isinstance(node, ast.IfExp):
            self._put("IfExp(")
            self._any(node.test)
            self._without_text(node.body)
            self._without_text(node.orelse)
            self._put(")")
        else:
            self._any(node)

    def _Assert(self, node: ast.Assert) -> None:
        self._put("Assert(")
        self._any(node.test)
        if node.msg:
            self._without_text(node.msg)
        self._put(")")

    # -- what goes by a name made at run time

    def _by_name(self, node: ast.Call) -> None:
        """getattr and its kin: a constant name is an attribute."""
        self._put("Call(", node.func.id, "(")
        target, name, *others = node.args
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            self._any(ast.Attribute(target, name.value, ast.Load()))
        else:
            self._any(target)
            self._put(",")
            self._any(name)
            # What a name is given to (setattr) is mentioned where it is.
            if (node.func.id in ("getattr", "hasattr") and not self._is_field(name)
                    and not self._is_no_module(target)):
                self._spelled.by_any_name = True
        self._any(others)
        self._any(node.keywords)
        self._put("))")

    def _listing(self, node: ast.Call) -> None:
        self._put("Call(", node.func.id, "(")
        self._any(node.args)
        self._put("))")
        if not node.args:
            self._spelled.opaque |= not self._scopes or self._scopes[-1].is_class
        elif not self._is_no_module(node.args[0]):
            self._spelled.by_any_name = True

    def _is_no_module(self, node: ast.expr) -> bool:
        """Whether an object is known to be no module of the package, but something outside, or a
        parameter that is annotated as of a class."""
        if self._outside(node):
            return True
        scope = self._scope_of(node)
        if scope is None or scope.names[node.id] != [None] or node.id not in scope.types:
            return False
        kind = scope.types[node.id]
        if self._outside(kind):
            return self._outside(kind) not in ("object", "typing.Any", "types.ModuleType")
        parts = dotted(kind)
        local, found = self._leads(parts) if parts else (True, [])
        return not local and bool(found) and all(
            each.kind == "definition" and not each.rest and all(
                isinstance(statement.node, ast.ClassDef)
                for statement in self._code.definitions(each.module, each.name))
            for each in found)

    def _is_field(self, node: ast.expr) -> bool:
        """Whether a name is that of a field of a dataclass: fields are mentioned by their class."""
        if not (isinstance(node, ast.Attribute) and node.attr == "name"):
            return False
        scope = self._scope_of(node.value)
        return scope is not None and scope.fields.get(node.value.id) == len(
            scope.names[node.value.id])

    def _scope_of(self, node: ast.expr) -> _Scope | None:
        """The scope within the statement that a variable belongs to."""
        if not isinstance(node, ast.Name):
            return None
        for number, scope in enumerate(reversed(self._scopes)):
            if node.id in scope.names and not (scope.is_class and number):
                return scope
        return None

    def _getter(self, node: ast.Call) -> None:
        self._put("Call(", self._outside(node.func), "(")
        self._any(node.args)
        self._any(node.keywords)
        self._put("))")
        names = node.args if self._outside(node.func).endswith("attrgetter") else node.args[:1]
        for name in names:
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                self._spelled.attributes.update(name.value.split("."))
            else:
                self._spelled.by_any_name = True

    def _import_module(self, node: ast.Call) -> None:
        self._put("Call(import_module(")
        self._any(node.args)
        self._any(node.keywords)
        self._put("))")
        prefix, whole = self._prefix(node.args[0])
        if prefix.startswith("."):  # relative to what another argument tells
            prefix, whole = "", False
        self._spelled.prefixes.add(f"{prefix}\n" if whole else prefix)

    def _prefix(self, node: ast.expr) -> tuple[str, bool]:
        """How a text begins, and whether that is all of it."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value, True
        if isinstance(node, ast.FormattedValue) and node.conversion == -1:
            return self._prefix(node.value)
        if self._builtin(node) == "__name__":
            return self._module.name, True
        if self._builtin(node) == "__package__":
            return ".".join(self._module.package), True
        text = ""
        for part in (node.values if isinstance(node, ast.JoinedStr) else
                     (node.left, node.right) if isinstance(node, ast.BinOp)
                     and isinstance(node.op, ast.Add) else [None]):
            more, whole = self._prefix(part) if part is not None else ("", False)
            text += more
            if not whole:
                return text, False
        return text, True


def _joined(pieces: list) -> Iterator[str | Reference | Load]:
    """The pieces with texts that follow one another in one."""
    for is_text_piece, group in groupby(pieces, lambda piece: isinstance(piece, str)):
        if is_text_piece:
            yield "".join(group)
        else:
            yield from group


def _is_exception(code: Code, quiet: Quiet, module: str, name: str,
                  seen: frozenset = frozenset()) -> bool:
    """Whether a definition is a class of exceptions."""
    if (module, name) in seen:
        return False
    for statement in code.definitions(module, name):
        if not isinstance(statement.node, ast.ClassDef):
            return False
        for base in statement.node.bases:
            outside = quiet.outside(base, statement.module)
            if outside.endswith(_ERRORS):
                return True
            parts = dotted(base)
            if parts and any(each.kind == "definition" and not each.rest and _is_exception(
                    code, quiet, each.module, each.name, seen | {(module, name)})
                    for each in code.within(statement.module, parts)):
                return True
    return False


def _acts(node: ast.AST) -> bool:
    """Whether an expression may do something, and not only tell a value."""
    return any(isinstance(part, ast.Call | ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom
                          | ast.Starred | ast.comprehension) for part in ast.walk(node))


def _own(body: list) -> Iterator[ast.AST]:
    """The statements of a scope, those within others included."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            waiting += ast.iter_child_nodes(node)


def _declared(body: list, kind: type) -> set[str]:
    """Names that a scope declares as global or nonlocal."""
    return {name for node in _own(body) if isinstance(node, kind) for name in node.names}


def _without_docstring(body: list) -> list:
    return [node for node in body if not is_text(node)]
