"""The training loop of a fusion model: epochs, validation, checkpoints, and the way out when the loss is
not finite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import Parameter, functional

from mer.errors import DivergedError
from mer.evaluation.metrics import combined_score, confusion, waf
from mer.fusion.config import FusionConfig
from mer.fusion.model import FusionModel
from mer.fusion.streams import StreamBatch, drop_streams
from mer.fusion.task_balance import (
    after_step,
    balanced_loss,
    model_parameters,
    parameter_groups,
    task_losses,
)
from mer.training.batches import length_sorted_batches
from mer.training.checkpoint import Checkpoint
from mer.training.losses import class_weights, valence_loss
from mer.training.optimiser_state import optimiser_tensors, restore_optimiser
from mer.training.resumable import Progress
from mer.training.seeding import epoch_generator, seed_dropout

MAX_SKIPPED_STEPS = 3
_MODEL, _BEST, _AVERAGE = "model.", "best.", "average."


@dataclass(frozen=True)
class TrainingData:
    """All clips of a fit as tensors, and the rows that train and that choose the epoch."""

    streams: StreamBatch
    emotion: Tensor
    """(N,) int64, -1 = unlabelled."""
    valence: Tensor
    """(N,) float32, NaN = missing."""
    weight: Tensor
    """(N,)"""
    train: Tensor
    """Row numbers."""
    validation: Tensor
    """Row numbers."""
    target: Tensor | None = None
    """(N, C) distributions that replace the labels in the losses (see `Examples.distributions`); None: every label is hard."""


@dataclass
class TrainingOutcome:
    """State of a training run; after the last epoch, its result."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    """Parameters of the best epoch so far."""
    average: dict[str, Tensor] = field(default_factory=dict)
    """Running average of the parameters over the steps, where the options ask for one."""
    steps: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = math.nan
    best_loss: float = math.inf
    """Validation loss of the best epoch, or minus its combined score where that is what chooses."""
    skipped: int = 0


class FusionTraining:
    """A fit under way, epoch by epoch: what several fits that are compared while they train are made of.

    Args:
        model: initialised model; trained in place.
        data: tensors of the clips.
        config: options.
    """

    def __init__(self, model: FusionModel, data: TrainingData, config: FusionConfig) -> None:
        # averaged once, not in every batch of every epoch
        streams = data.streams if model.reads_frames else data.streams.averaged()
        self.model, self.data, self.config = model, replace(data, streams=streams), config
        self.state = TrainingOutcome()
        self.optimiser = torch.optim.Adam(
            parameter_groups(model, config),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._per_class = class_weights(
            data.emotion[data.train].numpy(), model.shape.classes, config.class_weighting, config.effective_beta,
            None if data.target is None else data.target[data.train].numpy(),
        )  # fmt: skip

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return len(self.state.history)

    @property
    def ended(self) -> str:
        """Why there is no further epoch: `epochs` or `patience`; empty: there is one."""
        if self.epochs >= self.config.epochs:
            return "epochs"
        patience, steps = self.config.patience, math.ceil(len(self.data.train) / self.config.batch_size)
        stale = self.epochs - self.state.best_epoch
        impatient = patience and stale >= patience and stale * steps >= self.config.patience_steps
        return "patience" if impatient else ""

    def run_epoch(self) -> None:
        """Train one epoch and judge it on the validation clips.

        Raises:
            DivergedError: more than `MAX_SKIPPED_STEPS` steps without finite loss and gradient.
        """
        epoch, state = self.epochs + 1, self.state
        trained = _run_epoch(
            self.model, self.optimiser, self.data, self._per_class, self.config, epoch, state
        )
        record = {"epoch": float(epoch), **trained}
        if len(self.data.validation):
            record |= _validate(self.model, state.average, self.data, self.config)
        state.history.append(record)
        _keep_if_best(self.model, state, record, self.config)


def train_fusion(
    model: FusionModel,
    data: TrainingData,
    config: FusionConfig,
    identity: str,
    checkpoint: Checkpoint | None,
    progress: Progress | None,
) -> TrainingOutcome:
    """Train `model` in place; returns the best epoch's parameters.

    Args:
        model: initialised model.
        data: tensors of the clips.
        config: options.
        identity: hash of the inputs; only a checkpoint of the same hash is resumed.
        checkpoint: written every `checkpoint_epochs` epochs, and after the last.
        progress: called after every epoch.

    Raises:
        DivergedError: more than `MAX_SKIPPED_STEPS` steps without finite loss and gradient.
    """
    training = FusionTraining(model, data, config)
    training.state = _resume(model, training.optimiser, checkpoint, identity) or training.state
    while not training.ended:
        training.run_epoch()
        epoch = training.epochs
        if checkpoint is not None and (epoch % config.checkpoint_epochs == 0 or epoch == config.epochs):
            _save(checkpoint, model, training.optimiser, training.state, identity)
        if progress is not None:
            progress(epoch, config.epochs)
    return training.state


def _run_epoch(
    model: FusionModel,
    optimiser: torch.optim.Optimizer,
    data: TrainingData,
    per_class: Tensor,
    config: FusionConfig,
    epoch: int,
    state: TrainingOutcome,
) -> dict[str, float]:
    model.train()
    seed_dropout(model, epoch_generator(config.seed, epoch, "dropout"))
    hide = epoch_generator(config.seed, epoch, "streams")
    shuffle = epoch_generator(config.seed, epoch, "order")
    # listed once an epoch: listing them at every step takes time
    parameters = dict(model.named_parameters())
    model_weights = model_parameters(model)
    total, seen = 0.0, 0
    for rows in _batches_of_epoch(data, config.batch_size, shuffle):
        batch = data.streams.rows(rows)
        present = batch.present
        if config.modality_dropout > 0:
            present = drop_streams(present, config.modality_dropout, hide)
        output = model(batch.values, present)
        losses = task_losses(
            output, data.emotion[rows], data.valence[rows], data.weight[rows], per_class, config,
            None if data.target is None else data.target[rows],
        )  # fmt: skip
        optimiser.zero_grad(set_to_none=True)
        loss = balanced_loss(model, losses, config)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(model_weights, config.gradient_clip)
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            _skip(state, epoch, value)
            continue
        optimiser.step()
        after_step(model, config)
        _average(parameters, state, config.averaging)
        total += value * len(rows)
        seen += len(rows)
    return {"train_loss": total / max(seen, 1)}


def _batches_of_epoch(data: TrainingData, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """Row numbers of every step: shuffled, and clips of similar length together where streams are framewise."""
    lengths = data.streams.lengths
    if lengths is None:
        order = data.train[torch.randperm(len(data.train), generator=generator)]
        return list(torch.split(order, batch_size))
    batches = length_sorted_batches(data.train.numpy(), lengths.numpy(), batch_size, generator)
    return [torch.from_numpy(batch) for batch in batches]


def batches_for_reading(streams: StreamBatch, rows: Tensor, batch_size: int) -> list[Tensor]:
    """Row numbers in the batches they are predicted in: all at once, or sorted by length where streams are framewise."""
    lengths = streams.lengths
    if lengths is None:
        return [rows]
    batches = length_sorted_batches(rows.numpy(), lengths.numpy(), batch_size)
    return [torch.from_numpy(batch) for batch in batches]


@torch.no_grad()
def _average(parameters: dict[str, Parameter], state: TrainingOutcome, decay: float) -> None:
    """Move the running average toward the model's parameters; early steps count more, so that the start is soon forgotten."""
    if decay == 0.0:
        return
    state.steps += 1
    if not state.average:
        state.average = {name: value.detach().clone() for name, value in parameters.items()}
        return
    current_decay = min(decay, state.steps / (state.steps + 9))
    # by name: a resumed average comes in the order of its file
    torch._foreach_lerp_(
        [state.average[name] for name in parameters], list(parameters.values()), 1.0 - current_decay
    )


