"""Clips into what the fusions of a package read. Holds the encoders; one batch of clips is read once for all fusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mer.clips import Clip
from mer.encoders import resolve_weights
from mer.features.dataset import FeatureTable, RaggedTable, ragged_of, table_of
from mer.features.extract import Extractor, build_extractor, extract_clips
from mer.features.layered import adaptation_placement, base_identity, load_layers
from mer.features.spec import FeatureSpec
from mer.fusion.streams import StreamTable
from mer.predictor.package import ADAPTER_FOLDER, ALIGNMENT_FOLDER, STREAM_ADAPTERS_FOLDER, ModelPackage
from mer.predictor.streams import adapted_stream, averaged, frame_spec, framewise, read_states, visual_stream
from mer.recipes.recipe import AcousticStream, LexicalStream, VisualStream

if TYPE_CHECKING:
    from mer.adaptation.finetune import AdaptedBlock
    from mer.transcription.recogniser import Recogniser

Level = Literal["utterance", "frames"]


def rows_of(clips: Sequence[Clip]) -> tuple[str, ...]:
    """What the rows of these clips' tables are called: their names, or where several share one `name/<row>`."""
    clips_of = Counter(clip.name for clip in clips)
    return tuple(
        clip.name if clips_of[clip.name] == 1 else f"{clip.name}/{row}" for row, clip in enumerate(clips)
    )


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
        self._last: dict[str, tuple[tuple[Clip, ...], FeatureTable | RaggedTable]] = {}
        self._recogniser: Recogniser | None = None
        self._blocks: dict[str, AdaptedBlock] = {}

    def streams(self, clips: Sequence[Clip], level: Level) -> dict[str, StreamTable]:
        """Stream name -> vectors, or frames where the stream has some and `level` asks for them."""
        tables: dict[str, StreamTable] = {}
        for name in self._package.recipe.reads:
            frames = self._framewise(name, clips) if level == "frames" else {}
            tables |= frames or {name: self._vector(name, clips)}
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
        if name in self._package.tower_blocks:
            learnt = self._adapted_encoder(name, self._transcribed(name, clips))
        if name == "visual" and recipe.visual is not None and self._is_aligned(recipe.visual):
            learnt = self._aligned(learnt or self._table("visual", recipe.visual.features, clips))
        return framewise(name, self._frames(f"{name} frames", spec, self._transcribed(name, clips)), learnt)

    def _vector(self, name: str, clips: Sequence[Clip]) -> FeatureTable:
        recipe = self._package.recipe
        if name == "acoustic" and recipe.acoustic is not None:
            return self._acoustic(recipe.acoustic, clips)
        if name == "visual" and recipe.visual is not None:
            return self._visual(recipe.visual, clips)
        if recipe.lexical is None:
            raise ValueError(f"no stream {name!r}")
        return self._encoded("lexical", recipe.lexical, self._transcribed(name, clips))

    def _transcribed(self, name: str, clips: Sequence[Clip]) -> Sequence[Clip]:
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
            layers = tuple(held[index] for index in states) if isinstance(held, tuple) else states
            table = self._table("acoustic", stream.features.reading(layers), clips)
            frozen = read_states(table, range(len(states)), stream)
        return adapted_stream(frozen, adapted, keep_frozen=stream.keep_frozen)

    def _adapted(self, stream: AcousticStream, clips: Sequence[Clip]) -> FeatureTable:
        from mer.adaptation.finetune import adapted_features

        assert self._package.block is not None
        block = self._block("acoustic", self._folder / ADAPTER_FOLDER, stream.features)
        prefix = stream.features.prefix(self._package.block[0])
        read = {"prefix": prefix} | {f"prefix at {s:g}": prefix.at_speed(s) for s in stream.adapted_speeds}
        return averaged(
            [adapted_features(block, self._frames(name, spec, clips)) for name, spec in read.items()]
        )

    def _block(self, name: str, folder: Path, spec: FeatureSpec) -> AdaptedBlock:
        """A stream's adapted block, loaded once."""
        from mer.adaptation.finetune import load_adapter

        if name not in self._blocks:
            weights = resolve_weights(spec.source, self._weights)
            placement = adaptation_placement(spec, weights, self._weights)
            encoder = load_layers(spec, weights, placement)
            self._blocks[name] = load_adapter(folder, encoder, base_identity(spec, weights))
        return self._blocks[name]

    def _adapted_encoder(self, name: str, clips: Sequence[Clip]) -> FeatureTable:
        """Adapted vectors of pictures or text."""
        from mer.adaptation.finetune import adapted_features

        spec: FeatureSpec = getattr(self._package.recipe, name).features
        block = self._block(name, self._folder / STREAM_ADAPTERS_FOLDER / name, spec)
        prefix = spec.prefix(self._package.tower_blocks[name][0])
        return adapted_features(block, self._frames(f"{name} prefix", prefix, clips))

    def _encoded(
        self, name: str, stream: VisualStream | LexicalStream, clips: Sequence[Clip]
    ) -> FeatureTable:
        """The vector of pictures or text: adapted, frozen, or both."""
        if name not in self._package.tower_blocks:
            return self._table(name, stream.features, clips)
        adapted = self._adapted_encoder(name, clips)
        if not stream.keep_frozen:
            return adapted
        return adapted_stream(self._table(name, stream.features, clips), adapted, keep_frozen=True)

    def _visual(self, stream: VisualStream, clips: Sequence[Clip]) -> FeatureTable:
        vector = self._encoded("visual", stream, clips)
        if not self._is_aligned(stream):
            return visual_stream(vector, None, keep_unaligned=False)
        is_adapted = "visual" in self._package.tower_blocks
        aligned_from = self._adapted_encoder("visual", clips) if is_adapted else vector
        return visual_stream(vector, self._aligned(aligned_from), keep_unaligned=stream.keep_unaligned)

    def _aligned(self, raw: FeatureTable) -> FeatureTable:
        from mer.alignment.pretrain import aligned_table, load_alignment

        return aligned_table(load_alignment(self._folder / ALIGNMENT_FOLDER, self._weights), raw)

    def _extractor(self, name: str, spec: FeatureSpec) -> Extractor:
        if name not in self._extractors:
            self._extractors[name] = build_extractor(spec, self._weights)
        return self._extractors[name]

    def _table(self, name: str, spec: FeatureSpec, clips: Sequence[Clip]) -> FeatureTable:
        known, table = self._last.get(name, ((), None))
        if known != tuple(clips) or not isinstance(
            table, FeatureTable
        ):  # another fusion may have read these clips just now
            table = table_of(rows_of(clips), extract_clips(self._extractor(name, spec), clips))
            self._last[name] = (tuple(clips), table)
        return table

    def _frames(self, name: str, spec: FeatureSpec, clips: Sequence[Clip]) -> RaggedTable:
        known, table = self._last.get(name, ((), None))
        if known != tuple(clips) or not isinstance(table, RaggedTable):
            table = ragged_of(rows_of(clips), extract_clips(self._extractor(name, spec), clips))
            self._last[name] = (tuple(clips), table)
        return table

    def _is_aligned(self, stream: VisualStream) -> bool:
        """Whether the fusion reads the aligned vector; without a speech stream there was nothing to align to."""
        return (
            stream.alignment is not None and stream.keep_aligned and self._package.recipe.acoustic is not None
        )
