"""Adapting a block to emotion: cross-entropy plus lambda times masked reconstruction, from cached frames.

Known (system A, 2): the loss is masked reconstruction plus cross-entropy, on the chosen layers only.
Reconstruction: everything else. Layers below the block are frozen and deterministic, so the fit starts
from their output, computed once (`frames`), and no layer above `block.stop` is run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mer.adaptation.adapted_block import Adaptation, AdaptedBlock, adapted_features
from mer.adaptation.adapter_files import load_adapter, save_adapter
from mer.adaptation.adapters import check_block
from mer.adaptation.block import Block, BlockEncoder
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.fit import Fit
from mer.adaptation.fit_clips import FitClips
from mer.adaptation.processes import ALONE, Processes
from mer.training.checkpoint import Checkpoint

if TYPE_CHECKING:
    from mer.features.dataset import RaggedTable

__all__ = [
    "Adaptation",
    "AdaptedBlock",
    "adapt",
    "adapted_features",
    "load_adapter",
    "save_adapter",
]

Progress = Callable[[int, int], None]


def adapt(
    encoder: BlockEncoder,
    block: Block,
    frames: RaggedTable,
    labels: NDArray[np.int64],
    class_count: int,
    train: NDArray[np.bool_],
    validation: NDArray[np.bool_],
    config: AdaptationConfig,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
    variants: Sequence[RaggedTable] = (),
    processes: Processes = ALONE,
) -> Adaptation:
    """Fit adapters and head on the training clips; keep the epoch that is best on the validation clips.

    Args:
        encoder: left exactly as it is.
        block: layers to adapt.
        frames: cached hidden state `block.start` of every clip, (sum of frames, width).
        labels: (clips,) class index; -1 = unlabelled, never trained on.
        class_count: number of classes.
        train: (clips,) clips to train on; those without label or sound are left out.
        validation: (clips,) clips to choose the epoch by; none at all keeps the last epoch.
        config: options.
        checkpoint: where every finished epoch is kept; one that is found is gone on from, to the same bits.
        progress: called with (epochs done, epochs) after every epoch.
        variants: hidden state `block.start` of the same clips out of augmented waveforms, any number of tables like
            `frames`; what an epoch shows of them is `config.variants_per_epoch`. They are never validated on.
        processes: those that share the batches; every one calls this with equal arguments and gets the same result.
            The first writes the checkpoint, and all must be able to read it.

    Raises:
        ConfigError: shapes do not agree, clips are in both masks, or nothing can be trained on.
        DivergedError: more than three steps gave NaN or infinity.
    """
    check_block(encoder, block)
    device = next(encoder.module.parameters()).device
    clips = FitClips.of(frames, variants, labels, train, validation, device)
    clips.check(encoder.width, class_count)
    fit = Fit(encoder, block, clips, class_count, config, processes)
    if checkpoint is not None and (state := checkpoint.load()) is not None:
        fit.restore(*state)
    while not fit.finished:
        fit.run_epoch()
        if checkpoint is not None and processes.first:
            checkpoint.save(*fit.state())
        if progress is not None:
            progress(len(fit.history), config.epochs)
    return Adaptation(
        tensors=fit.best_tensors,
        history=fit.history,
        best_epoch=fit.best_epoch,
        class_count=class_count,
    )
