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
        node = next((function for function in _functions(body) if function.name == name), None)
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
        outer_names = _local_names(outer)
        chosen = _before(outer, chosen, outer_names)
        local |= outer_names
    return ast.Module(body=chosen, type_ignores=[]), local


def _before(outer: _Function, chosen: list[ast.stmt], local: set[str]) -> list[ast.stmt]:
    """The chosen statements of a function with those that they depend on, in order."""
    included = {id(statement) for statement in chosen}
    needed = names_used(chosen).read & local
    waiting = [statement for statement in outer.body if id(statement) not in included]
    while depended := [statement for statement in waiting if _changes(statement) & needed]:
        included |= {id(statement) for statement in depended}
        waiting = [statement for statement in waiting if id(statement) not in included]
        needed |= names_used(depended).read & local
    inside = {id(statement) for statement in outer.body}
    nested = [
        statement for statement in chosen if id(statement) not in inside
    ]  # below a statement of the function, not of its body itself
    return [*(statement for statement in outer.body if id(statement) in included), *nested]


def _changes(statement: ast.stmt) -> set[str]:
    """Names that a statement binds, or whose objects it changes in place as a statement of its own."""
    names = bound_names([statement])
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            names |= _root(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            names |= _root(node.value.func)
    return names


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
    return {argument.arg for argument in named if argument is not None} | bound_names(function.body)


def _functions(body: Sequence[ast.AST]) -> Iterator[_Function]:
    """Functions of a body, those below its compound statements too."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif not isinstance(node, ast.ClassDef | ast.Lambda):
            yield from _functions(list(ast.iter_child_nodes(node)))
