"""JSON of values whose type is declared, and the same values from it.

    to_json(value)               -> dictionaries, lists, texts and numbers
    from_json(declared, data)    -> a value of the type `declared`

Dataclasses and pydantic models become `{"class": NAME, "fields": {...}}`. The name chooses among the declared class and its
subclasses, and everything below is read as its fields declare: data can choose values, and no code. Of a model the fields are
written that were set, so that what was left at its default stays that.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter

_PLAIN = (bool, int, float, str, type(None))
_MOST_DEEP = 50


def to_json(value: Any) -> Any:
    """What `json.dumps` takes. Raises TypeError for a value that is no reference (an array, an open file)."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, BaseModel):
        names = [name for name in type(value).model_fields if name in value.model_fields_set]
        return {
            "class": type(value).__qualname__,
            "fields": {name: to_json(getattr(value, name)) for name in names},
        }
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: to_json(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.init
        }
        return {"class": type(value).__qualname__, "fields": fields}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("expected a mapping by names")
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} is no reference")


def from_json(declared: Any, data: Any, depth: int = 0) -> Any:
    """A value of the type `declared`.

    Raises:
        ValueError, TypeError: the data are of another type, or nested too deeply.
    """
    if depth > _MOST_DEEP:
        raise ValueError("nested too deeply")
    origin, arguments = get_origin(declared), get_args(declared)
    if origin is Annotated and _holds_classes(arguments[0]):
        return from_json(arguments[0], data, depth + 1)
    if not _holds_classes(declared):
        return _leaf(declared).validate_python(data)
    if origin in (Union, types.UnionType):
        return _one_of(arguments, data, depth)
    if origin is not None and isinstance(origin, type):
        if issubclass(origin, tuple) and Ellipsis not in arguments:
            items = _items(data)
            return tuple(
                from_json(item, value, depth + 1) for item, value in zip(arguments, items, strict=True)
            )
        if issubclass(origin, Mapping):
            if not isinstance(data, dict):
                raise TypeError(f"expected a mapping, found {type(data).__name__}")
            return {key: from_json(arguments[1], value, depth + 1) for key, value in data.items()}
        if issubclass(origin, Sequence | set | frozenset):
            container = origin if origin in (list, set, frozenset) else tuple
            return container(from_json(arguments[0], value, depth + 1) for value in _items(data))
    return _instance(declared, data, depth)


def _instance(declared: Any, data: Any, depth: int) -> Any:
    if not isinstance(data, dict) or set(data) != {"class", "fields"} or not isinstance(data["fields"], dict):
        raise TypeError(f"expected {declared.__qualname__}, found {type(data).__name__}")
    kind = next((kind for kind in _family(declared) if kind.__qualname__ == data["class"]), None)
    if kind is None:
        raise TypeError(f"expected {declared.__qualname__}, found {str(data['class'])[:100]!r}")
    hints = _hints(kind)
    if unknown := set(data["fields"]) - set(hints):
        raise TypeError(f"{kind.__qualname__} has no {sorted(unknown)[0]!r}")
    fields = {name: from_json(hints[name], value, depth + 1) for name, value in data["fields"].items()}
    return kind.model_validate(fields) if issubclass(kind, BaseModel) else kind(**fields)


def _one_of(declared: Sequence[Any], data: Any, depth: int) -> Any:
    """By the first that the data fit: classes are told apart by their names, and the rest is what is no class."""
    plain = tuple(item for item in declared if not _holds_classes(item))
    errors: list[str] = []
    for item in [*(item for item in declared if item not in plain), *([Union[plain]] if plain else [])]:  # noqa: UP007
        try:
            return from_json(item, data, depth + 1)
        except (ValueError, TypeError) as error:
            errors.append(str(error).splitlines()[0])
    raise TypeError("; ".join(errors))


def _items(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise TypeError(f"expected a list, found {type(data).__name__}")
    return data


@cache
def _leaf(declared: Any) -> TypeAdapter[Any]:
    return TypeAdapter(declared)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _is_class(declared: Any) -> bool:
    return isinstance(declared, type) and (
        issubclass(declared, BaseModel) or dataclasses.is_dataclass(declared)
    )


@cache
def _holds_classes(declared: Any) -> bool:
    if get_origin(declared) is None:
        return _is_class(declared)
    return any(_holds_classes(item) for item in get_args(declared) if _may_be_type(item))


def _may_be_type(item: Any) -> bool:
    return isinstance(item, type) or get_origin(item) is not None


def _family(kind: type) -> list[type]:
    family: list[type] = [kind]
    child: type
    for child in type.__subclasses__(kind):
        family += _family(child)
    return family
