"""One alignment fit between epochs: what is trained, in which batches, against which negatives; resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mer.alignment.aligned_model import AlignedModel, AlignmentShape, as_visual_input, embed_visual
from mer.alignment.config import AlignmentConfig
from mer.alignment.contrastive import cosine_distance, symmetric_info_nce
from mer.alignment.groups import ClipGroups, deranged, in_runs, standardised_within
from mer.alignment.negatives import NegativeQueue
from mer.alignment.retrieval import retrieval_figures
from mer.alignment.trunk import crop_encoder, load_learnt
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
        visual: NDArray[Any],
        acoustic: NDArray[np.float32],
        train: NDArray[np.bool_],
        held_out: NDArray[np.bool_],
        config: AlignmentConfig,
        source: str | None,
        groups: ClipGroups | None,
        weights: Path | None,
        device: str,
    ) -> None:
        self.config = config
        self.visual = as_visual_input(visual)
        self.groups = groups or ClipGroups.of_speakers([None] * len(self.visual))
        _check_clips(self.visual, torch.as_tensor(acoustic), train, held_out, self.groups)
        self.acoustic = torch.from_numpy(acoustic_targets(acoustic, self.groups, config))
        self.train_rows = torch.from_numpy(np.flatnonzero(train))
        self.held_out_rows = torch.from_numpy(np.flatnonzero(held_out))
        self.partner = self._partners()
        self.queue = NegativeQueue(config.queue)
        self.model = self._build(source, weights, device)
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
        seen = embed_visual(self.model, self.visual[self.held_out_rows])
        heard = self._heard(self.held_out_rows).numpy()
        return retrieval_figures(seen, heard, self.groups.codes("speaker")[self.held_out_rows.numpy()])

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
        """(clips,) whose sound a clip is paired with: its own, or in the control run another clip's.

        Held-out clips are shuffled too: a control whose epoch is chosen by true pairs has seen true pairs.
        """
        config = self.config
        partner = torch.arange(len(self.acoustic))
        if config.shuffle_pairs == "none":
            return partner
        within = torch.from_numpy(self.groups.codes("speaker")) if config.shuffle_pairs == "speaker" else None
        for rows, name in ((self.train_rows, "shuffle"), (self.held_out_rows, "shuffle held out")):
            if len(rows) > 1:
                partner[rows] = deranged(rows, epoch_generator(config.seed, 0, name), within)
        return partner

    def _build(self, source: str | None, weights: Path | None, device: str) -> AlignedModel:
        config = self.config
        crops = self.visual.dtype == torch.uint8
        # centred data of n clips has at most n - 1 directions
        limit = min(self.acoustic.shape[1], len(self.train_rows) - 1)
        components = min(config.acoustic_components or limit, limit)
        embedding_size = config.embedding_size if config.acoustic_projector == "linear" else components
        width = int(crop_encoder(source, weights).output_width) if crops else self.visual.shape[1]
        shape = AlignmentShape(
            visual="crops" if crops else "vectors",
            source=source if crops else None,
            visual_features=width,
            acoustic_features=self.acoustic.shape[1],
            acoustic_components=components,
            acoustic_projector=config.acoustic_projector,
            hidden_size=config.hidden_size,
            embedding_size=embedding_size,
            dropout=config.dropout,
            trunk=config.trunk if crops else "full",
            lora_rank=config.lora_rank,
            lora_alpha=config.lora_alpha,
        )
        with seeded(epoch_generator(config.seed, 0, "initialise")):
            model = AlignedModel(shape, config, weights).to(device).eval()
        model.acoustic.fit(self.acoustic[self.train_rows].to(device))
        with torch.inference_mode():
            batches = torch.split(self.visual[self.train_rows], EMBEDDED_AT_ONCE)
            vectors = [model.visual_vectors(batch.to(device)) for batch in batches]
        model.visual.fit(torch.cat(vectors))
        return model

    def _cache_frozen_encoder(self) -> None:
        """Replace crops by their frames' vectors (clips, frames, features) where the encoder never changes."""
        if self.model.encoder is None or self.config.trunk != "frozen":
            return
        with torch.inference_mode():
            batches = torch.split(self.visual, EMBEDDED_AT_ONCE)
            vectors = torch.cat([self.model.frame_vectors(batch.to(self.device)).cpu() for batch in batches])
        self.visual = vectors.clone()  # a tensor of inference mode could not take part in training

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
        sounds = self.partner[rows]
        seen = model.see(self._frames(rows, generator).to(self.device))
        heard = model.hear(self.acoustic[sounds].to(self.device))
        others = self.queue.beside(sounds)
        further = model.hear(self.acoustic[others].to(self.device)) if len(others) else None
        loss = symmetric_info_nce(seen, heard, model.temperature(), further)
        if config.cosine_weight > 0:
            loss = loss + config.cosine_weight * cosine_distance(seen, heard)
        self.queue.push(sounds)
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
            return self.visual[rows]
        available = self.visual.shape[1]
        count = min(self.config.frames_per_step, available)
        frames = torch.rand(len(rows), available, generator=generator).argsort(dim=1)[:, :count]
        return self.visual[rows[:, None], frames]

    def _heard(self, rows: Tensor) -> Tensor:
        with torch.inference_mode():
            heard: Tensor = self.model.hear(self.acoustic[rows].to(self.device)).cpu()
        return heard

    def _set_step_size(self, step: int, total: int) -> None:
        factor = warmup_cosine(step, total, WARMUP_SHARE)
        for group in self.optimiser.param_groups:
            group["lr"] = factor * group["peak"]

    def _held_out_loss(self) -> float:
        """Loss of the held-out pairs, all of them in one batch."""
        seen = torch.from_numpy(embed_visual(self.model, self.visual[self.held_out_rows]))
        with torch.inference_mode():
            temperature = self.model.temperature().cpu()
            return float(symmetric_info_nce(seen, self._heard(self.partner[self.held_out_rows]), temperature))

    def _is_best(self, epoch: int) -> bool:
        if self.best_epoch < 0 or "held_out_loss" not in self.history[epoch]:
            return True
        return self.history[epoch]["held_out_loss"] < self.history[self.best_epoch]["held_out_loss"]


