"""What is exchanged between the training clips and the new ones in a permutation test: whole speakers.

Clips of one speaker are alike, so two sets of clips of other speakers differ though nothing drifted. If speakers are what is
drawn, those of both sets are exchangeable: a difference counts as drift only where it is larger than between two sets of
speakers dealt at random (between-speaker variation of the training snapshot and of the batch). Where all speakers of the batch
are training speakers, the two parts of each are exchanged with each other: this takes out what is the speaker's own, and finds
smaller drift. Where the batch has other speakers too, or so few arrangements are left that no test could alarm, all are dealt
alike, which errs on the safe side.

Speakers with few clips have noisier means than speakers with many, so they are exchangeable only if as many clips of each
are taken on both sides: `matched_rows` thins both sets to the same distribution of clips a speaker.

Where the speakers of one set are not known, clips are exchanged, and statistics are divided by the root of the design effect
(Kish 1965) of the training speakers: how much more a mean of clips varies than with independent clips. It supposes that the
unnamed clips have about as many clips a speaker as the training clips have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import comb

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_ENOUGH = 10
"""Times 1 / alpha: so many arrangements of pairs are enough to keep to them."""


@dataclass(frozen=True)
class Exchange:
    """Units of N + M clips (training clips first), and which of them are the new ones."""

    unit: NDArray[np.int64]
    """(N + M,) unit of every clip, from 0."""
    speaker: NDArray[np.int64]
    """(units,) units of one number are left out together where a classifier is tested; from 0."""
    new: NDArray[np.bool_]
    """(units,)"""
    pairs: NDArray[np.int64]
    """(pairs, 2) units that are exchanged with each other: a speaker's training and new clips. All others are dealt freely."""
    by_speaker: bool
    """False: clips are exchanged, as speakers of one side are not known."""
    arrangements: float
    """How many different ways there are."""

    def draws(self, count: int, seed: Sequence[int]) -> Floats:
        """(1 + P, units) 1 where a unit counts as new: as it is, then `count` exchanges at random, or all where these are no more
        than twice as many: among few arrangements a random part may by chance lack those that are most like the true one.
        """
        if self.by_speaker and self.arrangements <= 2 * count:
            return self._all()
        generator = np.random.default_rng(seed)
        drawn = np.tile(self.new.astype(np.float64), (count + 1, 1))
        free = self._free
        drawn[1:, free] = generator.permuted(drawn[1:, free], axis=1)
        if len(self.pairs):
            swapped = generator.random((count, len(self.pairs))) < 0.5
            drawn[1:, self.pairs[:, 0]] = swapped
            drawn[1:, self.pairs[:, 1]] = ~swapped
        return drawn

    @property
    def _free(self) -> NDArray[np.int64]:
        return np.setdiff1d(np.arange(len(self.new)), self.pairs.ravel())

    def _all(self) -> Floats:
        """Every arrangement once, the true one first."""
        free = self._free
        rows = []
        for chosen in combinations(free.tolist(), int(self.new[free].sum())):
            for swapped in product((0, 1), repeat=len(self.pairs)):
                row = np.zeros(len(self.new))
                row[list(chosen)] = 1.0
                row[self.pairs[np.arange(len(self.pairs)), list(swapped)]] = 1.0
                rows.append(row)
        drawn = np.stack(rows)
        true = np.flatnonzero((drawn == self.new).all(axis=1))
        return np.concatenate([drawn[true], np.delete(drawn, true, axis=0)])


def exchange_of(reference: Sequence[str | None], batch: Sequence[str | None], alpha: float) -> Exchange:
    """How the clips of two sets are exchanged.

    Args:
        reference: (N,) speaker of every training clip.
        batch: (M,) of every new clip.
        alpha: level that a test must be able to reach.
    """
    count = len(reference) + len(batch)
    is_new = np.arange(count) >= len(reference)
    if not speakers_known(reference, batch):
        rows = np.arange(count)
        nothing = np.zeros((0, 2), dtype=np.int64)
        return Exchange(rows, rows, is_new, nothing, False, float(comb(count, len(batch))))
    speakers = np.unique(np.array([*reference, *batch], dtype=str), return_inverse=True)[1]
    keys, unit = np.unique(speakers * 2 + is_new, return_inverse=True)
    new = keys % 2 == 1
    speaker = np.unique(keys // 2, return_inverse=True)[1]
    twice = np.flatnonzero(np.bincount(speaker) == 2)
    pairs = np.array([np.flatnonzero(speaker == number) for number in twice], dtype=np.int64).reshape(-1, 2)
    rest = len(new) - 2 * len(pairs)
    kept = 2.0 ** len(pairs) * comb(rest, int(new.sum()) - len(pairs))
    if kept * alpha < _ENOUGH or len(pairs) < new.sum():
        pairs, kept = pairs[:0], float(comb(len(new), int(new.sum())))
    return Exchange(unit, speaker, new, pairs, True, kept)


def matched_rows(
    reference: Sequence[str | None], batch: Sequence[str | None], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of both sets such that speakers of both have as many clips: at every quantile the smaller number; all where unknown.

    Args:
        reference: (N,) speaker of every training clip.
        batch: (M,) of every new clip.
        seed: of the draw of a speaker's clips.
    """
    if not speakers_known(reference, batch):
        return np.arange(len(reference)), np.arange(len(batch))
    sizes = [
        np.sort(np.unique(np.array(side, dtype=str), return_counts=True)[1]) for side in (reference, batch)
    ]
    generator = np.random.default_rng(seed)
    return _thinned(reference, sizes[1], generator), _thinned(batch, sizes[0], generator)


def _thinned(
    speakers: Sequence[str | None], others: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Rows of which each speaker has no more than the other set's speakers at its quantile have."""
    names, unit, sizes = np.unique(np.array(speakers, dtype=str), return_inverse=True, return_counts=True)
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.lexsort((names, sizes))] = np.arange(len(names))
    allowed = others[np.minimum((rank + 0.5) / len(names) * len(others), len(others) - 1).astype(np.int64)]
    order = generator.permutation(len(unit))
    turn = np.zeros(len(unit), dtype=np.int64)
    seen = np.zeros(len(names), dtype=np.int64)
    for row in order.tolist():
        turn[row] = seen[unit[row]]
        seen[unit[row]] += 1
    return np.flatnonzero(turn < allowed[unit])


def speakers_known(reference: Sequence[str | None], batch: Sequence[str | None]) -> bool:
    """Whether every clip of both sets has a speaker."""
    return all(bool(side) and None not in side for side in (reference, batch))


def design_effect(values: Floats, speakers: Sequence[str | None]) -> float:
    """How much more the mean of (N, K) values varies than with independent clips; at least 1.

    The mean over columns and one standard error more, as few speakers tell it badly. 1 where fewer than three speakers are
    known, or each has one clip.
    """
    rows = [row for row, who in enumerate(speakers) if who is not None]
    groups = np.unique(np.array([speakers[row] for row in rows], dtype=str), return_inverse=True)[1]
    sizes = np.bincount(groups) if rows else np.zeros(0, dtype=np.int64)
    if not 2 < len(sizes) < len(rows):
        return 1.0
    away = values[rows] - values[rows].mean(axis=0)
    sums = np.stack([np.bincount(groups, weights=column) for column in away.T], axis=1)
    within = np.square(away).sum(axis=0)
    ratios = np.divide(np.square(sums).sum(axis=0), within, out=np.ones_like(within), where=within > 0)
    unsure = 1 + (2 / (len(sizes) - 1)) ** 0.5
    return float(max(1.0, float(ratios.mean()) * unsure * len(sizes) / (len(sizes) - 1)))
