"""A module as its text has it: what its top-level statements define, and where its imported names come from. Never imported."""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

_one_parser = threading.Lock()
"""`ast.parse` in two threads at once fails in CPython 3.11 (SystemError: recursion depth mismatch)."""

LAZY = "__getattr__"
"""A package's function that imports on first use: its body belongs to nobody, each name in it to whoever asks for the name."""


class Origin(NamedTuple):
    """Where an imported name comes from."""

    module: str
    name: str | None
    """None: the module itself."""


@dataclass
class ModuleSource:
    """Top-level statements of one module by the names they bind."""

    name: str
    package: str
    """What its relative imports start from."""
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    """Name -> the statements that bind it, imports apart."""
    imports: dict[str, Origin] = field(default_factory=dict)
    """Name -> where it comes from, for names that exist when the module runs (none of `TYPE_CHECKING`)."""
    lazy: dict[str, Origin] = field(default_factory=dict)
    """The same for what the module's `__getattr__` offers."""
    effects: list[ast.stmt] = field(default_factory=list)
    """Statements that bind no name: they do something when the module is imported."""


_parsed: dict[str, ModuleSource | None] = {}


def module_source(module: str) -> ModuleSource | None:
    """The module's text, parsed once per process; None where it has none (a namespace, or compiled code)."""
    if module not in _parsed:
        _parsed[module] = _read(module)
    return _parsed[module]


def _read(module: str) -> ModuleSource | None:
    path = module_path(module)
    if path is None or path.suffix != ".py":
        return None
    with _one_parser:
        tree = undocumented(ast.parse(path.read_text(encoding="utf-8")))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    source = ModuleSource(module, package)
    for statement in _at_run_time(tree.body):
        _record(source, statement, package)
    return source


def undocumented(tree: ast.Module) -> ast.Module:
    """The tree, changed in place: without bare strings (docstrings) and without `description=` of pydantic's fields."""
    for node in ast.walk(tree):
        for block in ("body", "orelse", "finalbody"):
            if isinstance(statements := getattr(node, block, None), list):
                setattr(
                    node, block, [statement for statement in statements if not _is_bare_string(statement)]
                )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Field":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
    return tree


@cache
def module_path(module: str) -> Path | None:
    """The module's file, found below its top-level package without importing anything in between; None without."""
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is not None and not rest and spec.origin is not None and not spec.submodule_search_locations:
        return Path(spec.origin)
    for location in (spec.submodule_search_locations if spec is not None else None) or ():
        below = Path(location, *rest)
        for path in (below / "__init__.py", below.with_name(f"{below.name}.py")):
            if path.is_file():
                return path
        if rest and (compiled := sorted(below.parent.glob(f"{below.name}.*.so"))):
            return compiled[0]
    loaded = getattr(sys.modules.get(module), "__file__", None)  # a script, or a test without a package
    return Path(loaded) if loaded is not None else None


def imported_names(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Origin]]:
    """(bound name, origin) of an import statement in a module of `package`."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0], Origin(alias.name, None)
        return
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, *([node.module] if node.module else [])])
    for alias in node.names:
        yield alias.asname or alias.name, Origin(base, None if alias.name == "*" else alias.name)


def is_type_checking(node: ast.stmt) -> bool:
    """True for an `if TYPE_CHECKING:` statement, whose body never runs."""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def bound_names(nodes: Sequence[ast.AST]) -> set[str]:
    """Names that these statements bind in their own scope; nested functions, classes and comprehensions have their own."""
    names: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {name for name, _ in imported_names(node, "")}
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name is not None:
            names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest is not None:
            names.add(node.rest)
        waiting += ast.iter_child_nodes(node)
    return names


def _at_run_time(statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements without `TYPE_CHECKING` blocks, and without what runs only where the module is the program."""
    for statement in statements:
        if isinstance(statement, ast.If) and is_type_checking(statement):
            yield from _at_run_time(statement.orelse)
        elif not (isinstance(statement, ast.If) and _is_main(statement.test)):
            yield statement


def _is_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _is_bare_string(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _record(source: ModuleSource, statement: ast.stmt, package: str) -> None:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        source.imports.update(imported_names(statement, package))
        return
    if isinstance(statement, ast.FunctionDef) and statement.name == LAZY:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                source.lazy.update(imported_names(node, package))
        return
    for node in ast.walk(statement) if not isinstance(statement, ast.FunctionDef | ast.ClassDef) else ():
        if isinstance(node, ast.Import | ast.ImportFrom):  # try: import a, except ImportError: a = None
            source.imports.update(imported_names(node, package))
    names = bound_names([statement])
    for name in names:
        source.definitions.setdefault(name, []).append(statement)
    if not names:
        source.effects.append(statement)