def acoustic_targets(
    acoustic: NDArray[np.float32], groups: ClipGroups, config: AlignmentConfig
) -> NDArray[np.float32]:
    """Input of the acoustic projector: the features, standardised within groups where the options say so."""
    values = np.ascontiguousarray(acoustic, dtype=np.float32)
    if config.standardise_acoustic == "none":
        return values
    return standardised_within(values, groups.codes(config.standardise_acoustic))


def _check_clips(
    visual: Tensor,
    acoustic: Tensor,
    train: NDArray[np.bool_],
    held_out: NDArray[np.bool_],
    groups: ClipGroups,
) -> None:
    problems = []
    if acoustic.ndim != 2:
        problems.append(f"acoustic embeddings must be (clips, features), found {tuple(acoustic.shape)}")
    if not len(visual) == len(acoustic) == len(train) == len(held_out):
        problems.append(
            f"{len(visual)} visual, {len(acoustic)} acoustic clips, masks of {len(train)} and {len(held_out)}"
        )
    elif (train & held_out).any():
        problems.append("clips are in both `train` and `held_out`")
    if len(groups.speaker) != len(visual):
        problems.append(f"{len(visual)} clips, groups of {len(groups.speaker)}")
    if train.sum() < 2:
        problems.append(f"{int(train.sum())} training clips, at least 2 are needed")
    if not all(
        bool(torch.isfinite(features).all())
        for features in (acoustic, visual)
        if features.is_floating_point()
    ):
        problems.append("features are not finite")
    if problems:
        raise ConfigError(f"alignment cannot start: {'; '.join(problems)}")


def _under_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
