"""What the import of a module does besides binding names.

A statement is quiet where running it only makes a value and binds it: then it counts only where
the value is used. What is not known to be quiet counts whenever its module is imported.
"""

import ast
import builtins

from unfreeze.fingerprint.modules import FUNCTIONS, Code, Found, Module, Statement, bound, is_text

# Calls that only make a value of what they are given.
_MAKERS = {
    "abs", "all", "any", "bool", "bytes", "complex", "dict", "enumerate", "float", "frozenset",
    "int", "isinstance", "len", "list", "object", "range", "repr", "reversed", "round", "set",
    "slice", "str", "sum", "tuple", "zip",
    "collections.Counter", "collections.OrderedDict", "collections.defaultdict",
    "collections.namedtuple", "dataclasses.field", "datetime.timedelta", "decimal.Decimal",
    "fractions.Fraction", "functools.partial", "operator.attrgetter", "operator.itemgetter",
    "pathlib.Path", "re.compile", "struct.Struct", "types.MappingProxyType", "typing.NewType",
    "typing.TypeVar",
}
_DECORATORS = {
    "abc.abstractmethod", "classmethod", "contextlib.asynccontextmanager",
    "contextlib.contextmanager", "dataclasses.dataclass", "enum.unique", "functools.cache",
    "functools.cached_property", "functools.lru_cache", "functools.total_ordering",
    "functools.wraps", "property", "staticmethod", "torch.enable_grad", "torch.inference_mode",
    "torch.no_grad", "typing.final", "typing.overload",
}
# Deriving a class from these registers it nowhere.
_BASES = ("abc", "ast", "collections", "contextlib", "enum", "importlib", "json", "pickle",
          "threading", "torch", "torchvision", "typing", "yaml.SafeDumper")
_SIMPLE = (ast.Return, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.If, ast.For, ast.Expr,
           ast.Raise, ast.Pass, ast.Assert, ast.Break, ast.Continue, ast.Import, ast.ImportFrom,
           ast.FunctionDef)


def calls_nothing(decorator: str) -> bool:
    """Whether a decorator of that dotted name is known to call and register nothing."""
    return decorator in _DECORATORS


