"""Adapting a block to emotion: cross-entropy plus lambda times masked reconstruction, from cached frames.

Known (system A, 2): the loss is masked reconstruction plus cross-entropy, on the chosen layers only.
Reconstruction: everything else. Layers below the block are frozen and deterministic, so the fit starts
from their output, computed once (`frames`), and no layer above `block.stop` is run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mer.adaptation.adapted_block import (
    Adaptation,
    AdaptedBlock,
    adapted_features,
    embed_rows,
    load_adapter,
    save_adapter,
)
from mer.adaptation.adapters import BlockEncoder, check_block
from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.masked_reconstruction import MaskedReconstruction, span_mask
from mer.adaptation.padded_batches import (
    FrameStore,
    PaddedBatch,
    draw_windows,
    length_sorted_batches,
    pad,
)
from mer.errors import ConfigError
from mer.evaluation.metrics import confusion, unweighted_recall, waf
from mer.training.checkpoint import Checkpoint
from mer.training.optimiser_state import optimiser_tensors, restore_optimiser
from mer.training.seeding import epoch_generator
from mer.training.steps import StepGuard, seeded, warmup_cosine

if TYPE_CHECKING:
    from mer.features.dataset import RaggedTable

__all__ = ["Adaptation", "AdaptedBlock", "adapt", "adapted_features", "load_adapter", "save_adapter"]

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

    Raises:
        ConfigError: shapes do not agree, clips are in both masks, or nothing can be trained on.
        DivergedError: more than three steps gave NaN or infinity.
    """
    check_block(encoder, block)
    fit = _Fit(encoder, block, frames, labels, class_count, train, validation, config)
    if checkpoint is not None and (found := checkpoint.load()) is not None:
        fit.restore(*found)
    while not fit.finished:
        fit.run_epoch()
        if checkpoint is not None:
            checkpoint.save(*fit.state())
        if progress is not None:
            progress(len(fit.history), config.epochs)
    return Adaptation(
        tensors=fit.best_tensors,
        history=fit.history,
        best_epoch=fit.best_epoch,
        class_count=class_count,
    )


