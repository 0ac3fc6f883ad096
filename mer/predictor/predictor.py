"""The served model: clips in, calibrated predictions out. Holds all encoders in memory; knows no store and no flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mer.clips import Clip
from mer.conformal.policy import AnswerPolicy
from mer.conformal.record import ConformalRecord
from mer.domain.speakers import LEAST_SPEAKERS, Enrolment, TrainingSpeakers
from mer.domain.training_domain import TrainingDomain
from mer.ensemble.system import EnsembleSystem
from mer.errors import ConfigError
from mer.posteriors import Posteriors
from mer.predictions import Evidence, Prediction
from mer.predictor.inspection import ContentInspector
from mer.predictor.loaded import LoadedParts
from mer.predictor.modality_shares import ModalityShares, modality_shares
from mer.predictor.package import ModelPackage
from mer.predictor.reading import BatchReading
from mer.predictor.trust import Weighed, trusted_shares, trusted_valence, weigh
from mer.stream_tables import LevelTables
from mer.systems.explanation import Explanation, explain
from mer.systems.fitted import FittedSystem
from mer.systems.kinds import load_system

if TYPE_CHECKING:
    from mer.predictor.over_time import OverTime, Part
    from mer.predictor.side_by_side import EncoderThreads

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Scores:
    """What a model version says about N clips."""

    logits: NDArray[np.float64]
    """(N, C) at the temperature that is served: their softmax is the calibrated posterior."""
    valence: NDArray[np.float32]
    """(N,) as the model gives it, NaN where it gives none."""
    evidence: tuple[Evidence, ...]
    """(N,) what it had of each clip, and how far the answer is to be trusted."""
    plain: NDArray[np.float64] | None = None
    """(N, C) logits without the speaker's enrolment, where there is one."""


