"""What a stage's result depends on besides its inputs: the code that computes it.

The version is the hash of the compute function that a stage is run with and of everything it may run, found in the text of the
modules without importing them (`produce_slice`, `code_closure`): a changed comment, docstring or formatting keeps every artifact
valid; a changed statement makes exactly the stages that use it run again. Nothing is listed by hand. Where the configuration
chooses among implementations (fusion models, encoder families, plug-ins), the stage names the one it chose.

Versions of other packages are no part of it (see `library_versions`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

from tasks.stage.code_closure import Closure
from tasks.stage.module_source import Origin, module_source
from tasks.stage.produce_slice import sliced

LIBRARY = "mer"
MACHINERY = __name__.rpartition(".")[0]
"""This package: how a stage is run decides nothing about its result."""
LOCALS = "<locals>"
_roots: dict[str, tuple[str, ...]] = {}


def code_version(*computes: Callable[..., Any], implementations: Iterable[str] = ()) -> str:
    """Version (16 hex digits) of the code that these functions may run.

    Args:
        computes: compute functions of a stage, of any module.
        implementations: `module:name` of what the configuration chose, as tables of implementations have it.
    """
    return version_of(tuple(sorted({root_of(compute) for compute in computes} | set(implementations))))


def root_of(compute: Callable[..., Any]) -> str:
    """`module:qualified name` of a function, of the function of a `partial`, or of the class of an object that is called."""
    target: Any = compute
    while isinstance(target, partial):
        target = target.func
    if not hasattr(target, "__qualname__"):
        target = type(target)
    return f"{target.__module__}:{target.__qualname__}"


@cache
def version_of(roots: tuple[str, ...]) -> str:
    """Version of the code that these roots (`module:qualified name`) may run."""
    version = hashlib.sha256(closure_of(roots).digest().encode()).hexdigest()[:16]
    _roots[version] = roots
    return version


def roots_of(version: str) -> tuple[str, ...]:
    """The roots of a version that this process computed; none of another."""
    return _roots.get(version, ())


def closure_of(roots: Iterable[str]) -> Closure:
    """The definitions that these roots (`module:qualified name`) may run.

    Raises:
        ModuleNotFoundError: the module of a root has no text.
    """
    roots = sorted(roots)
    closure = Closure({LIBRARY, *(root.partition(":")[0].partition(".")[0] for root in roots)}, (MACHINERY,))
    for root in roots:
        module, _, name = root.partition(":")
        path = name.split(".")
        if LOCALS not in path:
            closure.add(Origin(module, path[0] or None))
            continue
        source = module_source(module)
        if source is None:
            raise ModuleNotFoundError(
                f"code version of {root}: expected the text of module {module}, found none"
            )
        code_slice = sliced(source, [segment for segment in path if segment != LOCALS])
        if code_slice is None:
            closure.add(Origin(module, path[0]))
        else:
            closure.add_code(source, name, *code_slice)
    return closure