class _Fit:
    """State of one fit between epochs."""

    def __init__(
        self,
        encoder: BlockEncoder,
        block: Block,
        frames: RaggedTable,
        labels: NDArray[np.int64],
        class_count: int,
        train: NDArray[np.bool_],
        validation: NDArray[np.bool_],
        config: AdaptationConfig,
    ) -> None:
        self.config = config
        self.store = FrameStore.of(frames)
        self.labels = np.asarray(labels, dtype=np.int64)
        usable = np.asarray(frames.present, dtype=bool) & (self.labels >= 0)
        self.train_rows = _rows(train, usable, "train")
        self.validation_rows = _rows(validation, usable, "validation")
        _check_clips(self.store, encoder, self.labels, class_count, self.train_rows, self.validation_rows)
        with seeded(epoch_generator(config.seed, 0, "initialise")):
            self.adapted = AdaptedBlock(encoder, block, config, class_count)
            self.reconstruction = MaskedReconstruction(encoder.width).to(self.adapted.layers.device)
        self.targets = self._frozen_pass()
        self.parameters = [
            *self.adapted.layers.trainable.values(),
            *self.adapted.head.parameters(),
            *self.reconstruction.parameters(),
        ]
        heads = [*self.adapted.head.parameters(), *self.reconstruction.parameters()]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": list(self.adapted.layers.trainable.values()), "peak": config.learning_rate},
                {"params": heads, "peak": config.head_learning_rate},
            ],
            weight_decay=config.weight_decay,
        )
        self.guard = StepGuard()
        self.history: list[dict[str, float]] = []
        self.best_epoch = -1
        self.best_tensors: dict[str, Tensor] = {}

    @property
    def finished(self) -> bool:
        """All epochs are done, or patience is at an end."""
        done = len(self.history)
        waited = done - 1 - self.best_epoch
        patient = self.config.patience == 0 or len(self.validation_rows) == 0
        return done >= self.config.epochs or (done > 0 and not patient and waited >= self.config.patience)

    def run_epoch(self) -> None:
        """One pass over the training clips, then a look at the validation clips."""
        epoch = len(self.history)
        order = epoch_generator(self.config.seed, epoch, "order")
        hide = epoch_generator(self.config.seed, epoch, "hide")
        batches = length_sorted_batches(
            self.train_rows, self.store.lengths, self.config.batch_size, generator=order
        )
        self.adapted.train()
        sums = np.zeros(2)
        with seeded(epoch_generator(self.config.seed, epoch, "dropout")):
            for index, rows in enumerate(batches):
                self._set_step_size(epoch * len(batches) + index, self.config.epochs * len(batches))
                windows = draw_windows(self.store.lengths[rows], self.config.max_frames, order)
                batch = pad(self.store, rows, self.adapted.layers.device, windows)
                sums += len(rows) * np.array(self._step(batch, windows, hide, epoch))
        figures = {
            "epoch": float(epoch),
            "train_cross_entropy": sums[0] / len(self.train_rows),
            "train_reconstruction": sums[1] / len(self.train_rows),
            "skipped_steps": float(self.guard.skipped),
        }
        self.adapted.eval()
        figures |= self._validate()
        self.history.append({name: float(value) for name, value in figures.items()})
        if self._is_best(epoch):
            self.best_epoch = epoch
            self.best_tensors = self.adapted.small_tensors()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and record of a checkpoint."""
        tensors = {f"now/{name}": value for name, value in self.adapted.small_tensors().items()}
        tensors |= {f"reconstruction/{n}": v for n, v in self.reconstruction.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self.best_tensors.items()}
        tensors |= optimiser_tensors(self.optimiser)
        return tensors, {
            "config": self.config.model_dump(mode="json"),
            "history": self.history,
            "best_epoch": self.best_epoch,
            "skipped": self.guard.skipped,
        }

    def restore(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Go on from a checkpoint; one of other options is ignored (its stage's key would differ)."""
        if record.get("config") != self.config.model_dump(mode="json"):
            return
        self.adapted.load_small_tensors(_part(tensors, "now/"))
        self.reconstruction.load_state_dict(_part(tensors, "reconstruction/"))
        restore_optimiser(self.optimiser, tensors)
        self.best_tensors = _part(tensors, "best/")
        self.history = record["history"]
        self.best_epoch = record["best_epoch"]
        self.guard = StepGuard(record["skipped"])

    def _frozen_pass(self) -> FrameStore:
        """Run the block once before any training.

        Standardise the head, keep the targets of the reconstruction.
        """
        store, layers = self.store, self.adapted.layers
        targets = np.zeros(store.values.shape, dtype=np.float16)  # half the memory; only a regression target
        embeddings = []
        self.adapted.eval()
        with torch.inference_mode():
            for rows in length_sorted_batches(self.train_rows, store.lengths, self.config.batch_size):
                batch = pad(store, rows, layers.device)
                hidden = layers(batch.hidden, batch.mask)  # untrained adapters change nothing
                embeddings.append(self.adapted.pooling(hidden, batch.mask))
                for place, row in enumerate(rows):
                    begin, end = store.offsets[row], store.offsets[row + 1]
                    targets[begin:end] = hidden[place, : end - begin].cpu().numpy()
            self.adapted.head.standardise_to(torch.cat(embeddings))
        return FrameStore(values=targets, offsets=store.offsets)

    def _step(
        self,
        batch: PaddedBatch,
        windows: tuple[NDArray[np.int64], NDArray[np.int64]],
        generator: torch.Generator,
        epoch: int,
    ) -> tuple[float, float]:
        config = self.config
        labels = torch.from_numpy(self.labels[batch.rows]).to(batch.hidden.device)
        hidden, hide = batch.hidden, None
        if config.mask_probability > 0:
            hide = span_mask(batch.mask, config.mask_probability, config.mask_span_frames, generator)
            hidden = self.reconstruction.hide(hidden, hide)
        adapted = self.adapted.layers(hidden, batch.mask)
        logits = self.adapted.head(self.adapted.pooling(adapted, batch.mask))
        cross_entropy = functional.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        reconstruction = torch.zeros((), device=logits.device)
        if hide is not None and config.mask_weight > 0:
            frozen = pad(self.targets, batch.rows, batch.hidden.device, windows).hidden
            reconstruction = self.reconstruction.loss(adapted, frozen, hide)
        loss = cross_entropy + config.mask_weight * reconstruction
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters, config.gradient_clip)
        if not self.guard.accepts(loss.detach(), norm, where=f"adaptation, epoch {epoch}"):
            return 0.0, 0.0
        self.optimiser.step()
        return float(cross_entropy.detach()), float(reconstruction.detach())

    def _set_step_size(self, step: int, total: int) -> None:
        factor = warmup_cosine(step, total, self.config.warmup_share)
        for group in self.optimiser.param_groups:
            group["lr"] = factor * group["peak"]

    def _validate(self) -> dict[str, float]:
        if len(self.validation_rows) == 0:
            return {}
        embeddings = embed_rows(
            self.adapted.embed, self.store, self.validation_rows, self.adapted.layers.device
        )
        with torch.inference_mode():
            logits = self.adapted.head(torch.from_numpy(embeddings).to(self.adapted.layers.device)).cpu()
        truth = self.labels[self.validation_rows]
        counts = confusion(truth, logits.argmax(dim=1).numpy(), logits.shape[1])
        return {
            "validation_cross_entropy": float(functional.cross_entropy(logits, torch.from_numpy(truth))),
            "validation_waf": float(waf(counts)),
            "validation_uar": float(unweighted_recall(counts)),
        }

    def _is_best(self, epoch: int) -> bool:
        name = f"validation_{self.config.validation_score}"
        if name not in self.history[epoch] or self.best_epoch < 0:
            return True
        best, now = self.history[self.best_epoch], self.history[epoch]
        if now[name] != best[name]:
            return now[name] > best[name]
        return now["validation_cross_entropy"] < best["validation_cross_entropy"]


def _rows(mask: NDArray[np.bool_], usable: NDArray[np.bool_], name: str) -> NDArray[np.int64]:
    if mask.shape != usable.shape:
        raise ConfigError(f"adaptation: expected mask `{name}` of shape {usable.shape}, found {mask.shape}")
    return np.flatnonzero(mask & usable)


def _check_clips(
    store: FrameStore,
    encoder: BlockEncoder,
    labels: NDArray[np.int64],
    class_count: int,
    train_rows: NDArray[np.int64],
    validation_rows: NDArray[np.int64],
) -> None:
    problems = []
    if store.width != encoder.width:
        problems.append(f"frames are {store.width} wide, the encoder {encoder.width}")
    if len(labels) != len(store.lengths):
        problems.append(f"{len(labels)} labels for {len(store.lengths)} clips")
    elif np.intersect1d(train_rows, validation_rows).size:
        problems.append("clips are in both `train` and `validation`")
    if labels.size and labels.max() >= class_count:
        problems.append(f"label {labels.max()} with {class_count} classes")
    if len(np.unique(labels[train_rows])) < 2:
        problems.append("training clips with label and sound are of fewer than two classes")
    if problems:
        raise ConfigError(f"adaptation cannot start: {'; '.join(problems)}")


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
