"""What each modality says of a clip by itself, and what the answer rests on: the system is asked again with others masked.

By modality and not by stream: two encoders of one sound say much the same, so the answer loses little without either of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.predictor.package import ModelPackage
from mer.predictor.trust import Findings
from mer.stream_tables import LevelTables, without_stream
from mer.systems.fitted import FittedSystem, PerStream

ModalityShares = Mapping[str, "ModalityShare"]
"""Modality -> what it says of one clip, in the order of the recipe's streams."""


@dataclass(frozen=True, kw_only=True)
class ModalityShare:
    """What one modality says of one clip."""

    streams: tuple[str, ...]
    """The recipe's streams of this modality."""
    present: bool
    """Whether any of them is read of the clip; those that say nothing (silence) are not."""
    flags: tuple[str, ...]
    """What is odd about them."""
    alone: NDArray[np.float64] | None
    """(C,) calibrated posteriors by this modality alone; None: it is absent, or the system cannot do without streams."""
    valence_alone: float | None
    """The valence by this modality alone; None: as `alone`, or the system has learnt none."""
    weight: float
    """What its streams weigh together, on the scale of the system."""
    lost: float | None
    """What the most probable class loses in probability without this modality, negative where it speaks against it; None: the
    system cannot do without streams."""


def modality_shares(
    system: FittedSystem, tables: LevelTables, package: ModelPackage, findings: Findings
) -> list[ModalityShares]:
    """What the modalities say of N clips; costs two more passes of the system for each modality, and reads nothing again.

    Args:
        system: the served system.
        tables: as it is asked: streams that say nothing are absent.
        package: names streams and modalities, and the temperature.
        findings: of the same clips.
    """
    recipe = package.recipe
    streams_of: dict[str, list[str]] = {}
    for name in recipe.reads:
        streams_of.setdefault(recipe.streams[name].modality, []).append(name)
    modality_of = {
        table: modality
        for modality, names in streams_of.items()
        for table in _tables(tables)
        if any(_belongs(table, recipe.table_name(name)) for name in names)
    }
    answers = system.answer(tables)
    together = answers.posteriors.probabilities(package.temperature)
    rows, best = np.arange(len(together)), together.argmax(axis=1)
    shares: list[dict[str, ModalityShare]] = [{} for _ in rows]
    for modality, names in streams_of.items():
        own = {table for table in modality_of if modality_of[table] == modality}
        present = _present(tables, own, len(rows))
        alone = lost = valence = None
        if system.abilities.missing_streams:
            said = system.posteriors(_without(tables, set(modality_of) - own))
            alone, valence = said.probabilities(package.temperature), said.valence
            masked = system.posteriors(_without(tables, own)).probabilities(package.temperature)
            lost = together[rows, best] - masked[rows, best]
        weights = _weights(answers.stream_weights, own)
        for row in range(len(rows)):
            is_there = bool(present[row])
            shares[row][modality] = ModalityShare(
                streams=tuple(names),
                present=is_there,
                flags=tuple(
                    dict.fromkeys(
                        flag for name in names for flag in findings.flags.get(name, ((),) * len(rows))[row]
                    )
                ),
                alone=alone[row] if alone is not None and is_there else None,
                valence_alone=_known(valence, row) if is_there else None,
                weight=float(weights[row]),
                lost=float(lost[row]) if lost is not None and is_there else None if lost is None else 0.0,
            )
    return list(shares)


def _tables(tables: LevelTables) -> Iterable[str]:
    return dict.fromkeys(name for streams in tables.values() for name in streams)


def _belongs(table: str, stream_table: str) -> bool:
    """Whether a table is a stream's, or what was learnt beside its frames (`<table>/learnt`)."""
    return table == stream_table or table.rpartition("/")[0] == stream_table


def _without(tables: LevelTables, names: Iterable[str]) -> LevelTables:
    for name in names:
        tables = without_stream(tables, name)
    return tables


def _present(tables: LevelTables, names: set[str], count: int) -> NDArray[np.bool_]:
    rows = [table.present for streams in tables.values() for name, table in streams.items() if name in names]
    return np.logical_or.reduce(rows) if rows else np.zeros(count, dtype=bool)


def _weights(weights: PerStream, names: set[str]) -> NDArray[np.float64]:
    columns = [column for column, name in enumerate(weights.streams) if name in names]
    summed: NDArray[np.float64] = weights.values[:, columns].sum(axis=1)
    return summed


def _known(values: NDArray[np.float32] | None, row: int) -> float | None:
    return None if values is None or np.isnan(values[row]) else float(values[row])
