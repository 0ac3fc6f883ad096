"""One fit of a stack as a function of its tensors, and the batches of all fits side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mer.adaptation.adapted_block import AdaptedBlock
from mer.adaptation.batch_plan import BatchPlan
from mer.adaptation.block import Block, BlockEncoder
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.frame_masking import blank
from mer.adaptation.masked_reconstruction import MaskedReconstruction
from mer.adaptation.padded_batches import FrameStore

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class MemberStart:
    """Initial tensors of one fit, drawn as `adapt` draws them."""

    block: AdaptedBlock
    reconstruction: MaskedReconstruction
    named: Mapping[str, Tensor]


class StackMember(nn.Module):
    """The adapted block and the masked reconstruction with the frozen encoder as a submodule.

    `functional_call` puts tensors in the place of named ones, so all that is called has to be in one module.
    """

    def __init__(self, encoder: BlockEncoder, block: Block, config: AdaptationConfig, classes: int) -> None:
        super().__init__()
        self.config = config
        self._take(AdaptedBlock(encoder, block, config, classes), MaskedReconstruction(encoder.width, None))

    def template(self, start: MemberStart) -> None:
        """Use the modules of the first fit."""
        self._take(start.block, start.reconstruction)

    def _take(self, block: AdaptedBlock, reconstruction: MaskedReconstruction) -> None:
        device = block.layers.device
        self.block_holder = (block,)  # not a submodule: its parts are, once each
        encoder: Any = block.layers.encoder  # a copy of its own
        encoder.always_masked = True
        self.frozen = encoder.module
        self.frozen.requires_grad_(False)
        self.adapters = block.layers.adapters if not block.layers.inside_layers else nn.ModuleList()
        self.pooling, self.head = block.pooling, block.head
        self.reconstruction = reconstruction.to(device)

    @property
    def block(self) -> AdaptedBlock:
        """The adapted block that owns the modules."""
        return self.block_holder[0]

    def train(self, mode: bool = True) -> StackMember:
        """Dropout of adapters and head; nothing of the frozen encoder."""
        self.block.train(mode)
        self.training = mode
        return self

    @staticmethod
    def initial(block: AdaptedBlock, reconstruction: MaskedReconstruction) -> dict[str, Tensor]:
        """Trained tensors of a fresh fit by their names here."""
        prefix = _prefix(block)
        named = {f"{prefix}{name}": value for name, value in block.layers.trainable.items()}
        named |= {f"pooling.{name}": value for name, value in block.pooling.named_parameters()}
        named |= {f"head.{name}": value for name, value in block.head.named_parameters()}
        named |= {f"reconstruction.{name}": value for name, value in reconstruction.named_parameters()}
        return {name: value.detach().clone() for name, value in named.items()}

    @property
    def trained_names(self) -> tuple[str, ...]:
        """Names of what is trained; without masks nothing of the reconstruction is."""
        names = self.initial(self.block, self.reconstruction)
        hides = self.config.mask_probability > 0
        predicts = hides and self.config.mask_weight > 0

        def trained(name: str) -> bool:
            if name == "reconstruction.mask_vector":
                return hides
            return predicts or not name.startswith("reconstruction.")

        return tuple(name for name in names if trained(name))

    def is_adapter(self, name: str) -> bool:
        """Whether the name is an adapter's (of a step size of its own)."""
        return not name.startswith(("pooling.", "head.", "reconstruction."))

    def small_names(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors that an `Adaptation` keeps, by its names."""
        prefix = _prefix(self.block)
        named = {}
        for name, value in tensors.items():
            if name.startswith("reconstruction."):
                continue
            if self.is_adapter(name):
                named[f"adapter/{name.removeprefix(prefix)}"] = value
            else:
                module, _, rest = name.partition(".")
                named[f"{module}/{rest}"] = value
        return named

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The reverse of `small_names`."""
        prefix = _prefix(self.block)
        return {
            f"{prefix}{name.removeprefix('adapter/')}"
            if name.startswith("adapter/")
            else name.replace("/", ".", 1): value
            for name, value in tensors.items()
        }

    def forward(
        self, hidden: Tensor, mask: Tensor, batch: Batch | None = None, *, judge: bool = False
    ) -> Tensor:
        """Logits (batch, classes) where `judge`; otherwise (3,) total loss, cross-entropy, reconstruction of a batch."""
        if judge or batch is None:
            logits: Tensor = self.head(self.pooling(self.block.layers(hidden, mask), mask))
            return logits
        hidden = blank(hidden, batch["filler"], batch.get("times"), batch.get("features"))
        if "hide" in batch:
            hidden = self.reconstruction.hide(hidden, batch["hide"])
        adapted = self.block.layers(hidden, mask)
        cross_entropy = self._cross_entropy(self.pooling(adapted, mask), batch)
        loss = torch.zeros_like(cross_entropy)
        if "targets" in batch:
            target = functional.layer_norm(batch["targets"].float(), adapted.shape[-1:])
            error = (self.reconstruction.predict(adapted) - target).square().mean(dim=-1)  # (batch, frames)
            loss = torch.where(batch["hide"], error, 0.0).sum() / batch["hide"].sum().clamp(min=1)
        total = cross_entropy + self.config.mask_weight * loss
        return torch.stack([total, cross_entropy, loss])

    def _cross_entropy(self, embedding: Tensor, batch: Batch) -> Tensor:
        labels, real = batch["labels"], batch["real"]
        if "share" not in batch:
            losses = self._losses(self.head(embedding), labels, batch["per_class"])
        else:
            share, partner = batch["share"], batch["partner"]
            mixed = share[:, None] * embedding + (1.0 - share[:, None]) * embedding[partner]
            logits = self.head(mixed)
            loss = self._losses(logits, labels, batch["per_class"])
            partner_loss = self._losses(logits, labels[partner], batch["per_class"])
            losses = share * loss + (1.0 - share) * partner_loss
        return torch.where(real, losses, 0.0).sum() / real.sum().clamp(min=1)

    def _losses(self, logits: Tensor, labels: Tensor, per_class: Tensor) -> Tensor:
        plain = functional.cross_entropy(
            logits, labels, reduction="none", label_smoothing=self.config.label_smoothing
        )
        return plain * per_class[labels]


@dataclass(frozen=True)
class StackedBatch:
    """Batches of K fits, padded to the most clips and the most frames."""

    tensors: dict[str, Tensor]
    """(K, ...) each."""

    @property
    def axes(self) -> dict[str, Any]:
        """All are mapped over the fits."""
        return dict.fromkeys(self.tensors, 0)


def stack_plans(
    plans: Sequence[BatchPlan | None],
    store: FrameStore,
    targets: FrameStore | None,
    labels: Tensor,
    filler: Tensor,
    per_class: Tensor,
) -> StackedBatch:
    """Gather the frames of all plans at once; a fit without a plan gets one silent clip that does not count."""
    device = store.device
    fits = len(plans)
    known = [plan for plan in plans if plan is not None]
    clips, frames = max(plan.clips for plan in known), max(int(plan.windows[1].max()) for plan in known)
    index = torch.zeros(fits, clips, frames, dtype=torch.int64)
    mask = torch.zeros(fits, clips, frames, dtype=torch.bool)
    rows = torch.zeros(fits, clips, dtype=torch.int64)
    real = torch.zeros(fits, clips, dtype=torch.bool)
    partner = torch.arange(clips).repeat(fits, 1)
    drawn: dict[str, Tensor] = {}

    def put(name: str, k: int, value: Tensor | None, fill: Tensor) -> None:
        if value is not None:
            whole = drawn.setdefault(name, fill.repeat(fits, *[1] * fill.dim()))
            target = whole[k]
            for dimension, size in enumerate(value.shape):
                target = target.narrow(dimension, 0, size)
            target.copy_(value)

    for k, plan in enumerate(plans):
        if plan is None:
            continue
        plan_index, plan_mask = store.frame_index(plan.rows, plan.windows)
        index[k, : plan.clips, : plan_index.shape[1]] = plan_index
        mask[k, : plan.clips, : plan_index.shape[1]] = plan_mask
        rows[k, : plan.clips] = torch.from_numpy(plan.rows)
        real[k, : plan.clips] = True
        partner[k, : plan.clips] = torch.arange(plan.clips).roll(1)
        put("hide", k, plan.hide, torch.zeros(clips, frames, dtype=torch.bool))
        put("times", k, plan.blank_times, torch.zeros(clips, frames, dtype=torch.bool))
        put("features", k, plan.blank_features, torch.zeros(clips, store.width, dtype=torch.bool))
        put("share", k, plan.share, torch.ones(clips))
    flat_index = index.reshape(-1).to(device)
    on_device = mask.to(device)
    # padding repeats a real frame (`FrameStore.frame_index`), and absent clips point at frame 0: the mask silences both
    hidden = store.values.index_select(0, flat_index).float().view(*index.shape, store.width)
    tensors = {
        "hidden": hidden.masked_fill_(~on_device.unsqueeze(-1), 0.0),
        "mask": on_device,
        "real": real.to(device),
        "labels": labels[rows.to(device)].clamp(min=0),
        "filler": filler,
        "per_class": per_class,
    } | {name: value.to(device) for name, value in drawn.items()}
    if "share" in drawn:
        tensors["partner"] = partner.to(device)
    if targets is not None and "hide" in drawn:
        tensors["targets"] = targets.values.index_select(0, flat_index).view(*index.shape, store.width)
    return StackedBatch(tensors)


def _prefix(block: AdaptedBlock) -> str:
    """Where adapters are in a member: within the frozen encoder's maps, or beside it (their names say `adapters.`)."""
    return "frozen." if block.layers.inside_layers else ""
