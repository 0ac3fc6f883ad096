"""The interface that an ensemble search needs of its candidates.

Candidates come in families: members of one family share work (distances, batches), so they are trained together on one part of
the clips and predict another. `mer.ensemble.search` decides which parts, and who sees which labels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.varied import VariedStream
from mer.errors import ConfigError
from mer.examples import Examples
from mer.posteriors import Posteriors


class Family(Protocol):
    """Candidates of one kind over the same clips."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the candidates, distinct over all families of a search."""
        ...

    def predict(
        self, examples: Examples, target_rows: NDArray[np.int64], candidates: Collection[str]
    ) -> dict[str, Posteriors]:
        """Train these candidates on the labelled clips and predict the target ones.

        Args:
            examples: all clips; those to learn from, and no others, carry a label.
            target_rows: rows to predict; none of them has a label here.
            candidates: names of candidates.
        """
        ...


class ReadsStreams(Protocol):
    """Options of a member that reads streams."""

    @property
    def streams(self) -> Mapping[str, float]:
        """Stream -> how much it counts."""
        ...


Member = TypeVar("Member", bound=ReadsStreams)


class StreamFamily(Generic[Member]):
    """Members over streams of the same clips: what families of them have in common.

    Args:
        streams: stream -> features of N clips.
        members: name -> options.
        classes: number of classes C.

    Raises:
        ConfigError: a member names a stream that is not there.
    """

    def __init__(
        self, streams: Mapping[str, VariedStream], members: Mapping[str, Member], classes: int
    ) -> None:
        if absent := sorted(
            {stream for member in members.values() for stream in member.streams} - set(streams)
        ):
            raise ConfigError(
                f"{type(self).__name__}: expected members of streams {sorted(streams)}, found {absent}"
            )
        self.streams = dict(streams)
        self.members = dict(members)
        self.classes = classes

    @property
    def names(self) -> tuple[str, ...]:
        """See `Family.names`."""
        return tuple(self.members)


def rows_to_learn(examples: Examples, target_rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows with a label and a weight.

    Raises:
        ConfigError: a target clip shows its label, or fewer than two classes can be learnt.
    """
    if (examples.emotion[target_rows] >= 0).any():
        raise ConfigError("members: expected target clips without labels, found labels; blank them")
    rows = np.flatnonzero((examples.emotion >= 0) & (examples.weight > 0))
    if len(np.unique(examples.emotion[rows])) < 2:
        raise ConfigError(
            f"members: expected at least two classes to learn, found {len(rows)} labelled clips"
        )
    return rows


def posteriors_of(
    examples: Examples, target_rows: NDArray[np.int64], scores: NDArray[np.floating], variants: int
) -> Posteriors:
    """(variants * targets, C) scores as the posteriors of the target clips: the mean over their variants."""
    mean = scores.reshape(variants, len(target_rows), -1).mean(axis=0, dtype=np.float64)
    return Posteriors(
        tuple(examples.clip_ids[i] for i in target_rows),
        mean.astype(np.float32),
        np.full(len(target_rows), np.nan, dtype=np.float32),
    )


def names_of(families: Collection[Family]) -> tuple[str, ...]:
    """All candidates' names.

    Raises:
        ConfigError: none, or a name twice.
    """
    names = tuple(name for family in families for name in family.names)
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"ensemble search: expected candidates with distinct names, found {list(names)}")
    return names


def predict_all(
    families: Collection[Family],
    examples: Examples,
    target_rows: NDArray[np.int64],
    candidates: Collection[str],
) -> Mapping[str, Posteriors]:
    """`Family.predict` of every family that has one of the candidates."""
    posteriors: dict[str, Posteriors] = {}
    for family in families:
        if names := [name for name in family.names if name in candidates]:
            posteriors |= family.predict(examples, target_rows, names)
    return posteriors
