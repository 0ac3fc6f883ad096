"""Many adaptations of one block in one pass: folds x seeds as one more dimension of every tensor.

A small encoder leaves a GPU idle: a step is many small operations, and their launch is what takes the time. Fits that
differ only in their training clips and seed do the same operations, so they are mapped with `torch.func.vmap`: one
launch serves all of them. Reconstruction, ours. Every fit draws its batches, pieces and masks from its own seed exactly
as `adapt` does, so without dropout it ends where `adapt` ends, up to rounding; dropout is drawn for all fits at once.

What is left out: an epoch is not chosen on validation clips (the last one is kept, so the number of epochs has to be
chosen beforehand), and there are no checkpoints, cluster targets, gradient checkpointing or several processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from mer.adaptation.adapted_block import Adaptation, AdaptedBlock
from mer.adaptation.adapters import check_block
from mer.adaptation.batch_plan import BatchPlan, Chances, draw_plan
from mer.adaptation.block import Block, BlockEncoder
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.fit_clips import FitClips, LabelledFrames
from mer.adaptation.masked_reconstruction import MaskedReconstruction
from mer.adaptation.objective import mean_frame
from mer.adaptation.padded_batches import FrameStore, pad
from mer.adaptation.stack.adam import StackedAdam
from mer.adaptation.stack.member import MemberStart, StackedBatch, StackMember, stack_plans
from mer.errors import ConfigError
from mer.training.batches import length_sorted_batches
from mer.training.fit_masks import FitMasks
from mer.training.losses import class_weights
from mer.training.seeding import epoch_generator
from mer.training.steps import seeded, warmup_cosine

if TYPE_CHECKING:
    from mer.features.dataset import RaggedTable

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Split:
    """Clips and seed that distinguish one fit of a stack."""

    train: NDArray[np.bool_]
    """(clips,) clips to train on; those without label or sound are left out."""
    seed: int
    """In place of the configuration's."""


def adapt_stack(
    encoder: BlockEncoder,
    block: Block,
    clips: LabelledFrames,
    splits: Sequence[Split],
    config: AdaptationConfig,
    progress: Progress | None = None,
) -> list[Adaptation]:
    """Fit adapters and head once for every split, all of them together; the last epoch is kept.

    Args:
        encoder: left exactly as it is; the fits run on its device.
        block: layers to adapt.
        clips: cached frames with labels, as of `adapt`.
        splits: training clips and seed of each fit.
        config: options of all fits; `seed` and `patience` are not used.
        progress: called with (epochs done, epochs) after every epoch.

    Returns:
        One adaptation a split, in order, as `adapt` without validation clips gives it.

    Raises:
        ConfigError: no splits, an option that needs a fit of its own, or what `adapt` raises it for.
        DivergedError: more than three steps of a fit gave NaN or infinity.
    """
    check_block(encoder, block)
    if config.mask_target == "cluster" and config.mask_weight > 0:
        raise ConfigError("adapt_stack: expected mask_target regression, found cluster; use adapt")
    if config.gradient_checkpointing or not splits:
        raise ConfigError(
            "adapt_stack: expected splits and no gradient checkpointing, found "
            f"{len(splits)} splits, gradient_checkpointing {config.gradient_checkpointing}"
        )
    stack = _Stack(encoder, block, clips, splits, config)
    for epoch in range(config.epochs):
        stack.run_epoch(epoch)
        if progress is not None:
            progress(epoch + 1, config.epochs)
    return stack.adaptations()


