"""Find the code that decides numbers: all definitions that classes and functions reach by name.

A definition counts if a counted definition names it; a method counts if any counted definition names a method of its
name. A user's file counts whole, except methods that nothing names, such as claims and portraits. Installed packages
do not count (their versions are in the key), nor does a problem's card (its values are in the key).

If a user's code computes the names that it uses (`eval`, `getattr`), every method counts. Ravine's own code computes
only names of fields.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.store.source import (
    Chain,
    Definition,
    Imported,
    Notebook,
    Source,
    bound_by,
    chain_of,
    is_followed,
    path_of,
    stamp,
)

INERT = ("abc", "builtins", "ravine", "typing")  # their base classes call no method by its name


@dataclass(frozen=True)
class Code:
    """The code that some classes and functions reach.

    digest: a hash of that code.
    of_card: the fields of a problem's card that it reads; "card" if it uses the card as a whole.
    """

    digest: str
    of_card: frozenset[str]


def code_of(*roots: Any) -> Code:
    """Return the code that decides what these classes, functions and methods compute."""
    names = tuple((each.__module__, each.__qualname__) for each in roots)
    found, files = _codes.get(names, (None, {}))
    if found is None or not _are_as(files):
        reach = _reached(roots)
        found, files = _codes[names] = reach.code(), reach.files()
    return found


_Names = tuple[tuple[str, str], ...]
_Files = dict[str, tuple[Path | None, Any]]  # by module, its path and the stamp of the file
_codes: dict[_Names, tuple[Code, _Files]] = {}
_begun: dict[_Names, tuple[_Reach, _Files]] = {}
_sources: dict[str, Source] = {}


def _are_as(files: _Files) -> bool:
    """True if no file has changed; False for a notebook's module, which has no file."""
    return all(
        path is not None and path == path_of(module) and stamp(path) == before
        for module, (path, before) in files.items()
    )


def _reached(roots: Sequence[Any]) -> _Reach:
    """Return what these roots reach; the reach of all but the last is cached, as cells share the engine's part."""
    reach = _Reach()
    if len(roots) > 1:
        *first, _ = ((each.__module__, each.__qualname__) for each in roots)
        known, files = _begun.get((*first,), (None, {}))
        if known is None or not _are_as(files):
            known = _reached(roots[:-1])
            _begun[(*first,)] = known, known.files()
        reach = known.copy()
    reach.begin(roots[-1])
    reach.go_on()
    return reach


def _source(module: str) -> Source:
    path = path_of(module)
    if path is None:
        return Notebook(module)
    known = _sources.get(module)
    if known is None or known.path != path or known.stamp != stamp(path):
        known = _sources[module] = Source(module, path)
    return known


