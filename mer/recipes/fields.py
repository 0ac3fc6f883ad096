"""The tree of options behind a model of options: which models stand at a path, and every path there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

_DEEPEST = 12
"""Levels that are looked at; no model of ours has more than seven."""


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """What an annotation allows, with unions and `Annotated` opened: of `Annotated[A | None, ...]` these are A and None."""
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(inner for member in get_args(annotation) for inner in alternatives(member))
    return (annotation,)


def models_in(annotation: Any) -> tuple[type[BaseModel], ...]:
    """The models among what an annotation allows."""
    return tuple(
        option
        for option in alternatives(annotation)
        if isinstance(option, type) and issubclass(option, BaseModel)
    )


def models_at(model: type[BaseModel], path: Sequence[str]) -> tuple[type[BaseModel], ...]:
    """Models whose options stand below a path: none where the path leads to a single value or nowhere.

    Args:
        model: the root.
        path: names of options; below a mapping of names any name will do.
    """
    here: tuple[Any, ...] = (model,)
    for step in path:
        here = tuple(inner for annotation in here for inner in _below(annotation, step))
    return tuple(dict.fromkeys(nested for annotation in here for nested in models_in(annotation)))


def option_paths(
    model: type[BaseModel], values: Mapping[str, Any], depth: int = _DEEPEST
) -> Iterator[tuple[str, ...]]:
    """Paths of all single options, also of those that the values do not state; below a mapping of names, of the names it has."""
    for name, field in model.model_fields.items():
        inner = values.get(name)
        stated = inner if isinstance(inner, Mapping) else {}
        below: set[tuple[str, ...]] = set()
        for annotation in alternatives(field.annotation) if depth else ():
            for nested in models_in(annotation):
                below |= set(option_paths(nested, stated, depth - 1))
            for nested in models_in(_value_of_mapping(annotation)):
                for key, value in stated.items():
                    known = value if isinstance(value, Mapping) else {}
                    below |= {(str(key), *path) for path in option_paths(nested, known, depth - 1)}
        yield from ((name, *path) for path in sorted(below)) if below else [(name,)]


def _below(annotation: Any, step: str) -> Iterator[Any]:
    for option in alternatives(annotation):
        for nested in models_in(option):
            if step in nested.model_fields:
                yield nested.model_fields[step].annotation
        if (value := _value_of_mapping(option)) is not None:
            yield value


def _value_of_mapping(annotation: Any) -> Any:
    """Annotation of a mapping's values; None for what is no mapping."""
    origin = get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return get_args(annotation)[1]
    return None
