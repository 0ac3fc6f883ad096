"""What the searches of several folds agree on becomes a recipe with less to choose from."""

from __future__ import annotations

import pytest

from mer.errors import ConfigError
from mer.recipes.loading import parse_recipe
from mer.search.machines import FoldChoice, choice_of_fold, narrowed
from mer.search.searched_recipe import recipe_piece, whole_recipe

RECIPE = parse_recipe(
    """
name: x
streams:
  moonshine: {modality: acoustic, features: {source: a}}
  sound: {modality: acoustic, features: {source: "sound:"}}
  visual: {features: {source: "files:face"}}
ensemble: {search: {}}
""",
    origin="x.yaml",
)
HISTORY = [
    {"weight": 0.0, "width": 0.5, "penalty": 0.1, "weight.acoustic/moonshine": 1.0, "weight.visual": 0.25},
    {"weight": 0.7, "width": 1.0, "penalty": 0.1, "weight.acoustic/moonshine": 1.0, "weight.visual": 0.25},
    {"weight": 0.0, "inverse_penalty": 1.0, "weight.acoustic/sound": 1.0},
    {"weight": 0.3, "inverse_penalty": 0.01, "weight.visual": 1.0},
]


def fold(**changes: object) -> FoldChoice:
    found = choice_of_fold(HISTORY)
    return FoldChoice(**{**vars(found), **changes})  # type: ignore[arg-type]


def test_a_fold_chose_what_its_members_read_and_its_best_kernel_weighs() -> None:
    found = choice_of_fold(HISTORY)
    assert found.streams == ("acoustic/moonshine", "visual") and found.members == ("kernel", "linear")
    assert found.weights == {"acoustic/moonshine": 1.0, "visual": 0.25}
    assert found.best == {"width": 0.5, "penalty": 0.1} and found.inverse_penalties == (0.01,)


def test_a_search_is_narrowed_to_what_folds_chose() -> None:
    other = fold(members=("kernel",), best={"width": 2.0, "penalty": 0.1}, inverse_penalties=())
    once = fold(members=("kernel",), streams=("acoustic/moonshine", "visual", "acoustic/sound"))
    made = narrowed(RECIPE, [fold(), other, once])
    assert made.ensemble is not None and made.ensemble.search is not None
    search = made.ensemble.search
    assert (search.kinds, search.weights) == (("kernel",), (0.0, 0.25, 1.0))
    assert (search.widths, search.penalties, search.inverse_penalties) == ((0.5, 2.0), (0.1,), (0.01,))
    assert made.reads == ("moonshine", "visual"), "a stream that one fold of three reads is left out"
    assert parse_piece(made) == made
    assert "fused_streams" in recipe_piece(RECIPE, made)


def parse_piece(made: object) -> object:
    return parse_recipe(whole_recipe(made, ["a note"]), origin="x.yaml")  # type: ignore[arg-type]


def test_what_no_fold_chose_stays_as_it_was() -> None:
    nothing = FoldChoice((), {}, (), {}, ())
    made = narrowed(RECIPE, [nothing])
    assert made.ensemble == RECIPE.ensemble and made.reads == RECIPE.reads
    for folds, recipe in (([], RECIPE), ([nothing], RECIPE.model_copy(update={"ensemble": None}))):
        with pytest.raises(ConfigError, match=r"expected `ensemble\.search` and folds"):
            narrowed(recipe, folds)