class _Reach:
    """The definitions reached so far, and the names that remain to be followed."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self._found: dict[tuple[str, str], list[Definition]] = defaultdict(list)
        self._seen: set[int] = set()
        self._pending: list[tuple[Source, Definition]] = []
        self._attributes: set[str] = set()
        self._waiting: dict[str, list[tuple[Source, str, ast.AST]]] = defaultdict(list)
        self._followed: set[tuple[str, Chain]] = set()
        self._every_method = False

    def copy(self) -> _Reach:
        """Return an independent copy."""
        other = _Reach()
        other.sources = {**self.sources}
        other._found |= {label: [*each] for label, each in self._found.items()}
        other._seen = {*self._seen}
        other._attributes = {*self._attributes}
        other._waiting |= {name: [*each] for name, each in self._waiting.items()}
        other._followed = {*self._followed}
        other._every_method = self._every_method
        return other

    def files(self) -> _Files:
        """Return the files that were read, with their stamps."""
        return {name: (each.path, each.stamp) for name, each in self.sources.items()}

    def begin(self, root: Any) -> None:
        """Mark a class, a function or a method as reached."""
        if not is_followed(root.__module__):
            return
        source = self._enter(root.__module__)
        first, *rest = root.__qualname__.split(".")
        if not source.statements(first) or "<locals>" in rest:
            self._whole(source, every_method=True)
            return
        self._name(source, (first, *rest))
        self._ask(*rest)

    def go_on(self) -> None:
        """Follow all names."""
        while self._pending:
            source, definition = self._pending.pop()
            if definition.computed and not source.is_ours:
                self._every_method = True
                self._ask(*self._waiting)
            self._ask(*definition.attributes)
            for chain in definition.names:
                bound = definition.imports.get(chain[0])
                if bound is not None:
                    self._imported(bound, chain[1:])
                    continue
                if (source.name, chain) in self._followed:
                    continue
                self._followed.add((source.name, chain))
                self._name(source, chain)
                registry = None if source.is_ours else source.registry(chain[0])
                for entry in (registry or {}).values():
                    self.begin(type(entry))

    def code(self) -> Code:
        """Return the code that was reached."""
        digest = hashlib.sha256()
        for label in sorted(self._found):
            digest.update(
                "|".join([*label, *(each.digest for each in self._found[label])]).encode()
            )
        definitions = [each for several in self._found.values() for each in several]
        return Code(digest.hexdigest(), frozenset().union(*(each.of_card for each in definitions)))

    def _enter(self, module: str) -> Source:
        """Read a module. Statements that run on import always count; of a user's file everything does."""
        if module not in self.sources:
            source = self.sources[module] = _source(module)
            for number, statement in enumerate(source.effects):
                self._add(source, f"on import, {number}", statement)
            if not source.is_ours and source.path is not None:
                self._whole(source)
        return self.sources[module]

    def _whole(self, source: Source, every_method: bool = False) -> None:
        for statement in source.all_statements():
            self._statement(source, statement, every_method)
        for bound in source.imports.values():
            if is_followed(bound.module) and not _source(bound.module).is_ours:
                self._enter(bound.module)

    def _imported(self, bound: Imported, behind: Chain) -> None:
        self._member(bound.module, behind if bound.name is None else (bound.name, *behind))

    def _member(self, module: str, chain: Chain) -> None:
        """Follow a name in a module, or the module itself if no name follows."""
        if not is_followed(module):
            return
        source = self._enter(module)
        if not chain:
            self._whole(source, every_method=True)
        elif not self._name(source, chain):
            if is_followed(f"{module}.{chain[0]}"):
                self._member(f"{module}.{chain[0]}", chain[1:])
            else:
                self._name(source, ("__getattr__",))

    def _name(self, source: Source, chain: Chain) -> bool:
        """Follow a name in a module; return True if it is bound there."""
        statements = source.statements(chain[0])
        for statement in statements:
            self._statement(source, statement)
        bound = source.imports.get(chain[0])
        if bound is not None:
            self._imported(bound, chain[1:])
        elif not statements:
            for module in source.stars:
                self._member(module, chain)
        return bool(statements) or bound is not None

    def _statement(self, source: Source, node: ast.stmt, every_method: bool = False) -> None:
        if isinstance(node, ast.ClassDef):
            self._class(source, node, every_method)
        elif id(node) not in self._seen:
            self._add(source, ",".join(sorted(bound_by(node))), node)

    def _class(self, source: Source, node: ast.ClassDef, every_method: bool) -> None:
        lineage = _lineage(source, node)
        methods = source.methods(node, PROBLEM in lineage)
        every_method |= any(
            module not in INERT and not is_followed(module) for module, _ in lineage
        )
        is_new = id(node) not in self._seen
        self._add(source, node.name, node)
        for each in methods:
            label = f"{node.name}.{each.name}"
            if each.name == "__init_subclass__" and source.is_ours:
                continue  # it reads fields and cards, whose values are in the key
            special = each.name.startswith("__") and each.name.endswith("__")
            if special or every_method or self._every_method or each.name in self._attributes:
                self._add(source, label, each)
            elif is_new:
                self._waiting[each.name].append((source, label, each))

    def _ask(self, *attributes: str) -> None:
        """Mark the methods of these names as reached, in all classes reached now or later."""
        for name in attributes:
            if name not in self._attributes:
                self._attributes.add(name)
                for each in self._waiting.pop(name, ()):
                    self._add(*each)

    def _add(self, source: Source, label: str, node: ast.AST) -> None:
        if id(node) not in self._seen:
            self._seen.add(id(node))
            definition = source.definition(node)
            self._found[source.name, label].append(definition)
            self._pending.append((source, definition))


def _lineage(source: Source, node: ast.ClassDef) -> set[tuple[str, str]]:
    """Return module and name of a class and of its base classes, without importing any."""
    found = {(source.name, node.name)}
    for base in node.bases:
        chain = chain_of(base.value if isinstance(base, ast.Subscript) else base)
        found |= _lineage_of(source, chain) if chain else {UNKNOWN}
    return found


def _lineage_of(source: Source, chain: Chain) -> set[tuple[str, str]]:
    bound = source.imports.get(chain[0])
    if bound is None:
        classes = [each for each in source.statements(chain[0]) if isinstance(each, ast.ClassDef)]
        if classes:
            return set().union(*(_lineage(source, each) for each in classes))
        return {("builtins", chain[0]) if hasattr(builtins, chain[0]) else UNKNOWN}
    module, names = bound.module, [bound.name or "", *chain[1:]]
    *inside, name = filter(None, names)
    path = ".".join([module, *inside])
    return _lineage_of(_source(path), (name,)) if is_followed(path) else {(path, name)}


PROBLEM = ("problems.problem", "Problem")
UNKNOWN = ("?", "")
