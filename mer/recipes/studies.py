"""Streams whose layers a recipe studies: one hidden state, or a block to adapt, has to be chosen. Imports no torch."""

from __future__ import annotations

from mer.recipes.layer_reading import has_states_to_choose
from mer.recipes.recipe import Recipe
from mer.recipes.systems import choices_of


def studied_streams(recipe: Recipe) -> tuple[str, ...]:
    """Streams, in their order, that a layer study is needed for.

    Systems that read all hidden states side by side need none; fusions, alignments and adaptations do.
    """
    sources = {source for choice in choices_of(recipe) for source in choice.sources.values()}
    of_one_state = bool(sources - {"states"})
    aligned = {*recipe.anchors, *recipe.anchors.values()}
    return tuple(
        name
        for name, stream in recipe.streams.items()
        if (stream.adaptation is not None and stream.named_block is None)
        or (has_states_to_choose(stream) and (of_one_state or name in aligned))
    )
