"""What the fusion of a view reads: its streams' vectors or frames, resolved from feature references."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from infra.errors import ArtifactMissing
from mer.recipes import Stream
from mer.systems.choice import SystemChoice
from tasks.data.features import content_digest, feature_table, frame_table
from tasks.stage.references import FeatureSetRef, LearntStream, StreamInput, StreamInputs
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.features.dataset import FeatureTable
    from mer.features.spec import FeatureSpec
    from mer.stream_tables import Level, LevelTables, StreamTable


def view_streams(
    space: Workspace, inputs: StreamInputs, level: Level, clip_ids: Sequence[str]
) -> dict[str, StreamTable]:
    """Name of a table -> vectors (clips, width), frames, or all variants and hidden states (clips, variants, states, width), as
    `level` says and as this view's encoders give them.
    """
    tables: dict[str, StreamTable] = {}
    for item in inputs.values():
        if level == "states":
            tables |= _states(space, item, clip_ids)
        elif level == "frames" and frame_features(item.stream, item.learnt) is not None:
            tables |= _framewise(space, item, clip_ids)
        else:
            tables[item.table_name] = _vector(space, item, clip_ids)
    return tables


def vector_level(inputs: StreamInputs) -> Level:
    """Level at which every stream has a table that `mer.domain.training_domain.clip_vectors` turns into a vector a clip.

    One vector a clip where hidden states were chosen; where none was studied, all of them side by side.
    """
    unread = (
        item.stream.features.layered and item.learnt.read_layer is None and item.stream.read.start is None
        for item in inputs.values()
    )
    return "states" if any(unread) else "utterance"


def level_tables(
    space: Workspace, inputs: StreamInputs, choice: SystemChoice, clip_ids: Sequence[str]
) -> LevelTables:
    """The streams at every level that a system of this choice reads."""
    return {level: view_streams(space, inputs, source, clip_ids) for level, source in choice.sources.items()}


def read_identity(inputs: StreamInputs, choice: SystemChoice) -> list[list[str | int | bool | None]]:
    """Everything that decides what a system of this choice reads, in the order in which it reads the streams."""
    return [tables_identity(item, list(choice.sources.values())) for item in inputs.values()]


def tables_identity(item: StreamInput, levels: Collection[Level]) -> list[str | int | bool | None]:
    """Everything that decides a stream's tables of these levels (`view_streams`): of `states` the further speeds too."""
    if "states" not in levels:
        return stream_identity(item)
    return [*stream_identity(item), "states", *(features.key for features in item.speeds)]


def read_contents(inputs: StreamInputs, clip_ids: Sequence[str]) -> dict[str, str]:
    """What the clips' names do not say of the features: the media, files and transcripts that lie under them."""
    return {name: content_digest(item.features, sorted(clip_ids)) for name, item in inputs.items()}


def frame_features(stream: Stream, learnt: LearntStream) -> FeatureSpec | None:
    """Spec of a stream's frame-level features; None where only its vector can be read."""
    from mer.predictor.streams import frame_spec

    return frame_spec(stream, learnt.read_layer)


def frames_name(name: str, stream: Stream, learnt: LearntStream) -> str:
    """Key of a stream's frames among the feature references: views that read other hidden states have others."""
    from mer.predictor.streams import states_read

    states = states_read(stream, learnt.read_layer)
    return f"{name} frames" + (f" of layer {'+'.join(map(str, states))}" if states else "")


def speed_name(name: str, speed: float) -> str:
    """Key of a stream's features at a further speed among the feature references."""
    return f"{name} at {speed:g}"


def speed_features(name: str, stream: Stream) -> dict[str, FeatureSpec]:
    """Specs of a stream's features at its further speeds, by `speed_name`."""
    names = [speed_name(name, speed) for speed in stream.frozen_speeds]
    return dict(zip(names, stream.feature_variants[1:], strict=True))


def variant_tables(space: Workspace, item: StreamInput, clip_ids: Sequence[str]) -> list[FeatureTable]:
    """A stream's frozen features of these clips as they are, then at each further speed: (clips, states, width) each, or
    (clips, width) where the features have no axis of states.
    """
    return [feature_table(space, features, clip_ids) for features in item.variants]


