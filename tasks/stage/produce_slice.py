"""What of a task decides what its stage computes: the compute function, and the statements its variables come from.

A stage's compute function is a closure inside its task. The task also builds the stage's inputs and returns references; of all
that, only the statements count that give the compute function's free variables their values, and what those read in turn.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from tasks.stage.module_source import ModuleSource, bound_names
from tasks.stage.used_names import names_used

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def sliced(source: ModuleSource, path: Sequence[str]) -> tuple[ast.Module, set[str]] | None:
    """Statements that decide what the function at `path` computes, and the local names around it; None if it is not there.

    Args:
        source: the module.
        path: names of the functions, outermost first; of a path that leads into a class or a lambda, what can be followed.
    """
    chain: list[_Function] = []
    body: Sequence[ast.AST] = source.definitions.get(path[0], [])
    for name in path:
        node = next((one for one in _functions(body) if one.name == name), None)
        if node is None:
            break
        chain.append(node)
        body = node.body
    if not chain:
        return None
    *around, inner = chain
    chosen: list[ast.stmt] = [inner]
    local: set[str] = set()
    for outer in reversed(around):
        own = _local_names(outer)
        chosen = _before(outer, chosen, own)
        local |= own
    return ast.Module(body=chosen, type_ignores=[]), local


def _before(outer: _Function, chosen: list[ast.stmt], local: set[str]) -> list[ast.stmt]:
    """The chosen statements of a function with those that they depend on, in order."""
    found = {id(one) for one in chosen}
    needed = names_used(chosen).read & local
    waiting = [one for one in outer.body if id(one) not in found]
    while depended := [one for one in waiting if _changes(one) & needed]:
        found |= {id(one) for one in depended}
        waiting = [one for one in waiting if id(one) not in found]
        needed |= names_used(depended).read & local
    inside = {id(one) for one in outer.body}
    nested = [
        one for one in chosen if id(one) not in inside
    ]  # below a statement of the function, not of its body itself
    return [*(one for one in outer.body if id(one) in found), *nested]


def _changes(statement: ast.stmt) -> set[str]:
    """Names that a statement binds, or whose objects it changes in place as a statement of its own."""
    found = bound_names([statement])
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            found |= _root(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            found |= _root(node.value.func)
    return found


def _root(node: ast.AST) -> set[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def _local_names(function: _Function) -> set[str]:
    arguments = function.args
    named = [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ]
    return {one.arg for one in named if one is not None} | bound_names(function.body)


def _functions(body: Sequence[ast.AST]) -> Iterator[_Function]:
    """Functions of a body, those below its compound statements too."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif not isinstance(node, ast.ClassDef | ast.Lambda):
            yield from _functions(list(ast.iter_child_nodes(node)))
