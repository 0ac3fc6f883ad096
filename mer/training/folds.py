"""Folds of whole groups: stable ones for the cross-validation, balanced ones inside the training folds.

A group is a connected component of speakers and contents: clips of one speaker, and clips of equal content (the same file under
another name, or in another speaker's folder), are never in two folds.

`outer_folds` is stable: a group's fold is a hash of seed and group. Nothing else can be: if taking any group away leaves the
folds of all others, a group's fold depends on no other group. The price is balance: the sizes and classes of folds are those of
a lottery (docs/architecture.md has the figures). `assign_folds` is balanced: groups are dealt greedily, the largest first, to
the fold where they even out the class counts most, as in scikit-learn's `StratifiedGroupKFold`; one group less may deal all
others anew. It serves where folds live for one run. The order of rows matters to neither.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.training.fold_groups import fold_groups

_OUTER = "cross-validation"
"""Kept apart from the hashes that break the ties of balanced folds: validation is drawn inside what these leave."""
_LEAST_TRAINING = 0.75
"""Of the clips that an even fold leaves to train on; where the largest fold leaves less, that is worth a line."""


def outer_folds(
    speakers: Sequence[str | None],
    clip_ids: Sequence[str],
    folds: int,
    seed: int,
    contents: Sequence[str] = (),
) -> NDArray[np.int64]:
    """Fold of every clip by a hash of seed and group: a clip keeps its fold when other groups come or go.

    Where the hash leaves folds empty (few groups), each empty one gets one group out of those folds that have several, chosen
    by a hash of seed, fold and group: as few groups as possible leave the fold of their hash, and again the choice depends on
    the other groups as little as it can. A group that leaves moves another one in a third of the cases at 8 groups in 5 folds,
    in 6 % at 15, in under 1 % at 24, and practically never at 40.

    Args:
        speakers: (N,) speaker per clip; None = unknown.
        clip_ids: (N,) distinct names of the labelled clips that are cross-validated: a fold without one of them is empty.
        folds: number of folds asked for.
        seed: which of the assignments is taken.
        contents: (N,) content per clip, empty where unknown; or none at all.

    Returns:
        (N,) fold in 0 .. k-1, none of them empty. k is `folds`, or the number of groups where there are fewer. Folds change for
        all only where k changes, or where one group remains (see `fold_groups`).

    Raises:
        ConfigError: fewer than two folds or clips, or lengths that differ.
    """
    groups = _checked_groups(speakers, clip_ids, folds, contents)
    names = sorted(set(groups))
    count = min(folds, len(names))
    fold_of = {name: int.from_bytes(_hash(seed, _OUTER, name)[:8], "big") % count for name in names}
    for fold in range(count):
        held = Counter(fold_of.values())
        if not held[fold]:
            spare = [name for name in names if held[fold_of[name]] > 1]
            fold_of[max(spare, key=lambda name: _hash(seed, _OUTER, str(fold), name))] = fold
    return np.array([fold_of[group] for group in groups], dtype=np.int64)


def uneven_folds(fold: NDArray[np.int64]) -> str | None:
    """What to tell people of folds whose largest leaves much less to train on than an even one would; None: they will do.

    Choosing another seed by the sizes alone is fair: no label and no score is looked at.
    """
    sizes = np.bincount(fold[fold >= 0])
    sizes = sizes[sizes > 0]
    largest, even = float(sizes.max() / sizes.sum()), 1 / len(sizes)
    if 1 - largest >= _LEAST_TRAINING * (1 - even):
        return None
    return (
        f"uneven folds: the largest of {len(sizes)} holds {largest:.0%} of the clips where {even:.0%} would be even; another "
        "`folds.seed` in the recipe deals them anew"
    )


def assign_folds(
    speakers: Sequence[str | None],
    clip_ids: Sequence[str],
    labels: NDArray[np.int64],
    folds: int,
    seed: int,
    contents: Sequence[str] = (),
) -> NDArray[np.int64]:
    """Deal every clip to one of `folds` folds of even sizes and classes, whole groups each.

    Args:
        speakers: (N,) speaker per clip; None = unknown, the clip is then dealt by itself.
        clip_ids: (N,) distinct names.
        labels: (N,) class index; -1 counts as a class of its own.
        folds: number of folds asked for.
        seed: which of the equally good assignments is taken.
        contents: (N,) content per clip, empty where unknown; or none at all.

    Returns:
        (N,) fold in 0 .. k-1. k is `folds`, or the number of groups where there are fewer (three speakers
        cannot be five folds).

    Raises:
        ConfigError: fewer than two folds or clips, or lengths that differ.
    """
    groups = _checked_groups(speakers, clip_ids, folds, contents)
    if len(labels) != len(clip_ids):
        raise ConfigError(f"folds: expected {len(clip_ids)} of each, found {len(labels)} labels")
    unique, group_of = np.unique(np.array(groups), return_inverse=True)
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
    contents: Sequence[str] = (),
) -> NDArray[np.bool_]:
    """Hold out about `share` of the training clips: whole groups, class distribution kept where possible.

    The draw is balanced (`assign_folds`), not stable: with few speakers a hash would often hold out a tenth or a third where a
    fifth is asked for, and a validation set lives no longer than its view. It is a function of the clips in `train_mask` alone:
    when a speaker leaves, the views that were scored on it validate as before, and the others, which train anew anyway, may
    validate on other speakers.

    Args:
        speakers: (N,) as in `assign_folds`.
        clip_ids: (N,) distinct names.
        labels: (N,) class index.
        train_mask: (N,) clips to draw from.
        share: share of the clips in `train_mask`, in (0, 0.5].
        seed: seed of the draw.
        contents: (N,) as in `assign_folds`.

    Returns:
        (N,) mask, a true part of `train_mask`. All False where fewer than 4 clips could be drawn from, or where all of
        them are of one content.

    Raises:
        ConfigError: share out of range, or lengths that differ.
    """
    if not 0.0 < share <= 0.5:
        raise ConfigError(f"validation share: expected a value in (0, 0.5], found {share}")
    if not len(speakers) == len(clip_ids) == len(labels) == len(train_mask):
        raise ConfigError(
            f"validation: expected {len(clip_ids)} of each, found {len(speakers)} speakers, {len(labels)} labels and a mask of "
            f"{len(train_mask)}"
        )
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
        [contents[i] for i in rows.tolist()] if contents else (),
    )
    sizes = np.bincount(parts)
    if len(sizes) < 2:  # one content throughout: nothing would be left to train on
        return validation
    chosen = int(np.argmin(np.abs(sizes - share * len(rows))))  # the first of equally good ones
    validation[rows[parts == chosen]] = True
    return validation


def _checked_groups(
    speakers: Sequence[str | None], clip_ids: Sequence[str], folds: int, contents: Sequence[str]
) -> list[str]:
    count = len(clip_ids)
    if folds < 2 or count < 2:
        raise ConfigError(
            f"folds: expected at least 2 folds and 2 clips, found {folds} folds and {count} clips"
        )
    return fold_groups(speakers, clip_ids, contents)


def _hash(seed: int, *parts: str) -> bytes:
    return hashlib.sha256("\0".join([str(seed), *parts]).encode()).digest()


def _shuffled(names: Sequence[str], seed: int) -> NDArray[np.int64]:
    keys = [_hash(seed, name) for name in names]
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