class Quiet:
    """Tells quiet statements. Answers are kept: the code does not change under it."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._known: dict[tuple, bool] = {}

    def statement(self, statement: Statement) -> bool:
        """Whether a top-level statement only binds its names, each bound once in its module."""
        module, node = statement.module, statement.node
        if not statement.names or any(module.bindings[name] != [statement]
                                      for name in statement.names):
            return False
        return self._once(("statement", id(node)), lambda: self._binds(node, module))

    def timeless(self, statement: Statement) -> bool:
        """Whether a quiet statement gives the same whenever it runs: it reads no content that
        other statements may change."""
        node, module = statement.node, statement.module
        if isinstance(node, ast.Assign | ast.AnnAssign):
            return node.value is None or self._still(node.value, module)
        values = [child for child in _run_at_once(node) if isinstance(child, ast.expr)]
        return all(self._still(value, module) or isinstance(value, ast.Name | ast.Attribute)
                   for value in values)

    def _once(self, key: tuple, answer) -> bool:
        if key not in self._known:
            self._known[key] = False  # what calls itself is not known to be quiet
            self._known[key] = answer()
        return self._known[key]

    def _binds(self, node: ast.stmt, module: Module) -> bool:
        if isinstance(node, ast.Assign):
            return all(map(_is_name, node.targets)) and self._value(node.value, module)
        if isinstance(node, ast.AnnAssign):
            return _is_name(node.target) and (
                node.value is None or self._value(node.value, module)) and not _calls(
                node.annotation)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return self._function_binds(node, module)
        if isinstance(node, ast.ClassDef):
            return self._class_binds(node, module)
        return False

    def _function_binds(self, node: ast.FunctionDef, module: Module) -> bool:
        defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
        return (all(self._decorates(each, module) for each in node.decorator_list)
                and all(self._value(default, module) for default in defaults)
                and not any(map(_calls, annotations(node))))

    def _class_binds(self, node: ast.ClassDef, module: Module) -> bool:
        if node.keywords or not all(self._decorates(each, module) for each in node.decorator_list):
            return False
        if not all(self._base(base, module) for base in node.bases):
            return False
        return all(isinstance(part, ast.Pass) or is_text(part)
                   or self._binds(part, module) for part in node.body)

    def _decorates(self, node: ast.expr, module: Module) -> bool:
        if isinstance(node, ast.Call):
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            return self._decorates(node.func, module) and all(
                self._value(value, module) for value in values)
        if isinstance(node, ast.Attribute) and node.attr in ("setter", "getter", "deleter"):
            return isinstance(node.value, ast.Name) and node.value.id not in module.bindings
        return calls_nothing(self.outside(node, module))

    def _base(self, node: ast.expr, module: Module) -> bool:
        """Whether deriving from a class calls nothing of the package."""
        name = self.outside(node, module)
        if name:
            return hasattr(builtins, name) or any(
                name == each or name.startswith(f"{each}.") for each in _BASES)
        found = self._only(node, module)
        if found is None or found.kind != "definition" or found.rest:
            return False
        return all(isinstance(base.node, ast.ClassDef) and self.statement(base)
                   and not any(isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
                               and part.name == "__init_subclass__" for part in base.node.body)
                   for base in self._code.definitions(found.module, found.name))

    def _value(self, node: ast.expr, module: Module) -> bool:
        """Whether making a value at the top level does nothing else."""
        if self._still(node, module):
            return True
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            return all(self._value(each, module) for each in node.elts)
        if isinstance(node, ast.Dict) and None not in node.keys:
            return all(self._value(each, module) for each in (*node.keys, *node.values))
        if isinstance(node, ast.Call) and self._is_record(node.func, module):
            return all(self._value(each, module) for each in
                       (*node.args, *(keyword.value for keyword in node.keywords)))
        for part in _now(node):
            if isinstance(part, ast.Call) and not self._makes(part, module):
                return False
            if isinstance(part, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
                return False
            if isinstance(part, ast.Name) and not self._plain(part.id, module):
                return False
        return True

    def _still(self, node: ast.expr, module: Module) -> bool:
        """Whether a value is made of constants and names alone, whose content is not read."""
        if isinstance(node, ast.Constant | ast.Name):
            return True
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            return all(self._still(each, module) for each in node.elts)
        if isinstance(node, ast.Dict):
            return all(key is not None and self._still(key, module) for key in node.keys) and all(
                self._still(value, module) for value in node.values)
        if isinstance(node, ast.Lambda):
            return all(self._still(default, module) for default in
                       (*node.args.defaults, *filter(None, node.args.kw_defaults)))
        if isinstance(node, ast.BinOp):
            return _is_constant(node.left) and _is_constant(node.right)
        if isinstance(node, ast.Call):
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            return self._is_record(node.func, module) and all(
                self._still(value, module) for value in values)
        if isinstance(node, ast.Attribute):
            found = self._only(node, module)
            return found is not None and not found.rest and found.kind != "nothing"
        return _is_constant(node)

    def _plain(self, name: str, module: Module) -> bool:
        """Whether what a name stands for runs no code of the package when it is operated on:
        no object of a class of the package."""
        if name not in module.bindings:
            return True
        def answer() -> bool:
            return all(self._plain_found(found)
                       for found in self._code.within(module, (name,)))
        return self._once(("plain", module.name, name), answer)

    def _plain_found(self, found: Found) -> bool:
        if found.kind != "definition":
            return found.kind in ("outside", "module")
        for statement in self._code.definitions(found.module, found.name):
            node, module = statement.node, statement.module
            if isinstance(node, ast.Assign | ast.AnnAssign):
                for part in _now(node.value) if node.value else ():
                    if isinstance(part, ast.Call) and not self.outside(part.func, module):
                        return False
                    if isinstance(part, ast.Name) and not self._plain(part.id, module):
                        return False
            elif not isinstance(node, ast.FunctionDef | ast.ClassDef):
                return False
        return True

    def _makes(self, call: ast.Call, module: Module) -> bool:
        """Whether a call only makes a value."""
        name = self.outside(call.func, module)
        if name:
            return name in _MAKERS
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value,
                                                               ast.Constant | ast.JoinedStr):
            return True
        return self._is_record(call.func, module) or self._is_simple(call.func, module)

    def _is_record(self, func: ast.expr, module: Module) -> bool:
        """Whether a call makes an object of a dataclass that runs no code of its own."""
        node = self._defined(func, module)
        if not isinstance(node, ast.ClassDef) or node.bases or node.keywords:
            return False
        home = self._home(func, module)
        dataclass = [self.outside(getattr(each, "func", each), home)
                     for each in node.decorator_list] == ["dataclasses.dataclass"]
        special = {"__init__", "__new__", "__post_init__", "__setattr__", "__hash__", "__eq__"}
        return dataclass and not any(
            isinstance(part, ast.FunctionDef) and part.name in special for part in node.body
        ) and not any(isinstance(part, ast.keyword) and part.arg == "default_factory"
                      and not (isinstance(part.value, ast.Name)
                               and part.value.id in ("dict", "list", "set"))
                      for part in ast.walk(node))

    def _is_simple(self, func: ast.expr, module: Module) -> bool:
        """Whether a function of the package only computes what it returns."""
        node = self._defined(func, module)
        if not isinstance(node, ast.FunctionDef):
            return False
        home = self._home(func, module)
        return self._once(("simple", id(node)), lambda: self._computes(node, home))

    def _computes(self, node: ast.FunctionDef, module: Module) -> bool:
        if not self._function_binds(node, module):
            return False
        own = {name for name, _ in bound(node.body)}
        for part in ast.walk(node):
            if isinstance(part, ast.arg):
                own.add(part.arg)
            elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                own.add(part.id)
        for part in _now_within(node.body):
            if isinstance(part, ast.stmt) and not isinstance(part, _SIMPLE):
                return False
            if isinstance(part, ast.Attribute | ast.Subscript) and not isinstance(part.ctx,
                                                                                  ast.Load):
                return False
            if isinstance(part, ast.Call):
                names = {each.id for each in ast.walk(part.func) if isinstance(each, ast.Name)}
                if names & own or not self._makes(part, module):
                    return False
            if isinstance(part, ast.Yield | ast.YieldFrom | ast.Await | ast.Import
                          | ast.ImportFrom):
                return False
            if isinstance(part, ast.Name) and part.id not in own and not self._plain(part.id,
                                                                                     module):
                return False
        return True

    def outside(self, node: ast.expr, module: Module) -> str:
        """The dotted name of what a top-level expression names outside the package: a builtin has
        none of dots; "" for all else."""
        if isinstance(node, ast.Name) and self._is_builtin(node.id, module):
            return node.id
        found = self._only(node, module)
        return found.name if found and found.kind == "outside" else ""

    def _is_builtin(self, name: str, module: Module) -> bool:
        return (name not in module.bindings and hasattr(builtins, name)
                and all(self._code.module(star[0]) for star in module.stars)
                and self._code.within(module, (name,))[0].kind == "nothing")

    def _only(self, node: ast.expr, module: Module) -> Found | None:
        parts = dotted(node)
        if not parts or parts[0] not in module.bindings:
            return None
        found = self._code.within(module, parts)
        return found[0] if len(found) == 1 else None

    def _defined(self, func: ast.expr, module: Module) -> ast.stmt | None:
        """The one statement that defines what is called."""
        found = self._only(func, module)
        if found is None or found.kind != "definition" or found.rest:
            return None
        statements = self._code.definitions(found.module, found.name)
        return statements[0].node if len(statements) == 1 else None

    def _home(self, func: ast.expr, module: Module) -> Module:
        return self._code.module(self._only(func, module).module)


def dotted(node: ast.expr) -> tuple[str, ...]:
    """The parts of a dotted name; () for another expression."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return (*inner, node.attr) if inner else ()
    return ()


