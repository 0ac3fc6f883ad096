"""What a stage's result depends on besides its inputs: the code that computes it.

The version is the hash of the syntax trees of the library packages a stage names, docstrings left out: a changed comment,
docstring or formatting keeps every artifact valid; a changed statement makes exactly the stages that use it run again.
"""

from __future__ import annotations

import ast
import hashlib
import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_one_parser = threading.Lock()
"""`ast.parse` in two threads at once fails in CPython 3.11 (SystemError: recursion depth mismatch)."""


def code_version(*packages: str) -> str:
    """sha256 (first 16 hex digits) over the code of `packages` (dotted names of packages or modules)."""
    digest = hashlib.sha256()
    for package in sorted(packages):
        with _one_parser:
            digest.update(_package_digest(package).encode())
    return digest.hexdigest()[:16]


@cache
def _package_digest(package: str) -> str:
    digest = hashlib.sha256()
    for source in _sources(package):
        digest.update(source.name.encode())
        digest.update(_tree_without_docstrings(source.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


def _sources(package: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no such package: {package}")
    if spec.submodule_search_locations:
        return sorted(Path(spec.origin).parent.rglob("*.py"))
    return [Path(spec.origin)]


def _tree_without_docstrings(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_bare_string(statement)]
    return ast.dump(tree)


def _is_bare_string(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
