"""Search space: the options with their values, and the recipe that a choice stands for.

A choice is made over the block of hidden states that speech is read from, their pooling, which streams and which parts of
them are fused, the fusion model, and its training. Candidates are trained on what `SearchSpace.recipe_of` says, which is
the recipe that is written in the end: what was judged and what a run trains are one thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mode
from typing import Any, Protocol, TypeVar

from mer.features.spec import CROPS_SOURCE
from mer.fusion.config import FusionConfig
from mer.recipes import AcousticStream, Recipe, StatesRead, VisualStream

SHORTEST_LONGEST_BLOCK = 4
"""The longest block tried is a third of the hidden states, but at least so many (the challenge's baseline reads four)."""
_HIDDEN = (64, 128, 256)
_BESIDE = {"name", "description", "gate", "shard_clips", "ensemble", "pseudo_labels"}
"""Fields of a recipe that do not affect a candidate."""
_BETWEEN: Mapping[str, tuple[float, float, bool]] = {
    "dropout": (0.2, 0.7, False),
    "modality_dropout": (0.0, 0.3, False),
    "learning_rate": (1e-4, 3e-3, True),
    "weight_decay": (1e-6, 1e-2, True),
    "label_smoothing": (0.0, 0.2, False),
}
"""Numbers of the fusion's training: smallest, largest, whether tried on a logarithmic scale."""


Stream = TypeVar("Stream", AcousticStream, VisualStream)


class Draws(Protocol):
    """Source of a choice; an Optuna trial is one."""

    def suggest_categorical(self, name: str, choices: Sequence[str | int]) -> Any:
        """One of `choices`."""
        ...

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number from `low` to `high`."""
        ...


@dataclass(frozen=True)
class SearchSpace:
    """The options that are searched around a recipe; ranges do not depend on other choices, so that every sampler can use
    them.
    """

    recipe: Recipe
    choices: Mapping[str, tuple[str | int, ...]]
    """Name of an option -> its values; options with one value are not searched."""
    whole: Mapping[str, tuple[int, int]]
    """Name of an option -> smallest and largest whole number."""
    states: int = 0
    """Hidden states there are; 0: the block is not searched."""

    def draw(self, trial: Draws) -> None:
        """Let `trial` choose a value of every option."""
        for name, values in self.choices.items():
            trial.suggest_categorical(name, values)
        for name, (low, high) in self.whole.items():
            trial.suggest_int(name, low, high)
        for name, (smallest, largest, log) in _BETWEEN.items():
            trial.suggest_float(name, smallest, largest, log=log)

    def recipe_of(self, params: Mapping[str, Any]) -> Recipe:
        """The recipe that a choice stands for; what it does not name stays as it is."""
        fusion_options = {name: value for name, value in params.items() if name in FusionConfig.model_fields}
        changed: dict[str, Any] = {"fusion": self.recipe.fusion.model_copy(update=fusion_options)}
        if self.recipe.acoustic is not None:
            changed["acoustic"] = self._acoustic(self.recipe.acoustic, params)
        if self.recipe.visual is not None:
            changed["visual"] = _with_parts(
                self.recipe.visual,
                params.get("visual_parts"),
                keep_unaligned="unaligned",
                keep_aligned="aligned",
            )
        if "streams" in params:
            streams = tuple(str(params["streams"]).split("+"))
            if streams != self.recipe.reads:
                changed["fused_streams"] = streams
        return self.recipe.model_copy(update={name: new for name, new in changed.items() if new is not None})

    def defaults(self, studied: Sequence[int]) -> dict[str, Any]:
        """The recipe itself as a choice, to be tried first, as far as it lies within the space.

        Args:
            studied: the hidden states that the views' layer studies chose: the most frequent stands for them.
        """
        fusion = self.recipe.fusion.model_dump()
        current = {name: values[0] for name, values in self.choices.items()} | fusion
        if self.states:
            read = self.recipe.acoustic.read if self.recipe.acoustic is not None else StatesRead()
            start = read.start if read.start is not None else mode(studied)
            current |= {"block_start": start, "block_length": read.length}
        allowed: dict[str, Any] = {}
        for name, values in self.choices.items():
            allowed |= {name: current[name]} if current[name] in values else {}
        for name, (low, high) in self.whole.items():
            allowed |= {name: current[name]} if low <= current[name] <= high else {}
        for name, (smallest, largest, _) in _BETWEEN.items():
            allowed |= {name: current[name]} if smallest <= current[name] <= largest else {}
        return allowed

    def describe(self) -> dict[str, Any]:
        """All that makes trials comparable, as JSON values: the recipe around the choice, and the choices."""
        return {
            "recipe": self.recipe.model_dump(mode="json", exclude=_BESIDE),
            "choices": {name: list(values) for name, values in self.choices.items()},
            "whole": {name: list(ends) for name, ends in self.whole.items()},
            "between": {name: list(ends) for name, ends in _BETWEEN.items()},
        }

    def _acoustic(self, stream: AcousticStream, params: Mapping[str, Any]) -> AcousticStream | None:
        parted = _with_parts(
            stream, params.get("acoustic_parts"), keep_frozen="frozen", keep_adapted="adapted"
        )
        read: dict[str, Any] = {}
        if "block_start" in params:
            # a block that would pass the last state ends there: the range of lengths is the same for all starts
            start = int(params["block_start"])
            read = {"start": start, "length": min(int(params["block_length"]), self.states - start)}
        if "pooling" in params:
            read["pooling"] = params["pooling"]
        if not read:
            return parted
        return (parted or stream).model_copy(update={"read": stream.read.model_copy(update=read)})


def search_space(recipe: Recipe, models: Sequence[str], *, states: int, valence: bool) -> SearchSpace:
    """The space around a recipe.

    Args:
        recipe: what is not searched, and the first choice.
        models: fusion models that can be trained as candidates.
        states: hidden states of the speech encoder whose pooled vectors are stored; 0: there is no such axis.
        valence: whether the corpus has valence.
    """
    hidden = tuple(sorted({*_HIDDEN, recipe.fusion.hidden}))
    choices: dict[str, tuple[str | int, ...]] = {
        "model": tuple(models),
        "hidden": hidden,
        "streams": _subsets(recipe.reads),
    }
    whole: dict[str, tuple[int, int]] = {}
    framewise = recipe.fusion.level == "frames"
    acoustic, visual = recipe.acoustic, recipe.visual
    if acoustic is not None and acoustic.adaptation is not None:
        both, frozen = "frozen+adapted", "frozen"  # framewise, the frozen frames are always read
        choices["acoustic_parts"] = (both, frozen) if framewise else (both, frozen, "adapted")
    if acoustic is not None and acoustic.features.pooling == "mean_std" and not framewise:
        choices["pooling"] = ("mean_std", "mean")
    searched = states if acoustic is not None and acoustic.features.layers == "all" and not framewise else 0
    if searched > 1:
        whole["block_start"] = (0, searched - 1)
        whole["block_length"] = (1, min(searched, max(SHORTEST_LONGEST_BLOCK, searched // 3)))
    if visual is not None and visual.alignment is not None and acoustic is not None:
        choices["visual_parts"] = _visual_parts(visual, framewise=framewise)
    if valence and recipe.fusion.valence_weight > 0:
        choices["valence_decoding"] = ("separate", "joint")
        choices["task_balance"] = ("fixed", "uncertainty")
    several = {name: _first(values, recipe, name) for name, values in choices.items() if len(values) > 1}
    return SearchSpace(recipe, several, whole, searched if searched > 1 else 0)


def _visual_parts(visual: VisualStream, *, framewise: bool) -> tuple[str, ...]:
    if visual.features.source == CROPS_SOURCE:  # pixels are read through the alignment only
        return ("aligned",)
    return ("unaligned+aligned", "unaligned") if framewise else ("unaligned+aligned", "aligned", "unaligned")


def _first(values: tuple[str | int, ...], recipe: Recipe, name: str) -> tuple[str | int, ...]:
    """The values with the recipe's own in front; `defaults` uses the first as the recipe's."""
    current: str | int | None = None
    if name == "acoustic_parts" and recipe.acoustic is not None:
        current = _included({"frozen": recipe.acoustic.keep_frozen, "adapted": recipe.acoustic.keep_adapted})
    elif name == "visual_parts" and recipe.visual is not None:
        current = _included(
            {"unaligned": recipe.visual.keep_unaligned, "aligned": recipe.visual.keep_aligned}
        )
    elif name == "pooling" and recipe.acoustic is not None:
        current = recipe.acoustic.read.pooling
    return tuple(sorted(values, key=lambda value: value != current)) if current in values else values


def _included(parts: Mapping[str, bool]) -> str:
    return "+".join(name for name, included in parts.items() if included)


def _with_parts(stream: Stream, parts: str | None, **options: str) -> Stream | None:
    """The stream with each option on if `parts` names it; None if `parts` is None."""
    if parts is None:
        return None
    named = parts.split("+")
    return stream.model_copy(update={option: value in named for option, value in options.items()})


def _subsets(streams: Sequence[str]) -> tuple[str, ...]:
    """All subsets with at least one stream, the whole first."""
    return tuple(
        "+".join(subset) for size in range(len(streams), 0, -1) for subset in combinations(streams, size)
    )
