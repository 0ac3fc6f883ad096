"""What the fusion of a view reads: its streams' vectors or frames, resolved from feature references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from infra.errors import ArtifactMissing
from mer.recipes import AcousticStream, Recipe
from tasks.data.features import feature_table, frame_table
from tasks.stage.references import FeatureSetRef, ViewSpaces
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.features.dataset import FeatureTable
    from mer.features.spec import FeatureSpec
    from mer.fusion.streams import StreamTable


def view_streams(
    space: Workspace,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: ViewSpaces,
    clip_ids: Sequence[str],
    only: Sequence[str] | None = None,
) -> dict[str, StreamTable]:
    """Stream name -> vectors (clips, width), or frames where the fusion's level says so, as this view's encoders give them."""
    from mer.predictor.streams import adapted_stream, framewise, visual_stream

    tables: dict[str, StreamTable] = {}
    spaces = spaces_read(recipe, spaces)
    for stream in only or recipe.reads:
        if frame_features(recipe, stream, spaces) is not None:
            learnt = (spaces.aligned if stream == "visual" else None) or spaces.adapted_features(stream)
            vectors = feature_table(space, learnt, clip_ids) if learnt is not None else None
            frames = frame_table(space, _frames_of(recipe, features, stream, spaces), clip_ids)
            tables |= framewise(stream, frames, vectors)
        elif stream == "acoustic" and recipe.acoustic is not None:
            adapted = feature_table(space, spaces.adapted, clip_ids) if spaces.adapted else None
            frozen = _frozen_states(space, recipe.acoustic, features["acoustic"], spaces, clip_ids)
            tables[stream] = adapted_stream(frozen, adapted, keep_frozen=recipe.acoustic.keep_frozen)
        elif stream == "visual" and recipe.visual is not None:
            aligned = feature_table(space, spaces.aligned, clip_ids) if spaces.aligned else None
            needs_raw = aligned is None or recipe.visual.keep_unaligned
            raw = _stream_vector(space, recipe, features, spaces, stream, clip_ids) if needs_raw else None
            tables[stream] = visual_stream(raw, aligned, keep_unaligned=recipe.visual.keep_unaligned)
        else:
            tables[stream] = _stream_vector(space, recipe, features, spaces, stream, clip_ids)
    return tables


def _stream_vector(
    space: Workspace,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: ViewSpaces,
    stream: str,
    clip_ids: Sequence[str],
) -> FeatureTable:
    """The vector of a stream of pictures or text: adapted, frozen, or both."""
    from mer.predictor.streams import adapted_stream

    learnt = spaces.adapted_features(stream)
    if learnt is None:
        return feature_table(space, features[stream], clip_ids)
    adapted = feature_table(space, learnt, clip_ids)
    if not getattr(recipe, stream).keep_frozen:
        return adapted
    return adapted_stream(feature_table(space, features[stream], clip_ids), adapted, keep_frozen=True)


def frame_features(recipe: Recipe, stream: str, spaces: ViewSpaces) -> FeatureSpec | None:
    """Spec of a stream's frame-level features; None where the fusion reads its vector."""
    from mer.predictor.streams import frame_spec

    if recipe.fusion.level == "utterance":
        return None
    return frame_spec(stream, getattr(recipe, stream).features, states_read(recipe, spaces))


def frames_name(recipe: Recipe, stream: str, spaces: ViewSpaces) -> str:
    """Key of a stream's frames among the feature references; those of the acoustic stream depend on the states read."""
    if stream != "acoustic":
        return f"{stream} frames"
    return f"{stream} frames of layer {'+'.join(map(str, states_read(recipe, spaces) or ()))}"


def states_read(recipe: Recipe, spaces: ViewSpaces) -> tuple[int, ...] | None:
    """The frozen hidden states that the fusion of a view reads; None where the features have no axis of states."""
    return recipe.acoustic.read.states(spaces.read_layer) if recipe.acoustic is not None else None


def spaces_read(recipe: Recipe, spaces: ViewSpaces) -> ViewSpaces:
    """The spaces without the encoders that no fusion reads: the recipe may keep those for other stages only."""
    if recipe.acoustic is None or not recipe.acoustic.keep_adapted:
        spaces = replace(spaces, adapter=None, adapted=None)
    if recipe.visual is None or not recipe.visual.keep_aligned:
        spaces = replace(spaces, alignment=None, aligned=None)
    return spaces


def stream_identity(
    recipe: Recipe, stream: str, features: Mapping[str, FeatureSetRef], spaces: ViewSpaces
) -> list[str | int | bool | None]:
    """Everything that decides what a fusion reads of a stream, for the keys of what is trained on it."""
    spaces = spaces_read(recipe, spaces)
    key = features[stream].key
    if stream == "acoustic" and recipe.acoustic is not None:
        adapted = spaces.adapted.key if spaces.adapted else None
        states = states_read(recipe, spaces) or ()
        return [key, adapted, recipe.acoustic.keep_frozen, recipe.acoustic.read.pooling, *states]
    if stream == "visual" and recipe.visual is not None:
        aligned = spaces.aligned.key if spaces.aligned else None
        return [key, aligned, recipe.visual.keep_unaligned, *_adapted_identity(recipe, stream, spaces)]
    return [key, *_adapted_identity(recipe, stream, spaces)]


def _adapted_identity(recipe: Recipe, stream: str, spaces: ViewSpaces) -> list[str | bool]:
    learnt = spaces.adapted_features(stream)
    return [] if learnt is None else [learnt.key, getattr(recipe, stream).keep_frozen]


def _frames_of(
    recipe: Recipe, features: Mapping[str, FeatureSetRef], stream: str, spaces: ViewSpaces
) -> FeatureSetRef:
    name = frames_name(recipe, stream, spaces)
    if name not in features:
        raise ArtifactMissing(
            f"{name}: expected the feature set that a fusion of level `frames` reads, found none; extract it first "
            "(flows.features.extract_frames)"
        )
    return features[name]


def frozen_layer(
    space: Workspace, acoustic: FeatureSetRef, spaces: ViewSpaces, clip_ids: Sequence[str]
) -> FeatureTable:
    """The hidden state the view's layer study chose, pooled: values (clips, 2 * width); features without layers as they are."""
    from mer.predictor.streams import select_layer

    table = feature_table(space, acoustic, clip_ids)
    return table if spaces.read_layer is None else select_layer(table, spaces.read_layer)


def _frozen_states(
    space: Workspace,
    stream: AcousticStream,
    acoustic: FeatureSetRef,
    spaces: ViewSpaces,
    clip_ids: Sequence[str],
) -> FeatureTable:
    from mer.predictor.streams import read_states

    states = stream.read.states(spaces.read_layer) if stream.features.layered else None
    return read_states(feature_table(space, acoustic, clip_ids), states, stream)


def acoustic_space(
    space: Workspace, acoustic: FeatureSetRef, spaces: ViewSpaces, clip_ids: Sequence[str]
) -> FeatureTable:
    """The acoustic space the visual stream is aligned to: adapted where there is an adapter, else the chosen layer."""
    if spaces.adapted is not None:
        return feature_table(space, spaces.adapted, clip_ids)
    return frozen_layer(space, acoustic, spaces, clip_ids)
