"""Alignment pre-training: a visual encoder learns to say of a face what the acoustic space says of the voice.

Known (system A, 3): the visual encoder is pre-trained on unlabelled video so that its features align with
the acoustic feature space. Reconstruction: symmetric InfoNCE between the clip's pooled visual embedding
and its fixed acoustic embedding, negatives of the batch and of a queue, learned temperature, optional cosine
term. Labels are never read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.alignment.aligned_model import (
    Alignment,
    aligned_features,
    aligned_table,
    load_alignment,
    save_alignment,
)
from mer.alignment.config import AlignmentConfig
from mer.alignment.fit import AlignmentFit
from mer.alignment.groups import ClipGroups
from mer.training.checkpoint import Checkpoint

__all__ = [
    "Alignment",
    "aligned_features",
    "aligned_table",
    "load_alignment",
    "pretrain_alignment",
    "save_alignment",
]

Progress = Callable[[int, int], None]


def pretrain_alignment(
    visual: NDArray[Any],
    acoustic: NDArray[np.float32],
    train: NDArray[np.bool_],
    held_out: NDArray[np.bool_],
    config: AlignmentConfig,
    source: str | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
    groups: ClipGroups | None = None,
    weights: Path | None = None,
    device: str = "cpu",
) -> Alignment:
    """Fit both sides on the training clips; keep the epoch with the lowest loss on the held-out clips.

    Args:
        visual: vectors (clips, features), or face crops uint8 (clips, frames, size, size, 3). acoustic:
        (clips, features) acoustic embeddings; targets, no gradient reaches what made them. train:
        (clips,) clips whose pairs are learned from. held_out: (clips,) clips for the choice of the epoch
        and the retrieval figures; none keeps the last epoch. config: options; `shuffle_pairs` makes the
        control run. source: trainable encoder of the crops, such as `seed:clip-tiny`; not used for
        vectors. checkpoint: where every finished epoch is kept; one that is found is gone on from, to the
        same bits. progress: called with (epochs done, epochs) after every epoch. groups: speakers and
        sources of the clips, where known. weights: folder for checksums of a pre-trained encoder of crops.
        device: where the training runs.

    Raises:
        ConfigError: shapes do not agree, clips are in both masks, or fewer than two clips are there to
        train on. DivergedError: more than three steps gave NaN or infinity.
    """
    fit = AlignmentFit(visual, acoustic, train, held_out, config, source, groups, weights, device)
    if checkpoint is not None and (state := checkpoint.load()) is not None:
        fit.restore(*state)
    while not fit.finished:
        fit.run_epoch()
        if checkpoint is not None:
            checkpoint.save(*fit.state())
        if progress is not None:
            progress(len(fit.history), config.epochs)
    return Alignment(
        tensors=fit.best_tensors,
        history=fit.history,
        retrieval=fit.retrieval(),
        shape=fit.model.shape,
        config=config,
        best_epoch=fit.best_epoch,
        weights=weights,
    )
