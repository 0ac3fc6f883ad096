"""From features to streams of level `states`, all variants and hidden states of a clip side by side, in training and prediction.

What a view has learnt of a stream (adapted, aligned) is a table of its own, `<name>/learnt`, of one variant and one state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mer.errors import ConfigError
from mer.features.dataset import FeatureTable
from mer.recipes.stream import Stream


def states_tables(
    table_name: str, stream: Stream, variants: Sequence[FeatureTable], learnt: FeatureTable | None
) -> dict[str, FeatureTable]:
    """The tables of one stream.

    Args:
        table_name: what systems call the stream.
        stream: its options.
        variants: its frozen features as they are, then at each further speed, (clips, states, width) or (clips, width); none
            where the frozen features are not read.
        learnt: (clips, width) what the view has learnt of it, if that is read.

    Returns:
        Name -> (clips, variants, states, width).

    Raises:
        ConfigError: face crops that no alignment turns into vectors, or hidden states that the encoder does not have.
    """
    tables = {table_name: stacked_states(stream, variants, table_name)} if variants else {}
    if learnt is not None:
        values = learnt.values.reshape(len(learnt.clip_ids), 1, 1, -1)
        tables[f"{table_name}/learnt"] = FeatureTable(learnt.clip_ids, values, learnt.present)
    if not tables or any(table.values.dtype == np.uint8 for table in tables.values()):
        raise ConfigError(
            f"{table_name}: expected feature vectors, found face crops; give the stream an `alignment` (which trains an encoder "
            "on them) or name a visual encoder as the source"
        )
    return tables


def stacked_states(stream: Stream, variants: Sequence[FeatureTable], name: str) -> FeatureTable:
    """Frozen features as (clips, variants, states, width); a clip that is absent in any variant is absent.

    The states are those of `read`, where it names a block, else all; the width is what `read.pooling` leaves.
    """
    read, present = stream.read, np.logical_and.reduce([variant.present for variant in variants])
    layered = stream.features.layered
    blocks = []
    for variant in variants:
        values = variant.values if layered else variant.values.reshape(len(variant.clip_ids), 1, -1)
        if layered and read.start is not None:
            if read.start + read.length > values.shape[1]:
                raise ConfigError(
                    f"{name} read: expected hidden states 0 to {values.shape[1] - 1}, found a block up to "
                    f"{read.start + read.length - 1}"
                )
            values = values[:, read.start : read.start + read.length]
        if read.pooling == "mean" and stream.features.pooling == "mean_std":
            values = values[..., : values.shape[-1] // 2]
        blocks.append(values)
    stacked = np.stack(blocks, axis=1)
    if not present.all():
        stacked = np.where(present[:, None, None, None], stacked, np.zeros((), stacked.dtype))
    return FeatureTable(variants[0].clip_ids, stacked, present)
