"""The served model: clips in, calibrated posteriors out. Holds all encoders in memory; knows no store and no flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mer.clips import Clip
from mer.encoders import load_acoustic, resolve_weights
from mer.ensemble.posteriors import Posteriors
from mer.features.dataset import FeatureTable, RaggedTable, ragged_of, table_of
from mer.features.extract import Extractor, build_extractor, extract_clips
from mer.features.spec import FeatureSpec
from mer.fusion.fit import FittedFusion, load_fusion, predict_fusion
from mer.fusion.streams import StreamTable
from mer.predictor.package import ADAPTER_FOLDER, ALIGNMENT_FOLDER, FUSION_FOLDER, ModelPackage
from mer.predictor.streams import acoustic_stream, frame_spec, framewise, select_layer, visual_stream
from mer.recipes.recipe import AcousticStream

if TYPE_CHECKING:
    from mer.transcription.recogniser import Recogniser

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Prediction:
    """One clip's answer."""

    name: str
    discrete: str
    valence: float
    confidence: float
    """Calibrated probability of the answer."""


class Predictor:
    """A model version in memory.

    Args:
        folder: package folder (see `mer.predictor.package`).
        weights: cache folder of encoder weights.
    """

    def __init__(self, folder: Path, weights: Path) -> None:
        self.package = ModelPackage.read(folder)
        self._folder = folder
        self._weights = weights
        self._fusion: FittedFusion = load_fusion(folder / FUSION_FOLDER)
        self._extractors: dict[str, Extractor] = {}
        self._recogniser: Recogniser | None = None

    def predict(
        self, clips: Sequence[Clip], progress: Progress | None = None, batch_clips: int = 64
    ) -> list[Prediction]:
        """Predictions in the order of `clips`; `progress(done, total)` is called after every batch."""
        answers: list[Prediction] = []
        for begin in range(0, len(clips), batch_clips):
            batch = clips[begin : begin + batch_clips]
            answers += self._answers(batch, self.posteriors(batch))
            if progress is not None:
                progress(len(answers), len(clips))
        return answers

    def posteriors(self, clips: Sequence[Clip]) -> Posteriors:
        """Uncalibrated posteriors of these clips."""
        tables: dict[str, StreamTable] = {}
        for name in self.package.recipe.streams:
            tables |= self._framewise(name, clips) or {name: self._stream(name, clips)}
        return predict_fusion(self._fusion, tables)

    def _answers(self, clips: Sequence[Clip], posteriors: Posteriors) -> list[Prediction]:
        probabilities = posteriors.probabilities(self.package.temperature)
        best = probabilities.argmax(axis=1)
        emotions = self.package.recipe.emotions
        return [
            Prediction(
                name=clip.name,
                discrete=emotions[int(label)],
                valence=float(posteriors.valence[row]),
                confidence=float(probabilities[row, label]),
            )
            for row, (clip, label) in enumerate(zip(clips, best, strict=True))
        ]

    def _framewise(self, name: str, clips: Sequence[Clip]) -> dict[str, StreamTable]:
        """A stream's frames and its learnt vector; empty where the fusion reads the vector only."""
        recipe, layer = self.package.recipe, self.package.read_layer
        if recipe.fusion.level == "utterance":
            return {}
        if (spec := frame_spec(name, getattr(recipe, name).features, layer)) is None:
            return {}
        learnt: FeatureTable | None = None
        if recipe.acoustic is not None and name == "acoustic" and self.package.block is not None:
            learnt = self._adapted(recipe.acoustic, clips)
        if recipe.visual is not None and name == "visual" and recipe.visual.alignment is not None:
            learnt = self._aligned(self._table("visual", recipe.visual.features, clips))
        return framewise(name, self._frames(f"{name} frames", spec, clips), learnt)

    def _stream(self, name: str, clips: Sequence[Clip]) -> FeatureTable:
        recipe = self.package.recipe
        if name == "acoustic" and recipe.acoustic is not None:
            return self._acoustic(clips)
        if name == "visual" and recipe.visual is not None:
            return self._visual(clips)
        if recipe.lexical is None:
            raise ValueError(f"no stream {name!r}")
        return self._table("lexical", recipe.lexical.features, self._told(clips))

    def _told(self, clips: Sequence[Clip]) -> Sequence[Clip]:
        """The clips with transcripts as in training: by the recipe's recogniser where there is none."""
        source = self.package.recipe.recogniser
        if source is None or all(clip.transcript is not None for clip in clips):
            return clips
        from mer.transcription.listen import with_transcripts
        from mer.transcription.recogniser import open_recogniser

        if self._recogniser is None:
            self._recogniser = open_recogniser(source)
        return with_transcripts(clips, self._recogniser)

    def _acoustic(self, clips: Sequence[Clip]) -> FeatureTable:
        stream, layer = self.package.recipe.acoustic, self.package.read_layer
        assert stream is not None
        if layer is None:
            return self._table("acoustic", stream.features, clips)
        frozen = select_layer(self._table("acoustic", stream.features.reading((layer,)), clips), 0)
        if self.package.block is None:
            return frozen
        return acoustic_stream(frozen, self._adapted(stream, clips), keep_frozen=stream.keep_frozen)

    def _adapted(self, stream: AcousticStream, clips: Sequence[Clip]) -> FeatureTable:
        from mer.adaptation.finetune import adapted_features, load_adapter

        assert self.package.block is not None
        weights = resolve_weights(stream.features.source, self._weights)
        block = load_adapter(self._folder / ADAPTER_FOLDER, load_acoustic(weights), weights.identity)
        prefix = self._frames("prefix", stream.features.prefix(self.package.block[0]), clips)
        return adapted_features(block, prefix)

    def _visual(self, clips: Sequence[Clip]) -> FeatureTable:
        stream = self.package.recipe.visual
        assert stream is not None
        raw = self._table("visual", stream.features, clips)
        if stream.alignment is None:
            return visual_stream(raw, None, keep_unaligned=False)
        return visual_stream(raw, self._aligned(raw), keep_unaligned=stream.keep_unaligned)

    def _aligned(self, raw: FeatureTable) -> FeatureTable:
        from mer.alignment.pretrain import aligned_table, load_alignment

        return aligned_table(load_alignment(self._folder / ALIGNMENT_FOLDER), raw)

    def _extractor(self, name: str, spec: FeatureSpec) -> Extractor:
        if name not in self._extractors:
            self._extractors[name] = build_extractor(spec, self._weights)
        return self._extractors[name]

    def _table(self, name: str, spec: FeatureSpec, clips: Sequence[Clip]) -> FeatureTable:
        features = extract_clips(self._extractor(name, spec), clips)
        return table_of([clip.clip_id for clip in clips], features)

    def _frames(self, name: str, spec: FeatureSpec, clips: Sequence[Clip]) -> RaggedTable:
        features = extract_clips(self._extractor(name, spec), clips)
        return ragged_of([clip.clip_id for clip in clips], features)


def answer_table(predictions: Sequence[Prediction]) -> str:
    """Predictions as CSV text `name,discrete,valence,confidence`."""
    lines = ["name,discrete,valence,confidence"]
    lines += [f"{_field(p.name)},{p.discrete},{p.valence:.4f},{p.confidence:.4f}" for p in predictions]
    return "\n".join(lines) + "\n"


def _field(text: str) -> str:
    # A name that starts like a formula must not run when the file is opened in a spreadsheet.
    safe = f"'{text}" if text[:1] in "=+-@\t\r" else text
    return f'"{safe.replace(chr(34), chr(34) * 2)}"' if any(c in safe for c in ',"\n') else safe


__all__ = ["Prediction", "Predictor", "answer_table"]
