"""Read Python source as definitions: the text of each, without what cannot change a number, and the names in it.

Left out are docstrings and comments, the text in a `raise` or an `assert`, annotations (except those of a class's
fields, which are their types), the bounds of a field, and calls that only refuse input or register a name.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import itertools
import pickle
import sys
import sysconfig
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from ravine import Refused, Registry

OURS = ("benchmarks", "optimizers", "problems", "ravine")
# A cell runs code of these. `ravine` only refuses input, keeps names and imports late, which changes no number. The
# rest of `benchmarks` is above the engine.
DECIDING = ("benchmarks.engine", "benchmarks.explain", "optimizers", "problems")
STANDARD = tuple(map(sysconfig.get_path, ("stdlib", "platstdlib")))
INSTALLED = {
    "site-packages",
    "dist-packages",
}  # of this environment, of one below it, or of the user
COMPILED = tuple(EXTENSION_SUFFIXES)
COMPUTED = {"__import__", "eval", "exec", "globals", "importlib", "locals", "vars"}
CARD = "card"
LIMITS = ("low", "high", "above", "below", "choices")  # of a field: values outside are refused
Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
IMPORTS = (ast.Import, ast.ImportFrom)

Chain = tuple[str, ...]  # torch.nn.Linear is ("torch", "nn", "Linear")


class Imported(NamedTuple):
    """The target of an import: a module, or a name in it."""

    module: str
    name: str | None = None


@dataclass
class Definition:
    """A function, a class without its methods, or a statement.

    digest: of its text.
    names: names that are defined outside of it, with the attributes after their dots.
    attributes: all attributes, and strings that are identifiers: methods that it may call.
    of_card: the fields of a card that it reads; "card" if it uses one as a whole.
    computed: True if it computes names, as `getattr` and `eval` do.
    """

    digest: str
    names: set[Chain] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    of_card: set[str] = field(default_factory=set)
    computed: bool = False
    imports: dict[str, Imported] = field(default_factory=dict)


class Source:
    """The source of a module that lies in a file."""

    def __init__(self, name: str, path: Path | None):
        self.name = name
        self.path = path
        self.stamp = None if path is None else stamp(path)
        self.imports: dict[str, Imported] = {}
        self.stars: list[str] = []
        self.effects: list[ast.stmt] = []  # statements that do more on import than bind names
        self.bound: dict[str, list[ast.stmt]] = {}
        self._definitions: dict[int, Definition] = {}
        self._methods: dict[int, list[Function]] = {}
        for statement in [] if path is None else _parsed(path.read_bytes()):
            self._add(statement)

    @property
    def is_ours(self) -> bool:
        """True for a module of Ravine."""
        return self.name.partition(".")[0] in OURS

    def statements(self, name: str) -> Sequence[ast.stmt]:
        """Return the statements that bind a name."""
        return self.bound.get(name, ())

    def all_statements(self) -> list[ast.stmt]:
        """Return all statements except imports and claims."""
        every = itertools.chain(*self.bound.values(), self.effects)
        return [each for each in every if not self._is_claim(each)]

    def definition(self, node: ast.AST) -> Definition:
        """Return the definition of a statement."""
        if id(node) not in self._definitions:
            node_left = _Stripped(self).visit(node)  # changes the tree, so once
            text = "" if node_left is None else ast.dump(node_left)
            found = Definition(hashlib.sha256(text.encode()).hexdigest())
            if node_left is not None:
                _Reader(found, self).read(node_left)
            self._definitions[id(node)] = found
        return self._definitions[id(node)]

    def methods(self, node: ast.ClassDef, is_problem: bool) -> list[Function]:
        """Take the methods out of a class and return them; a problem's card is dropped."""
        if id(node) not in self._methods:
            if is_problem:
                node.body = [each for each in node.body if CARD not in bound_by(each)]
            self._methods[id(node)] = [each for each in node.body if isinstance(each, FUNCTIONS)]
            node.body = [each for each in node.body if not isinstance(each, FUNCTIONS)]
        return self._methods[id(node)]

    def only_refuses_or_registers(self, call: ast.expr) -> bool:
        """True for `require(…)`, `register("sgd", SGD())` and the like."""
        chain = chain_of(call.func) if isinstance(call, ast.Call) else None
        if not chain:
            return False
        bound = self.imports.get(chain[0])
        refuses = bound is not None and bound.module.partition(".")[0] == "ravine"
        return refuses or self.registry(chain[0]) is not None

    def is_from_ours(self, call: ast.Call) -> bool:
        """True for a call of a name imported from Ravine, such as `bounded(50, low=1)`."""
        bound = self.imports.get(next(iter(chain_of(call.func)), ""))
        return bound is not None and bound.module.partition(".")[0] in OURS

    def registry(self, name: str) -> Registry[Any] | None:
        """Return the registry that a name stands for, or of which it is a method."""
        bound = self.imports.get(name) or Imported(self.name, name)
        if bound.name is None or bound.module.partition(".")[0] not in OURS:
            return None
        value = getattr(sys.modules.get(bound.module), bound.name, None)
        value = getattr(value, "__self__", value)
        return value if isinstance(value, Registry) else None

    def imported_by(self, node: ast.Import | ast.ImportFrom) -> dict[str, Imported]:
        """Return the targets of an import, by name."""
        if isinstance(node, ast.Import):
            return {
                each.asname or each.name.partition(".")[0]: Imported(
                    each.name if each.asname else each.name.partition(".")[0]
                )
                for each in node.names
            }
        module = "." * node.level + (node.module or "")
        if node.level:
            here = self.name if self._is_package else self.name.rpartition(".")[0]
            module = importlib.util.resolve_name(module, here)
        self.stars += [module for each in node.names if each.name == "*"]
        return {each.asname or each.name: Imported(module, each.name) for each in node.names}

    def _is_claim(self, statement: ast.stmt) -> bool:
        """True for a function decorated with `@claim(…)`."""
        return isinstance(statement, ast.FunctionDef) and any(
            isinstance(each, ast.Call)
            and chain_of(each.func)[-1:] == ("claim",)
            and self.is_from_ours(each)
            for each in statement.decorator_list
        )

    @cached_property
    def _is_package(self) -> bool:
        return hasattr(sys.modules.get(self.name), "__path__")

    def _add(self, statement: ast.stmt) -> None:
        if isinstance(statement, IMPORTS):
            self.imports |= self.imported_by(statement)
            return
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            return
        names = list(bound_by(statement))
        for each in ast.walk(statement):
            if isinstance(each, IMPORTS) and not isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
                self.imports |= self.imported_by(each)
        for name in names:
            self.bound.setdefault(name, []).append(statement)
        if not _only_binds(statement) and not _runs_elsewhere(statement):
            self.effects.append(statement)


