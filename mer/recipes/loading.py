"""From a recipe's name or YAML file to a `Recipe`.

Built-in recipes are the YAML files beside this module; a path to a YAML file works as well. `extends: NAME_OR_PATH` starts from
another recipe, over which the file's own options are laid (`mer.recipes.merging`); `--set` lays single options over the result.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mer.errors import ConfigError
from mer.recipes.merging import STREAMS, Values, merged, normalised, without_removed, without_replaced
from mer.recipes.overrides import Override, parse_override, with_overrides
from mer.recipes.problems import problems_of
from mer.recipes.recipe import Recipe
from mer.recipes.yaml_text import read_yaml

EXTENDS = "extends"
SUFFIXES = (".yaml", ".yml")
NOT_INHERITED = ("name", "description")
"""Options that a recipe does not take over from the one that it extends."""


@dataclass(frozen=True)
class _Source:
    """Text of a recipe and where it comes from."""

    label: str
    """What messages call it: as it was named."""
    text: str
    stem: str
    """Name of the recipe where the text gives none."""
    folder: Path
    """What a path in `extends` starts from."""
    identity: str
    """Equal for two names of one file."""


def recipe_names() -> tuple[str, ...]:
    """Names of the built-in recipes."""
    return tuple(
        sorted(
            entry.name.removesuffix(".yaml")
            for entry in files(__package__).iterdir()
            if entry.name.endswith(".yaml")
        )
    )


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load a built-in recipe by name, or a YAML file by path.

    Args:
        name_or_path: one of `recipe_names()`, or a path that ends in .yaml.
        overrides: `PATH=VALUE` each, see `mer.recipes.overrides.parse_override`; later ones win.

    Raises:
        ConfigError: neither name nor path, no such recipe, not YAML, or an option that does not exist or is out of range.
    """
    if not isinstance(name_or_path, (str, Path)):
        raise ConfigError(f"recipe: expected a name or a path, found {type(name_or_path).__name__}")
    if isinstance(overrides, str):
        raise ConfigError(f"recipe: expected a list of PATH=VALUE, found the text {overrides[:200]!r}")
    return _recipe_of(_source(str(name_or_path), Path()), overrides)


def parse_recipe(text: str, *, origin: str, folder: Path | None = None) -> Recipe:
    """Parse a recipe's YAML text; all errors of the file are reported together.

    Args:
        text: the YAML.
        origin: what messages call it; without its suffix the recipe's name where the text gives none.
        folder: what a path in `extends` starts from. None: the working folder.

    Raises:
        ConfigError: see `load_recipe`.
    """
    return _recipe_of(_Source(origin, text, Path(origin).stem, folder or Path(), f"text {origin}"), ())


def base_of(name_or_path: str) -> str | None:
    """What a recipe says it extends, as its file says it; None: nothing.

    Raises:
        ConfigError: no such recipe, or not YAML.
    """
    base = _values(_source(name_or_path, Path())).get(EXTENDS)
    return None if base is None else str(base)


def _recipe_of(source: _Source, overrides: Sequence[str]) -> Recipe:
    parsed = [parse_override(text) for text in overrides]
    stated = {"name": source.stem, **_with_base(source, chain=())}
    stated = without_replaced(stated, with_overrides({}, parsed))
    if any(override.path[0] == "emotions" for override in parsed):
        _require_words_anew(stated, with_overrides({}, parsed), f"recipe {source.label}: --set emotions")
    values = without_removed(with_overrides(stated, parsed))
    label = " ".join([source.label, *(f"--set {override.text[:200]}" for override in parsed)])
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        lines = problems_of(error, values, Recipe) + _new_streams(stated, parsed)
        problems = "\n".join(f"  {line}" for line in lines)
        raise ConfigError(
            f"recipe {label} cannot be used:\n{problems}\n`mer recipes NAME` shows every option with its default and range"
        ) from error
    if not recipe.streams:
        raise ConfigError(
            f"recipe {label}: expected at least one stream (acoustic, visual, lexical, or named ones below `streams`); found none"
        )
    return recipe


