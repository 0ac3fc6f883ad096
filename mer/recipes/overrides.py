"""Single options of a recipe by their paths, as `--set fusion.hidden=64` gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mer.errors import ConfigError
from mer.recipes.merging import SHORT_VALUES, STREAMS, full_path
from mer.recipes.recipe import Recipe
from mer.recipes.yaml_text import read_yaml


@dataclass(frozen=True)
class Override:
    """One option and its value."""

    text: str
    """As it was given."""
    path: tuple[str, ...]
    """Names of mappings, then of the option, in normalised values."""
    value: Any


def parse_override(text: str) -> Override:
    """Read `PATH=VALUE`.

    PATH is dotted; `acoustic`, `visual` and `lexical` at its beginning are those streams, as is the name of any other (in
    `with_overrides`). VALUE is all that follows the first
    `=`, as YAML; `crops:` and `a: b`, which YAML takes for mappings, are the texts that they look like.

    Raises:
        ConfigError: there is no `=`, the path has an empty step, or the value is not YAML.
    """
    path, equals, value = text.partition("=")
    steps = tuple(step.strip() for step in path.split("."))
    if not equals or not all(steps):
        raise ConfigError(
            f"--set: expected PATH=VALUE, e.g. fusion.hidden=64, found {text[:200]!r}; `mer recipes NAME` lists the paths"
        )
    parsed = _value(value, text)
    single = parsed is not None and not isinstance(parsed, Mapping)
    if single and len(steps) == 1 and steps[0] in SHORT_VALUES:
        steps = (steps[0], SHORT_VALUES[steps[0]])  # the group's other options stay, as with `extends`
    return Override(text=text, path=full_path(steps), value=parsed)


def with_overrides(values: Mapping[str, Any], overrides: Sequence[Override]) -> dict[str, Any]:
    """Normalised values with these options set, one after the other; a mapping that is missing on the way is made."""
    result = dict(values)
    for override in overrides:
        result = _with(result, _of_stream(override.path, result), override.value)
    return result


def _of_stream(path: tuple[str, ...], values: Mapping[str, Any]) -> tuple[str, ...]:
    """The path below `streams`, where it begins with the name of a stream that there is and no option has that name."""
    streams = values.get(STREAMS)
    named = isinstance(streams, Mapping) and path[0] in streams and path[0] not in Recipe.model_fields
    return (STREAMS, *path) if named else path


def _with(values: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *rest = path
    if not rest:
        return {**values, first: value}
    inner = values.get(first)
    return {**values, first: _with(inner if isinstance(inner, Mapping) else {}, tuple(rest), value)}


def _value(text: str, override: str) -> Any:
    try:
        value = read_yaml(text, f"--set {override[:200]}")
    except ConfigError as error:
        if error.__cause__ is None:  # it is YAML, of which more is refused
            raise
        raise ConfigError(
            f"{str(error).splitlines()[0]}; a text with characters of YAML goes in quotes: PATH='\"...\"'"
        ) from error
    # a block mapping in one line: `crops:` and prompts are meant as texts, and mappings are given in braces
    bare = isinstance(value, Mapping) and not text.lstrip().startswith(("{", "&", "!"))
    return text.strip() if bare else value