class Notebook(Source):
    """The source of a module without a file: text of its classes and functions, values of its other names."""

    def __init__(self, name: str):
        super().__init__(name, None)
        self.loaded = dict(vars(sys.modules[name]))
        for each, value in self.loaded.items():
            if isinstance(value, ModuleType):
                self.imports[each] = Imported(value.__name__)
            elif isinstance(value, (type, FunctionType)) and value.__module__ != name:
                self.imports[each] = Imported(value.__module__, value.__qualname__)

    def statements(self, name: str) -> Sequence[ast.stmt]:
        """Return the statements that bind a name, or one with a digest of its value."""
        if name in self.loaded and name not in self.imports and name not in self.bound:
            self.bound[name] = ast.parse(_source_of(name, self.loaded[name])).body
        return self.bound.get(name, ())

    def all_statements(self) -> list[ast.stmt]:
        """Return the statements of all classes and functions."""
        own = [
            name for name, value in self.loaded.items() if isinstance(value, (type, FunctionType))
        ]
        return [statement for name in own for statement in self.statements(name)]


def stamp(path: Path) -> tuple[int, int] | None:
    """Return the time of change and the size of a file; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def path_of(module: str) -> Path | None:
    """Return the source file of a module, imported or not; None if it has none."""
    if module in sys.modules:
        file = getattr(sys.modules[module], "__file__", None)
    else:
        try:
            spec = importlib.util.find_spec(module)
        except (Exception, SystemExit):  # it imports the package around it, which may do anything
            return None
        file = spec.origin if spec is not None and spec.has_location else None
    return None if file is None or file.endswith(COMPILED) else Path(file)


def is_followed(module: str) -> bool:
    """True for modules of Ravine that decide numbers and for a user's modules, not for installed packages."""
    if module.partition(".")[0] in OURS:
        return f"{module}.".startswith(tuple(f"{each}." for each in DECIDING))
    path = path_of(module)
    if path is None:  # typed in a notebook, or compiled
        return module in sys.modules and sys.modules[module].__spec__ is None
    return not str(path).startswith(STANDARD) and INSTALLED.isdisjoint(path.parts)


