"""Clips into what the fusions of a package read: one batch of clips is read once for all fusions, and nothing outlives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from mer.clips import Clip
from mer.features.clip_feature import ClipFeature
from mer.features.dataset import FeatureTable, RaggedTable, ragged_of, table_of
from mer.features.extract import extract_clips, extract_clips_of_each
from mer.features.spec import FeatureSpec
from mer.predictor.loaded import LoadedParts
from mer.predictor.states import states_tables
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
from mer.predictor.trust import Findings
from mer.stream_tables import Level, StreamTable


def rows_of(clips: Sequence[Clip]) -> tuple[str, ...]:
    """What the rows of these clips' tables are called: their names, or where several share one `name/<row>`."""
    clips_of = Counter(clip.name for clip in clips)
    return tuple(
        clip.name if clips_of[clip.name] == 1 else f"{clip.name}/{row}" for row, clip in enumerate(clips)
    )


class BatchReading:
    """The streams of some clips, as a package's fusions were trained on.

    Several fusions, at several levels, read a clip once. What was read is forgotten with this object: the same clips may have
    other words, other noise or other files when they are asked for again, of which nothing here would know.

    Args:
        parts: of the package.
        clips: one batch.
    """

    def __init__(self, parts: LoadedParts, clips: Sequence[Clip]) -> None:
        self._parts = parts
        self._package = parts.package
        self._clips = tuple(clips)
        self._listening = Lock()
        self._transcribed: dict[str, tuple[Clip, ...]] = {}
        self._features: dict[FeatureSpec, list[ClipFeature]] = {}
        self._specs: dict[str, dict[FeatureSpec, None]] = {}
        self._present: dict[tuple[str, Level], NDArray[np.bool_]] = {}

    def streams(self, level: Level, names: Sequence[str] | None = None) -> dict[str, StreamTable]:
        """Table -> vectors, frames where the stream has some, or variants and hidden states, as `level` asks.

        Args:
            level: how streams are read.
            names: streams of the recipe; None: all that it reads.
        """
        tables: dict[str, StreamTable] = {}
        names = self._package.recipe.reads if names is None else names
        streams = self._parts.each([partial(self._stream, name, level) for name in names])
        for name, read in zip(names, streams, strict=True):
            self._present[name, level] = np.logical_or.reduce([table.present for table in read.values()])
            tables.update(read)
        return tables

    def _stream(self, name: str, level: Level) -> Mapping[str, StreamTable]:
        if level == "states":
            return self._states(name)
        frames = self._framewise(name) if level == "frames" else {}
        return frames or {self._package.recipe.table_name(name): self._vector(name)}

    def frozen(self) -> dict[str, FeatureTable]:
        """Name of a table -> a vector a clip of the frozen features, before anything that a view learnt.

        Of the hidden states that are read, or where none was chosen of the middle one.
        """
        recipe, tables = self._package.recipe, {}
        for name in recipe.reads:
            stream = recipe.streams[name]
            states = states_read(stream, self._package.served(name).read_layer)
            if states is None and stream.features.layered:
                table = self._table(name, stream.features)
                tables[recipe.table_name(name)] = select_layer(table, table.values.shape[1] // 2)
            else:
                tables[recipe.table_name(name)] = self._frozen(name, states)
        return tables

    def findings(self) -> Findings:
        """What was there of these clips, in the streams that `streams` has read of them."""
        recipe, count = self._package.recipe, len(self._clips)
        unheard = np.array([clip.transcript is None for clip in self._clips], dtype=bool)
        present = {
            name: np.logical_or.reduce([rows for (of, _), rows in self._present.items() if of == name])
            for name in dict.fromkeys(name for name, _ in self._present)
        }
        flags = {
            name: tuple(
                tuple(dict.fromkeys(flag for spec in specs for flag in self._features[spec][row].flags))
                for row in range(count)
            )
            for name in present
            for specs in [self._specs.get(name, {})]
        }
        recognised = {name: unheard for name in present if recipe.streams[name].features.recogniser}
        return Findings(present, flags, recognised)

    def _read(self, name: str, spec: FeatureSpec) -> list[ClipFeature]:
        """Features of the clips for a stream, computed once."""
        self._specs.setdefault(name, {})[spec] = None
        if spec not in self._features:
            self._features[spec] = extract_clips(self._parts.extractor(spec), self._heard(spec))
        return self._features[spec]

    def _read_together(self, specs: tuple[FeatureSpec, ...]) -> None:
        """Read several variants of one feature out of one decoding of each clip; `_read` then has them."""
        if len(specs) == 1 or all(spec in self._features for spec in specs):
            return
        each = extract_clips_of_each(self._parts.extractors(specs), self._heard(specs[0]))
        self._features.update(zip(specs, each, strict=True))

    def variants(self, name: str) -> list[FeatureTable]:
        """A stream's frozen features as its spec gives them, then at each further speed: (N, states, width) or (N, width)."""
        specs = self._package.recipe.streams[name].feature_variants
        self._read_together(specs)
        return [self._table(name, spec) for spec in specs]

    def _states(self, name: str) -> dict[str, FeatureTable]:
        """A stream's variants and hidden states, and its learnt vector."""
        stream, served = self._package.recipe.streams[name], self._package.served(name)
        is_adapted, is_aligned = (
            served.adapter is not None and stream.keep_adapted,
            served.alignment is not None,
        )
        learnt: FeatureTable | None = None
        if is_aligned:
            learnt = self._aligned(name)
        elif is_adapted:
            learnt = self._adapted(name)
        frozen = reads_frozen(stream, adapted=is_adapted, aligned=is_aligned)
        variants = self.variants(name) if frozen else []
        return states_tables(self._package.recipe.table_name(name), stream, variants, learnt)

    def _framewise(self, name: str) -> dict[str, StreamTable]:
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
            learnt = self._aligned(name)
        elif served.adapter is not None and stream.keep_adapted:
            learnt = self._adapted(name)
        frames = self._frames(name, spec)
        return framewise(self._package.recipe.table_name(name), frames, learnt)

    def _vector(self, name: str) -> FeatureTable:
        stream, served = self._package.recipe.streams[name], self._package.served(name)
        aligned = self._aligned(name) if served.alignment is not None else None
        is_adapted = served.adapter is not None and stream.keep_adapted
        adapted = self._adapted(name) if is_adapted else None
        frozen = None
        if reads_frozen(stream, adapted=is_adapted, aligned=aligned is not None):
            frozen = self._frozen(name, states_read(stream, served.read_layer))
        return fused_vector(stream, frozen, adapted, aligned)

    def _frozen(self, name: str, states: Sequence[int] | None) -> FeatureTable:
        """The frozen vector, of these hidden states alone: only they are computed, their places in the table count from 0."""
        stream = self._package.recipe.streams[name]
        if states is None:
            return read_states(self._table(name, stream.unaligned_features or stream.features), None, stream)
        held = stream.features.layers
        layers = tuple(held[index] for index in states) if isinstance(held, tuple) else tuple(states)
        table = self._table(name, stream.features.reading(layers))
        return read_states(table, range(len(states)), stream)

    def _adapted(self, name: str) -> FeatureTable:
        from mer.adaptation.finetune import adapted_features

        stream, served = self._package.recipe.streams[name], self._package.served(name)
        assert served.block is not None
        prefix = stream.features.prefix(served.block[0])
        specs = (prefix, *(prefix.at_speed(speed) for speed in stream.further_speeds))
        self._read_together(specs)
        if stream.adapted_posteriors is not None:
            variants = [self._frames(name, spec) for spec in specs]
            return self._parts.cross_fitted(name).log_posteriors(
                variants, [clip.content for clip in self._clips]
            )
        block = self._parts.block(name)
        return averaged([adapted_features(block, self._frames(name, spec)) for spec in specs])

    def _aligned(self, name: str) -> FeatureTable:
        from mer.alignment.pretrain import aligned_table

        return aligned_table(self._parts.alignment(name), self._alignable(name))

    def _alignable(self, name: str) -> FeatureTable:
        """The vector that the alignment goes on from: adapted, or of the layer that was studied, or the features as they are."""
        stream, served = self._package.recipe.streams[name], self._package.served(name)
        if served.adapter is not None and stream.adapted_posteriors is None:
            return self._adapted(name)
        if served.read_layer is None:
            return self._table(name, stream.features)
        held = stream.features.layers
        layer = held[served.read_layer] if isinstance(held, tuple) else served.read_layer
        return select_layer(self._table(name, stream.features.reading((layer,))), 0)

    def _heard(self, spec: FeatureSpec) -> Sequence[Clip]:
        """Of features that a recogniser writes texts for: the clips with transcripts as in training."""
        source = spec.recogniser
        if source is None or all(clip.transcript is not None for clip in self._clips):
            return self._clips
        from mer.transcription.listen import with_transcripts

        with self._listening:
            if source not in self._transcribed:
                recogniser = self._parts.recogniser(source)
                self._transcribed[source] = tuple(with_transcripts(self._clips, recogniser))
            return self._transcribed[source]

    def _table(self, name: str, spec: FeatureSpec) -> FeatureTable:
        return table_of(rows_of(self._clips), self._read(name, spec))

    def _frames(self, name: str, spec: FeatureSpec) -> RaggedTable:
        return ragged_of(rows_of(self._clips), self._read(name, spec))
