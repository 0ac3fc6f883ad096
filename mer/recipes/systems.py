"""Which systems a recipe trains on every view beside the named members of its ensemble: rows of the result table."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mer.recipes.ensemble import STREAM_OPTIONS
from mer.recipes.members import LEARNT, LINEAR, SEARCHED, choice_of, neural_choice
from mer.recipes.recipe import Recipe
from mer.systems.choice import SystemChoice
from mer.systems.kinds import KINDS

FUSED, ENSEMBLE, LOGISTIC, FROZEN = "fused", "ensemble", "logistic", "frozen"
"""Systems of the result table: the recipe's fusion, its ensemble (of named members, or searched), logistic regression, and a
searched system on the frozen features."""


_LOGISTIC = {"variants": False, "folds": 3}
"""Of the row alone: the clips as they are, and a penalty by few inner folds, so that it costs little."""


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
    frozen: bool = False
    """It reads the frozen features alone, nothing of what a view has learnt of a stream."""
    scored_only: bool = False
    """It neither is served nor votes: the view that is served goes without it."""


def served_name(recipe: Recipe) -> str:
    """Name of the supervised system that is gated and served."""
    return ENSEMBLE if recipe.serves_ensemble else FUSED


def scored_systems(recipe: Recipe) -> tuple[ScoredSystem, ...]:
    """What is trained on every view: the fusion or the searched system, comparisons, and logistic regression."""
    logistic = (logistic_system(recipe),) if LINEAR in KINDS else ()
    return (*leading_systems(recipe), *compared_systems(recipe), *frozen_systems(recipe), *logistic)


def leading_systems(recipe: Recipe) -> tuple[ScoredSystem, ...]:
    """The recipe's fusion, unless a searched system is served in its place, and that system."""
    searched = recipe.searched_choice
    systems = []
    if searched is None or not recipe.serves_ensemble:
        systems.append(ScoredSystem(FUSED, neural_choice(recipe.fusion), recipe.reads))
    if searched is not None:
        systems.append(ScoredSystem(ENSEMBLE, searched, recipe.reads, whole=True))
    return tuple(systems)


def leading_system(recipe: Recipe) -> ScoredSystem:
    """The one system that is served, where it is no ensemble of named members."""
    return next(system for system in leading_systems(recipe) if system.name == served_name(recipe))


def compared_systems(recipe: Recipe) -> tuple[ScoredSystem, ...]:
    """One system for each modality or stream, of the kind that is served; of a named ensemble the recipe's fusion."""
    searched = recipe.searched_choice if recipe.serves_ensemble else None
    choice, whole = (neural_choice(recipe.fusion), False) if searched is None else (searched, True)
    return tuple(
        ScoredSystem(name, _reading(choice, recipe, streams), streams, whole)
        for name, streams in compared_streams(recipe).items()
    )


def _reading(choice: SystemChoice, recipe: Recipe, streams: tuple[str, ...]) -> SystemChoice:
    """The choice for some streams alone: where its options name streams, those among them; none of them stands for all."""
    named = choice.options.get(STREAM_OPTIONS[0])
    if not named:
        return choice
    tables = {recipe.table_name(name) for name in streams}
    left = [table for table in named if table.removesuffix(f"/{LEARNT}") in tables]
    return replace(choice, options={**choice.options, STREAM_OPTIONS[0]: left})


def compared_streams(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Name of a comparison -> the streams that it reads; nothing where only one system could be trained."""
    if recipe.comparisons == "none" or len(recipe.streams) == 1:
        return {}
    if recipe.comparisons == "streams":
        return {name: (name,) for name in recipe.streams}
    groups: dict[str, tuple[str, ...]] = {}
    for names in (
        recipe.reads,
        tuple(recipe.streams),
    ):  # what is only aligned to stands for its modality where nothing else does
        modalities = dict.fromkeys(recipe.streams[name].modality for name in names)
        groups = {
            modality: tuple(name for name in names if recipe.streams[name].modality == modality)
            for modality in modalities
        } | groups
    return {} if len(groups) == 1 else groups


def frozen_systems(recipe: Recipe) -> tuple[ScoredSystem, ...]:
    """A searched system on the frozen features of the streams that have some, where the recipe asks for it."""
    streams = tuple(name for name in recipe.reads if recipe.streams[name].unaligned_features is not None)
    if not recipe.compare_frozen or not streams:
        return ()
    return (
        ScoredSystem(FROZEN, choice_of(SEARCHED, {}, {}), streams, whole=True, frozen=True, scored_only=True),
    )


def logistic_system(recipe: Recipe) -> ScoredSystem:
    """Logistic regression on what the served system reads: what everything else is held against.

    Beside fusions it reads their one vector a clip, beside searched systems the hidden states that these read.
    """
    searched = recipe.searched_choice is not None and recipe.serves_ensemble
    return ScoredSystem(
        LOGISTIC,
        replace(choice_of(LINEAR, _LOGISTIC, {}), vectors=not searched),
        recipe.reads,
        whole=True,
        scored_only=True,
    )


def served_choices(recipe: Recipe) -> tuple[SystemChoice, ...]:
    """What is served: one system, or the members that are combined."""
    if recipe.serves_ensemble and recipe.searched_choice is None:
        return tuple(recipe.member_choices.values())
    return (leading_system(recipe).choice,)


def choices_of(recipe: Recipe) -> tuple[SystemChoice, ...]:
    """Every choice of system that some view trains."""
    return (*(system.choice for system in scored_systems(recipe)), *recipe.member_choices.values())