def _skip(state: TrainingOutcome, epoch: int, loss: float) -> None:
    state.skipped += 1
    if state.skipped > MAX_SKIPPED_STEPS:
        raise DivergedError(
            f"fusion: {state.skipped} steps without finite loss and gradient (epoch {epoch}, loss {loss}); "
            "expected at most 3. Lower the learning rate, or look for extreme features or valence"
        )


@torch.no_grad()
def _validate(
    model: FusionModel, average: dict[str, Tensor], data: TrainingData, config: FusionConfig
) -> dict[str, float]:
    """Scores of the parameters to keep: the averaged parameters where there are some, otherwise the model's own."""
    model.eval()
    rows = torch.cat(batches := batches_for_reading(data.streams, data.validation, config.batch_size))
    # called with them in place: copying the model was a third of the time of a small fit
    answers = [
        functional_call(model, average, (batch.values, batch.present))
        for batch in map(data.streams.rows, batches)
    ]
    logits = torch.cat([answer.emotion_logits for answer in answers])
    truth = data.emotion[rows]
    known = truth >= 0
    if not bool(known.any()):
        return {}
    counts = confusion(truth[known].numpy(), logits[known].argmax(dim=1).numpy(), model.shape.classes)
    loss = functional.cross_entropy(logits[known], truth[known])
    record = {"validation_waf": float(waf(counts)), "validation_loss": float(loss)}
    valence = data.valence[rows]
    if bool((~torch.isnan(valence)).any()):
        predicted = torch.cat([answer.valence for answer in answers])
        error = valence_loss(predicted, valence, torch.ones_like(valence))
        record["validation_valence_mse"] = float(error)
    return record


