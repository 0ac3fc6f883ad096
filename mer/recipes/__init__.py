"""Recipes: what a system is made of, as frozen configuration and short YAML files that state only what differs."""

from mer.recipes.recipe import (
    AcousticStream,
    FoldPlan,
    LexicalStream,
    Recipe,
    VisualStream,
    load_recipe,
    recipe_names,
)
from mer.recipes.states import StatesRead

__all__ = [
    "AcousticStream",
    "FoldPlan",
    "LexicalStream",
    "Recipe",
    "StatesRead",
    "VisualStream",
    "load_recipe",
    "recipe_names",
]
