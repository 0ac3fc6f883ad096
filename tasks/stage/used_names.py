"""Which names of its module a piece of code uses when it runs, and which only say what types there are."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from tasks.stage.module_source import Origin, bound_names, imported_names, is_type_checking

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class UsedNames(ast.NodeVisitor):
    """Names, imports and attributes of some statements, by Python's rules of scope.

    Annotations are kept apart: the project's modules never evaluate them (`from __future__ import annotations`), but they tell
    whose methods may be called on an argument.

    Args:
        package: of the module, for relative imports.
        local: names bound around the statements.
    """

    def __init__(self, package: str, local: Iterable[str] = ()) -> None:
        self.read: set[str] = set()
        """Names of the module that are read."""
        self.annotated: set[str] = set()
        """Names of the module in annotations."""
        self.imported: set[Origin] = set()
        """What is imported inside functions."""
        self.attributes: set[str] = set()
        """Attributes that are read or set, of anything but `self`."""
        self.self_attributes: set[str] = set()
        """Those of `self`."""
        self._package = package
        self._scopes: list[set[str]] = [set(local)]

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and not any(node.id in scope for scope in self._scopes):
            self.read.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        of_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        (self.self_attributes if of_self else self.attributes).add(node.attr)
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "getattr":
            self.attributes |= {
                str(argument.value) for argument in node.args[1:2] if isinstance(argument, ast.Constant)
            }
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.imported |= {origin for _, origin in imported_names(node, self._package)}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.imported |= {origin for _, origin in imported_names(node, self._package)}

    def visit_If(self, node: ast.If) -> None:
        if is_type_checking(node):
            self._each(node.orelse)
        else:
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._annotation(node.annotation)
        if node.value is not None:
            self.visit(node.value)
        if not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._defaults(node.args)
        with self._scope(_parameters(node.args)):
            self.visit(node.body)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node)

    def _function(self, node: _Function) -> None:
        self._each(node.decorator_list)
        self._defaults(node.args)
        for argument in _arguments(node.args):
            self._annotation(argument.annotation)
        self._annotation(node.returns)
        elsewhere = {
            name for child in ast.walk(node) if isinstance(child, ast.Global) for name in child.names
        }
        with self._scope((_parameters(node.args) | bound_names(node.body)) - elsewhere):
            self._each(node.body)

    def _comprehension(self, node: _Comprehension) -> None:
        self.visit(node.generators[0].iter)  # this alone is read outside
        with self._scope(bound_names([generator.target for generator in node.generators])):
            for number, generator in enumerate(node.generators):
                self._each([*generator.ifs, *([generator.iter] if number else [])])
            self._each([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])

    def _defaults(self, arguments: ast.arguments) -> None:
        self._each(
            [*arguments.defaults, *(default for default in arguments.kw_defaults if default is not None)]
        )

    def _annotation(self, node: ast.expr | None) -> None:
        if node is not None:
            self.annotated |= {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}

    def _each(self, nodes: Sequence[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    @contextmanager
    def _scope(self, names: set[str]) -> Iterator[None]:
        self._scopes.append(names)
        yield
        self._scopes.pop()


def names_used(nodes: Iterable[ast.AST], package: str = "", local: Iterable[str] = ()) -> UsedNames:
    """See `UsedNames`."""
    used = UsedNames(package, local)
    for node in nodes:
        used.visit(node)
    return used


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    further = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *further]


def _parameters(arguments: ast.arguments) -> set[str]:
    return {argument.arg for argument in _arguments(arguments)}
