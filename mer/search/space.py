"""Search space: the options with their values, and the recipe that a choice stands for.

A choice is made over the block of hidden states that each stream is read from, their pooling, which streams and which parts
of them are fused, the fusion model, and its training. Candidates are trained on what `SearchSpace.recipe_of` says, which is
the recipe that is written in the end: what was judged and what a run trains are one thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mode
from typing import Any, Protocol

from mer.fusion.config import FusionConfig
from mer.recipes import Recipe, Stream

SHORTEST_LONGEST_BLOCK = 4
"""The longest block tried is a third of the hidden states, but at least so many (the challenge's baseline reads four)."""
MOST_SUBSETS_OF = 4
"""Of so many streams every subset is one value of one option; of more, each stream is fused or not by an option of its own."""
_FUSED = ("fused", "left out")
_HIDDEN = (64, 128, 256)
_BESIDE = {"name", "description", "gate", "shard_clips", "ensemble", "pseudo_labels"}
"""Fields of a recipe that do not affect a candidate."""
_PARTS: Mapping[str, Mapping[str, str]] = {
    "adaptation": {"frozen": "keep_frozen", "adapted": "keep_adapted"},
    "alignment": {"unaligned": "keep_unaligned", "aligned": "keep_aligned"},
}
"""What may be read of what a view has learnt of a stream -> the stream's option that says so."""
_BETWEEN: Mapping[str, tuple[float, float, bool]] = {
    "dropout": (0.2, 0.7, False),
    "modality_dropout": (0.0, 0.3, False),
    "learning_rate": (1e-4, 3e-3, True),
    "weight_decay": (1e-6, 1e-2, True),
    "label_smoothing": (0.0, 0.2, False),
}
"""Numbers of the fusion's training: smallest, largest, whether tried on a logarithmic scale."""


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
    states: Mapping[str, int]
    """Stream -> hidden states there are, where the block that is read is searched."""

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
        streams = {
            name: stream.model_copy(update=changes)
            for name, stream in self.recipe.streams.items()
            if (changes := self._changes(name, stream, params))
        }
        changed: dict[str, Any] = {
            "fusion": self.recipe.fusion.model_copy(update=fusion_options),
            "streams": {**self.recipe.streams, **streams},
        }
        fused = self._fused(params)
        if fused != self.recipe.reads:
            changed["fused_streams"] = fused
        return self.recipe.model_copy(update=changed)

    def defaults(self, studied: Mapping[str, Sequence[int]]) -> dict[str, Any]:
        """The recipe itself as a choice, to be tried first, as far as it lies within the space.

        Args:
            studied: stream -> the hidden states that the views' layer studies chose: the most frequent stands for them.
        """
        fusion = self.recipe.fusion.model_dump()
        current = {name: values[0] for name, values in self.choices.items()} | fusion
        for name in self.states:
            read = self.recipe.streams[name].read
            start = read.start if read.start is not None else mode(studied[name])
            current |= {f"{name}.block_start": start, f"{name}.block_length": read.length}
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

    def _fused(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Streams that a choice fuses; one that leaves out all of them stands for the recipe's."""
        if "streams" in params:
            return tuple(str(params["streams"]).split("+"))
        reads = self.recipe.reads
        return tuple(name for name in reads if params.get(f"{name}.fused", _FUSED[0]) == _FUSED[0]) or reads

    def _changes(self, name: str, stream: Stream, params: Mapping[str, Any]) -> dict[str, Any]:
        """Options of a stream that a choice changes."""
        changes: dict[str, Any] = {}
        for option, names in _PARTS.items():
            if (included := params.get(f"{name}.{option}")) is not None:
                changes |= {field: value in included.split("+") for value, field in names.items()}
        read: dict[str, Any] = {}
        if f"{name}.block_start" in params:
            # a block that would pass the last state ends there: the range of lengths is the same for all starts
            start = int(params[f"{name}.block_start"])
            length = min(int(params[f"{name}.block_length"]), self.states[name] - start)
            read = {"start": start, "length": length}
        if f"{name}.pooling" in params:
            read["pooling"] = params[f"{name}.pooling"]
        return changes | ({"read": stream.read.model_copy(update=read)} if read else {})


def search_space(
    recipe: Recipe, models: Sequence[str], *, states: Mapping[str, int], valence: bool
) -> SearchSpace:
    """The space around a recipe.

    Args:
        recipe: what is not searched, and the first choice.
        models: fusion models that can be trained as candidates.
        states: stream -> hidden states whose pooled vectors are stored; none named: there is no such axis.
        valence: whether the corpus has valence.
    """
    choices: dict[str, tuple[str | int, ...]] = {
        "model": tuple(models),
        "hidden": tuple(sorted({*_HIDDEN, recipe.fusion.hidden})),
    }
    if len(recipe.reads) <= MOST_SUBSETS_OF:
        choices["streams"] = _subsets(recipe.reads)
    else:
        choices |= {f"{name}.fused": _FUSED for name in recipe.reads}
    whole: dict[str, tuple[int, int]] = {}
    searched: dict[str, int] = {}
    framewise = recipe.fusion.level == "frames"
    for name in recipe.reads:
        stream = recipe.streams[name]
        choices |= {f"{name}.{option}": values for option, values in _stream_choices(recipe, name).items()}
        count = states.get(name, 0) if stream.features.layers == "all" and not framewise else 0
        if count > 1:
            searched[name] = count
            whole[f"{name}.block_start"] = (0, count - 1)
            whole[f"{name}.block_length"] = (1, min(count, max(SHORTEST_LONGEST_BLOCK, count // 3)))
    if valence and recipe.fusion.valence_weight > 0:
        choices["valence_decoding"] = ("separate", "joint")
        choices["task_balance"] = ("fixed", "uncertainty")
    several = {name: _first(values, recipe, name) for name, values in choices.items() if len(values) > 1}
    return SearchSpace(recipe, several, whole, searched)


def _stream_choices(recipe: Recipe, name: str) -> dict[str, tuple[str, ...]]:
    """What of a stream may be read: frozen or adapted, unaligned or aligned, means alone or with deviations."""
    stream, framewise = recipe.streams[name], recipe.fusion.level == "frames"
    choices: dict[str, tuple[str, ...]] = {}
    if stream.adaptation is not None:
        both, frozen = "frozen+adapted", "frozen"  # framewise, the frozen frames are always read
        choices["adaptation"] = (both, frozen) if framewise else (both, frozen, "adapted")
    if stream.features.pooling == "mean_std" and not framewise:
        choices["pooling"] = ("mean_std", "mean")
    if name in recipe.anchors:
        both, plain = "unaligned+aligned", "unaligned"
        choices["alignment"] = (both, plain) if framewise else (both, "aligned", plain)
        if stream.unaligned_features is None:  # pixels are read through the alignment only
            choices["alignment"] = ("aligned",)
    return choices


def _first(values: tuple[str | int, ...], recipe: Recipe, name: str) -> tuple[str | int, ...]:
    """The values with the recipe's own in front; `defaults` uses the first as the recipe's."""
    stream_name, _, option = name.rpartition(".")
    if stream_name not in recipe.streams:
        return values
    stream = recipe.streams[stream_name]
    current: str | int | None = stream.read.pooling
    if option in _PARTS:
        current = "+".join(value for value, field in _PARTS[option].items() if getattr(stream, field))
    return tuple(sorted(values, key=lambda value: value != current)) if current in values else values


def _subsets(streams: Sequence[str]) -> tuple[str, ...]:
    """All subsets with at least one stream, the whole first."""
    return tuple(
        "+".join(subset) for size in range(len(streams), 0, -1) for subset in combinations(streams, size)
    )
