"""From a recipe's name or YAML file to a `Recipe`.

Built-in recipes are the YAML files beside this module; a path to a YAML file works as well.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import ValidationError

from mer.errors import ConfigError
from mer.recipes.recipe import Recipe


def recipe_names() -> tuple[str, ...]:
    """Names of the built-in recipes."""
    return tuple(
        sorted(
            entry.name.removesuffix(".yaml")
            for entry in files(__package__).iterdir()
            if entry.name.endswith(".yaml")
        )
    )


def load_recipe(name_or_path: str) -> Recipe:
    """Load a built-in recipe by name, or a YAML file by path.

    Raises:
        ConfigError: no such recipe, not YAML, or an option that does not exist or is out of range.
    """
    if name_or_path in recipe_names():
        text = files(__package__).joinpath(f"{name_or_path}.yaml").read_text(encoding="utf-8")
    elif name_or_path.endswith((".yaml", ".yml")) and Path(name_or_path).is_file():
        text = Path(name_or_path).read_text(encoding="utf-8")
    else:
        raise ConfigError(
            f"no recipe {name_or_path!r}: expected one of {', '.join(recipe_names())}, or a path to a .yaml file"
        )
    return parse_recipe(text, origin=name_or_path)


def parse_recipe(text: str, *, origin: str) -> Recipe:
    """Parse a recipe's YAML text; all errors of the file are reported together."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"recipe {origin}: not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"recipe {origin}: expected a mapping of options, found {type(values).__name__}")
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        problems = "\n".join(
            f"  {'.'.join(str(step) for step in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ConfigError(f"recipe {origin} cannot be used:\n{problems}") from error
    if not recipe.streams:
        raise ConfigError(f"recipe {origin}: expected at least one of acoustic, visual, lexical; found none")
    return recipe
