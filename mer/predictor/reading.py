"""Clips into what the fusions of a package read. Holds the encoders; one batch of clips is read once for all fusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mer.clips import Clip
from mer.encoders import resolve_weights
from mer.features.clip_feature import ClipFeature
from mer.features.dataset import FeatureTable, RaggedTable, ragged_of, table_of
from mer.features.extract import Extractor, build_extractor, extract_clips
from mer.features.layered import adaptation_placement, base_identity, load_layers
from mer.features.spec import FeatureSpec
from mer.media.detector_choice import require_content
from mer.predictions import Evidence
from mer.predictor.package import ModelPackage, detector_path
from mer.predictor.streams import (
    averaged,
    frame_spec,
    framewise,
    fused_vector,
    read_states,
    reads_frozen,
    select_layer,
    states_read,
)
from mer.stream_tables import Level, StreamTable

if TYPE_CHECKING:
    from mer.adaptation.finetune import AdaptedBlock
    from mer.alignment.pretrain import Alignment
    from mer.transcription.recogniser import Recogniser


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
        folder: its folder, for adapters and alignments.
        weights: cache folder of encoder weights.
    """

    def __init__(self, package: ModelPackage, folder: Path, weights: Path) -> None:
        self._package = package
        self._folder = folder
        self._weights = weights
        self._extractors: dict[str, Extractor] = {}
        self._last: dict[str, tuple[tuple[Clip, ...], FeatureTable | RaggedTable]] = {}
        self._recognisers: dict[str, Recogniser] = {}
        self._blocks: dict[str, AdaptedBlock] = {}
        self._alignments: dict[str, Alignment] = {}
        self._flags: dict[str, tuple[list[Path], list[tuple[str, ...]]]] = {}
        self._present: dict[tuple[str, Level], tuple[list[Path], NDArray[np.bool_]]] = {}

    def streams(self, clips: Sequence[Clip], level: Level) -> dict[str, StreamTable]:
        """Stream name -> vectors, or frames where the stream has some and `level` asks for them."""
        tables: dict[str, StreamTable] = {}
        recipe = self._package.recipe
        for name in recipe.reads:
            heard = self._transcribed(recipe.streams[name].features, clips)
            frames = self._framewise(name, heard) if level == "frames" else {}
            read = frames or {recipe.table_name(name): self._vector(name, heard)}
            present = np.logical_or.reduce([table.present for table in read.values()])
            self._present[name, level] = ([clip.path for clip in clips], present)
            tables |= read
        return tables

    def evidence(self, clips: Sequence[Clip]) -> tuple[Evidence, ...]:
        """What was there of these clips, in the streams that `streams` read of them last."""
        paths = [clip.path for clip in clips]
        present = [(name, rows) for (name, _), (known, rows) in self._present.items() if known == paths]
        flags = [of_clips for known, of_clips in self._flags.values() if known == paths]
        reads = self._package.recipe.reads
        return tuple(
            Evidence(
                tuple(name for name in reads if any(rows[row] for of, rows in present if of == name)),
                tuple(dict.fromkeys(flag for of_clips in flags for flag in of_clips[row])),
            )
            for row in range(len(clips))
        )

    def _extracted(self, key: str, spec: FeatureSpec, clips: Sequence[Clip]) -> list[ClipFeature]:
        """Features under a key; the flags of the clips are noted."""
        features = extract_clips(self._extractor(key, spec), clips)
        self._flags[key] = ([clip.path for clip in clips], [feature.flags for feature in features])
        return features

    def _framewise(self, name: str, clips: Sequence[Clip]) -> dict[str, StreamTable]:
        """A stream's frames and its learnt vector; empty where it has no frames."""
        stream, served = self._package.recipe.streams[name], self._package.served(name)
        spec: FeatureSpec | None
        if stream.features.layered and states_read(stream, served.read_layer) is None:
            # packages to 0.2.0: of pictures and text all states were read side by side, no study chose one
            spec = stream.features.model_copy(update={"pooling": "frames"})
        elif (spec := frame_spec(stream, served.read_layer)) is None:
            return {}
        learnt: FeatureTable | None = None
        if served.alignment is not None:
            learnt = self._aligned(name, clips)
        elif served.adapter is not None and stream.keep_adapted:
            learnt = self._adapted(name, clips)
        frames = self._frames(f"{name} frames", spec, clips)
        return framewise(self._package.recipe.table_name(name), frames, learnt)

    def _vector(self, name: str, clips: Sequence[Clip]) -> FeatureTable:
        stream, served = self._package.recipe.streams[name], self._package.served(name)
        aligned = self._aligned(name, clips) if served.alignment is not None else None
        is_adapted = served.adapter is not None and stream.keep_adapted
        adapted = self._adapted(name, clips) if is_adapted else None
        frozen = None
        if reads_frozen(stream, adapted=is_adapted, aligned=aligned is not None):
            frozen = self._frozen(name, states_read(stream, served.read_layer), clips)
        return fused_vector(stream, frozen, adapted, aligned)

    def _frozen(self, name: str, states: Sequence[int] | None, clips: Sequence[Clip]) -> FeatureTable:
        """The frozen vector, of these hidden states alone: only they are computed, their places in the table count from 0."""
        stream = self._package.recipe.streams[name]
        if states is None:
            return read_states(self._table(name, stream.features, clips), None, stream)
        held = stream.features.layers
        layers = tuple(held[index] for index in states) if isinstance(held, tuple) else tuple(states)
        table = self._table(f"{name} {layers}", stream.features.reading(layers), clips)
        return read_states(table, range(len(states)), stream)

    def _adapted(self, name: str, clips: Sequence[Clip]) -> FeatureTable:
        from mer.adaptation.finetune import adapted_features

        stream, served = self._package.recipe.streams[name], self._package.served(name)
        assert served.block is not None
        prefix = stream.features.prefix(served.block[0])
        specs = {f"{name} prefix": prefix}
        specs |= {f"{name} prefix at {speed:g}": prefix.at_speed(speed) for speed in stream.further_speeds}
        block = self._block(name)
        return averaged(
            [adapted_features(block, self._frames(key, spec, clips)) for key, spec in specs.items()]
        )

    def _aligned(self, name: str, clips: Sequence[Clip]) -> FeatureTable:
        from mer.alignment.pretrain import aligned_table, load_alignment

        served = self._package.served(name)
        assert served.alignment is not None
        if name not in self._alignments:
            self._alignments[name] = load_alignment(self._folder / served.alignment, self._weights)
        return aligned_table(self._alignments[name], self._alignable(name, clips))

    def _alignable(self, name: str, clips: Sequence[Clip]) -> FeatureTable:
        """The vector that the alignment goes on from: adapted, or of the layer that was studied, or the features as they are."""
        stream, served = self._package.recipe.streams[name], self._package.served(name)
        if served.adapter is not None:
            return self._adapted(name, clips)
        if served.read_layer is None:
            return self._table(name, stream.features, clips)
        held = stream.features.layers
        layer = held[served.read_layer] if isinstance(held, tuple) else served.read_layer
        return select_layer(self._table(f"{name} {(layer,)}", stream.features.reading((layer,)), clips), 0)

    def _transcribed(self, spec: FeatureSpec, clips: Sequence[Clip]) -> Sequence[Clip]:
        """Of features that a recogniser writes texts for: the clips with transcripts as in training."""
        source = spec.recogniser
        if source is None or all(clip.transcript is not None for clip in clips):
            return clips
        from mer.transcription.listen import with_transcripts
        from mer.transcription.recogniser import open_recogniser

        if source not in self._recognisers:
            self._recognisers[source] = open_recogniser(source)
        return with_transcripts(clips, self._recognisers[source])

    def _block(self, name: str) -> AdaptedBlock:
        """A stream's adapted block, loaded once."""
        from mer.adaptation.finetune import load_adapter

        if name not in self._blocks:
            spec, adapter = self._package.recipe.streams[name].features, self._package.served(name).adapter
            assert adapter is not None
            weights = resolve_weights(spec.source, self._weights)
            placement = adaptation_placement(spec, weights, self._weights)
            encoder = load_layers(spec, weights, placement)
            self._blocks[name] = load_adapter(self._folder / adapter, encoder, base_identity(spec, weights))
        return self._blocks[name]

    def _extractor(self, name: str, spec: FeatureSpec) -> Extractor:
        if name not in self._extractors:
            self._extractors[name] = build_extractor(self._packaged(spec), self._weights)
        return self._extractors[name]

    def _packaged(self, spec: FeatureSpec) -> FeatureSpec:
        """The spec with the face detector whose file the package holds; a file that is not there is looked for in the weights."""
        inside = detector_path(spec.detector) if spec.detector is not None else None
        if spec.detector is None or inside is None or not (path := self._folder / inside).is_file():
            return spec
        require_content(path, spec.detector)
        return spec.with_detector(str(path))

    def _table(self, name: str, spec: FeatureSpec, clips: Sequence[Clip]) -> FeatureTable:
        known, table = self._last.get(name, ((), None))
        if known != tuple(clips) or not isinstance(
            table, FeatureTable
        ):  # another fusion may have read these clips just now
            table = table_of(rows_of(clips), self._extracted(name, spec, clips))
            self._last[name] = (tuple(clips), table)
        return table

    def _frames(self, name: str, spec: FeatureSpec, clips: Sequence[Clip]) -> RaggedTable:
        known, table = self._last.get(name, ((), None))
        if known != tuple(clips) or not isinstance(table, RaggedTable):
            table = ragged_of(rows_of(clips), self._extracted(name, spec, clips))
            self._last[name] = (tuple(clips), table)
        return table