def stacked_logits(
    encoder: BlockEncoder,
    block: Block,
    adaptations: Sequence[Adaptation],
    config: AdaptationConfig,
    frames: RaggedTable,
    *,
    batch_size: int = 32,
) -> NDArray[np.float32]:
    """Logits of each adapted block's head for each clip, (adaptations, clips, classes); zeros without sound."""
    device = next(encoder.module.parameters()).device
    member = StackMember(encoder, block, config, adaptations[0].class_count).eval()
    by_adaptation = [member.renamed(adaptation.tensors) for adaptation in adaptations]
    stacked = {
        name: torch.stack([named[name] for named in by_adaptation]).to(device) for name in by_adaptation[0]
    }
    store = FrameStore.of(frames, device=device)
    result = np.zeros((len(adaptations), len(frames.clip_ids), adaptations[0].class_count), np.float32)

    def logits(tensors: Mapping[str, Tensor], hidden: Tensor, mask: Tensor) -> Tensor:
        predicted: Tensor = functional_call(member, dict(tensors), (hidden, mask), {"judge": True})
        return predicted

    rows = np.flatnonzero(np.asarray(frames.present, dtype=bool))
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        for batch_rows in length_sorted_batches(rows, store.lengths, batch_size):
            batch = pad(store, batch_rows)
            predicted = vmap(logits, in_dims=(0, None, None))(stacked, batch.hidden, batch.mask)
            result[:, batch_rows] = predicted.float().cpu().numpy()
    return result


