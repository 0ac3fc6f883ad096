"""Which systems a recipe trains on every view beside the named members of its ensemble: rows of the result table."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mer.recipes.members import LINEAR, choice_of, neural_choice
from mer.recipes.recipe import Recipe
from mer.systems.choice import SystemChoice

FUSED, ENSEMBLE, LOGISTIC = "fused", "ensemble", "logistic"
"""Systems of the result table: the recipe's fusion, its ensemble (of named members, or searched), and logistic regression."""


@dataclass(frozen=True)
class ScoredSystem:
    """A system that is trained on every view."""

    name: str
    """Its row in the result table."""
    choice: SystemChoice
    streams: tuple[str, ...]
    """Streams that it reads."""
    whole: bool = False
    """It learns from a view's validation clips too: it chooses by inner folds, or has nothing to choose."""


def served_name(recipe: Recipe) -> str:
    """Name of the supervised system that is gated and served."""
    return ENSEMBLE if recipe.serves_ensemble else FUSED


def scored_systems(recipe: Recipe) -> tuple[ScoredSystem, ...]:
    """What is trained on every view: the fusion or the searched system, comparisons, and logistic regression."""
    return (*leading_systems(recipe), *compared_systems(recipe), logistic_system(recipe))


def leading_systems(recipe: Recipe) -> tuple[ScoredSystem, ...]:
    """The recipe's fusion, unless a searched system is served in its place, and that system."""
    searched = recipe.search
    systems = []
    if searched is None or not recipe.serves_ensemble:
        systems.append(ScoredSystem(FUSED, neural_choice(recipe.fusion), recipe.reads))
    if searched is not None:
        systems.append(ScoredSystem(ENSEMBLE, searched, recipe.reads, whole=True))
    return tuple(systems)


def compared_systems(recipe: Recipe) -> tuple[ScoredSystem, ...]:
    """One system for each modality or stream, of the kind that is served; of a named ensemble the recipe's fusion."""
    searched = recipe.search if recipe.serves_ensemble else None
    choice, whole = (neural_choice(recipe.fusion), False) if searched is None else (searched, True)
    return tuple(ScoredSystem(name, choice, streams, whole) for name, streams in compared_streams(recipe).items())


def compared_streams(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Name of a comparison -> the streams that it reads; nothing where only one system could be trained."""
    if recipe.comparisons == "none" or len(recipe.streams) == 1:
        return {}
    if recipe.comparisons == "streams":
        return {name: (name,) for name in recipe.streams}
    groups: dict[str, tuple[str, ...]] = {}
    for names in (recipe.reads, tuple(recipe.streams)):  # what is only aligned to stands for its modality where nothing else does
        modalities = dict.fromkeys(recipe.streams[name].modality for name in names)
        groups = {
            modality: tuple(name for name in names if recipe.streams[name].modality == modality)
            for modality in modalities
        } | groups
    return {} if len(groups) == 1 else groups


def logistic_system(recipe: Recipe) -> ScoredSystem:
    """Logistic regression on what the served system reads: what everything else is held against.

    Beside fusions it reads their one vector a clip, beside searched systems the hidden states that these read.
    """
    searched = recipe.search is not None and recipe.serves_ensemble
    return ScoredSystem(LOGISTIC, replace(choice_of(LINEAR, {}), vectors=not searched), recipe.reads, whole=True)


def choices_of(recipe: Recipe) -> tuple[SystemChoice, ...]:
    """Every choice of system that some view trains."""
    return (*(system.choice for system in scored_systems(recipe)), *recipe.member_choices.values())
