"""One alignment fit between epochs: what is trained, in which batches, against which negatives; resumable."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mer.alignment.aligned_model import AlignedModel, AlignmentShape, as_trained_input, embed_in_batches
from mer.alignment.config import AlignmentConfig
from mer.alignment.contrastive import cosine_distance, symmetric_info_nce
from mer.alignment.groups import ClipGroups, deranged, in_runs, standardised_within
from mer.alignment.negatives import NegativeQueue
from mer.alignment.paired_clips import PairedClips
from mer.alignment.retrieval import retrieval_figures
from mer.alignment.trunk import TrainedEncoder, crop_encoder, load_learnt
from mer.errors import ConfigError
from mer.training.optimiser_state import optimiser_tensors, restore_optimiser
from mer.training.seeding import epoch_generator
from mer.training.steps import StepGuard, seeded, warmup_cosine

WARMUP_SHARE = 0.1
GRADIENT_CLIP = 1.0
EMBEDDED_AT_ONCE = 64


class AlignmentFit:
    """State of one fit; arguments as in `pretrain_alignment`."""

    def __init__(
        self,
        clips: PairedClips,
        config: AlignmentConfig,
        encoder: TrainedEncoder | None = None,
        device: str = "cpu",
    ) -> None:
        self.config = config
        self.trained = as_trained_input(clips.trained_values)
        self.groups = clips.known_groups
        _check_clips(self.trained, clips)
        self.anchor = torch.from_numpy(anchor_targets(clips.anchor_values, self.groups, config))
        self.train_rows = torch.from_numpy(np.flatnonzero(clips.train))
        self.held_out_rows = torch.from_numpy(np.flatnonzero(clips.validation))
        self.partner = self._partners()
        self.queue = NegativeQueue(config.queue)
        self.model = self._build(encoder, device)
        self._cache_frozen_encoder()
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(self._parameter_groups(), weight_decay=config.weight_decay)
        self.guard = StepGuard()
        self.history: list[dict[str, float]] = []
        self.best_epoch = -1
        self.best_tensors: dict[str, Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where the model is; clips are moved there batch by batch."""
        return self.model.temperature.log_temperature.device

    @property
    def finished(self) -> bool:
        """All epochs are done, or patience is at an end."""
        done = len(self.history)
        patient = self.config.patience == 0 or len(self.held_out_rows) == 0
        waited = done - 1 - self.best_epoch
        return done >= self.config.epochs or (done > 0 and not patient and waited >= self.config.patience)

    def run_epoch(self) -> None:
        """One pass over the training pairs, then the loss of the held-out pairs."""
        config, epoch = self.config, len(self.history)
        order = epoch_generator(config.seed, epoch, "order")
        batches = [rows for rows in torch.split(self._ordered(order), config.batch_size) if len(rows) > 1]
        self.model.train()
        total, count = 0.0, 0
        with seeded(epoch_generator(config.seed, epoch, "dropout")):
            for index, batch in enumerate(batches):
                self._set_step_size(epoch * len(batches) + index, config.epochs * len(batches))
                total += self._step(batch, order, epoch) * len(batch)
                count += len(batch)
        figures = {
            "epoch": float(epoch),
            "train_loss": total / count,
            "temperature": float(self.model.temperature().detach()),
            "skipped_steps": float(self.guard.skipped),
        }
        if len(self.held_out_rows) > 1:
            figures["held_out_loss"] = self._held_out_loss()
        self.history.append(figures)
        if self._is_best(epoch):
            self.best_epoch = epoch
            self.best_tensors = self.model.learnt()

    def retrieval(self) -> dict[str, float]:
        """Recall both ways among the held-out clips (true pairs, in the control run too) at the best epoch."""
        load_learnt(self.model, self.best_tensors, self.model.shape.trunk)
        trained = embed_in_batches(self.model, self.trained[self.held_out_rows])
        anchor = self._anchor(self.held_out_rows).numpy()
        return retrieval_figures(trained, anchor, self.groups.codes("speaker")[self.held_out_rows.numpy()])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and record of a checkpoint."""
        tensors = {f"now/{name}": value for name, value in self.model.learnt().items()}
        tensors |= {f"best/{name}": value for name, value in self.best_tensors.items()}
        tensors |= optimiser_tensors(self.optimiser)
        tensors["queue"] = self.queue.rows
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
        load_learnt(self.model, _under_prefix(tensors, "now/"), self.model.shape.trunk)
        restore_optimiser(self.optimiser, tensors)
        self.queue.rows = tensors["queue"]
        self.best_tensors = _under_prefix(tensors, "best/")
        self.history = record["history"]
        self.best_epoch = record["best_epoch"]
        self.guard = StepGuard(record["skipped"])

    def _partners(self) -> Tensor:
        """(clips,) whose anchor a clip is paired with: its own, or in the control run another clip's.

        Held-out clips are shuffled too: a control whose epoch is chosen by true pairs has seen true pairs.
        """
        config = self.config
        partner = torch.arange(len(self.anchor))
        if config.shuffle_pairs == "none":
            return partner
        within = torch.from_numpy(self.groups.codes("speaker")) if config.shuffle_pairs == "speaker" else None
        for rows, name in ((self.train_rows, "shuffle"), (self.held_out_rows, "shuffle held out")):
            if len(rows) > 1:
                partner[rows] = deranged(rows, epoch_generator(config.seed, 0, name), within)
        return partner

    def _build(self, encoder: TrainedEncoder | None, device: str) -> AlignedModel:
        config = self.config
        crops = self.trained.dtype == torch.uint8
        source, weights = (encoder.source, encoder.weights) if encoder else (None, None)
        # centred data of n clips has at most n - 1 directions
        limit = min(self.anchor.shape[1], len(self.train_rows) - 1)
        components = min(config.anchor_components or limit, limit)
        sizes = {"linear": config.embedding_size, "whiten": components, "raw": self.anchor.shape[1]}
        embedding_size = sizes[config.anchor_projector]
        width = int(crop_encoder(source, weights).output_width) if crops else self.trained.shape[1]
        shape = AlignmentShape(
            trained_input="crops" if crops else "vectors",
            source=source if crops else None,
            trained_features=width,
            anchor_features=self.anchor.shape[1],
            anchor_components=components,
            anchor_projector=config.anchor_projector,
            hidden_size=config.hidden_size,
            embedding_size=embedding_size,
            dropout=config.dropout,
            trunk=config.trunk if crops else "full",
            lora_rank=config.lora_rank,
            lora_alpha=config.lora_alpha,
        )
        with seeded(epoch_generator(config.seed, 0, "initialise")):
            model = AlignedModel(shape, config, weights).to(device).eval()
        model.anchor_projector.fit(self.anchor[self.train_rows].to(device))
        with torch.inference_mode():
            batches = torch.split(self.trained[self.train_rows], EMBEDDED_AT_ONCE)
            vectors = [model.trained_vectors(batch.to(device)) for batch in batches]
        model.trained_projector.fit(torch.cat(vectors))
        return model

    def _cache_frozen_encoder(self) -> None:
        """Replace crops by their frames' vectors (clips, frames, features) where the encoder never changes."""
        if self.model.encoder is None or self.config.trunk != "frozen":
            return
        with torch.inference_mode():
            batches = torch.split(self.trained, EMBEDDED_AT_ONCE)
            vectors = torch.cat([self.model.frame_vectors(batch.to(self.device)).cpu() for batch in batches])
        self.trained = vectors.clone()  # a tensor of inference mode could not take part in training

    def _parameter_groups(self) -> list[dict[str, Any]]:
        encoder = list(self.model.encoder.parameters()) if self.model.encoder is not None else []
        inside = {id(parameter) for parameter in encoder}
        rest = [parameter for parameter in self.parameters if id(parameter) not in inside]
        groups: list[dict[str, Any]] = [{"params": rest, "peak": self.config.learning_rate}]
        if trained := [parameter for parameter in encoder if parameter.requires_grad]:
            groups.append({"params": trained, "peak": self.config.encoder_learning_rate})
        return groups

    def _ordered(self, generator: torch.Generator) -> Tensor:
        """The training rows in the order of this epoch."""
        config, rows = self.config, self.train_rows
        if config.hard_negatives == "none":
            return rows[torch.randperm(len(rows), generator=generator)]
        codes = torch.from_numpy(self.groups.codes(config.hard_negatives))
        return in_runs(rows, codes, config.hard_negative_run, generator)

    def _step(self, rows: Tensor, generator: torch.Generator, epoch: int) -> float:
        model, config = self.model, self.config
        partners = self.partner[rows]
        trained = model.embed_trained(self._frames(rows, generator).to(self.device))
        anchor = model.embed_anchor(self.anchor[partners].to(self.device))
        others = self.queue.beside(partners)
        further = model.embed_anchor(self.anchor[others].to(self.device)) if len(others) else None
        loss = symmetric_info_nce(trained, anchor, model.temperature(), further)
        if config.cosine_weight > 0:
            loss = loss + config.cosine_weight * cosine_distance(trained, anchor)
        self.queue.push(partners)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters, GRADIENT_CLIP)
        if not self.guard.accepts(loss.detach(), norm, where=f"alignment, epoch {epoch}"):
            return 0.0
        self.optimiser.step()
        model.temperature.clamp()
        return float(loss.detach())

    def _frames(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Vectors of the clips, or a random few of each clip's frames."""
        if self.model.encoder is None:
            return self.trained[rows]
        available = self.trained.shape[1]
        count = min(self.config.frames_per_step, available)
        frames = torch.rand(len(rows), available, generator=generator).argsort(dim=1)[:, :count]
        return self.trained[rows[:, None], frames]

    def _anchor(self, rows: Tensor) -> Tensor:
        with torch.inference_mode():
            anchor: Tensor = self.model.embed_anchor(self.anchor[rows].to(self.device)).cpu()
        return anchor

    def _set_step_size(self, step: int, total: int) -> None:
        factor = warmup_cosine(step, total, WARMUP_SHARE)
        for group in self.optimiser.param_groups:
            group["lr"] = factor * group["peak"]

    def _held_out_loss(self) -> float:
        """Loss of the held-out pairs, all of them in one batch."""
        trained = torch.from_numpy(embed_in_batches(self.model, self.trained[self.held_out_rows]))
        with torch.inference_mode():
            temperature = self.model.temperature().cpu()
            return float(
                symmetric_info_nce(trained, self._anchor(self.partner[self.held_out_rows]), temperature)
            )

    def _is_best(self, epoch: int) -> bool:
        if self.best_epoch < 0 or "held_out_loss" not in self.history[epoch]:
            return True
        return self.history[epoch]["held_out_loss"] < self.history[self.best_epoch]["held_out_loss"]


def anchor_targets(
    anchor: NDArray[np.float32], groups: ClipGroups, config: AlignmentConfig
) -> NDArray[np.float32]:
    """Input of the anchor's projector: its features, standardised within groups where the options say so."""
    values = np.ascontiguousarray(anchor, dtype=np.float32)
    if config.standardise_anchor == "none":
        return values
    return standardised_within(values, groups.codes(config.standardise_anchor))


def _check_clips(trained: Tensor, clips: PairedClips) -> None:
    anchor, train, validation = torch.as_tensor(clips.anchor_values), clips.train, clips.validation
    problems = []
    if anchor.ndim != 2:
        problems.append(f"vectors of the anchor must be (clips, features), found {tuple(anchor.shape)}")
    if not len(trained) == len(anchor) == len(train) == len(validation):
        problems.append(
            f"{len(trained)} clips of the trained side, {len(anchor)} of the anchor, "
            f"masks of {len(train)} and {len(validation)}"
        )
    elif (train & validation).any():
        problems.append("clips are in both `train` and `validation`")
    if len(clips.known_groups.speaker) != len(trained):
        problems.append(f"{len(trained)} clips, groups of {len(clips.known_groups.speaker)}")
    if train.sum() < 2:
        problems.append(f"{int(train.sum())} training clips, at least 2 are needed")
    if not all(
        bool(torch.isfinite(features).all()) for features in (anchor, trained) if features.is_floating_point()
    ):
        problems.append("features are not finite")
    if problems:
        raise ConfigError(f"alignment cannot start: {'; '.join(problems)}")


def _under_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
