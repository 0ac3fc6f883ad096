"""Alignment pre-training: the trained side learns to say of a clip what the anchor's space says of it.

Known (system A, 3): a visual encoder is pre-trained on unlabelled video so that its features align with the
acoustic feature space. Reconstruction: symmetric InfoNCE between the clip's pooled embedding and its fixed
embedding of the anchor, negatives of the batch and of a queue, learned temperature, optional cosine term; any
stream may be aligned with any other's space. Labels are never read.
"""

from __future__ import annotations

from mer.alignment.aligned_model import Alignment, aligned_features, aligned_table
from mer.alignment.alignment_files import load_alignment, save_alignment
from mer.alignment.config import AlignmentConfig
from mer.alignment.fit import AlignmentFit
from mer.alignment.paired_clips import PairedClips
from mer.alignment.trunk import TrainedEncoder
from mer.training.checkpoint import Checkpoint
from mer.training.resumable import ONCE, Resumable

__all__ = [
    "Alignment",
    "PairedClips",
    "TrainedEncoder",
    "aligned_features",
    "aligned_table",
    "load_alignment",
    "pretrain_alignment",
    "save_alignment",
]


def pretrain_alignment(
    clips: PairedClips,
    config: AlignmentConfig,
    encoder: TrainedEncoder | None = None,
    resume: Resumable = ONCE,
    device: str = "cpu",
) -> Alignment:
    """Fit both sides on the training clips; keep the epoch with the lowest loss on the validation clips.

    Args:
        clips: both streams' values, masks and groups. config: options; `shuffle_pairs` makes the control run.
        encoder: trainable encoder of face crops; not used for vectors. resume: its checkpoint and progress.
        device: where the training runs.

    Raises:
        ConfigError: shapes do not agree, clips are in both masks, or fewer than two clips are there to
        train on. DivergedError: more than three steps gave NaN or infinity.
    """
    fit = AlignmentFit(clips, config, encoder, device)
    checkpoint: Checkpoint | None = resume.checkpoint
    progress = resume.progress
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
        weights=encoder.weights if encoder else None,
    )
