"""Adapting a block to emotion: cross-entropy plus lambda times masked reconstruction, from cached frames.

Known (system A, 2): the loss is masked reconstruction plus cross-entropy, on the chosen layers only.
Reconstruction: everything else. Layers below the block are frozen and deterministic, so the fit starts
from their output, computed once (`frames`), and no layer above `block.stop` is run.
"""

from __future__ import annotations

from mer.adaptation.adapted_block import Adaptation, AdaptedBlock, adapted_features
from mer.adaptation.adapter_files import load_adapter, save_adapter
from mer.adaptation.adapters import check_block
from mer.adaptation.block import Block, BlockEncoder
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.fit import Fit
from mer.adaptation.fit_clips import FitClips, LabelledFrames
from mer.adaptation.processes import ALONE, Processes
from mer.training.checkpoint import Checkpoint
from mer.training.fit_masks import FitMasks
from mer.training.resumable import ONCE, Resumable

__all__ = [
    "Adaptation",
    "AdaptedBlock",
    "LabelledFrames",
    "adapt",
    "adapted_features",
    "load_adapter",
    "save_adapter",
]


def adapt(
    encoder: BlockEncoder,
    block: Block,
    clips: LabelledFrames,
    masks: FitMasks,
    config: AdaptationConfig,
    resume: Resumable = ONCE,
    processes: Processes = ALONE,
) -> Adaptation:
    """Fit adapters and head on the training clips; keep the epoch that is best on the validation clips.

    Args:
        encoder: left exactly as it is.
        block: layers to adapt.
        clips: cached hidden state `block.start` of every clip, and its variants, with the labels; what an epoch shows
            of the variants is `config.variants_per_epoch`. They are never validated on.
        masks: clips to train on and to choose the epoch by; those without label or sound are left out.
        config: options.
        resume: its checkpoint and progress.
        processes: those that share the batches; every one calls this with equal arguments and gets the same result.
            The first writes the checkpoint, and all must be able to read it.

    Raises:
        ConfigError: shapes do not agree, clips are in both masks, or nothing can be trained on.
        DivergedError: more than three steps gave NaN or infinity.
    """
    check_block(encoder, block)
    device = next(encoder.module.parameters()).device
    fit_clips = FitClips.of(clips, masks, device)
    fit_clips.check(encoder.width, clips.class_count)
    fit = Fit(encoder, block, fit_clips, clips.class_count, config, processes)
    checkpoint: Checkpoint | None = resume.checkpoint
    progress = resume.progress
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
        class_count=clips.class_count,
    )
