"""A recipe's options as plain values: short forms written out, one recipe laid over another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer.errors import ConfigError

Values = Mapping[str, Any]
"""Options as they are read from YAML."""

SHORT_STREAMS = ("acoustic", "visual", "lexical")
"""`acoustic: {...}` at the top of a recipe is short for `streams: {acoustic: {...}}`."""

SHORT_VALUES: Mapping[str, str] = {"label_shift": "mode"}
"""Option that a single value may stand for -> what that value is: `label_shift: report` is `label_shift: {mode: report}`."""

STREAMS = "streams"
FUSION = "fusion"
ENSEMBLE, MEMBERS, SEARCH = "ensemble", "members", "search"


def normalised(values: Values, origin: str = "recipe") -> dict[str, Any]:
    """The same options without short forms: all streams are below `streams`.

    A stream that is `null` stays, so that it can remove one when these options are laid over others.

    Raises:
        ConfigError: `streams` is no mapping, or has a stream that stands at the top as well.
    """
    streams = values.get(STREAMS)
    if streams is not None and not isinstance(streams, Mapping):
        raise ConfigError(
            f"{origin}: expected `streams` to be a mapping of names to streams, found {type(streams).__name__}"
        )
    short = {name: values[name] for name in SHORT_STREAMS if name in values}
    if twice := [name for name in short if name in (streams or {})]:
        raise ConfigError(
            f"{origin}: expected every stream once, found {', '.join(twice)} below `streams` and at the top as well; "
            "leave one of them out"
        )
    rest = {
        name: written_out(name, value)
        for name, value in values.items()
        if name not in (*SHORT_STREAMS, STREAMS)
    }
    return {**rest, STREAMS: {**short, **(streams or {})}}


def merged(base: Values, changes: Values) -> dict[str, Any]:
    """`changes` laid over `base`: mappings are merged key by key, lists and single values are replaced."""
    result = dict(base)
    for name, value in changes.items():
        before = result.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            result[name] = merged(before, value)
        else:
            result[name] = value
    return result


def without_replaced(base: Values, changes: Values) -> dict[str, Any]:
    """`base` without the way of serving that `changes` name another for: a recipe serves a fusion, members, or a search.

    Options of the fusion replace a search that is served, and the further speeds of its streams, which no fusion reads; members
    replace a search, a search replaces members. What the changes say of `ensemble` themselves is theirs.
    """
    ensemble, changed = base.get(ENSEMBLE), changes.get(ENSEMBLE)
    if not isinstance(ensemble, Mapping):
        return dict(base)
    if isinstance(changed, Mapping):
        replaced = {MEMBERS: SEARCH, SEARCH: MEMBERS}
        gone = {other for name, other in replaced.items() if changed.get(name) is not None}
        return {**base, ENSEMBLE: {name: value for name, value in ensemble.items() if name not in gone}}
    searched = ensemble.get(SEARCH) is not None and ensemble.get("serve", True)
    if searched and ENSEMBLE not in changes and changes.get(FUSION) is not None:
        left = {name: value for name, value in base.items() if name != ENSEMBLE}
        return {**left, STREAMS: {name: _of_one_speed(stream) for name, stream in base[STREAMS].items()}}
    return dict(base)


def _of_one_speed(stream: Any) -> Any:
    if not isinstance(stream, Mapping):
        return stream
    return {name: value for name, value in stream.items() if name != "speeds"}


def without_removed(values: Values) -> dict[str, Any]:
    """The options without the streams and the members of an ensemble that are `null`."""
    left = {**values, STREAMS: _present(values.get(STREAMS) or {})}
    ensemble = values.get(ENSEMBLE)
    if isinstance(ensemble, Mapping) and MEMBERS in ensemble:
        left[ENSEMBLE] = {**ensemble, MEMBERS: _present(ensemble[MEMBERS])}
    return left


def _present(named: Any) -> Any:
    if not isinstance(named, Mapping):
        return named
    return {name: value for name, value in named.items() if value is not None}


def full_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """Path of an option in normalised values: `acoustic.features` is `streams.acoustic.features`."""
    return (STREAMS, *path) if path[0] in SHORT_STREAMS else path


def written_out(name: str, value: Any) -> Any:
    """The mapping that a single value stands for, if the option has such a short form; otherwise the value."""
    if name not in SHORT_VALUES or value is None or isinstance(value, Mapping):
        return value
    return {SHORT_VALUES[name]: value}