def annotations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    """Those of the parameters and of what is returned."""
    found = [part.annotation for part in ast.walk(node.args) if isinstance(part, ast.arg)]
    return [each for each in (*found, node.returns) if each is not None]


def _is_name(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple | ast.List):
        return all(map(_is_name, node.elts))
    return isinstance(node, ast.Name)


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return _is_constant(node.operand)
    if isinstance(node, ast.BinOp):
        return _is_constant(node.left) and _is_constant(node.right)
    return isinstance(node, ast.Constant)


def _calls(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Call | ast.NamedExpr) for part in ast.walk(node))


def _now(node: ast.AST) -> list[ast.AST]:
    """The parts of an expression that run when it does: not the bodies of lambdas."""
    return _now_within([node])


def _now_within(nodes: list) -> list[ast.AST]:
    found, waiting = [], list(nodes)
    while waiting:
        node = waiting.pop()
        found.append(node)
        if isinstance(node, FUNCTIONS):
            waiting += [*node.args.defaults, *filter(None, node.args.kw_defaults),
                        *getattr(node, "decorator_list", ())]
        else:
            waiting += ast.iter_child_nodes(node)
    return found


def _run_at_once(node: ast.stmt) -> list[ast.AST]:
    """Expressions of a definition that run when it is defined, whole ones only."""
    if isinstance(node, ast.ClassDef):
        found = [*node.bases]
        for part in node.body:
            if isinstance(part, ast.Assign | ast.AnnAssign):
                found += [part.value] if part.value else []
            else:
                found += _run_at_once(part)
        return found
    if isinstance(node, FUNCTIONS):
        return [*node.args.defaults, *filter(None, node.args.kw_defaults)]
    return []
