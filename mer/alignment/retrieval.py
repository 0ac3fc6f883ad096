"""Retrieval of the anchor by the trained side and the reverse: how well two spaces are aligned, and whether by chance.

Over all clips a model may do well by telling speakers apart (voices and faces both differ between them);
among the clips of one speaker that is of no use, and what remains is what the clips themselves share. Both are
given with their chance level, and with permuted pairings as the null that the true pairing is tested against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.alignment.geometry import geometry_figures
from mer.alignment.groups import UNKNOWN, Codes

RANKS = (1, 5, 10)

Vectors = NDArray[np.float32]
Hits = NDArray[np.float64]
"""(queries, ranks) whether the partner was among the k most similar, in [0, 1]; ties count by chance."""


class RankTable:
    """How many items of the gallery are ahead of, and tied with, each item in each query's order.

    Args:
        queries: (clips, features) embeddings of unit length.
        gallery: (clips, features) embeddings of unit length.
    """

    def __init__(self, queries: Vectors, gallery: Vectors) -> None:
        distance = -(queries @ gallery.T)
        ordered = np.sort(distance, axis=1)
        self.ahead = np.empty(distance.shape, dtype=np.int64)
        self.tied = np.empty(distance.shape, dtype=np.int64)
        for row, (row_distances, order) in enumerate(zip(distance, ordered, strict=True)):
            self.ahead[row] = np.searchsorted(order, row_distances, side="left")
            self.tied[row] = np.searchsorted(order, row_distances, side="right") - self.ahead[row] - 1

    def hits(self, partner: Codes, ranks: Sequence[int] = RANKS) -> Hits:
        """(queries, ranks) where query i's partner is gallery item `partner[i]`.

        Among items exactly as similar as the partner the order counts as random: embeddings that are all
        alike score as chance does, not 1.
        """
        rows = np.arange(len(partner))
        ahead, tied = self.ahead[rows, partner], self.tied[rows, partner]
        hits = [(k - ahead) / (tied + 1) for k in ranks]
        return np.clip(np.stack(hits, axis=1), 0.0, 1.0)


@dataclass(frozen=True)
class Retrieval:
    """Retrieval in one gallery, or in one gallery for each speaker; both ways."""

    trained_to_anchor: Hits
    """The anchor by the trained side, (queries, ranks)."""
    anchor_to_trained: Hits
    """The trained side by the anchor."""
    chance: NDArray[np.float64]
    """(queries, ranks) of a random order of the query's gallery."""
    rows: Codes
    """(queries,) which clips were queries."""
    permuted: Hits
    """(permutations, ranks) mean hits, both ways, under permuted pairings of the clips of a gallery."""


def retrieved(
    trained: Vectors, anchor: Vectors, permutations: int = 0, seed: int = 0, within: Codes | None = None
) -> Retrieval:
    """Retrieval among all clips, or (`within`) among the clips of each group.

    Args:
        trained: (clips, features) embeddings of the trained side, of unit length. anchor: the anchor's, row by
        row of the same clips. permutations: permuted pairings that are scored too; equal seeds permute equally, whatever the
        embeddings are. within: (clips,) groups, -1 unknown; groups of one clip and clips of unknown groups are
        no queries.
    """
    rows = np.arange(len(trained))
    galleries = [rows]
    if within is not None:
        groups = [rows[within == group] for group in np.unique(within[within != UNKNOWN])]
        galleries = [gallery for gallery in groups if len(gallery) > 1]
    generator = np.random.default_rng(seed)
    by_gallery = [
        _in_gallery(trained[gallery], anchor[gallery], permutations, generator)
        for gallery in galleries
        if len(gallery)
    ]
    if not by_gallery:
        none = np.zeros((0, len(RANKS)))
        return Retrieval(none, none, none, rows[:0], np.zeros((permutations, len(RANKS))))
    # hits of permuted pairings are sums over a gallery's clips: divided once, by all clips
    sizes = [len(hits[0]) for hits in by_gallery]
    return Retrieval(
        trained_to_anchor=np.concatenate([hits[0] for hits in by_gallery]),
        anchor_to_trained=np.concatenate([hits[1] for hits in by_gallery]),
        chance=np.concatenate([np.tile([min(k / n, 1.0) for k in RANKS], (n, 1)) for n in sizes]),
        rows=np.concatenate([gallery for gallery in galleries if len(gallery)]),
        permuted=np.asarray(sum(hits[2] for hits in by_gallery) / sum(sizes)),
    )


def _in_gallery(
    trained: Vectors, anchor: Vectors, permutations: int, generator: np.random.Generator
) -> tuple[Hits, Hits, Hits]:
    """Hits both ways of the true pairing, and summed over clips of every permuted one (mean of both ways)."""
    forward, backward = RankTable(trained, anchor), RankTable(anchor, trained)
    truth = np.arange(len(trained))
    sums = np.zeros((permutations, len(RANKS)))
    for number in range(permutations):
        partner = generator.permutation(len(trained))
        back = np.argsort(partner)
        sums[number] = (forward.hits(partner) + backward.hits(back)).sum(axis=0) / 2
    return forward.hits(truth), backward.hits(truth), sums


def retrieval_figures(trained: Vectors, anchor: Vectors, speaker: Codes | None = None) -> dict[str, float]:
    """Recall at 1, 5 and 10 in both directions with the chance level, alignment and uniformity, named for reports.

    Args:
        trained: (clips, features) embeddings of the trained side, of unit length.
        anchor: (clips, features) embeddings of the anchor, of unit length, row by row of the same clips.
        speaker: (clips,) number of the speaker, -1 unknown; adds retrieval among each speaker's own clips
            (`within_speaker_...`) where a speaker has several.
    """
    figures: dict[str, float] = {"retrieval_clips": float(len(trained))}
    figures |= recall_figures(retrieved(trained, anchor), "")
    if speaker is not None:
        figures |= recall_figures(retrieved(trained, anchor, within=speaker), "within_speaker_")
    return figures | geometry_figures(trained, anchor)


def recall_figures(retrieval: Retrieval, prefix: str) -> dict[str, float]:
    """Recall and chance by rank; of nothing retrieved 0 over all clips, and no figures within speakers."""
    if not len(retrieval.rows):
        if prefix:
            return {}
        names = ("trained_to_anchor", "anchor_to_trained", "chance")
        return {f"{name}_r{k}": 0.0 for name in names for k in RANKS}
    figures: dict[str, float] = {}
    for column, k in enumerate(RANKS):
        figures[f"{prefix}trained_to_anchor_r{k}"] = float(retrieval.trained_to_anchor[:, column].mean())
        figures[f"{prefix}anchor_to_trained_r{k}"] = float(retrieval.anchor_to_trained[:, column].mean())
        figures[f"{prefix}chance_r{k}"] = float(retrieval.chance[:, column].mean())
    return figures
