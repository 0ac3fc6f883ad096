"""From features to the streams of a fusion: shared by training and by the predictor, so that both see the same.

A stream is one vector a clip; at the level of frames, those streams that have frames are given frame by frame, and the vectors
that only a training stage gives (adapted, aligned) are streams of one frame beside them, of the same modality.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mer.errors import ConfigError
from mer.features.dataset import FeatureTable, RaggedTable
from mer.features.spec import CROPS_SOURCE, FeatureSpec
from mer.recipes.recipe import AcousticStream


def select_layer(states: FeatureTable, layer: int) -> FeatureTable:
    """One hidden state of all-layer features: (clips, layers + 1, width) -> (clips, width)."""
    return FeatureTable(clip_ids=states.clip_ids, values=states.values[:, layer], present=states.present)


def read_states(table: FeatureTable, states: Sequence[int] | None, stream: AcousticStream) -> FeatureTable:
    """The frozen vector a fusion reads: mean over a block of hidden states, of the pooling that is asked for.

    Args:
        table: (clips, states, width), or (clips, width) where `states` is None.
        states: indices of the table's second axis, neighbours; None: the values as they are.
        stream: `read.pooling` and the features' own pooling are read.

    Returns:
        (clips, width), or (clips, width / 2) where means are read of `mean_std`.

    Raises:
        ConfigError: hidden states that the encoder does not have.
    """
    values = table.values
    if states is not None:
        if states[-1] >= values.shape[1]:
            raise ConfigError(
                f"acoustic.read: expected hidden states 0 to {values.shape[1] - 1}, found a block up to {states[-1]}"
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


def adapted_stream(frozen: FeatureTable, adapted: FeatureTable | None, *, keep_frozen: bool) -> FeatureTable:
    """A stream's vector: the adapted state, with the frozen one (of speech the best layer) beside it if asked for."""
    if adapted is None:
        return frozen
    return concatenate(adapted, frozen) if keep_frozen else adapted


def visual_stream(
    raw: FeatureTable | None, aligned: FeatureTable | None, *, keep_unaligned: bool
) -> FeatureTable:
    """The visual vector: aligned embedding, with the unaligned vector beside it if asked for.

    Raises:
        ConfigError: face crops without an alignment (pixels are no features).
    """
    if aligned is not None and raw is not None and keep_unaligned:
        return concatenate(aligned, raw)
    table = aligned if aligned is not None else raw
    if table is None or table.values.dtype == np.uint8:
        raise ConfigError(
            "visual stream: expected feature vectors, found face crops; give the recipe `visual.alignment` "
            "(which trains an encoder on them) or name a visual encoder as the source"
        )
    return table


def frame_spec(stream: str, features: FeatureSpec, states: Sequence[int] | None) -> FeatureSpec | None:
    """The frames of a stream; None for face crops, which only an alignment turns into features.

    Args:
        stream: acoustic, visual or lexical.
        features: the stream's utterance features.
        states: hidden states of the acoustic stream that are read; several are averaged frame by frame.

    Raises:
        ConfigError: the acoustic stream without a layer.
    """
    if features.source == CROPS_SOURCE:
        return None
    if stream != "acoustic":
        return features.model_copy(update={"pooling": "frames"})
    if not states:
        raise ConfigError("acoustic stream: expected the layer that the layer study chose, found none")
    if len(states) == 1:
        return features.prefix(states[0])
    return features.model_copy(update={"layers": tuple(states), "reduce_layers": "mean", "pooling": "frames"})


def framewise(
    stream: str, frames: RaggedTable, learnt: FeatureTable | None
) -> dict[str, FeatureTable | RaggedTable]:
    """A stream's frames under its name, and the vector a training stage learnt (adapted, aligned) as `<stream>/learnt`."""
    return {stream: frames} | ({f"{stream}/learnt": learnt} if learnt is not None else {})


def concatenate(*tables: FeatureTable) -> FeatureTable:
    """Concatenate vectors of the same clips along the features; present where all are."""
    values = np.concatenate([table.values.reshape(len(table.clip_ids), -1) for table in tables], axis=1)
    present = np.logical_and.reduce([table.present for table in tables])
    return FeatureTable(clip_ids=tables[0].clip_ids, values=values, present=present)
