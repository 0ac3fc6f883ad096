"""A fitted system: stream tables in, posteriors and stream weights out. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.posteriors import Posteriors
from mer.stream_tables import Level, LevelTables
from mer.systems.abilities import Abilities, require_abilities
from mer.systems.record import RECORD, write_record
from mer.whole_files import write_folder


@dataclass(frozen=True)
class PerStream:
    """One number for every clip and stream.

    Raises:
        ConfigError: values of another number of streams than there are names.
    """

    streams: tuple[str, ...]
    """M names."""
    values: NDArray[np.float64]
    """(N, M)"""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.streams):
            raise ConfigError(
                f"values by stream: expected (clips, {len(self.streams)}) for {', '.join(self.streams)}, found "
                f"{self.values.shape}"
            )


@dataclass(frozen=True)
class SystemAnswers:
    """What a system says of N clips, out of one pass."""

    posteriors: Posteriors
    stream_weights: PerStream
    """How much each stream entered the answer; 0 where the clip lacks it. The scale is that of the kind."""


class FittedSystem(ABC):
    """A fitted system of any kind. A subclass defines the properties, `_answer` and `_write`."""

    kind: ClassVar[str]
    """Name of its kind in `mer.systems.kinds.KINDS`."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Class names in index order: the columns of the logits."""

    @property
    @abstractmethod
    def streams(self) -> tuple[str, ...]:
        """Streams whose tables it reads, over all levels."""

    @property
    @abstractmethod
    def levels(self) -> tuple[Level, ...]:
        """Levels at which it reads them."""

    @property
    @abstractmethod
    def abilities(self) -> Abilities:
        """What it can do."""

    @property
    def figures(self) -> Mapping[str, float]:
        """What the fit says of itself, by name (`validation_waf`, `best_epoch`); nothing unless the kind has some."""
        return {}

    @property
    def history(self) -> Sequence[Mapping[str, float]]:
        """Figures of every step of the fit that is tracked; none unless the kind has some."""
        return ()

    @abstractmethod
    def _answer(self, tables: LevelTables) -> SystemAnswers:
        """Answers for tables that `answer` has checked."""

    @abstractmethod
    def _write(self, folder: Path) -> None:
        """Write all that `load` of the kind needs into an existing folder: safetensors and JSON."""

    def answer(self, tables: LevelTables) -> SystemAnswers:
        """Posteriors and stream weights of the tables' clips.

        Args:
            tables: level -> stream -> table, at least of the levels that the system reads; tables of other levels are not read.

        Raises:
            ConfigError: a level without tables, tables of different clips, of streams or widths that the system does not
                know, or clips that lack a stream where the system cannot do without.
        """
        check_tables(tables, self.levels)
        read = {level: tables[level] for level in self.levels}
        if missing := missing_streams(read, self.streams):
            require_abilities(self.kind, self.abilities, {"missing_streams": missing})
        return self._answer(read)

    def posteriors(self, tables: LevelTables) -> Posteriors:
        """The posteriors of `answer`: raw logits, and valence in the units of the labels, NaN where none was learnt."""
        return self.answer(tables).posteriors

    def stream_weights(self, tables: LevelTables) -> PerStream:
        """The stream weights of `answer`."""
        return self.answer(tables).stream_weights

    def save(self, folder: Path) -> None:
        """Write the system into `folder`, the record last: equal systems give equal bytes.

        Raises:
            DiskFull, WriteFailed: it cannot be written; a system that was saved there before is unchanged.
        """

        def fill(within: Path) -> None:
            self._write(within)
            write_record(within, self.kind)

        write_folder(folder, fill, last=RECORD)


def check_tables(tables: LevelTables, levels: tuple[Level, ...]) -> tuple[str, ...]:
    """The clips of the tables of these levels.

    Raises:
        ConfigError: a level without tables, or tables of different clips.
    """
    if absent := [level for level in levels if not tables.get(level)]:
        raise ConfigError(
            f"stream tables: expected some at the levels {', '.join(levels)}, found none at {', '.join(absent)}; read the "
            "streams at every level that the system reads (`levels`)"
        )
    first, *others = [(name, table) for level in levels for name, table in tables[level].items()]
    for name, table in others:
        if table.clip_ids != first[1].clip_ids:
            raise ConfigError(
                f"stream tables: expected the {len(first[1].clip_ids)} clips of stream {first[0]!r} in their order, found "
                f"{len(table.clip_ids)} others in stream {name!r}"
            )
    return first[1].clip_ids


def missing_streams(tables: LevelTables, streams: tuple[str, ...] = ()) -> str:
    """Which streams clips lack, in words; empty where every clip has every stream.

    Args:
        tables: of all levels that are read.
        streams: names that must be among the tables.
    """
    counts = {name: int((~table.present).sum()) for level in tables.values() for name, table in level.items()}
    descriptions = [f"{count} clips without {name}" for name, count in counts.items() if count]
    return ", ".join([*descriptions, *(f"no table of {name}" for name in streams if name not in counts)])
