"""How speakers differ in each table, and a new speaker brought to where the training speakers are by clips without labels.

Every value of a table varies between speakers (deviation b) and between the clips of one (deviation w; the emotions are part of
it). From n clips of a new speaker with mean m, the speaker's place is best told as `M + n b^2 / (n b^2 + w^2) (m - M)`, with M
the mean of the training speakers (known: empirical Bayes, best linear unbiased prediction): one clip moves little, ten move most
of the way, and what tells speakers apart moves more than what tells clips apart. That much is subtracted from the speaker's
features, and the system that was fitted on all speakers answers as before (reconstruction). Nothing is chosen: b and w are those
of the training clips. Deviations are left alone, which few clips do not tell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.errors import UNREADABLE, ConfigError, WeightsError
from mer.stream_tables import FeatureTable, Level, LevelTables, StreamTable
from mer.tensor_files import write_arrays
from mer.whole_files import write_whole

RECORD, ARRAYS = "speakers.json", "speakers.safetensors"
_PARTS = ("mean", "between", "within")
LEAST_SPEAKERS = 4
"""Training speakers that a table must have, each with two clips: of fewer nothing is known of how speakers differ."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SpeakerSpread:
    """How the training speakers differ in one table; arrays have the shape of a clip's values."""

    mean: Floats
    """Mean of the speakers' means."""
    between: Floats
    """Variance between speakers, without what the clips of each add to it."""
    within: Floats
    """Variance between the clips of a speaker."""

    def offset(self, values: NDArray[np.floating]) -> Floats:
        """By how much a speaker's features lie beside the training speakers', shrunk by how few clips say so.

        Args:
            values: (n, ...) of the speaker's clips; n may be 0.
        """
        count = len(values)
        if not count:
            return np.zeros_like(self.mean)
        noise = self.within / np.float32(count)
        total = self.between + noise
        share = np.divide(self.between, total, out=np.zeros_like(total), where=total > 0)
        return np.asarray(share * (values.mean(axis=0, dtype=np.float64) - self.mean), dtype=np.float32)


@dataclass(frozen=True)
class Enrolment:
    """A speaker, as far as a few clips tell."""

    clips: int
    """How many were read."""
    offsets: Mapping[tuple[Level, str], Floats] = field(default_factory=dict)
    """Level and table -> what is subtracted from every clip (and every frame) of the speaker."""

    def apply(self, tables: LevelTables) -> LevelTables:
        """The tables of clips of this speaker, brought to where the training speakers are; absent clips stay zeros.

        Raises:
            ConfigError: a table of another width.
        """
        return {
            level: {
                name: _moved(table, self.offsets[level, name], name)
                if (level, name) in self.offsets
                else table
                for name, table in streams.items()
            }
            for level, streams in tables.items()
        }


@dataclass(frozen=True)
class TrainingSpeakers:
    """How the training speakers of a served system differ, in every table that it reads."""

    spreads: Mapping[tuple[Level, str], SpeakerSpread]

    def enrol(self, tables: LevelTables) -> Enrolment:
        """The offsets of a speaker whose clips these are; a table that none of them has, or that is not known, has none."""
        count = max(
            (len(table.clip_ids) for streams in tables.values() for table in streams.values()), default=0
        )
        offsets = {}
        for (level, name), spread in self.spreads.items():
            table = tables.get(level, {}).get(name)
            if table is not None and table.present.any():
                offsets[level, name] = spread.offset(clip_values(table, level)[table.present])
        return Enrolment(count, offsets)

    def save(self, folder: Path) -> None:
        """Write into `folder`, the record last; equal ones give equal bytes."""
        places = sorted(self.spreads)
        arrays = {
            f"{number}.{part}": getattr(self.spreads[place], part)
            for number, place in enumerate(places)
            for part in _PARTS
        }
        write_arrays(folder / ARRAYS, arrays)
        tables = [{"level": level, "name": name} for level, name in places]
        write_whole(folder / RECORD, json.dumps({"tables": tables}, indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> TrainingSpeakers | None:
        """Read back what `save` wrote, bit for bit; None where there is none.

        Raises:
            WeightsError: files that are not as they were written.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        if not (folder / RECORD).is_file():
            return None
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            arrays = load_file(folder / ARRAYS)
            return cls(
                {
                    (one["level"], str(one["name"])): SpeakerSpread(
                        *(arrays[f"{number}.{part}"] for part in _PARTS)
                    )
                    for number, one in enumerate(record["tables"])
                }
            )
        except (*UNREADABLE, SafetensorError) as error:
            raise WeightsError(
                f"{folder}: expected how training speakers differ ({RECORD}, {ARRAYS}), found files that cannot be read: {error}"
            ) from error


def fit_speakers(tables: LevelTables, speakers: Sequence[str | None]) -> TrainingSpeakers:
    """How speakers differ in each table, of clips whose speaker is known; a table with too few speakers is left out.

    Args:
        tables: of N training clips, at every level that the system reads.
        speakers: (N,)
    """
    spreads = {}
    for level, streams in tables.items():
        for name, table in streams.items():
            spread = _spread(clip_values(table, level), table.present, speakers)
            if spread is not None:
                spreads[level, name] = spread
    return TrainingSpeakers(spreads)


def clip_values(table: StreamTable, level: Level) -> Floats:
    """(N, ...) values of each clip: as the table has them, the mean over its variants (level "states"), or over its frames."""
    if isinstance(table, FeatureTable):
        values = table.values.astype(np.float32)
        return values.mean(axis=1) if level == "states" and values.ndim == 4 else values
    if not table.clip_ids:
        return table.values.astype(np.float32)
    frames = np.add.reduceat(table.values.astype(np.float64), table.offsets[:-1], axis=0)
    lengths = np.diff(table.offsets).reshape(-1, *(1 for _ in table.values.shape[1:]))
    return np.asarray(frames / lengths, dtype=np.float32)


def _spread(
    values: Floats, present: NDArray[np.bool_], speakers: Sequence[str | None]
) -> SpeakerSpread | None:
    """Analysis of variance by speakers of two clips or more."""
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(present).tolist():
        if (speaker := speakers[row]) is not None:
            rows.setdefault(speaker, []).append(row)
    groups = [values[of].astype(np.float64) for of in rows.values() if len(of) > 1]
    if len(groups) < LEAST_SPEAKERS:
        return None
    means = np.stack([group.mean(axis=0) for group in groups])
    counts = np.array([len(group) for group in groups])
    squares = sum(((group - mean) ** 2).sum(axis=0) for group, mean in zip(groups, means, strict=True))
    within = squares / (counts - 1).sum()
    noise = within * (1 / counts).mean()  # what the clips of each speaker add to the variance of the means
    between = np.maximum(means.var(axis=0, ddof=1) - noise, 0.0)
    mean = means.mean(axis=0)
    return SpeakerSpread(mean.astype(np.float32), between.astype(np.float32), within.astype(np.float32))


def _moved(table: StreamTable, offset: Floats, name: str) -> StreamTable:
    if not table.present.any():  # its width is only guessed
        return table
    if table.values.shape[-offset.ndim :] != offset.shape:
        raise ConfigError(
            f"stream {name}: expected features of shape {offset.shape}, as the speaker's clips have, found "
            f"{table.values.shape[1:]}"
        )
    moved = table.values.astype(np.float32) - offset
    rows = (
        table.present if isinstance(table, FeatureTable) else np.repeat(table.present, np.diff(table.offsets))
    )
    return replace(
        table, values=np.where(rows.reshape(-1, *(1 for _ in moved.shape[1:])), moved, np.float32(0))
    )
