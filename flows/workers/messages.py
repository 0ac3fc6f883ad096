"""What crosses the border between a flow and its workers: JSON of the types that a task declares, and nothing else.

The declared types decide what is built from the text, so that whoever can write it can choose values and no code. Pickles are
no JSON and are refused like any other text of another type.
"""

from __future__ import annotations

import inspect
import json
import os
import traceback
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, get_type_hints

import infra.errors
import mer.errors
from flows.workers.typed_json import from_json, to_json
from infra.errors import InfraError, NotAReference
from mer.errors import MerError

Function = Callable[..., Any]
_RETURN = "return"
_SHOWN = 200
_FACT = (bool, int, float, str, type(None))


class WorkerError(Exception):
    """An error on a worker that is no error of ours, which is a bug; its traceback there is a note."""


def function_name(function: Function) -> str:
    """Name of a task's function, by which flow and worker mean the same one."""
    return f"{function.__module__}.{function.__qualname__}"


def parameters_to_text(function: Function, parameters: Mapping[str, Any]) -> str:
    """JSON of a task's parameters.

    Raises:
        NotAReference: one of them is not of its declared type.
    """
    bound = inspect.signature(function).bind_partial(**parameters)
    return _to_text({name: _dumped(function, name, value) for name, value in bound.arguments.items()})


def parameters_from_text(function: Function, text: str) -> dict[str, Any]:
    """Parameters from what `parameters_to_text` wrote.

    Raises:
        NotAReference: no JSON, of other parameters, or of other types.
    """
    values = _from_text(function, text)
    return {name: _loaded(function, name, value) for name, value in values.items()}


def value_to_text(function: Function, value: Any) -> str:
    """JSON of an outcome: what the task returned. Raises NotAReference."""
    return _to_text({"value": _dumped(function, _RETURN, value)})


def error_to_text(error: BaseException) -> str:
    """JSON of an outcome: the error that ended the task, by the name of its class, with its message and plain attributes."""
    shown, name = _known(error)
    facts = {key: value for key, value in vars(shown).items() if isinstance(value, _FACT)}
    if isinstance(shown, OSError):
        facts = {"errno": shown.errno, "strerror": shown.strerror, "filename": _text_or_none(shown.filename)}
    return _to_text(
        {
            "error": name,
            "message": str(shown),
            "facts": facts if name in _KNOWN else {},
            "traceback": "".join(traceback.format_exception(error)),
        }
    )


def outcome_from_text(function: Function, text: str) -> Any:
    """What the task returned.

    Raises:
        NotAReference: the text is no outcome of this task.
        MerError, InfraError, ...: the error that ended the task; one of ours or of Python by its class, others as `WorkerError`.
    """
    values = _from_text(function, text)
    if "error" in values:
        raise _error(function, values)
    if set(values) != {"value"}:
        raise NotAReference(
            f"{function_name(function)}: expected a value or an error, found {sorted(values)}"
        )
    return _loaded(function, _RETURN, values["value"])


def _to_text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"))  # ASCII: any database keeps any file's name


def _from_text(function: Function, text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotAReference(
            f"{function_name(function)}: expected JSON, found {text[:_SHOWN]!r}; nothing of it is used"
        ) from error
    if not isinstance(values, dict):
        raise NotAReference(f"{function_name(function)}: expected a JSON object, found {text[:_SHOWN]!r}")
    return values


@cache
def _declared(function: Function) -> dict[str, Any]:
    return get_type_hints(function, include_extras=True)


def _dumped(function: Function, name: str, value: Any) -> Any:
    """JSON of a value, from which the same value comes back."""
    try:
        data = to_json(value)
        from_json(_declared(function)[name], data)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NotAReference(
            f"{function_name(function)}, {name}: expected a value of its declared type, found {type(value).__name__}: "
            f"{_first_line(error)}"
        ) from error
    return data


def _loaded(function: Function, name: str, data: Any) -> Any:
    try:
        return from_json(_declared(function)[name], data)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NotAReference(
            f"{function_name(function)}, {name[:_SHOWN]}: expected JSON of its declared type, found {str(data)[:_SHOWN]!r}: "
            f"{_first_line(error)}; nothing of it is used"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _error(function: Function, values: Mapping[str, Any]) -> Exception:
    name, message, facts = values.get("error"), values.get("message"), values.get("facts")
    if not isinstance(name, str) or not isinstance(message, str) or not isinstance(facts, dict):
        raise NotAReference(f"{function_name(function)}: expected an error's class and message, found others")
    error: Exception
    if (kind := _KNOWN.get(name)) is None:
        error = WorkerError(f"{name}: {message}")
    elif kind is OSError and isinstance(number := facts.get("errno"), int):
        error = OSError(number, str(facts.get("strerror")), facts.get("filename"))
    else:
        error = kind.__new__(kind)
        Exception.__init__(error, message)
        if issubclass(kind, InfraError | MerError):
            facts = {key: value for key, value in facts.items() if isinstance(value, _FACT)}
            vars(error).update({key: value for key, value in facts.items() if not key.startswith("_")})
    error.add_note(f"on the worker:\n{values.get('traceback', '')}")
    return error


def _ours() -> dict[str, type[Exception]]:
    kinds = [kind for module in (mer.errors, infra.errors) for kind in vars(module).values()]
    return {
        f"{kind.__module__}.{kind.__qualname__}": kind
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, InfraError | MerError)
    }


_KNOWN: Mapping[str, type[Exception]] = MappingProxyType(
    {**_ours(), "LookupError": LookupError, "MemoryError": MemoryError, "OSError": OSError}
)
"""Errors that come back as what they were: those that `flows.explained_errors` explains."""


def _known(error: BaseException) -> tuple[BaseException, str]:
    """The error, or the first of its causes that is of a known class, and the name of that class; else of the error's own."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if type(cause) is LookupError:  # its subclasses are bugs
            return cause, "LookupError"
        if isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError":
            return cause, "MemoryError"
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause, "OSError"
        if isinstance(cause, InfraError | MerError):
            names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(cause).__mro__)
            return cause, next(name for name in names if name in _KNOWN)
        cause = cause.__cause__
    return error, type(error).__qualname__


def _text_or_none(value: object) -> str | None:
    return None if value is None else os.fsdecode(value) if isinstance(value, bytes) else str(value)
