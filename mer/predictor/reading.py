"""Clips into what the fusions of a package read. Holds the encoders; one batch of clips is read once for all fusions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mer.clips import Clip
from mer.encoders import load_acoustic, resolve_weights
from mer.features.dataset import FeatureTable, RaggedTable, ragged_of, table_of
from mer.features.extract import Extractor, build_extractor, extract_clips
from mer.features.spec import FeatureSpec
from mer.fusion.streams import StreamTable
from mer.predictor.package import ADAPTER_FOLDER, ALIGNMENT_FOLDER, ModelPackage
from mer.predictor.streams import acoustic_stream, frame_spec, framewise, read_states, visual_stream
from mer.recipes.recipe import AcousticStream, VisualStream

if TYPE_CHECKING:
    from mer.transcription.recogniser import Recogniser

Level = Literal["utterance", "frames"]


class StreamReader:
    """The streams of a package's recipe, as its fusions were trained on.

    Args:
        package: record of the model version.
        folder: its folder, for adapter and alignment.
        weights: cache folder of encoder weights.
    """

    def __init__(self, package: ModelPackage, folder: Path, weights: Path) -> None:
        self._package = package
        self._folder = folder
        self._weights = weights
        self._extractors: dict[str, Extractor] = {}
        self._last: dict[str, tuple[tuple[str, ...], FeatureTable | RaggedTable]] = {}
        self._recogniser: Recogniser | None = None

    def streams(self, clips: Sequence[Clip], level: Level) -> dict[str, StreamTable]:
        """Stream name -> vectors, or frames where the stream has some and `level` asks for them."""
        tables: dict[str, StreamTable] = {}
        for name in self._package.recipe.reads:
            found = self._framewise(name, clips) if level == "frames" else {}
            tables |= found or {name: self._vector(name, clips)}
        return tables

    def _framewise(self, name: str, clips: Sequence[Clip]) -> dict[str, StreamTable]:
        """A stream's frames and its learnt vector; empty where it has no frames."""
        recipe = self._package.recipe
        states = recipe.acoustic.read.states(self._package.read_layer) if recipe.acoustic else None
        if (spec := frame_spec(name, getattr(recipe, name).features, states)) is None:
            return {}
        learnt: FeatureTable | None = None
        if name == "acoustic" and recipe.acoustic is not None and self._package.block is not None:
            learnt = self._adapted(recipe.acoustic, clips)
        if name == "visual" and recipe.visual is not None and self._is_aligned(recipe.visual):
            learnt = self._aligned(self._table("visual", recipe.visual.features, clips))
        return framewise(name, self._frames(f"{name} frames", spec, self._told(name, clips)), learnt)

    def _vector(self, name: str, clips: Sequence[Clip]) -> FeatureTable:
        recipe = self._package.recipe
        if name == "acoustic" and recipe.acoustic is not None:
            return self._acoustic(recipe.acoustic, clips)
        if name == "visual" and recipe.visual is not None:
            return self._visual(recipe.visual, clips)
        if recipe.lexical is None:
            raise ValueError(f"no stream {name!r}")
        return self._table("lexical", recipe.lexical.features, self._told(name, clips))

    def _told(self, name: str, clips: Sequence[Clip]) -> Sequence[Clip]:
        """For text, the clips with transcripts as in training: by the recipe's recogniser where there is none."""
        source = self._package.recipe.recogniser
        if name != "lexical" or source is None or all(clip.transcript is not None for clip in clips):
            return clips
        from mer.transcription.listen import with_transcripts
        from mer.transcription.recogniser import open_recogniser

        if self._recogniser is None:
            self._recogniser = open_recogniser(source)
        return with_transcripts(clips, self._recogniser)

    def _acoustic(self, stream: AcousticStream, clips: Sequence[Clip]) -> FeatureTable:
        adapted = self._adapted(stream, clips) if self._package.block is not None else None
        if adapted is not None and not stream.keep_frozen:
            return adapted
        states = stream.read.states(self._package.read_layer) if stream.features.layered else None
        if states is None:
            frozen = read_states(self._table("acoustic", stream.features, clips), None, stream)
        else:  # only those states are computed: their places in the table count from 0
            held = stream.features.layers
            layers = tuple(held[place] for place in states) if isinstance(held, tuple) else states
            table = self._table("acoustic", stream.features.reading(layers), clips)
            frozen = read_states(table, range(len(states)), stream)
        return acoustic_stream(frozen, adapted, keep_frozen=stream.keep_frozen)

    def _adapted(self, stream: AcousticStream, clips: Sequence[Clip]) -> FeatureTable:
        from mer.adaptation.finetune import adapted_features, load_adapter

        assert self._package.block is not None
        weights = resolve_weights(stream.features.source, self._weights)
        block = load_adapter(self._folder / ADAPTER_FOLDER, load_acoustic(weights), weights.identity)
        prefix = self._frames("prefix", stream.features.prefix(self._package.block[0]), clips)
        return adapted_features(block, prefix)

    def _visual(self, stream: VisualStream, clips: Sequence[Clip]) -> FeatureTable:
        raw = self._table("visual", stream.features, clips)
        if not self._is_aligned(stream):
            return visual_stream(raw, None, keep_unaligned=False)
        return visual_stream(raw, self._aligned(raw), keep_unaligned=stream.keep_unaligned)

    def _aligned(self, raw: FeatureTable) -> FeatureTable:
        from mer.alignment.pretrain import aligned_table, load_alignment

        return aligned_table(load_alignment(self._folder / ALIGNMENT_FOLDER, self._weights), raw)

    def _extractor(self, name: str, spec: FeatureSpec) -> Extractor:
        if name not in self._extractors:
            self._extractors[name] = build_extractor(spec, self._weights)
        return self._extractors[name]

    def _table(self, name: str, spec: FeatureSpec, clips: Sequence[Clip]) -> FeatureTable:
        ids = tuple(clip.clip_id for clip in clips)
        known, found = self._last.get(name, ((), None))
        if known != ids or not isinstance(
            found, FeatureTable
        ):  # another fusion may have read these clips just now
            found = table_of(ids, extract_clips(self._extractor(name, spec), clips))
            self._last[name] = (ids, found)
        return found

    def _frames(self, name: str, spec: FeatureSpec, clips: Sequence[Clip]) -> RaggedTable:
        ids = tuple(clip.clip_id for clip in clips)
        known, found = self._last.get(name, ((), None))
        if known != ids or not isinstance(found, RaggedTable):
            found = ragged_of(ids, extract_clips(self._extractor(name, spec), clips))
            self._last[name] = (ids, found)
        return found

    def _is_aligned(self, stream: VisualStream) -> bool:
        """Whether the fusion reads the aligned vector; without a speech stream there was nothing to align to."""
        return (
            stream.alignment is not None and stream.keep_aligned and self._package.recipe.acoustic is not None
        )
