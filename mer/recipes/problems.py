"""What is wrong with a recipe, in a line for each problem: where, what was expected, what was found."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mer.recipes.fields import models_at, option_paths

MOST_SUGGESTIONS = 3
_LONGEST_VALUE = 80


def problems_of(error: ValidationError, values: Mapping[str, Any], model: type[BaseModel]) -> list[str]:
    """A line for each problem, `path: message`; for an unknown option the nearest ones that there are.

    Args:
        error: of validating `values`.
        values: options as plain values.
        model: what they were validated as.
    """
    lines = []
    for problem in error.errors(include_url=False):
        path = _path_in(values, problem["loc"], model)
        where = ".".join(step[:_LONGEST_VALUE] for step in path)
        message = _message(problem, path, values, model)
        lines.append(f"{where}: {message}" if where else message)
    return lines


def nearest_options(path: Sequence[str], values: Mapping[str, Any], model: type[BaseModel]) -> list[str]:
    """Options that a misspelt one may stand for, dotted: those beside it that are spelt alike, or else of that name elsewhere.

    What is named at the top, but stands in a mapping below (a stream by its name alone), is that.
    """
    *parents, name = path
    if not parents and (
        groups := [group for group, inner in values.items() if isinstance(inner, Mapping) and name in inner]
    ):
        return [f"{group}.{name}" for group in groups][:MOST_SUGGESTIONS]
    beside = dict.fromkeys(field for group in models_at(model, parents) for field in group.model_fields)
    if near := difflib.get_close_matches(name, beside, n=MOST_SUGGESTIONS):
        return [".".join((*parents, field)) for field in near]
    everywhere = list(option_paths(model, values))
    names = difflib.get_close_matches(
        name, dict.fromkeys(option[-1] for option in everywhere), n=1, cutoff=0.8
    )
    return [".".join(option) for option in everywhere if option[-1] in names][:MOST_SUGGESTIONS]


def _message(
    problem: ErrorDetails, path: tuple[str, ...], values: Mapping[str, Any], model: type[BaseModel]
) -> str:
    if problem["type"] == "extra_forbidden":
        nearest = nearest_options(path, values, model)
        unknown = f"unknown option, found value {_shown(problem['input'])}"
        return f"{unknown}; nearest: {', '.join(nearest)}" if nearest else unknown
    if problem["type"] == "missing":
        return "expected a value, found none"
    if problem["type"] == "model_type":
        options = dict.fromkeys(field for group in models_at(model, path) for field in group.model_fields)
        return f"expected options in a mapping ({', '.join(options)}), found {_shown(problem['input'])}"
    message = problem["msg"].removeprefix("Value error, ")
    ours = problem["type"] == "value_error"  # says what was found
    return message if ours else f"{message}, found {_shown(problem['input'])}"


def _path_in(values: Any, location: Sequence[int | str], model: type[BaseModel]) -> tuple[str, ...]:
    """The path of a problem without what pydantic adds to it: the member of a union that it tried."""
    path: list[str] = []
    for number, step in enumerate(location):
        inside = isinstance(values, Mapping) and step in values
        listed = isinstance(values, Sequence) and isinstance(step, int) and step < len(values)
        if inside or listed:
            values = values[step]
        elif any(step in group.model_fields for group in models_at(model, path)):
            values = {}  # an option that is not stated
        elif number < len(location) - 1 or not isinstance(values, Mapping):
            continue
        path.append(str(step))
    return tuple(path)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]} and so on"
