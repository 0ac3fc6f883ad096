"""Recipes: what a system is made of, as frozen configuration and short YAML files that state only what differs."""

from mer.recipes.fold_plan import FoldPlan
from mer.recipes.loading import load_recipe, parse_recipe, recipe_names
from mer.recipes.modalities import AcousticStream, LexicalStream, PrecomputedStream, VisualStream
from mer.recipes.recipe import Recipe
from mer.recipes.states import StatesRead
from mer.recipes.stream import Stream, StreamAlignment

__all__ = [
    "AcousticStream",
    "FoldPlan",
    "LexicalStream",
    "PrecomputedStream",
    "Recipe",
    "StatesRead",
    "Stream",
    "StreamAlignment",
    "VisualStream",
    "load_recipe",
    "parse_recipe",
    "recipe_names",
]
