"""Speaker-independent folds, and validation speakers inside the training folds.

Groups are whole speakers; a clip of unknown speaker is a group of its own. Groups are dealt greedily, the
largest first, to the fold where they even out the class counts most, as in scikit-learn's
`StratifiedGroupKFold`. The order of rows does not matter: ties are broken by a hash of seed and group name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError


def assign_folds(
    speakers: Sequence[str | None],
    clip_ids: Sequence[str],
    labels: NDArray[np.int64],
    folds: int,
    seed: int,
) -> NDArray[np.int64]:
    """Assign every clip to one of `folds` folds so that no speaker is in two of them.

    Args:
        speakers: (N,) speaker per clip; None = unknown, the clip is then dealt by itself.
        clip_ids: (N,) distinct names.
        labels: (N,) class index; -1 counts as a class of its own.
        folds: number of folds asked for.
        seed: which of the equally good assignments is taken.

    Returns:
        (N,) fold in 0 .. k-1. k is `folds`, or the number of groups where there are fewer (three speakers
        cannot be five folds). A corpus of a single speaker is dealt by clip: nothing speaker-independent
        exists there.

    Raises:
        ConfigError: fewer than two folds or clips, or lengths that differ.
    """
    count = len(clip_ids)
    if not len(speakers) == len(labels) == count:
        raise ConfigError(
            f"folds: expected {count} of each, found {len(speakers)} speakers, {len(labels)} labels"
        )
    if folds < 2 or count < 2:
        raise ConfigError(
            f"folds: expected at least 2 folds and 2 clips, found {folds} folds and {count} clips"
        )
    unique, group_of = np.unique(np.array(_groups(speakers, clip_ids)), return_inverse=True)
    classes, class_of = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(unique), len(classes)))
    np.add.at(counts, (group_of, class_of), 1)
    fold_of_group = _deal(counts, _shuffled(unique.tolist(), seed), min(folds, len(unique)))
    return fold_of_group[group_of]


def inner_validation(
    speakers: Sequence[str | None],
    clip_ids: Sequence[str],
    labels: NDArray[np.int64],
    train_mask: NDArray[np.bool_],
    share: float,
    seed: int,
) -> NDArray[np.bool_]:
    """Hold out about `share` of the training clips: whole speakers, class distribution kept where possible.

    Args:
        speakers: (N,) as in `assign_folds`.
        clip_ids: (N,) distinct names.
        labels: (N,) class index.
        train_mask: (N,) clips to draw from.
        share: share of the clips in `train_mask`, in (0, 0.5].
        seed: seed of the draw.

    Returns:
        (N,) mask, a true part of `train_mask`. All False where fewer than 4 clips could be drawn from.

    Raises:
        ConfigError: share out of range.
    """
    if not 0.0 < share <= 0.5:
        raise ConfigError(f"validation share: expected a value in (0, 0.5], found {share}")
    validation = np.zeros(len(clip_ids), dtype=bool)
    rows = np.flatnonzero(train_mask)
    if len(rows) < 4:
        return validation
    parts = assign_folds(
        [speakers[i] for i in rows.tolist()],
        [clip_ids[i] for i in rows.tolist()],
        labels[rows],
        round(1 / share),
        seed,
    )
    sizes = np.bincount(parts)
    wanted = share * len(rows)
    chosen = int(np.argmin(np.abs(sizes - wanted)))  # the first of equally good ones
    validation[rows[parts == chosen]] = True
    return validation


def _groups(speakers: Sequence[str | None], clip_ids: Sequence[str]) -> list[str]:
    if len(set(speakers)) == 1:  # one speaker, or none known: only clips can be told apart
        return [f"clip:{clip_id}" for clip_id in clip_ids]
    return [
        f"clip:{clip_id}" if speaker is None else f"speaker:{speaker}"
        for speaker, clip_id in zip(speakers, clip_ids, strict=True)
    ]


def _shuffled(names: Sequence[str], seed: int) -> NDArray[np.int64]:
    keys = [hashlib.sha256(f"{seed}\0{name}".encode()).digest() for name in names]
    return np.array(sorted(range(len(names)), key=keys.__getitem__), dtype=np.int64)


def _deal(counts: NDArray[np.float64], order: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """Fold per group from (groups, classes) counts: a group goes where class shares end up most even."""
    totals = np.maximum(counts.sum(axis=0), 1)
    sizes = counts.sum(axis=1)
    by_size = order[np.argsort(-sizes[order], kind="stable")]
    shares = counts / totals  # (groups, classes): a rare class weighs as much as a frequent one
    filled = np.zeros((folds, counts.shape[1]))
    clips = np.zeros(folds)
    assigned = np.full(len(counts), -1, dtype=np.int64)
    for position, group in enumerate(by_size):
        # adding s to a fold's share f changes the sum of squares by 2 f s + s^2: only the first part
        # depends on the fold
        cost = filled @ shares[group] + clips / totals.sum() * sizes[group] / totals.sum()
        left = len(by_size) - position
        empty = clips == 0
        candidates = empty if left <= int(empty.sum()) else np.ones(folds, dtype=bool)  # no fold stays empty
        best = int(np.argmin(np.where(candidates, cost, np.inf)))
        assigned[group] = best
        filled[best] += shares[group]
        clips[best] += sizes[group]
    return assigned
