"""Everything that may run when a function runs: the static closure over the definitions it uses, module by module.

The closure is of definitions, not of modules: a function, a class or a constant counts where something that counts names it.

- Of a class without foreign bases a method counts only if something that counts reads an attribute of its name; of a class
  that a library can call back (torch, pydantic, enum) all of it does.
- A class that is only annotated, whose objects come from elsewhere (a recipe, say), counts with those methods alone: its fields'
  values enter a key by value.
- A table of implementations (`mer.implementations.Implementations`) counts for nothing itself: the implementation that the
  configuration names is a root of its own.
- Not followed: other packages (their names count), the stage machinery, and task functions that run a stage themselves (their
  results enter a key by hash).
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache

from tasks.stage.module_source import ModuleSource, Origin, module_path, module_source
from tasks.stage.used_names import UsedNames, names_used

TABLE = "Implementations"
"""Name of the class whose instances are tables of implementations."""
STAGE = "run_stage"
"""Name of the function that makes the function calling it a stage of its own."""
_PLAIN_BASES = {"object", "ABC", "Protocol", "Generic", "NamedTuple"}
"""Bases that call no method by themselves."""
_OF_CREATION = {"__init__", "__new__", "__post_init__", "__init_subclass__", "__repr__", "__str__"}
"""Methods that do not run on an object which others made."""


class Closure:
    """Definitions reached from roots.

    Args:
        followed: top-level packages whose definitions count.
        machinery: modules and packages that no result depends on.
    """

    def __init__(self, followed: Iterable[str], machinery: Iterable[str]) -> None:
        self.definitions: set[tuple[str, str]] = set()
        """(`module:name`, sha256 of its syntax tree)."""
        self.foreign: set[str] = set()
        """Names of other packages that are used."""
        self.tables: set[str] = set()
        """`module:name` of the tables of implementations that are used."""
        self._followed, self._machinery = set(followed), tuple(machinery)
        self._attributes: set[str] = set()
        """Read by all that counts."""
        self._external_attributes: set[str] = set()
        """Read of objects other than the one that the code is a method of."""
        self._classes: dict[str, _PartedClass] = {}
        self._seen: set[tuple[Origin, bool]] = set()
        self._waiting: deque[tuple[Origin, bool]] = deque()

    def add(self, origin: Origin) -> None:
        """Count a definition, or a whole module, and all that follows from it."""
        self._ask(origin)
        self._complete()

    def add_code(self, source: ModuleSource, label: str, node: ast.AST, local: Iterable[str] = ()) -> None:
        """Count a statement of a module, and all that follows from it; `local` are names bound around it."""
        self._count(source, label, node, names_used([node], source.package, local))
        self._complete()

    def digest(self) -> str:
        """sha256 (hex) of all that was reached."""
        lines = [*(f"{label} {tree}" for label, tree in self.definitions), *self.foreign]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    def _complete(self) -> None:
        while self._waiting or self._take_methods():
            if self._waiting:
                self._follow(*self._waiting.popleft())

    def _ask(self, origin: Origin, *, runs: bool = True) -> None:
        if (origin, runs) not in self._seen:
            self._seen.add((origin, runs))
            self._waiting.append((origin, runs))

    def _ask_each(self, source: ModuleSource, names: Iterable[str], *, runs: bool = True) -> None:
        for name in names:
            if name in source.definitions or name in source.imports:
                self._ask(Origin(source.name, name), runs=runs)

    def _follow(self, origin: Origin, runs: bool) -> None:
        """Go where a name comes from; one that does not run is an annotation's."""
        module, name = origin
        if any(module == package or module.startswith(f"{package}.") for package in self._machinery):
            return
        if module.partition(".")[0] not in self._followed:
            self.foreign |= {f"{module}:{name}"} if runs else set()
            return
        source = module_source(module)
        if source is None:
            if (path := module_path(module)) is not None:  # compiled
                self.definitions.add((module, hashlib.sha256(path.read_bytes()).hexdigest()))
            return
        for effect in source.effects if runs else ():
            self._statement(source, "", effect)
        if name is None:
            self._ask_each(source, (*source.definitions, *source.imports), runs=runs)
        elif name in source.definitions:
            self._define(source, name, runs)
        elif (further := source.imports.get(name) or source.lazy.get(name)) is not None:
            self._ask(further, runs=runs)
        elif module_path(f"{module}.{name}") is not None:
            self._ask(Origin(f"{module}.{name}", None), runs=runs)
        elif runs and not name.startswith("__"):
            self._ask(Origin(module, None))  # cannot be told: all of it

    def _define(self, source: ModuleSource, name: str, runs: bool) -> None:
        statements = source.definitions[name]
        if any(_is_table(statement) for statement in statements):
            self.tables |= {f"{source.name}:{name}"} if runs else set()
        elif not runs:
            for statement in statements:
                if isinstance(statement, ast.ClassDef):
                    self._parted(source, statement)
                elif isinstance(statement, ast.Assign):  # an alias of types
                    self._ask_each(source, _used(source.package, statement).read, runs=False)
        elif not any(STAGE in _used(source.package, statement).read for statement in statements):
            for statement in statements:
                if isinstance(statement, ast.ClassDef) and not self._calls_back(source, statement):
                    self._parted(source, statement).made = True
                else:
                    self._statement(source, name, statement)

    def _statement(self, source: ModuleSource, label: str, node: ast.AST) -> None:
        self._count(source, label, node, _used(source.package, node))

    def _count(self, source: ModuleSource, label: str, node: ast.AST, used: UsedNames) -> None:
        entry = (f"{source.name}:{label}", _tree_digest(node))
        if entry in self.definitions:
            return
        self.definitions.add(entry)
        self._attributes |= used.attributes | used.self_attributes
        self._ask_each(source, used.read)
        for origin in used.imported:
            self._ask(origin)
        self._external_attributes |= used.attributes
        self._ask_each(source, used.annotated, runs=False)

    def _parted(self, source: ModuleSource, node: ast.ClassDef) -> _PartedClass:
        return self._classes.setdefault(f"{source.name}:{node.name}", _PartedClass(source, node))

    def _take_methods(self) -> bool:
        """Count what counts of the classes by now; whether that was anything new."""
        before = len(self.definitions), len(self._seen), len(self._external_attributes)
        for parted in list(self._classes.values()):
            for label, node in parted.parts(self._attributes if parted.made else self._external_attributes):
                self._statement(parted.source, label, node)
                self._external_attributes |= (
                    set() if parted.made else _used(parted.source.package, node).self_attributes
                )
            self._ask_each(parted.source, parted.types, runs=False)
        return (len(self.definitions), len(self._seen), len(self._external_attributes)) != before

    def _calls_back(self, source: ModuleSource, node: ast.ClassDef) -> bool:
        """Whether a base outside the code that is followed may call methods that nobody here names."""
        for base in node.bases:
            name = base.value if isinstance(base, ast.Subscript) else base
            if not isinstance(name, ast.Name):
                return True
            if name.id not in _PLAIN_BASES and not self._is_plain(source, name.id):
                return True
        return False

    def _is_plain(self, source: ModuleSource, name: str) -> bool:
        if name in source.definitions:
            classes = [node for node in source.definitions[name] if isinstance(node, ast.ClassDef)]
            return bool(classes) and not any(self._calls_back(source, node) for node in classes)
        origin = source.imports.get(name)
        if origin is None or origin.name is None or origin.module.partition(".")[0] not in self._followed:
            return False
        further = module_source(origin.module)
        return further is not None and self._is_plain(further, origin.name)


