"""How much each stream entered the result of a clip, as the fitted model says it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from mer.fusion.fitted import FittedFusion
from mer.fusion.streams import StreamTable, stream_batch
from mer.fusion.train import batches_for_reading
from mer.fusion.windows import read_tables


@torch.no_grad()
def weights_of_streams(
    fitted: FittedFusion, tables: Mapping[str, StreamTable]
) -> dict[str, NDArray[np.float64]]:
    """Stream name -> (N,) weight; streams as the model reads them, `<stream>/statistics` among them where it reads these."""
    clips = len(next(iter(tables.values())).clip_ids)
    streams = stream_batch(read_tables(tables, fitted.config), fitted.standardisation, clips)
    model = fitted.model()
    weights = torch.zeros(clips, len(model.streams))
    for rows in batches_for_reading(streams, torch.arange(clips), fitted.config.batch_size):
        batch = streams.rows(rows)
        weights[rows] = model(batch.values, batch.present).modality_weights
    return {name: weights[:, number].numpy().astype(np.float64) for number, name in enumerate(model.streams)}
