"""What the searches of several folds agree on, as a recipe whose own search has less to choose from.

A searched system chooses streams, kernel weights, widths, penalties and members by inner folds of what it learns from. Which of
them any outer fold's training clips chose is what a narrower search is given: it takes less time, and chooses nothing by chance
that no fold has chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mer.errors import ConfigError
from mer.kernels.config import SearchedOptions
from mer.recipes import Recipe

History = Sequence[Mapping[str, float]]
"""One row a candidate of a search (`mer.kernels.search`), the best kernel machine first."""
_WEIGHT = "weight."


@dataclass(frozen=True)
class FoldChoice:
    """What the search of one fold chose."""

    streams: tuple[str, ...]
    """Tables that some member reads."""
    weights: Mapping[str, float]
    """Table -> its weight in the best kernel machine."""
    members: tuple[str, ...]
    """Kinds of the members."""
    best: Mapping[str, float]
    """`width` and `penalty` of the best kernel machine."""
    inverse_penalties: tuple[float, ...]
    """Of the logistic regressions that are members."""


def choice_of_fold(history: History) -> FoldChoice:
    """What a search chose, from its history."""
    members = [row for row in history if row["weight"] > 0]
    first = next((row for row in history if "width" in row), {})
    return FoldChoice(
        streams=tuple(dict.fromkeys(name for row in members for name in _weights(row))),
        weights=_weights(first),
        members=tuple(dict.fromkeys("kernel" if "width" in row else "linear" for row in members)),
        best={name: first[name] for name in ("width", "penalty") if name in first},
        inverse_penalties=tuple(
            sorted({row["inverse_penalty"] for row in members if "inverse_penalty" in row})
        ),
    )


def narrowed(recipe: Recipe, folds: Sequence[FoldChoice]) -> Recipe:
    """The recipe whose search chooses among what the folds chose.

    Streams and kinds of members are those of at least half of the folds, values of the grids those of any.

    Raises:
        ConfigError: the recipe searches nothing, or there are no folds.
    """
    ensemble = recipe.ensemble
    if ensemble is None or ensemble.search is None or not folds:
        raise ConfigError(
            f"recipe {recipe.name}: expected `ensemble.search` and folds that were searched, found none"
        )
    search = ensemble.search
    names = {table: name for name, table in recipe.table_names.items()}
    read = _of_half((fold.streams for fold in folds), len(folds))
    streams = tuple(name for table, name in names.items() if any(_is_of(one, table) for one in read))
    changes: dict[str, Any] = {
        "kinds": tuple(
            kind for kind in search.kinds if kind in _of_half((fold.members for fold in folds), len(folds))
        )
        or search.kinds,
        "weights": _known(
            search.weights, [0.0, *(value for fold in folds for value in fold.weights.values())]
        ),
        "widths": _known(search.widths, [fold.best["width"] for fold in folds if fold.best]),
        "penalties": _known(search.penalties, [fold.best["penalty"] for fold in folds if fold.best]),
        "inverse_penalties": _known(
            search.inverse_penalties, [value for fold in folds for value in fold.inverse_penalties]
        ),
    }
    if not any(changes["weights"]):
        changes["weights"] = search.weights
    options = SearchedOptions.model_validate({**search.model_dump(), **changes, "streams": ()})
    kept: dict[str, Any] = {"ensemble": ensemble.model_copy(update={"search": options})}
    if streams and set(streams) < set(recipe.reads):
        kept["fused_streams"] = tuple(name for name in recipe.reads if name in streams)
    return recipe.model_copy(update=kept)


def _weights(row: Mapping[str, float]) -> dict[str, float]:
    return {
        name.removeprefix(_WEIGHT): value for name, value in row.items() if name.startswith(_WEIGHT) and value
    }


def _is_of(read: str, table: str) -> bool:
    """Whether a table that is read is a stream's, or of what was learnt of it."""
    return read == table or read.startswith(f"{table}/")


def _of_half(chosen: Iterable[Sequence[str]], folds: int) -> set[str]:
    counts: dict[str, int] = {}
    for names in chosen:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    return {name for name, count in counts.items() if 2 * count >= folds}


def _known(grid: Sequence[float], chosen: Iterable[float]) -> tuple[float, ...]:
    """Values of the grid that were chosen; all of it where none was."""
    wanted = set(chosen)
    return tuple(value for value in grid if value in wanted) or tuple(grid)