class _PartedClass:
    """A class whose methods count one by one."""

    def __init__(self, source: ModuleSource, node: ast.ClassDef) -> None:
        self.source = source
        self.made = False
        """Whether code that counts names the class itself, so that it may make such objects."""
        self._name, (self._head, self._methods, self.types) = node.name, _parted(source.package, node)

    def parts(self, attributes: set[str]) -> Iterator[tuple[str, ast.AST]]:
        """(label, statement) of what counts where these attributes are read."""
        if self.made:
            yield self._name, self._head
        for method in self._methods:
            special = method.name.startswith("__") and (self.made or method.name not in _OF_CREATION)
            if special or method.name in attributes:
                yield f"{self._name}.{method.name}", method


@cache
def _parted(
    package: str, node: ast.ClassDef
) -> tuple[ast.ClassDef, tuple[ast.FunctionDef, ...], frozenset[str]]:
    """A class without its methods, these, and the names in its bases and annotated fields."""
    methods = tuple(statement for statement in node.body if isinstance(statement, ast.FunctionDef))
    head = copy.copy(node)
    head.body = [statement for statement in node.body if not isinstance(statement, ast.FunctionDef)]
    fields = names_used(
        [statement for statement in head.body if isinstance(statement, ast.AnnAssign)], package
    )
    bases = {child.id for base in node.bases for child in ast.walk(base) if isinstance(child, ast.Name)}
    return head, methods, frozenset(fields.annotated | bases)


@cache
def _used(package: str, node: ast.AST) -> UsedNames:
    return names_used([node], package)


@cache
def _tree_digest(node: ast.AST) -> str:
    return hashlib.sha256(ast.dump(node).encode()).hexdigest()


def _is_table(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == TABLE
