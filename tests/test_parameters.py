"""No function takes more than seven parameters: what several functions share travels as one value."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("mer", "infra", "tasks", "flows", "benchmarks")
MOST = 7
KNOWN: set[str] = set()
"""Functions of tasks and flows that are still to be brought down; one that is goes from this list."""


def too_long(tree: ast.AST) -> Iterator[str]:
    """Names of the functions with more than `MOST` parameters, typer commands excepted: their options are the user's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_command(node):
            given = node.args
            names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            names += [argument.arg for argument in (given.vararg, given.kwarg) if argument is not None]
            if len(names) - (names[:1] in (["self"], ["cls"])) > MOST:
                yield node.name


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Decorated with the `command` or `callback` of a typer application."""
    return any(
        isinstance(mark, ast.Call)
        and isinstance(mark.func, ast.Attribute)
        and mark.func.attr in ("command", "callback")
        for mark in function.decorator_list
    )


def test_no_function_has_more_than_seven_parameters() -> None:
    offenders = {
        f"{path.relative_to(ROOT).as_posix()} {name}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for name in too_long(ast.parse(path.read_text(encoding="utf-8")))
    }
    more = sorted(offenders - KNOWN)
    assert not more, (
        f"expected at most {MOST} parameters, found more in {more}; let what belongs together be a value"
    )
    fewer = sorted(KNOWN - offenders)
    assert not fewer, (
        f"expected the known functions to be too long still, found {fewer} are not; remove them from KNOWN"
    )


def test_what_counts_as_a_parameter() -> None:
    eight = "a, b, /, c, d, *, e, f, g, h"
    assert list(too_long(ast.parse(f"def f({eight}): ..."))) == ["f"]
    assert list(too_long(ast.parse("async def f(a, b, c, d, e, f, *rest, **more): ..."))) == ["f"]
    assert list(too_long(ast.parse("class A:\n    def f(self, a, b, c, d, e, f, g): ..."))) == []
    assert list(too_long(ast.parse(f"class A:\n    def f(self, {eight}): ..."))) == ["f"]
    assert list(too_long(ast.parse(f"@app.command()\ndef f({eight}): ..."))) == []
    assert list(too_long(ast.parse(f"@task(name='x')\ndef f({eight}): ..."))) == ["f"]
