"""What an option may be, in words: its kind, range or choices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_KINDS: Mapping[Any, str] = {
    bool: "true or false", int: "whole number", float: "number", str: "text", NoneType: "null",
}  # fmt: skip
_BOUNDS: Mapping[str, str] = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def allowed_values(field: FieldInfo) -> str:
    """Kind, range and choices of an option, e.g. `whole number, 4 to 4,096`, or `one of mean, sum; or null`."""
    return _said(field.annotation, field.metadata)


def _said(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _said(arguments[0], [*_constraints(arguments[1:]), *metadata])
    if origin in (Union, UnionType):
        # what is said of the whole union belongs to the members that are not null
        said = [_said(member, () if member is NoneType else metadata) for member in arguments]
        return "; or ".join(dict.fromkeys(said))
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}" if len(arguments) > 1 else f"{arguments[0]}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"one of {', '.join(str(choice.value) for choice in annotation)}"
    return ", ".join([_kind(annotation, origin, arguments), *_bounds(metadata, origin)])


def _kind(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> str:
    if origin is tuple or origin is list:
        items = [item for item in arguments if item is not Ellipsis]
        if Ellipsis in arguments or origin is list:
            return f"list, each {_said(items[0])}"
        return f"list of {len(items)}: {', '.join(map(_said, items))}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of names, each {_said(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping of options"
    if isinstance(origin, type) and issubclass(origin, Iterable):
        return "list"
    return _KINDS.get(annotation, "any value")


def _bounds(metadata: Iterable[Any], origin: Any) -> list[str]:
    """The ranges that constraints give, in words; bounds that both belong to the range are `4 to 4096`."""
    bounds = {
        name: bound
        for constraint in metadata
        for name in (*_BOUNDS, "min_length", "max_length")
        if (bound := getattr(constraint, name, None)) is not None
    }
    least, most = bounds.pop("min_length", None), bounds.pop("max_length", None)
    said = []
    if "ge" in bounds and "le" in bounds:
        said.append(f"{_number(bounds.pop('ge'))} to {_number(bounds.pop('le'))}")
    said += [f"{words} {_number(bounds[name])}" for name, words in _BOUNDS.items() if name in bounds]
    unit = "characters" if origin is None else "of them"
    if least is not None:
        said.append("not empty" if least == 1 else f"at least {least} {unit}")
    return said if most is None else [*said, f"at most {most} {unit}"]


def _number(bound: float) -> str:
    return f"{bound:,.0f}" if bound == int(bound) else f"{bound:g}"


def _constraints(metadata: Iterable[Any]) -> list[Any]:
    """What `Field(...)` inside `Annotated` says, beside constraints that stand there themselves."""
    return [
        inner for item in metadata for inner in (item.metadata if isinstance(item, FieldInfo) else [item])
    ]
