"""What a version knows of how often it is right: thresholds of sets and of abstention, from its out-of-fold answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mer.conformal.quantiles import speaker_weights, thresholds
from mer.conformal.scores import SCORES, ScoreName
from mer.errors import ConfigError, WeightsError
from mer.whole_files import write_whole

FILE = "conformal.json"
COVERAGES = np.arange(500, 1000) / 1000
"""Coverages that thresholds are kept for; another one is answered by the next larger."""
SHARES = np.arange(1, 201) / 200
"""Shares of answered clips that risks are kept for."""

Floats = NDArray[np.float64]


class ConformalRecord(BaseModel):
    """Of a model version; a file of its package."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: ScoreName = Field(description="Score whose sets were the smallest on clips held out.")
    thresholds: dict[ScoreName, tuple[float | None, ...]] = Field(
        description="Score -> threshold at each of the coverages .500, .501 ... .999; none: no threshold is high enough."
    )
    confidences: tuple[float, ...] = Field(
        description="Least confidence of the surest .5, 1 ... 100 % of the clips."
    )
    risks: tuple[float, ...] = Field(description="Share of wrong answers among them.")
    clips: int = Field(ge=1, description="Clips that it was measured on.")
    speakers: int = Field(ge=1, description="Their speakers.")

    def sets(
        self, probabilities: Floats, coverage: float, score: ScoreName | None = None
    ) -> NDArray[np.bool_]:
        """Which classes a clip may have, so that the true one is among them for the share `coverage` of new speakers' clips.

        Args:
            probabilities: (N, C) calibrated.
            coverage: between .5 and .999.
            score: none: the one whose sets are the smallest.

        Returns:
            (N, C) classes of each clip's set; the most probable one always is.

        Raises:
            ConfigError: a coverage that is out of range.
        """
        if not COVERAGES[0] <= coverage <= COVERAGES[-1]:
            raise ConfigError(f"coverage: expected {COVERAGES[0]:g} to {COVERAGES[-1]:g}, found {coverage:g}")
        name = score or self.score
        limit = self.thresholds[name][int(np.searchsorted(COVERAGES, coverage - 1e-9))]
        held = SCORES[name](probabilities) <= (math.inf if limit is None else limit)
        held[np.arange(len(held)), probabilities.argmax(axis=1)] = True
        return np.asarray(held, dtype=np.bool_)

    def least_confidence(self, risk: float) -> float:
        """Confidence from which on at most the share `risk` of answers is wrong.

        Raises:
            ConfigError: no share of the clips is answered so well.
        """
        if not 0 < risk < 1:
            raise ConfigError(
                f"risk: expected a share between 0 and 1 (.1: one answer in ten is wrong), found {risk:g}"
            )
        places = np.flatnonzero(np.array(self.risks) <= risk)
        if not len(places):
            best = int(np.argmin(self.risks))
            raise ConfigError(
                f"risk: expected at least {self.risks[best]:.3f}, which the surest {SHARES[best]:.1%} of the clips have that the "
                f"model was measured on, found {risk:g}: allow more"
            )
        return self.confidences[int(places[-1])]

    def write(self, folder: Path) -> Path:
        """Write it into a folder; returns its path."""
        path = folder / FILE
        write_whole(path, self.model_dump_json().encode())
        return path

    @classmethod
    def read(cls, folder: Path) -> ConformalRecord:
        """Of a package.

        Raises:
            ConfigError: the version has none.
            WeightsError: the file is damaged.
        """
        try:
            return cls.model_validate_json((folder / FILE).read_bytes())
        except FileNotFoundError:
            raise ConfigError(
                "coverage, risk: expected a version that knows how often it is right, found one made before 0.7.0: train it "
                "again (`mer run`; what is computed is found again)"
            ) from None
        except (OSError, ValidationError) as error:
            raise WeightsError(f"{FILE}: {' '.join(str(error).split())[:500]}") from error


def conformal_record(
    probabilities: Floats, truth: NDArray[np.int64], speakers: Sequence[str | None], score: ScoreName
) -> ConformalRecord:
    """The record of a version.

    Args:
        probabilities: (N, C) calibrated, of clips that the answering models did not learn from.
        truth: (N,) class index.
        speakers: (N,) who speaks; None: unknown.
        score: whose sets are taken.

    Raises:
        ConfigError: no labelled clips.
    """
    if len(truth) == 0 or len(truth) != len(probabilities) or truth.min() < 0:
        raise ConfigError(f"conformal: expected labelled clips, one for each of {len(probabilities)} answers")
    weights, rows = speaker_weights(speakers), np.arange(len(truth))
    limits = {
        name: thresholds(scored(probabilities)[rows, truth], weights, COVERAGES)
        for name, scored in SCORES.items()
    }
    confidences, risks = risk_curve(probabilities, truth, weights)
    return ConformalRecord(
        score=score,
        thresholds={
            name: tuple(None if math.isinf(value) else value for value in values.tolist())
            for name, values in limits.items()
        },
        confidences=tuple(confidences.tolist()),
        risks=tuple(risks.tolist()),
        clips=len(truth),
        speakers=len(set(speakers)),
    )


def risk_curve(probabilities: Floats, truth: NDArray[np.int64], weights: Floats) -> tuple[Floats, Floats]:
    """Least confidence, and share of wrong answers, among the surest clips, for each of `SHARES` of the weight.

    Args:
        probabilities: (N, C).
        truth: (N,) class index.
        weights: (N,) of the clips, 1 in sum.

    Returns:
        (K,) and (K,).
    """
    confidence = probabilities.max(axis=1)
    wrong = (probabilities.argmax(axis=1) != truth) * weights
    order = np.argsort(-confidence, kind="stable")
    reached = np.cumsum(weights[order])
    last = np.minimum(np.searchsorted(reached, SHARES - 1e-9, side="left"), len(order) - 1)
    falling = -confidence[order]
    last = (
        np.searchsorted(falling, falling[last], side="right") - 1
    )  # who is equally sure is answered as well
    return confidence[order][last], (np.cumsum(wrong[order]) / reached)[last]
