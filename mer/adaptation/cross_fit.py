"""Log-posteriors of adapted blocks, of each clip by blocks that were not fitted on it (cross-fitting).

Reconstruction, ours. A fusion that learns from the states of an adapter learns from clips the adapter was fitted on, whose states
tell their labels better than those of any new clip: it trusts them too much. Here the labelled clips of a view are dealt to inner
folds of whole speakers, an adapter is fitted without each fold (and again with other seeds), and a labelled clip's posteriors are
those of the adapters that did not see its fold. A new clip's are the mean of all: every one is blind to it. What is pooled are
log-posteriors of the adapters' own classifiers, since the states of differently fitted adapters are not of one space.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from mer.adaptation.adapted_block import Adaptation
from mer.adaptation.adapter_files import read_adapter, save_adapter
from mer.adaptation.block import Block, BlockEncoder
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.finetune import LabelledFrames, adapt
from mer.adaptation.posteriors_config import AdaptedPosteriors
from mer.adaptation.stack.fits import Split, adapt_stack, stacked_logits
from mer.errors import UNREADABLE, ConfigError, WeightsError
from mer.training.fit_masks import FitMasks
from mer.training.resumable import ONCE, Resumable
from mer.whole_files import write_whole

if TYPE_CHECKING:
    from mer.features.dataset import FeatureTable, RaggedTable

FOLDS = "folds.json"
LEAST = float(np.log(1e-4))
"""Lowest log-posterior that is given on: how sure an adapter is beyond that says nothing of the clip."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CrossFitted:
    """Adapters of all inner folds and seeds, on their encoder."""

    encoder: BlockEncoder
    block: Block
    config: AdaptationConfig
    fits: Sequence[Adaptation]
    """Fold by fold, the seeds of a fold side by side."""
    fold_of: Mapping[str, int]
    """Content of a labelled clip -> fold whose adapters were not fitted on it."""
    folds: int

    def log_posteriors(self, variants: Sequence[RaggedTable], contents: Sequence[str]) -> FeatureTable:
        """Log-posteriors of clips, means over fits and variants.

        Args:
            variants: cached hidden state `block.start` of the clips, as they are and at further speeds.
            contents: (clips,) of the clips.

        Returns:
            (clips, classes), at least `LEAST`; zeros, and present False, where a clip lacks the stream in any variant.
        """
        from mer.features.dataset import FeatureTable

        exact = self.config.model_copy(update={"precision": "fp32"})
        said = np.mean(
            [
                _log_softmax(
                    stacked_logits(self.encoder, self.block, self.fits, exact, frames).astype(np.float64)
                )
                for frames in variants
            ],
            axis=0,
        )  # (fits, clips, classes)
        by_fold = said.reshape(self.folds, -1, *said.shape[1:]).mean(axis=1)
        pooled = by_fold.mean(axis=0)
        for row, content in enumerate(contents):
            if (fold := self.fold_of.get(content)) is not None:
                pooled[row] = by_fold[fold, row]
        present = np.logical_and.reduce([np.asarray(frames.present, dtype=bool) for frames in variants])
        values = np.where(present[:, None], np.maximum(_log_softmax(pooled), LEAST), 0.0).astype(np.float32)
        return FeatureTable(tuple(variants[0].clip_ids), values, present)


def cross_fit(
    encoder: BlockEncoder,
    block: Block,
    clips: LabelledFrames,
    fold: NDArray[np.int64],
    options: tuple[AdaptationConfig, AdaptedPosteriors],
    resume: Callable[[int], Resumable] = lambda fit: ONCE,
) -> list[Adaptation]:
    """Fit adapters and head without each fold, with each seed; the last epoch is kept, since nobody is left to choose it by.

    On a GPU all fits go side by side (`adapt_stack`); on a processor, which that does not speed up, one after the other.

    Args:
        encoder: left exactly as it is; the fits run on its device.
        block: layers to adapt.
        clips: cached frames with labels, as of `adapt`.
        fold: (clips,) inner fold of each clip; -1: no fit learns from it.
        options: of every fit, and how many seeds.
        resume: checkpoint and progress of each fit by number, where they go one after the other.

    Returns:
        The fits, fold by fold, the seeds of a fold side by side.

    Raises:
        ConfigError: a single fold (clips of one speaker), or what `adapt` and, on a GPU, `adapt_stack` raise it for.
        DivergedError: as of these.
    """
    config, posteriors = options
    if int(fold.max(initial=-1)) < 1:
        raise ConfigError(
            "adapted_posteriors: expected labelled clips of at least two speakers to cross-fit over, found one; leave "
            "`adapted_posteriors` out"
        )
    splits = [
        Split((fold >= 0) & (fold != number), config.seed + seed)
        for number in range(int(fold.max()) + 1)
        for seed in range(posteriors.seeds)
    ]
    stacks = config.mask_target != "cluster" and not config.gradient_checkpointing
    if stacks and next(encoder.module.parameters()).device.type != "cpu":
        return adapt_stack(encoder, block, clips, splits, config)
    return [
        adapt(
            encoder,
            block,
            clips,
            FitMasks.all_training(split.train),
            config.model_copy(update={"seed": split.seed}),
            resume(number),
        )
        for number, split in enumerate(splits)
    ]


def save_cross_fitted(folder: Path, fitted: CrossFitted, base_identity: str) -> None:
    """Write all fits as one adapter (`mer.adaptation.adapter_files`), tensors stacked, and beside it who is of which fold."""
    first = fitted.fits[0]
    stacked = Adaptation(
        tensors={name: torch.stack([one.tensors[name] for one in fitted.fits]) for name in first.tensors},
        history=[
            {name: float(np.mean([one.history[epoch][name] for one in fitted.fits])) for name in figures}
            for epoch, figures in enumerate(first.history)
        ],
        best_epoch=first.best_epoch,
        class_count=first.class_count,
    )
    save_adapter(folder, stacked, base_identity, fitted.block, fitted.config)
    record = {"folds": fitted.folds, "fold_of": dict(fitted.fold_of)}
    write_whole(folder / FOLDS, json.dumps(record, sort_keys=True).encode())


def load_cross_fitted(folder: Path, encoder: BlockEncoder, base_identity: str) -> CrossFitted:
    """Read them again; the encoder itself is unchanged.

    Raises:
        WeightsError: the files are absent, damaged, or belong to other base weights.
    """
    saved = read_adapter(folder, base_identity)
    try:
        record = json.loads((folder / FOLDS).read_text(encoding="utf-8"))
        folds, fold_of = (
            int(record["folds"]),
            {str(name): int(fold) for name, fold in record["fold_of"].items()},
        )
    except UNREADABLE as error:
        raise WeightsError(f"adapter {folder}: {FOLDS} cannot be read: {error!r}") from error
    count = len(next(iter(saved.tensors.values())))
    if folds < 2 or count % folds or any(not 0 <= fold < folds for fold in fold_of.values()):
        raise WeightsError(
            f"adapter {folder}: expected {FOLDS} of {count} fits in folds, found {folds} folds"
        )
    fits = [
        Adaptation({name: value[number] for name, value in saved.tensors.items()}, [], 0, saved.class_count)
        for number in range(count)
    ]
    return CrossFitted(encoder, saved.block, saved.config, fits, fold_of, folds)


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