def encoded_features(stream: Stream) -> FeatureSpec | None:
    """Spec of a stream's further feature set, what the alignment's encoder gives of face crops as it is; None: not read."""
    return stream.unaligned_features if stream.reads_crops else None


def encoded_name(name: str) -> str:
    """Key of that feature set among the feature references."""
    return f"{name} encoded"


def stream_identity(item: StreamInput) -> list[str | int | bool | None]:
    """Everything that decides what a fusion reads of a stream as one vector a clip, or as frames; see `tables_identity`."""
    from mer.predictor.streams import states_read

    stream, adapted, aligned = item.stream, adapted_read(item), aligned_read(item)
    return [
        item.table_name,
        item.unaligned.key,
        adapted.key if adapted else None,
        aligned.key if aligned else None,
        stream.keep_frozen,
        stream.keep_unaligned,
        stream.read.pooling,
        *(states_read(stream, item.learnt.read_layer) or ()),
    ]


def adapted_read(item: StreamInput) -> FeatureSetRef | None:
    """Adapted features that the fusion reads; the recipe may keep an adaptation for the alignment alone."""
    return item.learnt.adapted if item.stream.keep_adapted else None


def aligned_read(item: StreamInput) -> FeatureSetRef | None:
    """Aligned features that the fusion reads."""
    return item.learnt.aligned if item.stream.keep_aligned else None


def alignable_table(space: Workspace, item: StreamInput, clip_ids: Sequence[str]) -> FeatureTable:
    """The space of a stream that alignments go on from and lead to: adapted where there is an adapter, else the hidden state that
    the view's layer study chose, pooled; features without hidden states as they are.
    """
    from mer.predictor.streams import select_layer

    table = feature_table(space, item.alignable, clip_ids)
    layer = item.learnt.read_layer
    return table if item.adapted_state is not None or layer is None else select_layer(table, layer)


def alignable_key(item: StreamInput) -> str:
    """What decides that space, for keys."""
    layer = item.learnt.read_layer
    if item.adapted_state is not None or layer is None:
        return item.alignable.key
    return f"{item.features.key}/{layer}"


def _vector(space: Workspace, item: StreamInput, clip_ids: Sequence[str]) -> FeatureTable:
    from mer.predictor.streams import fused_vector, read_states, reads_frozen, states_read

    adapted, aligned = (
        feature_table(space, features, clip_ids) if features is not None else None
        for features in (adapted_read(item), aligned_read(item))
    )
    frozen = None
    if reads_frozen(item.stream, adapted=adapted is not None, aligned=aligned is not None):
        states = states_read(item.stream, item.learnt.read_layer)
        frozen = read_states(feature_table(space, item.unaligned, clip_ids), states, item.stream, item.name)
    return fused_vector(item.stream, frozen, adapted, aligned)


def _states(space: Workspace, item: StreamInput, clip_ids: Sequence[str]) -> dict[str, FeatureTable]:
    from mer.predictor.states import states_tables
    from mer.predictor.streams import reads_frozen

    adapted, aligned = adapted_read(item), aligned_read(item)
    learnt = aligned or adapted
    frozen = reads_frozen(item.stream, adapted=adapted is not None, aligned=aligned is not None)
    return states_tables(
        item.table_name,
        item.stream,
        variant_tables(space, item, clip_ids) if frozen else [],
        feature_table(space, learnt, clip_ids) if learnt is not None else None,
    )


def _framewise(space: Workspace, item: StreamInput, clip_ids: Sequence[str]) -> dict[str, StreamTable]:
    from mer.predictor.streams import framewise

    if item.frames is None:
        raise ArtifactMissing(
            f"{item.name} frames: expected the feature set that a fusion of level `frames` reads, found none; extract it first "
            "(flows.features.extract_frames)"
        )
    learnt = aligned_read(item) or adapted_read(item)
    vectors = feature_table(space, learnt, clip_ids) if learnt is not None else None
    return {**framewise(item.table_name, frame_table(space, item.frames, clip_ids), vectors)}