def _parsed(text: bytes) -> list[ast.stmt]:
    try:
        return ast.parse(text).body
    except (SyntaxError, ValueError):  # a file that is being edited
        return ast.parse(f"text = {text!r}; text.whole").body


def _source_of(name: str, value: Any) -> str:
    """Return a statement that changes with the value of a name in a notebook."""
    if isinstance(value, (property, classmethod, staticmethod)):
        value = value.fget if isinstance(value, property) else value.__func__
    if isinstance(value, FunctionType):
        try:
            return textwrap.dedent(inspect.getsource(value))
        except OSError as error:
            raise Refused(f"the source of {name} cannot be read: put it into a file") from error
    if isinstance(value, type):  # inspect cannot read its source before Python 3.13
        bases = ", ".join(each.__name__ for each in value.__bases__)
        body = [
            textwrap.indent(_source_of(each, own), "    ")
            for each, own in vars(value).items()
            if not hasattr(own, "__objclass__") and not _is_generated(own)
        ]
        return "\n".join([f"class {name}({bases}):", *body])
    try:
        kept = pickle.dumps(value)
    except Exception:  # an object's own pickling may raise anything
        kept = repr(value).encode()
    return f"{name} = {hashlib.sha256(kept).hexdigest()!r}"


def _is_generated(member: Any) -> bool:
    """True for the methods that `dataclass` generates."""
    code = getattr(inspect.unwrap(member) if callable(member) else member, "__code__", None)
    return code is not None and code.co_filename == "<string>"


