"""A version in memory that answers for clips one batch after another, as the service holds it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.catalogue import ModelVersionRow
from mer.clips import Clip
from mer.conformal.policy import AnswerPolicy
from mer.predictions import Prediction
from tasks.serve.complete_versions import fetch_package
from tasks.serve.library import NOT_GATED, AnsweringVersion
from tasks.stage.compute import computing
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.predictor.modality_shares import ModalityShares
    from mer.predictor.predictor import Predictor

_MOST_PASSES = 8
"""Encoders' passes at the same time, on however many cores: each needs memory of its own."""


@dataclass(frozen=True)
class ServedModel:
    """A version that answers. One batch at a time computes in a process (`tasks.stage.compute`)."""

    row: ModelVersionRow
    predictor: Predictor
    gated: bool
    """Whether it is the champion, or was; answers of others carry a flag."""
    remark: str
    """What to tell of one that is not the champion; empty: nothing."""

    @property
    def name(self) -> str:
        """That it is registered under."""
        return self.row.name

    @property
    def version(self) -> int:
        """Its number."""
        return self.row.version

    @property
    def emotions(self) -> tuple[str, ...]:
        """Class names in index order."""
        return tuple(self.predictor.package.recipe.emotions)

    @property
    def modalities(self) -> tuple[str, ...]:
        """That its streams belong to, in their order."""
        recipe = self.predictor.package.recipe
        return tuple(dict.fromkeys(recipe.streams[name].modality for name in recipe.reads))

    def answer(self, clips: Sequence[Clip]) -> list[Prediction]:
        """Predictions in the order of the clips."""
        return [self.signed(prediction) for prediction in self.predictor.predict(clips)]

    def explain(self, clips: Sequence[Clip]) -> list[tuple[Prediction, ModalityShares]]:
        """Predictions with what each modality says in them."""
        predictions, shares = self.predictor.explain_modalities(clips)
        return list(zip(map(self.signed, predictions), shares, strict=True))

    def under_policy(self, prediction: Prediction, asked: AnswerPolicy) -> Prediction:
        """The prediction under what a request asks of answers, and what the version's recipe says where it asks nothing.

        Raises:
            ConfigError: the version cannot promise it.
        """
        policy = self.predictor.package.recipe.answers.overridden(asked)
        return self.predictor.under_policy([prediction], policy)[0] if policy.asks else prediction

    def signed(self, prediction: Prediction) -> Prediction:
        """The prediction as one of this version."""
        flags = prediction.flags if self.gated else (*prediction.flags, NOT_GATED)
        return prediction.model_copy(update={"model": self.name, "version": self.version, "flags": flags})


def load_served(
    space: Workspace, chosen: AnsweringVersion, beside: ServedModel | None = None, *, alone: bool = False
) -> ServedModel:
    """Load a version and answer once with it, so that the first request waits for nothing.

    Args:
        space: whose store holds the package.
        chosen: the version.
        beside: what is served now: frozen encoders that both read are not loaded a second time.
        alone: this process does nothing else: what libraries import for other uses is left out.

    Raises:
        ArtifactMissing, ArtifactCorrupt: something of its package is gone or damaged.
        WeightsError: weights of an encoder are absent.
    """
    from mer.predictor.predictor import Predictor
    from mer.predictor.side_by_side import EncoderThreads

    folder = fetch_package(space, chosen.row)
    with computing(space.settings), tempfile.TemporaryDirectory(prefix="mer-warm-") as scratch:
        lender = None if beside is None else beside.predictor
        cores = (os.cpu_count() or 1) // (space.settings.compute_threads or 1)
        threads = EncoderThreads(max(1, min(_MOST_PASSES, cores)))
        predictor = Predictor(folder, space.weights, chosen.row.version, lender, threads)
        if alone and predictor.package.runs_encoders:
            from mer.encoders.lean_import import import_lean

            import_lean()
        predictor.warm(_any_clip(Path(scratch)))
    return ServedModel(chosen.row, predictor, chosen.gated, chosen.remark)


def _any_clip(folder: Path) -> Clip:
    """A second of grey pictures and of a hum: every encoder and decoder has something to do."""
    import numpy as np

    from mer.demo.clip_file import write_clip

    frames = np.full((10, 64, 64, 3), 128, dtype=np.uint8)
    hum = (0.1 * np.sin(np.arange(16_000) * 0.05)).astype(np.float32)
    path = folder / "warm.mp4"
    write_clip(path, frames, 10, hum, 16_000)
    return Clip(name="warm", content="warm", path=path, corpus_root=folder)
