"""Figures that are computed from a version's predictions for clips that it did not learn; their source says which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from mer.report.figures import Figure, Form

if TYPE_CHECKING:
    from mer.posteriors import Posteriors


@dataclass(frozen=True)
class Predicted:
    """N labelled clips with what a version says of them."""

    source: str
    """Artifact and file."""
    emotions: tuple[str, ...]
    names: tuple[str, ...]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    """(N, C) at the temperature that is served."""
    logits: NDArray[np.float32]
    """(N, C) as they are stored."""
    valence: NDArray[np.float32]
    speaker: tuple[str | None, ...]
    part: tuple[str | None, ...]
    fold: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(
        cls,
        source: str,
        emotions: tuple[str, ...],
        posteriors: Posteriors,
        temperature: float,
        known: dict[str, Known],
    ) -> Predicted:
        """Predictions of clips whose label is known; the others are left out.

        Args:
            source: artifact and file.
            emotions: class names in index order.
            posteriors: what the version says.
            temperature: at which it is served.
            known: clip -> what its snapshot says of it.
        """
        index = {emotion: number for number, emotion in enumerate(emotions)}
        rows = [
            row
            for row, name in enumerate(posteriors.clip_ids)
            if name in known and known[name].emotion in index
        ]
        names = tuple(posteriors.clip_ids[row] for row in rows)
        clips = [known[name] for name in names]
        return cls(
            source=source,
            emotions=emotions,
            names=names,
            truth=np.array([index[str(clip.emotion)] for clip in clips], dtype=np.int64),
            predicted=posteriors.predicted[rows],
            probabilities=posteriors.probabilities(temperature)[rows],
            logits=posteriors.logits[rows],
            valence=posteriors.valence[rows],
            speaker=tuple(clip.speaker for clip in clips),
            part=tuple(clip.part for clip in clips),
            fold=np.array([clip.fold for clip in clips], dtype=np.int64),
        )

    def subset(self, rows: NDArray[np.bool_]) -> Predicted:
        """Some of the clips."""
        at = np.flatnonzero(rows)
        return Predicted(
            self.source, self.emotions, tuple(self.names[row] for row in at), self.truth[at], self.predicted[at],
            self.probabilities[at], self.logits[at], self.valence[at], tuple(self.speaker[row] for row in at),
            tuple(self.part[row] for row in at), self.fold[at],
        )  # fmt: skip

    def figure(self, value: float | None, measure: str, form: Form = "score", /, **of: str | int) -> Figure:
        """A number with its source: what is measured, of which clips."""
        query = urlencode({"measure": measure, **{name: str(text) for name, text in of.items()}})
        return Figure(value=value, source=f"{self.source}?{query}", form=form)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(C, C) clips; rows truth, columns prediction."""
        from mer.evaluation.metrics import confusion

        return confusion(self.truth, self.predicted, len(self.emotions))

    def clips(self, **of: str) -> Figure:
        """How many there are."""
        return self.figure(float(len(self)), "clips", "count", **of)

    def accuracy(self, **of: str) -> Figure:
        """Share that is right."""
        return self.figure(_mean(self.truth == self.predicted), "accuracy", **of)

    def waf(self, **of: str) -> Figure:
        """Weighted F1."""
        from mer.evaluation.metrics import waf

        return self.figure(float(waf(self.counts)) if len(self) else None, "waf", **of)

    def speakers(self) -> list[str]:
        """Names of the speakers, in order."""
        return sorted({speaker for speaker in self.speaker if speaker is not None})

    def of_speaker(self, speaker: str) -> Predicted:
        """The clips of one speaker."""
        return self.subset(np.array([one == speaker for one in self.speaker]))


@dataclass(frozen=True)
class Known:
    """What the snapshot says of a clip."""

    emotion: str | None
    speaker: str | None
    part: str | None
    fold: int
    """Outer fold; -1: in none."""


def _mean(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def ranked(values: Sequence[float], names: Sequence[str], most: int) -> list[int]:
    """Positions of the largest values, the largest first; equal ones by name."""
    return sorted(range(len(values)), key=lambda row: (-values[row], names[row]))[:most]
