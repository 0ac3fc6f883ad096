"""What a system can say of its answers: the streams' weights, and what each stream is worth to the answer.

The worth of a stream is measured the same way for every kind: the clip is answered once more without it (masked), and what the
answer given with all streams loses in probability is reported. Streams that tell the same have little worth each; weights say
what the system reads, masking what the answer rests on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.stream_tables import LevelTables, without_stream
from mer.systems.fitted import FittedSystem, PerStream


@dataclass(frozen=True)
class Explanation:
    """Of the answers for N clips."""

    clip_ids: tuple[str, ...]
    answer: NDArray[np.int64]
    """(N,) most probable class."""
    confidence: NDArray[np.float64]
    """(N,) its probability."""
    stream_weights: PerStream
    """See `SystemAnswers.stream_weights`."""
    confidence_lost: PerStream | None
    """Probability that the answer loses without a stream, negative where the stream spoke against it, 0 where the clip lacks it;
    None: the system cannot do without streams."""


def explain(system: FittedSystem, tables: LevelTables, temperature: float = 1.0) -> Explanation:
    """Explain the answers for the tables' clips; costs one more pass for every stream.

    Args:
        system: the fitted system.
        tables: as `FittedSystem.answer` takes them.
        temperature: calibration temperature at which the system is served.

    Raises:
        ConfigError: as `FittedSystem.answer`.
    """
    answers = system.answer(tables)
    probabilities = answers.posteriors.probabilities(temperature)
    answer, rows = answers.posteriors.predicted, np.arange(len(answers.posteriors))
    confidence = probabilities[rows, answer]
    lost = None
    if system.abilities.missing_streams:
        lost = np.zeros((len(rows), len(system.streams)))
        for column, stream in enumerate(system.streams):
            masked = system.posteriors(without_stream(tables, stream)).probabilities(temperature)
            lost[:, column] = np.where(_has(tables, stream), confidence - masked[rows, answer], 0.0)
    return Explanation(
        clip_ids=answers.posteriors.clip_ids,
        answer=answer,
        confidence=confidence,
        stream_weights=answers.stream_weights,
        confidence_lost=None if lost is None else PerStream(system.streams, lost),
    )


def _has(tables: LevelTables, stream: str) -> NDArray[np.bool_]:
    """(N,) which clips have the stream at some level; none of them where it has no table."""
    present = [level[stream].present for level in tables.values() if stream in level]
    count = len(next(iter(next(iter(tables.values())).values())).clip_ids)
    return np.logical_or.reduce(present) if present else np.zeros(count, dtype=bool)
