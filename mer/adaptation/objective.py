"""Loss that a step of the adaptation minimises: `CE + lambda * L_mask` (system A, 2).

Known: the sum of both. Reconstruction: class weights, SpecAugment on the cached state (`frame_masking`), and mixup of
pooled embeddings and labels (manifold mixup, Verma et al. 2019, at the last layer only: clips differ in length, so
their frames cannot be mixed one by one).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mer.adaptation.adapted_block import AdaptedBlock
from mer.adaptation.batch_plan import BatchPlan
from mer.adaptation.codebook import fit_codebook, nearest_clusters
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.fit_clips import FitClips
from mer.adaptation.frame_masking import blank
from mer.adaptation.masked_reconstruction import MaskedReconstruction
from mer.adaptation.padded_batches import FrameStore, pad
from mer.training.batches import length_sorted_batches
from mer.training.losses import class_weights
from mer.training.seeding import derive_seed


@dataclass(frozen=True)
class StepLosses:
    """Losses of some clips of a batch, divided by the clips and hidden frames of the whole batch."""

    total: Tensor
    cross_entropy: Tensor
    reconstruction: Tensor


class Objective(nn.Module):
    """The adapted block, the masked reconstruction and the data, as one loss of a batch.

    Building it runs the frozen block over the training clips once: the head is standardised by what comes out, and the
    targets of the reconstruction are kept.
    """

    def __init__(
        self,
        adapted: AdaptedBlock,
        reconstruction: MaskedReconstruction,
        clips: FitClips,
        config: AdaptationConfig,
    ) -> None:
        super().__init__()
        self.adapted = adapted
        self.reconstruction = reconstruction
        self.clips = clips
        self.config = config
        device = adapted.layers.device
        self.labels = torch.from_numpy(clips.labels).to(device)
        weights = class_weights(clips.labels[clips.train], adapted.class_count, config.class_weighting)
        self.per_class = weights.to(device)
        self.predicts = config.mask_weight > 0 and config.mask_probability > 0
        self.filler = mean_frame(clips)
        self.targets = self._frozen_pass()

    def forward(self, plan: BatchPlan, clips: int, hidden_frames: int) -> StepLosses:
        """Losses of the plan's clips.

        Args:
            plan: all clips of a batch, or this process's part of them.
            clips: clips of the whole batch.
            hidden_frames: frames to predict in the whole batch.
        """
        batch = pad(self.clips.store, plan.rows, plan.windows)
        device = batch.hidden.device
        hidden = blank(
            batch.hidden, self.filler, _on(plan.blank_times, device), _on(plan.blank_features, device)
        )
        if plan.hide is not None:
            hidden = self.reconstruction.hide(hidden, plan.hide.to(device))
        adapted = self.adapted.layers(hidden, batch.mask)
        cross_entropy = self._cross_entropy(self.adapted.pooling(adapted, batch.mask), plan) / clips
        reconstruction = torch.zeros((), device=device)
        if self.targets is not None:
            reconstruction = self._summed_reconstruction(adapted, plan, self.targets) / max(hidden_frames, 1)
        total = cross_entropy + self.config.mask_weight * reconstruction
        return StepLosses(total, cross_entropy.detach(), reconstruction.detach())

    def _summed_reconstruction(self, adapted: Tensor, plan: BatchPlan, targets: FrameStore) -> Tensor:
        if plan.hide is None:
            return adapted.new_zeros(())
        # indices are made on the CPU: picking by a mask on a GPU would wait for it
        index, _ = targets.frame_index(plan.rows, plan.windows)
        frozen = targets.values.index_select(0, index[plan.hide].to(targets.device))
        frozen = frozen.float() if self.reconstruction.clusters is None else frozen[:, 0].long()
        at = plan.hide.reshape(-1).nonzero()[:, 0].to(adapted.device)
        shown = adapted.reshape(-1, adapted.shape[-1]).index_select(0, at)
        return self.reconstruction.summed_loss(shown, frozen)

    def _cross_entropy(self, embedding: Tensor, plan: BatchPlan) -> Tensor:
        """Sum over the clips; each is mixed with its neighbour in the batch, a clip of about the same length."""
        labels = self.labels[torch.from_numpy(plan.rows).to(embedding.device)]
        if plan.share is None:
            return self._losses(self.adapted.head(embedding), labels).sum()
        share = plan.share.to(embedding.device)
        mixed = share[:, None] * embedding + (1.0 - share[:, None]) * embedding.roll(1, dims=0)
        logits = self.adapted.head(mixed)
        loss, partner_loss = self._losses(logits, labels), self._losses(logits, labels.roll(1))
        return (share * loss + (1.0 - share) * partner_loss).sum()

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        plain = functional.cross_entropy(
            logits, labels, reduction="none", label_smoothing=self.config.label_smoothing
        )
        # not divided by the batch's class weights: a rare class must not only count more within its batch
        return plain * self.per_class[labels]

    def _frozen_pass(self) -> FrameStore | None:
        """Run the block once before any training.

        The head's statistics and the codebook are those of the plain clips.
        """
        store, config, plain = self.clips.store, self.config, self.clips.train
        rows = self.clips.shown if self.predicts else plain
        # half the memory; only a regression target
        targets = torch.zeros_like(store.values, dtype=torch.float16) if self.predicts else None
        embeddings = []
        self.adapted.eval()
        with torch.inference_mode():
            for batch_rows in length_sorted_batches(rows, store.lengths, config.batch_size):
                batch = pad(store, batch_rows)
                hidden = self.adapted.layers.frozen(batch.hidden, batch.mask)
                is_plain = torch.from_numpy(batch_rows < len(store.lengths) // len(self.clips.choices))
                embeddings.append(self.adapted.pooling(hidden, batch.mask)[is_plain.to(store.device)])
                if targets is not None:
                    index, valid = store.frame_index(batch_rows)
                    targets[index[valid].to(store.device)] = hidden[batch.mask].half()
        self.adapted.head.standardise_to(torch.cat(embeddings))
        if targets is None:
            return None
        if self.reconstruction.clusters is not None:
            index, valid = store.frame_index(plain)
            states = targets[index[valid].to(store.device)]
            centres = fit_codebook(states, self.reconstruction.clusters, derive_seed(config.seed, "codebook"))
            targets = nearest_clusters(targets, centres)[:, None].to(torch.int16)
        return FrameStore(values=targets, offsets=store.offsets)


def mean_frame(clips: FitClips) -> Tensor:
    """(width,) mean of the plain training clips' frames; those that are not finite are left out."""
    index, valid = clips.store.frame_index(clips.train)
    frames = clips.store.values[index[valid].to(clips.store.device)]
    frames = frames[frames.isfinite().all(dim=1)]
    return frames.float().mean(dim=0) if len(frames) else frames.new_zeros(clips.store.width).float()


def _on(mask: Tensor | None, device: torch.device) -> Tensor | None:
    return None if mask is None else mask.to(device)