def _new_streams(stated: Values, overrides: Sequence[Override]) -> list[str]:
    """A line for each stream that single options alone have made: its name is often a misspelt one."""
    streams = without_removed(stated)[STREAMS]
    names = dict.fromkeys(
        override.path[1] for override in overrides if override.path[0] == STREAMS and len(override.path) > 2
    )
    return [
        f"{STREAMS}.{name}: a new stream, made by --set; the recipe itself has {', '.join(streams) or 'none'}"
        for name in names
        if name not in streams
    ]


def _with_base(source: _Source, chain: tuple[_Source, ...]) -> dict[str, Any]:
    """Normalised options of a recipe, laid over those of the recipes that it extends."""
    if any(earlier.identity == source.identity for earlier in chain):
        circle = " -> ".join(item.label for item in (*chain, source))
        raise ConfigError(
            f"recipe {chain[0].label}: expected `extends` to end somewhere, found a circle: {circle}; remove one `extends`"
        )
    values = _values(source)
    base = values.pop(EXTENDS, None)
    stated = normalised(values, f"recipe {source.label}")
    if base is None:
        return stated
    if not isinstance(base, str):
        raise ConfigError(
            f"recipe {source.label}: extends: expected the name of one recipe or the path of its file, found {base!r}"
        )
    try:
        base_source = _source(base, source.folder)
    except ConfigError as error:
        raise ConfigError(f"recipe {source.label}: extends: {error}") from error
    inherited = _with_base(base_source, (*chain, source))
    if "emotions" in stated:
        _require_words_anew(inherited, stated, f"recipe {source.label}")
    inherited = without_replaced(inherited, stated)
    return merged({name: value for name, value in inherited.items() if name not in NOT_INHERITED}, stated)


def _require_words_anew(inherited: Values, stated: Values, origin: str) -> None:
    """Words belong to classes by their position: other classes need other words.

    Raises:
        ConfigError: the classes are stated anew, and the words of a stream are not.
    """
    streams, changed = inherited.get(STREAMS) or {}, stated.get(STREAMS) or {}
    for name, stream in streams.items():
        changes = changed.get(name, {})
        if not isinstance(stream, Mapping) or not stream.get("label_words") or changes is None:
            continue
        if not isinstance(changes, Mapping) or "label_words" not in changes:
            raise ConfigError(
                f"{origin}: expected `{STREAMS}.{name}.label_words` for the new classes, one each in their order, found those "
                "of the other classes; state them, or `label_words: null`"
            )


def _source(name_or_path: str, folder: Path) -> _Source:
    """A built-in recipe, or a file, whose path starts from `folder`."""
    if name_or_path in recipe_names():
        text = files(__package__).joinpath(f"{name_or_path}.yaml").read_text(encoding="utf-8")
        return _Source(name_or_path, text, name_or_path, Path(), f"built-in {name_or_path}")
    path = folder / name_or_path
    if name_or_path.endswith(SUFFIXES) and _is_file(path):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"recipe {name_or_path}: expected UTF-8 text, found other bytes") from error
        return _Source(name_or_path, text, path.stem, path.parent, str(path.resolve()))
    near = difflib.get_close_matches(name_or_path, recipe_names(), n=1)
    nearest = f" (nearest: {near[0]})" if near else ""
    raise ConfigError(
        f"no recipe {name_or_path[:200]!r}{nearest}: expected one of {', '.join(recipe_names())}, or a path to a .yaml file"
        + (f" below {folder}" if folder != Path() else "")
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for the file system
        return False


def _values(source: _Source) -> dict[str, Any]:
    values = read_yaml(source.text, f"recipe {source.label}")
    if not isinstance(values, dict):
        raise ConfigError(
            f"recipe {source.label}: expected a mapping of options, found {type(values).__name__}"
        )
    if not_names := [name for name in values if not isinstance(name, str)]:
        raise ConfigError(f"recipe {source.label}: expected names of options, found {not_names[0]!r}")
    return values
