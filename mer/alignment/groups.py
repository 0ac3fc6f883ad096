"""Clips that are alike for other reasons than emotion: batches, control pairings and statistics by speaker or source.

Reconstruction. A clip's embedding can find its anchor by who speaks alone: voices and faces both differ between
speakers. Three things keep that shortcut in sight: batches whose negatives are of the same speaker, pairs
shuffled within speakers as a control, and anchor targets standardised within each speaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.alignment.config import GroupKind
from mer.errors import ConfigError

UNKNOWN = -1
FEWEST = 8
"""Clips a group needs for statistics of its own; mean and deviation of fewer are noise."""

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class ClipGroups:
    """Speaker and source of every clip; None where unknown."""

    speaker: tuple[str | None, ...]
    source: tuple[str | None, ...]

    @classmethod
    def of_speakers(cls, speaker: Sequence[str | None]) -> ClipGroups:
        """Speakers alone; no source is known."""
        return cls(tuple(speaker), (None,) * len(speaker))

    def codes(self, kind: GroupKind) -> Codes:
        """(clips,) number of the clip's group, -1 where unknown."""
        names = self.speaker if kind == "speaker" else self.source
        code_of = {name: number for number, name in enumerate(sorted({name for name in names if name}))}
        return np.array([code_of[name] if name else UNKNOWN for name in names], dtype=np.int64)

    def subset(self, rows: NDArray[np.int64]) -> ClipGroups:
        """The groups of these clips, in this order."""
        return ClipGroups(tuple(self.speaker[i] for i in rows), tuple(self.source[i] for i in rows))

    def __post_init__(self) -> None:
        if len(self.speaker) != len(self.source):
            raise ConfigError(f"groups: {len(self.speaker)} speakers, {len(self.source)} sources")


def standardised_within(values: NDArray[np.float32], codes: Codes) -> NDArray[np.float32]:
    """(clips, features) with mean 0 and deviation 1 within every group.

    Clips of unknown groups, and of groups of fewer than `FEWEST`, take mean and deviation of all clips.
    """
    result = _standardised(values, values)
    for group in np.unique(codes[codes != UNKNOWN]):
        members = codes == group
        if members.sum() >= FEWEST:
            result[members] = _standardised(values[members], values[members])
    return result


def _standardised(values: NDArray[np.float32], by: NDArray[np.float32]) -> NDArray[np.float32]:
    if not len(by):
        return values.copy()
    deviation = np.maximum(by.std(axis=0, dtype=np.float64), 1e-3)
    standard = (values - by.mean(axis=0, dtype=np.float64)) / deviation
    return np.asarray(standard, dtype=np.float32)


def in_runs(rows: Tensor, codes: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """The rows in random order, but in runs of up to `length` of one group.

    Args:
        rows: (count,) clips. codes: (clips,) group of every clip; those of unknown groups are runs of one.
        length: longest run. generator: of the order.
    """
    shuffled = rows[torch.randperm(len(rows), generator=generator)]
    runs = [
        run for members in _by_group(shuffled, codes, together=False) for run in torch.split(members, length)
    ]
    order = torch.randperm(len(runs), generator=generator)
    return torch.cat([runs[index] for index in order.tolist()])


def deranged(rows: Tensor, generator: torch.Generator, codes: Tensor | None = None) -> Tensor:
    """A random partner for every row, never the row itself; every row is used once (neighbours on random cycles).

    Args:
        rows: (count,) at least two clips. generator: of the cycles. codes: (clips,) groups within which
        partners are drawn; none: among all. Clips of unknown groups, or alone in theirs, are one group.
    """
    position = torch.empty(int(rows.max()) + 1, dtype=torch.long)
    position[rows] = torch.arange(len(rows))
    groups = [rows] if codes is None else _by_group(rows, codes, together=True)
    partner = torch.empty_like(rows)
    for members in groups:
        cycle = members[torch.randperm(len(members), generator=generator)]
        partner[position[cycle]] = cycle.roll(1)
    return partner


def _by_group(rows: Tensor, codes: Tensor, *, together: bool) -> list[Tensor]:
    """The rows of every group; those without one by themselves, or (`together`) as one group of at least two."""
    row_codes = codes[rows]
    groups = [rows[row_codes == group] for group in sorted(set(row_codes.tolist())) if group != UNKNOWN]
    unknown = rows[row_codes == UNKNOWN]
    if not together:
        return [*groups, *torch.split(unknown, 1)]
    rest = torch.cat([unknown, *(group for group in groups if len(group) == 1)])
    groups = [group for group in groups if len(group) > 1]
    if len(rest) == 1 and groups:
        groups[-1] = torch.cat([groups[-1], rest])
        rest = rest[:0]
    return [*groups, rest] if len(rest) else groups
