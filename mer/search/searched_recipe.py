"""Result of a search as YAML: the piece of a recipe that differs, and the whole recipe that a run accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mer.errors import ConfigError
from mer.recipes import Recipe
from mer.recipes.loading import parse_recipe

MARK = "# Found by mer search"
"""How a written recipe begins: a file that begins otherwise is somebody's own and is not overwritten."""


def recipe_piece(base: Recipe, searched: Recipe) -> str:
    """The options in which `searched` differs from `base`, as YAML for a recipe that extends it; empty: in none."""
    different = _difference(base.model_dump(mode="json"), searched.model_dump(mode="json"))
    return yaml.safe_dump(different, sort_keys=False) if different else ""


def whole_recipe(searched: Recipe, notes: Sequence[str]) -> str:
    """The whole of `searched` as a recipe file, which reads back as the same recipe.

    Args:
        searched: a recipe; options that neither its file nor the search named are left to their defaults.
        notes: lines for the comment at its head.

    Raises:
        ConfigError: it cannot be said as a valid recipe.
    """
    head = "".join(f"# {note}\n" for note in notes)
    for stated in (searched.model_dump(mode="json", exclude_unset=True), searched.model_dump(mode="json")):
        text = f"{MARK}.\n{head}{yaml.safe_dump(stated, sort_keys=False, width=120)}"
        if parse_recipe(text, origin="of the search") == searched:
            return text
    raise ConfigError(
        f"recipe {searched.name}: expected to be read back as it was written, found a difference"
    )


def writable(path: Path) -> Path:
    """Check that a recipe may be written to `path`, and return it; called before a search that takes hours.

    Raises:
        ConfigError: it does not end in .yaml, its folder does not exist, or it is a file of somebody's own.
    """
    if path.suffix not in (".yaml", ".yml") or not path.parent.is_dir():
        raise ConfigError(f"recipe {path}: expected a name ending in .yaml in a folder that exists")
    if path.exists() and not path.read_text(encoding="utf-8").startswith(MARK):
        raise ConfigError(f"recipe {path}: expected a new file, or one that a search wrote; this one is kept")
    return path


def _difference(base: Mapping[str, Any], searched: Mapping[str, Any]) -> dict[str, Any]:
    different: dict[str, Any] = {}
    for name, value in searched.items():
        before = base.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := _difference(before, value):
                different[name] = inner
        elif value != before:
            different[name] = value
    # streams and members that `--set` has removed
    return different | {name: None for name in base if name not in searched}
