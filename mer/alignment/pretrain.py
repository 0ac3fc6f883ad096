"""Alignment pre-training: a visual encoder learns to say of a face what the acoustic space says of the voice.

Known (system A, 3): the visual encoder is pre-trained on unlabelled video so that its features align with
the acoustic feature space. Reconstruction: symmetric InfoNCE between the clip's pooled visual embedding
and its fixed acoustic embedding, in-batch negatives, learned temperature, optional cosine term. Labels
are never read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mer.alignment.aligned_model import (
    AlignedModel,
    Alignment,
    AlignmentShape,
    aligned_features,
    aligned_table,
    as_visual_input,
    crop_encoder,
    embed_visual,
    load_alignment,
    save_alignment,
)
from mer.alignment.config import AlignmentConfig
from mer.alignment.contrastive import cosine_distance, symmetric_info_nce
from mer.alignment.retrieval import retrieval_figures
from mer.errors import ConfigError
from mer.training.checkpoint import Checkpoint
from mer.training.optimiser_state import optimiser_tensors, restore_optimiser
from mer.training.seeding import epoch_generator
from mer.training.steps import StepGuard, seeded, warmup_cosine

__all__ = [
    "Alignment",
    "aligned_features",
    "aligned_table",
    "load_alignment",
    "pretrain_alignment",
    "save_alignment",
]

Progress = Callable[[int, int], None]
WARMUP_SHARE = 0.1
GRADIENT_CLIP = 1.0


def pretrain_alignment(
    visual: NDArray[Any],
    acoustic: NDArray[np.float32],
    train: NDArray[np.bool_],
    held_out: NDArray[np.bool_],
    config: AlignmentConfig,
    source: str | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress | None = None,
) -> Alignment:
    """Fit both sides on the training clips; keep the epoch with the lowest loss on the held-out clips.

    Args:
        visual: vectors (clips, features), or face crops uint8 (clips, frames, size, size, 3). acoustic:
        (clips, features) acoustic embeddings; targets, no gradient reaches what made them. train:
        (clips,) clips whose pairs are learned from. held_out: (clips,) clips for the choice of the epoch
        and the retrieval figures; none keeps the last epoch. config: options; `shuffle_pairs` makes the
        control run. source: trainable encoder of the crops, such as `seed:clip-tiny`; not used for
        vectors. checkpoint: where every finished epoch is kept; one that is found is gone on from, to the
        same bits. progress: called with (epochs done, epochs) after every epoch.

    Raises:
        ConfigError: shapes do not agree, clips are in both masks, or fewer than two clips are there to
        train on. DivergedError: more than three steps gave NaN or infinity.
    """
    fit = _Fit(visual, acoustic, train, held_out, config, source)
    if checkpoint is not None and (found := checkpoint.load()) is not None:
        fit.restore(*found)
    while not fit.finished:
        fit.run_epoch()
        if checkpoint is not None:
            checkpoint.save(*fit.state())
        if progress is not None:
            progress(len(fit.history), config.epochs)
    fit.model.load_state_dict(fit.best_tensors)
    return Alignment(
        tensors=fit.best_tensors,
        history=fit.history,
        retrieval=fit.retrieval(),
        shape=fit.model.shape,
        config=config,
        best_epoch=fit.best_epoch,
    )


class _Fit:
    """State of one fit between epochs."""

    def __init__(
        self,
        visual: NDArray[Any],
        acoustic: NDArray[np.float32],
        train: NDArray[np.bool_],
        held_out: NDArray[np.bool_],
        config: AlignmentConfig,
        source: str | None,
    ) -> None:
        self.config = config
        self.visual = as_visual_input(visual)
        self.acoustic = torch.from_numpy(np.ascontiguousarray(acoustic, dtype=np.float32))
        _check_clips(self.visual, self.acoustic, train, held_out)
        self.train_rows = torch.from_numpy(np.flatnonzero(train))
        self.held_out_rows = torch.from_numpy(np.flatnonzero(held_out))
        # The partner whose sound a training clip is paired with: itself, or in the control run another clip.
        self.partner = torch.arange(len(self.acoustic))
        if config.shuffle_pairs:
            self.partner[self.train_rows] = _derange(self.train_rows, config.seed)
        self.model = self._build(source)
        self.parameters = list(self.model.parameters())
        encoder = list(self.model.encoder.parameters()) if self.model.encoder is not None else []
        inside = {id(parameter) for parameter in encoder}
        rest = [parameter for parameter in self.parameters if id(parameter) not in inside]
        groups = [{"params": rest, "peak": config.learning_rate}]
        if encoder:
            groups.append({"params": encoder, "peak": config.encoder_learning_rate})
        self.optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        self.guard = StepGuard()
        self.history: list[dict[str, float]] = []
        self.best_epoch = -1
        self.best_tensors: dict[str, Tensor] = {}

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
        rows = self.train_rows[torch.randperm(len(self.train_rows), generator=order)]
        batches = [batch for batch in torch.split(rows, config.batch_size) if len(batch) > 1]
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
            self.best_tensors = {n: v.detach().cpu().clone() for n, v in self.model.state_dict().items()}

    def retrieval(self) -> dict[str, float]:
        """Recall both ways among the held-out clips with the model as it is."""
        seen = embed_visual(self.model, self.visual[self.held_out_rows])
        with torch.inference_mode():
            heard = self.model.hear(self.acoustic[self.held_out_rows]).numpy()
        return retrieval_figures(seen, heard)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and record of a checkpoint."""
        tensors = {f"now/{name}": value for name, value in self.model.state_dict().items()}
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
        self.model.load_state_dict(_part(tensors, "now/"))
        restore_optimiser(self.optimiser, tensors)
        self.best_tensors = _part(tensors, "best/")
        self.history = record["history"]
        self.best_epoch = record["best_epoch"]
        self.guard = StepGuard(record["skipped"])

    def _build(self, source: str | None) -> AlignedModel:
        config = self.config
        crops = self.visual.dtype == torch.uint8
        limit = min(self.acoustic.shape[1], len(self.train_rows) - 1)
        components = min(config.acoustic_components or limit, limit)
        embedding_size = config.embedding_size if config.acoustic_projector == "linear" else components
        shape = AlignmentShape(
            visual="crops" if crops else "vectors",
            source=source if crops else None,
            visual_features=int(crop_encoder(source).output_width) if crops else self.visual.shape[1],
            acoustic_features=self.acoustic.shape[1],
            acoustic_components=components,
            acoustic_projector=config.acoustic_projector,
            hidden_size=config.hidden_size,
            embedding_size=embedding_size,
            dropout=config.dropout,
        )
        with seeded(epoch_generator(config.seed, 0, "initialise")):
            model = AlignedModel(shape, config)
        model.acoustic.fit(self.acoustic[self.train_rows])
        with torch.inference_mode():
            vectors = [model.visual_vectors(part) for part in torch.split(self.visual[self.train_rows], 64)]
        model.visual.fit(torch.cat(vectors))
        return model

    def _step(self, rows: Tensor, generator: torch.Generator, epoch: int) -> float:
        model, config = self.model, self.config
        seen = model.see(self._frames(rows, generator))
        heard = model.hear(self.acoustic[self.partner[rows]])
        loss = symmetric_info_nce(seen, heard, model.temperature())
        if config.cosine_weight > 0:
            loss = loss + config.cosine_weight * cosine_distance(seen, heard)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters, GRADIENT_CLIP)
        if not self.guard.accepts(loss.detach(), norm, where=f"alignment, epoch {epoch}"):
            return 0.0
        self.optimiser.step()
        model.temperature.clamp()
        return float(loss.detach())

    def _frames(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Vectors of the clips, or a random few of each clip's crops."""
        if self.model.encoder is None:
            return self.visual[rows]
        available = self.visual.shape[1]
        wanted = min(self.config.frames_per_step, available)
        chosen = torch.rand(len(rows), available, generator=generator).argsort(dim=1)[:, :wanted]
        return self.visual[rows[:, None], chosen]

    def _set_step_size(self, step: int, total: int) -> None:
        factor = warmup_cosine(step, total, WARMUP_SHARE)
        for group in self.optimiser.param_groups:
            group["lr"] = factor * group["peak"]

    def _held_out_loss(self) -> float:
        """Mean loss over batches of fixed size: it must not depend on how many clips are held out."""
        seen = torch.from_numpy(embed_visual(self.model, self.visual[self.held_out_rows]))
        with torch.inference_mode():
            heard = self.model.hear(self.acoustic[self.held_out_rows])
            return float(symmetric_info_nce(seen, heard, self.model.temperature()))

    def _is_best(self, epoch: int) -> bool:
        if self.best_epoch < 0 or "held_out_loss" not in self.history[epoch]:
            return True
        return self.history[epoch]["held_out_loss"] < self.history[self.best_epoch]["held_out_loss"]


def _check_clips(
    visual: Tensor, acoustic: Tensor, train: NDArray[np.bool_], held_out: NDArray[np.bool_]
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
    if train.sum() < 2:
        problems.append(f"{int(train.sum())} training clips, at least 2 are needed")
    if not all(bool(torch.isfinite(one).all()) for one in (acoustic, visual) if one.is_floating_point()):
        problems.append("features are not finite")
    if problems:
        raise ConfigError(f"alignment cannot start: {'; '.join(problems)}")


def _derange(rows: Tensor, seed: int) -> Tensor:
    """For every row another row, each used once: neighbours on one random cycle."""
    order = torch.randperm(len(rows), generator=epoch_generator(seed, 0, "shuffle"))
    partner = torch.empty_like(rows)
    partner[order] = rows[order.roll(1)]
    return partner


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
