"""From features to the streams of a fusion: shared by training and by the predictor, so that both see the same.

A stream is one vector a clip; at the level of frames, those streams that have frames are given frame by frame, and the vectors
that only a training stage gives (adapted, aligned) are streams of one frame beside them, of the same modality.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mer.errors import ConfigError
from mer.features.dataset import FeatureTable, RaggedTable
from mer.features.spec import FeatureSpec
from mer.recipes.stream import Stream


def select_layer(states: FeatureTable, layer: int) -> FeatureTable:
    """One hidden state of all-layer features: (clips, layers + 1, width) -> (clips, width)."""
    return FeatureTable(clip_ids=states.clip_ids, values=states.values[:, layer], present=states.present)


def states_read(stream: Stream, studied: int | None) -> tuple[int, ...] | None:
    """The frozen hidden states that a fusion reads of a stream; None where its features have no axis of states.

    Args:
        stream: its options.
        studied: the state that the view's layer study chose; None: there was no study.
    """
    return stream.read.states(studied) if stream.features.layered else None


def read_states(
    table: FeatureTable, states: Sequence[int] | None, stream: Stream, name: str = ""
) -> FeatureTable:
    """The frozen vector a fusion reads: mean over a block of hidden states, of the pooling that is asked for.

    Args:
        table: (clips, states, width), or (clips, width) where `states` is None.
        states: indices of the table's second axis, neighbours; None: the values as they are.
        stream: `read.pooling` and the features' own pooling are read.
        name: of the stream, for errors; empty: its modality stands for it.

    Returns:
        (clips, width), or (clips, width / 2) where means are read of `mean_std`.

    Raises:
        ConfigError: hidden states that the encoder does not have.
    """
    values = table.values
    if states is not None:
        if states[-1] >= values.shape[1]:
            raise ConfigError(
                f"{name or stream.modality} read: expected hidden states 0 to {values.shape[1] - 1}, found a block up to "
                f"{states[-1]}"
            )
        block = values[:, states[0] : states[-1] + 1]
        # one state as it is stored: a mean of one would be the same numbers, in another precision for float16
        values = block[:, 0] if len(states) == 1 else block.mean(axis=1, dtype=np.float32)
    if stream.read.pooling == "mean" and stream.features.pooling == "mean_std":
        values = values[..., : values.shape[-1] // 2]
    return FeatureTable(clip_ids=table.clip_ids, values=values, present=table.present)


def averaged(variants: Sequence[FeatureTable]) -> FeatureTable:
    """Mean of the vectors of the same clips over several variants (other speeds); one variant is left as it is.

    A clip that is absent in any variant is absent.
    """
    if len(variants) == 1:
        return variants[0]
    present = np.logical_and.reduce([variant.present for variant in variants])
    values = np.mean([variant.values for variant in variants], axis=0, dtype=np.float32)
    return FeatureTable(
        clip_ids=variants[0].clip_ids, values=np.where(present[:, None], values, 0), present=present
    )


def reads_frozen(stream: Stream, *, adapted: bool, aligned: bool) -> bool:
    """Whether the frozen vector is read beside, or instead of, what a view has learnt of a stream.

    Args:
        stream: its options.
        adapted: whether there is an adapted state that is read.
        aligned: whether there is an aligned vector that is read.
    """
    unaligned = not aligned or stream.keep_unaligned
    return unaligned and (not adapted or stream.keep_frozen)


def fused_vector(
    stream: Stream, frozen: FeatureTable | None, adapted: FeatureTable | None, aligned: FeatureTable | None
) -> FeatureTable:
    """A stream's vector: what is read of the aligned embedding, the adapted state and the frozen features, in this order.

    Args:
        stream: its options.
        frozen: (clips, width); may be None where `reads_frozen` says so.
        adapted: (clips, width) where the fusion reads an adapted state.
        aligned: (clips, width) where the fusion reads an aligned embedding.

    Raises:
        ConfigError: face crops without an alignment (pixels are no features).
    """
    unaligned = frozen if adapted is None else adapted
    if adapted is not None and stream.keep_frozen and frozen is not None:
        unaligned = concatenate(adapted, frozen)
    if aligned is not None and unaligned is not None and stream.keep_unaligned:
        return concatenate(aligned, unaligned)
    table = aligned if aligned is not None else unaligned
    if table is None or table.values.dtype == np.uint8:
        raise ConfigError(
            f"{stream.modality} stream: expected feature vectors, found face crops; give the stream an `alignment` "
            "(which trains an encoder on them) or name a visual encoder as the source"
        )
    return table


def frame_spec(stream: Stream, studied: int | None) -> FeatureSpec | None:
    """The frames of a stream; None for face crops that only an alignment turns into features.

    Args:
        stream: its options.
        studied: the hidden state that the view's layer study chose, where the features are several side by side.

    Raises:
        ConfigError: features of several hidden states without a choice among them.
    """
    features = stream.unaligned_features
    if features is None:
        return None
    if not features.layered:
        return features.model_copy(update={"pooling": "frames"})
    states = states_read(stream, studied)
    if not states:
        raise ConfigError(
            f"{stream.modality} stream: expected the layer that the layer study chose, found none"
        )
    held = features.layers
    layers = tuple(held[index] for index in states) if isinstance(held, tuple) else states
    reduction = "stack" if len(states) == 1 else "mean"
    return features.model_copy(update={"layers": layers, "reduce_layers": reduction, "pooling": "frames"})


def framewise(
    table_name: str, frames: RaggedTable, learnt: FeatureTable | None
) -> dict[str, FeatureTable | RaggedTable]:
    """A stream's frames under its name, and the vector a training stage learnt (adapted, aligned) as `<name>/learnt`."""
    return {table_name: frames} | ({f"{table_name}/learnt": learnt} if learnt is not None else {})


def concatenate(*tables: FeatureTable) -> FeatureTable:
    """Concatenate vectors of the same clips along the features; present where all are."""
    values = np.concatenate([table.values.reshape(len(table.clip_ids), -1) for table in tables], axis=1)
    present = np.logical_and.reduce([table.present for table in tables])
    return FeatureTable(clip_ids=tables[0].clip_ids, values=values, present=present)