def _keep_if_best(
    model: FusionModel, state: TrainingOutcome, record: dict[str, float], config: FusionConfig
) -> None:
    score, loss = record.get("validation_waf", math.nan), record.get("validation_loss", math.nan)
    if config.validation_score == "combined" and "validation_valence_mse" in record:
        loss = -combined_score(score, record["validation_valence_mse"])
        better = loss < state.best_loss
    elif math.isnan(score):
        better = True  # nothing to choose by: the last epoch
    elif config.validation_score == "loss":
        better = loss < state.best_loss
    else:
        better = not score <= state.best_score or (score == state.best_score and loss < state.best_loss)
    if better:
        state.best_epoch, state.best_score, state.best_loss = int(record["epoch"]), score, loss
        source = state.average or model.state_dict()
        state.tensors = {name: value.detach().clone() for name, value in source.items()}


def _save(
    checkpoint: Checkpoint,
    model: FusionModel,
    optimiser: torch.optim.Optimizer,
    state: TrainingOutcome,
    identity: str,
) -> None:
    tensors = {f"{_MODEL}{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"{_BEST}{name}": value for name, value in state.tensors.items()}
    tensors |= {f"{_AVERAGE}{name}": value for name, value in state.average.items()}
    meta: dict[str, Any] = {
        "steps": state.steps,
        "identity": identity,
        "history": state.history,
        "best_epoch": state.best_epoch,
        "best_score": state.best_score,
        "best_loss": state.best_loss,
        "skipped": state.skipped,
    }
    checkpoint.save({**tensors, **optimiser_tensors(optimiser)}, meta)


def _resume(
    model: FusionModel, optimiser: torch.optim.Optimizer, checkpoint: Checkpoint | None, identity: str
) -> TrainingOutcome | None:
    loaded = checkpoint.load() if checkpoint is not None else None
    if loaded is None or loaded[1].get("identity") != identity:
        return None
    tensors, meta = loaded
    model.load_state_dict(_named(tensors, _MODEL))
    restore_optimiser(optimiser, tensors)
    return TrainingOutcome(
        tensors=_named(tensors, _BEST),
        average=_named(tensors, _AVERAGE),
        steps=meta["steps"],
        history=meta["history"],
        best_epoch=meta["best_epoch"],
        best_score=meta["best_score"],
        best_loss=meta["best_loss"],
        skipped=meta["skipped"],
    )


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
