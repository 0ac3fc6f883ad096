"""Fitting where a training set lies, with thresholds from clips that it was not fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mer.domain.gaussian import fit_gaussian
from mer.domain.training_domain import TableDomain, clip_vectors
from mer.stream_tables import StreamTable

FALSE_FLAGS = 0.01
"""Share of held-out clips of the corpus that is flagged, all tables together."""
LEAST_CLIPS = 20
"""Different vectors that a table must have: fewer say nothing of where others lie."""
_BEYOND_FEW = 1.25
"""Where the held-out clips are too few to have such a share, the threshold lies so much beyond the farthest one."""
_INNER_FOLDS = 5

Mask = NDArray[np.bool_]
Distances = Mapping[str, NDArray[np.float64]]


def held_out_distances(tables: Mapping[str, StreamTable], inside: Mask, held_out: Mask) -> Distances:
    """Table -> distances of the clips `held_out` (of other speakers) from those `inside`; tables of too few clips are left out.

    Args:
        tables: of N clips.
        inside: (N,) what is fitted on.
        held_out: (N,) what is measured.
    """
    distances = {}
    for name, table in tables.items():
        vectors = clip_vectors(table)
        known, others = inside & table.present, held_out & table.present
        if enough(vectors[known]) and others.any():
            distances[name] = fit_gaussian(vectors[known]).distance(vectors[others])
    return distances


def inner_distances(
    tables: Mapping[str, StreamTable], inside: Mask, groups: Sequence[str]
) -> list[Distances]:
    """`held_out_distances` of every part of the clips, parted by groups (speakers): where no fold holds clips out.

    Args:
        tables: of N clips.
        inside: (N,) the training set.
        groups: (N,) clips of one group stay together.
    """
    numbers = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    part = np.random.default_rng(0).permutation(int(numbers.max(initial=0)) + 1)[numbers] % _INNER_FOLDS
    return [
        held_out_distances(tables, inside & (part != fold), inside & (part == fold))
        for fold in range(_INNER_FOLDS)
    ]


def fit_tables(
    tables: Mapping[str, StreamTable], inside: Mask, held_out: Sequence[Distances]
) -> dict[str, TableDomain]:
    """Where the training set lies in each table; a table that has too few clips, or none held out, is left out.

    Args:
        tables: of N clips, as the system that is served reads them.
        inside: (N,) its training set.
        held_out: distances of clips that were held out of fits like this one.
    """
    domains: dict[str, TableDomain] = {}
    for name, table in tables.items():
        vectors, known = clip_vectors(table), inside & table.present
        distances = [one[name] for one in held_out if name in one]
        if enough(vectors[known]) and distances:
            limit = threshold(np.concatenate(distances), FALSE_FLAGS / len(tables))
            domains[name] = TableDomain(fit_gaussian(vectors[known]), limit)
    return domains


def enough(vectors: NDArray[np.floating]) -> bool:
    """Whether clips (N, D) are enough different ones to say where a training set lies."""
    return (
        len(vectors) >= LEAST_CLIPS
        and len(np.unique(vectors[:, : min(64, vectors.shape[1])], axis=0)) >= LEAST_CLIPS
    )


def threshold(distances: NDArray[np.float64], share: float) -> float:
    """The distance that a further clip of the same kind exceeds with this probability (a split conformal quantile)."""
    rank = int(np.ceil((len(distances) + 1) * (1 - share)))
    if rank > len(distances):
        return float(distances.max()) * _BEYOND_FEW
    return float(np.sort(distances)[rank - 1])