class _Stack:
    """State of all fits between epochs."""

    def __init__(
        self,
        encoder: BlockEncoder,
        block: Block,
        labelled: LabelledFrames,
        splits: Sequence[Split],
        config: AdaptationConfig,
    ) -> None:
        classes = labelled.class_count
        device = next(encoder.module.parameters()).device
        anywhere = np.any([split.train for split in splits], axis=0)
        everything = FitClips.of(labelled, FitMasks.all_training(anywhere), device)
        self.clips = [
            replace(everything, choices=everything.choices[:, split.train[everything.train]])
            for split in splits
        ]
        for clips in self.clips:
            clips.check(encoder.width, classes)
        self.store, self.config = everything.store, config
        self.configs = [config.model_copy(update={"seed": split.seed}) for split in splits]
        self.labels = torch.from_numpy(everything.labels).to(device)
        self.member = StackMember(encoder, block, config, classes)
        starts = [_started(encoder, block, fit_config, classes) for fit_config in self.configs]
        self.member.template(starts[0])
        names = self.member.trained_names
        self.parameters = {
            name: torch.stack([start.named[name] for start in starts]).to(device) for name in names
        }
        pooled, self.targets = self._frozen_pass(everything)
        statistics = [_mean_and_deviation(pooled[torch.from_numpy(c.train).to(device)]) for c in self.clips]
        self.fixed = {
            "head.mean": torch.stack([mean for mean, _ in statistics]),
            "head.deviation": torch.stack([deviation for _, deviation in statistics]),
        }
        self.filler = torch.stack([mean_frame(clips) for clips in self.clips])
        self.per_class = torch.stack(
            [class_weights(c.labels[c.train], classes, config.class_weighting) for c in self.clips]
        ).to(device)
        rates = {
            name: config.learning_rate if self.member.is_adapter(name) else config.head_learning_rate
            for name in names
        }
        self.adam = StackedAdam(self.parameters, rates, config, len(splits))
        self.classes = classes
        self.history: list[list[dict[str, float]]] = [[] for _ in splits]

    def run_epoch(self, epoch: int) -> None:
        """One pass of every fit over its own training clips."""
        config = self.config
        chances = [Chances(fit_config.seed, epoch) for fit_config in self.configs]
        batches = []
        for clips, fit_chances in zip(self.clips, chances, strict=True):
            rows = clips.rows_of_epoch(fit_chances.variants, every=config.variants_per_epoch == "all")
            batches.append(
                length_sorted_batches(
                    rows, self.store.lengths, config.batch_size, generator=fit_chances.order
                )
            )
        sums = torch.zeros(len(batches), 2, device=self.store.device)
        clips_seen = np.array([sum(len(batch) for batch in fit_batches) for fit_batches in batches])
        self.member.train()
        with (
            seeded(epoch_generator(config.seed, epoch, "stacked dropout")),
            sdpa_kernel(SDPBackend.MATH),  # the other kernels cannot be mapped everywhere
        ):
            for index in range(max(map(len, batches))):
                plans = [
                    draw_plan(self.store, fit_batches[index], config, drawn)
                    if index < len(fit_batches)
                    else None
                    for fit_batches, drawn in zip(batches, chances, strict=True)
                ]
                factors = [
                    warmup_cosine(
                        epoch * len(fit_batches) + index,
                        config.epochs * len(fit_batches),
                        config.warmup_share,
                    )
                    for fit_batches in batches
                ]
                sums += self._step(plans, factors)
        self.adam.check(epoch)
        figures = (sums / torch.from_numpy(clips_seen).to(sums)[:, None]).cpu().tolist()
        for fit_history, (cross_entropy, reconstruction) in zip(self.history, figures, strict=True):
            fit_history.append(
                {
                    "epoch": float(epoch),
                    "train_cross_entropy": cross_entropy,
                    "train_reconstruction": reconstruction,
                }
            )

    def adaptations(self) -> list[Adaptation]:
        """The fits as they are now."""
        tensors = self.member.small_names({**self.adam.judged, **self.fixed})
        return [
            Adaptation(
                tensors={name: value[k].detach().cpu().clone() for name, value in tensors.items()},
                history=fit_history,
                best_epoch=len(fit_history) - 1,
                class_count=self.classes,
            )
            for k, fit_history in enumerate(self.history)
        ]

    def _step(self, plans: Sequence[BatchPlan | None], factors: Sequence[float]) -> Tensor:
        """Losses summed over clips, (fits, 2); fits without a batch stay where they are."""
        batch = stack_plans(plans, self.store, self.targets, self.labels, self.filler, self.per_class)
        parameters = {name: value.requires_grad_() for name, value in self.parameters.items()}
        losses = vmap(self._losses, in_dims=(0, 0, batch.axes), randomness="different")(
            parameters, self.fixed, batch.tensors
        )  # (fits, 3)
        gradients = torch.autograd.grad(losses[:, 0].sum(), list(parameters.values()))
        active = torch.tensor([plan is not None for plan in plans], device=losses.device)
        taken = self.adam.step(gradients, losses[:, 0].detach(), active, factors)
        clips = torch.tensor([0 if plan is None else plan.clips for plan in plans], device=losses.device)
        counted = torch.where(taken, clips, 0)[:, None]
        return torch.where(taken[:, None], losses[:, 1:].detach(), 0.0) * counted

    def _losses(
        self, parameters: Mapping[str, Tensor], fixed: Mapping[str, Tensor], batch: Mapping[str, Tensor]
    ) -> Tensor:
        named = {**parameters, **fixed}
        losses: Tensor = functional_call(
            self.member, named, (batch["hidden"], batch["mask"]), {"batch": batch}
        )
        return losses

    def _frozen_pass(self, everything: FitClips) -> tuple[Tensor, FrameStore | None]:
        """Pooled frozen states of all rows, (rows, 2 * width), and the targets of the reconstruction."""
        store = self.store
        predicts = self.config.mask_weight > 0 and self.config.mask_probability > 0
        targets = torch.zeros_like(store.values, dtype=torch.float16) if predicts else None
        pooled = torch.zeros(len(store.lengths), 2 * store.width, device=store.device)
        rows = everything.shown if predicts else everything.train
        self.member.eval()
        with torch.inference_mode():
            for batch_rows in length_sorted_batches(rows, store.lengths, self.config.batch_size):
                batch = pad(store, batch_rows)
                hidden = self.member.block.layers.frozen(batch.hidden, batch.mask)
                pooled[torch.from_numpy(batch_rows).to(store.device)] = self.member.block.pooling(
                    hidden, batch.mask
                )
                if targets is not None:
                    index, valid = store.frame_index(batch_rows)
                    targets[index[valid].to(store.device)] = hidden[batch.mask].half()
        return pooled, None if targets is None else FrameStore(values=targets, offsets=store.offsets)


def _started(encoder: BlockEncoder, block: Block, config: AdaptationConfig, classes: int) -> MemberStart:
    with seeded(epoch_generator(config.seed, 0, "initialise")):
        adapted = AdaptedBlock(encoder, block, config, classes)
        reconstruction = MaskedReconstruction(encoder.width, None)
    return MemberStart(adapted, reconstruction, StackMember.initial(adapted, reconstruction))


def _mean_and_deviation(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """As the head's `standardise_to`."""
    embeddings = embeddings[embeddings.isfinite().all(dim=1)]
    return embeddings.mean(dim=0), embeddings.std(dim=0, correction=0).clamp(min=1e-6)


__all__ = ["Split", "StackedBatch", "adapt_stack", "stacked_logits"]