class Predictor:
    """A model version in memory.

    Args:
        folder: package folder (see `mer.predictor.package`).
        weights: cache folder of encoder weights.
        version: number of the registered version, which predictions carry; none: it is not registered.
        beside: another one in memory, whose frozen encoders are used where they are the same; none: all are loaded.
        threads: where encoders compute side by side; none: in the thread that asks, one after another. Answers are the same.
    """

    def __init__(
        self,
        folder: Path,
        weights: Path,
        version: int | None = None,
        beside: Predictor | None = None,
        threads: EncoderThreads | None = None,
    ) -> None:
        self.package = ModelPackage.read(folder)
        self.version = version
        self.system = served_system(self.package, folder)
        self._folder = folder
        self._reliance: ConformalRecord | None = None
        domain = self.package.domain
        self._domain = TrainingDomain.load(folder / domain) if domain is not None else None
        self._speakers = TrainingSpeakers.load(folder / domain) if domain is not None else None
        self._parts = LoadedParts(self.package, folder, weights, ContentInspector(), threads)
        if beside is not None:
            self._parts.borrow(beside._parts)

    def under_policy(self, predictions: Sequence[Prediction], policy: AnswerPolicy) -> list[Prediction]:
        """Predictions of this version under a policy (`mer.conformal.policy`); what they were made of is not looked at again.

        Raises:
            ConfigError: the version knows nothing of its coverage or risk, or cannot promise what is asked.
        """
        if policy.measured and self._reliance is None:
            self._reliance = ConformalRecord.read(self._folder)
        return policy.apply(predictions, self._reliance)

    def warm(self, clip: Clip) -> None:
        """Load everything by answering for a clip, so that the first answer takes no longer than others."""
        self.explain_modalities([clip])
        self._parts.settle()

    def predict(
        self, clips: Sequence[Clip], progress: Progress | None = None, batch_clips: int = 64
    ) -> list[Prediction]:
        """Predictions in the order of `clips`; `progress(done, total)` is called after every batch."""
        return self.answers(clips, self.scores(clips, progress, batch_clips))

    def enrol(self, clips: Sequence[Clip]) -> Enrolment:
        """what a few clips tell of one new speaker; their labels are not known.

        Raises:
            ConfigError: the model does not know how its training speakers differ.
        """
        if self._speakers is None or not self._speakers.spreads:
            raise ConfigError(
                f"speaker clips: expected a model of at least {LEAST_SPEAKERS} known training speakers, each with two clips; "
                f"{self.package.recipe.name} does not know how its speakers differ: leave the speaker's clips out, or train it "
                "again (mer run) on clips with a speaker column"
            )
        reading = BatchReading(self._parts, clips)
        tables = {level: reading.streams(level) for level in self.system.levels}
        maskable = self.system.abilities.missing_streams
        read = weigh(tables, reading.findings(), self.package.recipe, None, maskable=maskable)
        return self._speakers.enrol(read.tables)

    def scores(
        self,
        clips: Sequence[Clip],
        progress: Progress | None = None,
        batch_clips: int = 64,
        enrolment: Enrolment | None = None,
    ) -> Scores:
        """Calibrated scores in the order of `clips`; with an enrolment all clips are of that speaker."""
        logits = np.zeros((len(clips), len(self.package.recipe.emotions)))
        plain = np.zeros_like(logits)
        valence = np.zeros(len(clips), dtype=np.float32)
        evidence: list[Evidence] = []
        for begin in range(0, len(clips), batch_clips):
            batch = clips[begin : begin + batch_clips]
            read = self._weighed(BatchReading(self._parts, batch))
            end = begin + len(batch)
            posteriors = self.system.posteriors(read.tables)
            if enrolment is not None:
                plain[begin:end] = posteriors.logits.astype(np.float64) / self.package.temperature
                posteriors = self.system.posteriors(enrolment.apply(read.tables))
            logits[begin:end] = posteriors.logits.astype(np.float64) / self.package.temperature
            valence[begin:end] = posteriors.valence
            evidence += read.evidence
            if progress is not None:
                progress(end, len(clips))
        return Scores(logits, valence, tuple(evidence), None if enrolment is None else plain)

    def posteriors(self, clips: Sequence[Clip]) -> Posteriors:
        """The system's posteriors of these clips before the last calibration, as they were evaluated: of all that was read.

        An evaluation leaves no stream out for saying nothing; `scores` does.
        """
        reading = BatchReading(self._parts, clips)
        return self.system.posteriors({level: reading.streams(level) for level in self.system.levels})

    def explain(self, clips: Sequence[Clip]) -> Explanation:
        """What each stream weighs in the system's answers for these clips, and what they lose without it.

        Streams that say nothing are left out, but nothing is doubted: confidences are the system's.
        """
        tables = self._weighed(BatchReading(self._parts, clips)).tables
        return explain(self.system, tables, self.package.temperature)

    def explain_modalities(self, clips: Sequence[Clip]) -> tuple[list[Prediction], list[ModalityShares]]:
        """Predictions as `predict` gives them, and what each modality says in them; every clip is read once.

        Returns:
            Predictions of N clips; for each of them what its modalities say.
        """
        reading = BatchReading(self._parts, clips)
        read = self._weighed(reading)
        posteriors = self.system.posteriors(read.tables)
        logits = posteriors.logits.astype(np.float64) / self.package.temperature
        scores = Scores(logits, posteriors.valence, read.evidence)
        shares = modality_shares(self.system, read.tables, self.package, reading.findings())
        return self.answers(clips, scores), shares

    def over_time(self, clip: Clip, stretches: Sequence[Part]) -> OverTime:
        """Where in time the answer for a clip comes from, see `mer.predictor.over_time`.

        Args:
            clip: a clip with a file.
            stretches: parts of it, as shares of its duration.
        """
        from mer.predictor.over_time import over_time

        tables = self._weighed(BatchReading(self._parts, [clip])).tables
        return over_time(self._parts, self.system, tables, clip, stretches)

    def answers(
        self, clips: Sequence[Clip], scores: Scores, corrected: NDArray[np.float64] | None = None
    ) -> list[Prediction]:
        """The predictions for clips that were scored.

        Args:
            clips: N clips.
            scores: theirs.
            corrected: (N, C) log-posteriors to answer by instead, under other class priors; valence stays as it is.

        Returns:
            Predictions; those of clips that cannot be trusted (`mer.predictor.trust`) are not confident.
        """
        values = scores.logits if corrected is None else corrected
        exponentials = np.exp(values - values.max(axis=1, keepdims=True))
        shares = exponentials / exponentials.sum(axis=1, keepdims=True)
        probabilities = trusted_shares(shares, scores.evidence, self._domain)
        valence = trusted_valence(scores.valence, scores.evidence, self._domain)
        recipe = self.package.recipe
        return [
            Prediction.of_answer(
                (clip.name, str(clip.path)),
                dict(zip(recipe.emotions, shares, strict=True)),
                float(valence[row]),
                scores.evidence[row],
                (recipe.name, self.version),
            )
            for row, (clip, shares) in enumerate(zip(clips, probabilities.tolist(), strict=True))
        ]

    def _weighed(self, reading: BatchReading) -> Weighed:
        measured = [self._domain.level] if self._domain is not None and self._domain.tables else []
        levels = dict.fromkeys([*self.system.levels, *measured])
        tables: LevelTables = {level: reading.streams(level) for level in levels}
        maskable = self.system.abilities.missing_streams
        return weigh(tables, reading.findings(), self.package.recipe, self._domain, maskable=maskable)


def served_system(package: ModelPackage, folder: Path) -> FittedSystem:
    """The system of a package folder: the one that it holds, or its members under their combination."""
    systems = {name: load_system(folder / subfolder) for name, subfolder in package.fusion_folders.items()}
    if package.ensemble is None:
        return systems[package.system]
    return EnsembleSystem(systems, package.ensemble)
