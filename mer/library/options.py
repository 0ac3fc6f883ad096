"""Options of a fusion as keyword arguments: names that are unknown and values out of range are said in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mer.errors import ConfigError
from mer.fusion.config import FusionConfig
from mer.recipes.problems import problems_of

Options = TypeVar("Options", bound=BaseModel)


def options_of(model: str, level: str, options: Mapping[str, Any]) -> FusionConfig:
    """The configuration of a fusion.

    Raises:
        ConfigError: no such model or option, or a value out of range.
    """
    return validated(FusionConfig, "Fusion", {"model": model, "level": level, **options})


def validated(kind: type[Options], where: str, values: Mapping[str, Any]) -> Options:
    """Options of this kind; `where` is whose options they are, for messages.

    Raises:
        ConfigError: lists every option that is unknown or out of range.
    """
    known = list(kind.model_fields)
    for name in values:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            guess = f"; did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"{where}: unknown option {name!r}{guess} Options: {', '.join(known)}")
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        problems = problems_of(error, values, kind)
        raise ConfigError(f"{where}: " + "; ".join(problems)) from error


def model_of(model: str | Callable[..., Any]) -> tuple[str, Callable[..., Any] | None]:
    """Name of a model, and its builder where the caller gives one: `module:name` of the callable.

    Raises:
        ConfigError: neither a name nor a callable with a name of its own.
    """
    if isinstance(model, str):
        return model, None
    module, name = getattr(model, "__module__", None), getattr(model, "__qualname__", None)
    if not callable(model) or module is None or name is None:
        raise ConfigError(
            f"model: expected the name of a fusion model, or a function or class (FusionShape, FusionConfig) -> "
            f"FusionModel, found {type(model).__name__} {str(model)[:60]!r}"
        )
    return f"{module}:{name}", model