def bound_by(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds."""
    if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
        yield statement.name
        return
    for each in ast.walk(statement):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id
        elif isinstance(each, (*FUNCTIONS, ast.ClassDef)):
            yield each.name


def _only_binds(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
        targets = [statement.target]
    else:
        return isinstance(statement, (*FUNCTIONS, ast.ClassDef))
    return all(isinstance(each, (ast.Name, ast.Tuple, ast.List)) for each in targets)


def _runs_elsewhere(statement: ast.stmt) -> bool:
    """True for a block that only a type checker reads, or that runs only in a script."""
    if not isinstance(statement, ast.If):
        return False
    names = {each.id for each in ast.walk(statement.test) if isinstance(each, ast.Name)}
    return bool(names & {"TYPE_CHECKING", "__name__"})


def chain_of(node: ast.expr) -> Chain:
    """Return the names of `a.b.c`; empty if the expression does not begin with a name."""
    behind: list[str] = []
    while isinstance(node, ast.Attribute):
        behind.append(node.attr)
        node = node.value
    return (node.id, *reversed(behind)) if isinstance(node, ast.Name) else ()


class _Stripped(ast.NodeTransformer):
    """Remove what cannot change a number."""

    def __init__(self, source: Source):
        self._source = source

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        silent = self._source.only_refuses_or_registers(node.value)
        return None if silent or isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: Function) -> ast.AST:
        node.returns = None
        self._undecorate(node)
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self.visit_FunctionDef(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._undecorate(node)
        fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        for each in fields:
            if isinstance(each.value, ast.Call) and self._source.is_from_ours(each.value):
                each.value.keywords = [
                    word for word in each.value.keywords if word.arg not in LIMITS
                ]
        left = (
            self.generic_visit(each) if each in fields else self.visit(each) for each in node.body
        )
        node.body = [each for each in left if each is not None]  # type: ignore[misc]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return self.visit(ast.Assign([node.target], node.value, lineno=node.lineno))

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc = _Wordless().visit(node.exc)
        return self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        node.msg = None
        return self.generic_visit(node)

    def _undecorate(self, node: Function | ast.ClassDef) -> None:
        silent = self._source.only_refuses_or_registers
        node.decorator_list = [each for each in node.decorator_list if not silent(each)]


class _Wordless(ast.NodeTransformer):
    """Remove the text of a message, but keep the other arguments: they may be caught and used."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return ast.Constant("")


class _Reader:
    """Collect the names in a definition."""

    def __init__(self, found: Definition, source: Source):
        self.found = found
        self.source = source

    def read(self, root: ast.AST) -> None:
        local = {
            each.id if isinstance(each, ast.Name) else each.arg
            for each in ast.walk(root)
            if isinstance(each, ast.arg)
            or (isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store))
        }
        for each in ast.walk(root):
            if isinstance(each, IMPORTS):
                self.found.imports |= self.source.imported_by(each)
        pending: list[ast.AST] = [root]
        while pending:
            node = pending.pop()
            if isinstance(node, (ast.Name, ast.Attribute)):
                pending += self._dotted(node, local)
            elif isinstance(node, ast.Constant):
                if isinstance(node.value, str) and node.value.isidentifier():
                    self.found.attributes.add(node.value)
            elif isinstance(node, ast.AnnAssign):
                pending += [node.target, *([] if node.value is None else [node.value])]
            elif isinstance(node, ast.MatchClass):
                self.found.attributes |= {*node.kwd_attrs}
                pending += ast.iter_child_nodes(node)
            elif isinstance(node, ast.Call):
                pending += self._called(node)
            else:
                pending += ast.iter_child_nodes(node)

    def _dotted(self, node: ast.Name | ast.Attribute, local: set[str]) -> list[ast.AST]:
        """Note a name and its attributes; return the nodes that remain to be read."""
        behind: list[str] = []
        first: ast.AST = node
        while isinstance(first, ast.Attribute):
            behind.insert(0, first.attr)
            first = first.value
        names = [first.id, *behind] if isinstance(first, ast.Name) else behind
        for name, field_of_it in itertools.zip_longest(names, names[1:]):
            if name == CARD:
                self.found.of_card.add(field_of_it or CARD)
        if not isinstance(first, ast.Name):
            self.found.attributes |= {*behind}
            return [first]
        bound = self.found.imports.get(first.id) or self.source.imports.get(first.id)
        foreign = bound is not None and not _leads_on(bound)
        if not foreign or first.id in local:
            self.found.names.add((first.id, *behind))
            self.found.attributes |= {*behind}
        self.found.computed |= first.id in COMPUTED and first.id not in local
        return []

    def _called(self, node: ast.Call) -> list[ast.AST]:
        """Note a call by a computed name; return the nodes of the call to be read."""
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        if called == "getattr" and not (node.args[1:] and isinstance(node.args[1], ast.Constant)):
            self.found.computed = True
        if called in ("isinstance", "issubclass"):  # makes no object of a class
            return [*node.args[:1]]
        return [*ast.iter_child_nodes(node)]


def _leads_on(bound: Imported) -> bool:
    inside = bound.name is not None and is_followed(f"{bound.module}.{bound.name}")
    return inside or is_followed(bound.module)
