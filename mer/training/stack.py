"""Many models of a few shapes trained side by side: folds x seeds x trials, with options of their own.

Models go through their epochs together; within an epoch they are worked through in stacks of K, whose weights and
moments stay in the processor's cache for all steps of the epoch. After every epoch each model is judged on its own
validation clips; one that stops (patience, epochs, pruned, not finite) leaves, and what remains is stacked anew.
A model's numbers do not depend on its neighbours: batches are padded to a fixed size, every draw comes from
(seed, epoch, purpose), and no product crosses models. The options mean what they mean in `mer.fusion.fit`; what
differs: dropout draws, and a model that is not finite leaves instead of skipping steps.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from mer.errors import ConfigError
from mer.evaluation.metrics import confusion, waf
from mer.fusion.interface import FusionShape
from mer.training.seeding import epoch_generator
from mer.training.stack_data import StackView
from mer.training.stack_epoch import run_epoch
from mer.training.stack_models import StackedModel, build_stacked
from mer.training.stack_state import Member, ModelPlan, Stack, Tensors, fresh

Precision = Literal["fp32", "bf16"]
AfterEpoch = Callable[[int, Mapping[int, float]], Collection[int]]
CACHE_BYTES = 32 * 2**20
"""Weights, gradients and moments of a stack: the shared cache of the processor it was measured on (docs/experiments.md)."""
LARGEST_STACK = 32
_STATES = 4
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class ModelOutcome:
    """How one model of a stack ended."""

    plan: ModelPlan
    best_score: float
    """Weighted F1 of the kept epoch on the validation clips; NaN without such clips, or if no epoch was finite."""
    best_loss: float
    best_epoch: int
    """Counted from 1; 0: no epoch was finite."""
    epochs: int
    """Epochs trained."""
    scores: tuple[float, ...]
    """Weighted F1 on the validation clips after every epoch."""
    left: str
    """`epochs`, `patience`, `pruned`, or `diverged: ...`."""
    tensors: Tensors
    """Parameters of the kept epoch, named as in the fusion model; empty if they were not to be kept."""


def automatic_stack_size(parameters: int, device: torch.device) -> int:
    """Models in a stack: on a processor as many as keep weights, gradients and moments in `CACHE_BYTES`, at least 1.

    Args:
        parameters: of one model.
        device: elsewhere than on a processor, 256: there launches count, not caches.
    """
    if device.type != "cpu":
        return 256
    return max(1, min(LARGEST_STACK, CACHE_BYTES // (_STATES * _FLOAT_BYTES * parameters)))


def train_stack(
    plans: Sequence[ModelPlan],
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    stack_size: int | None = None,
    after_epoch: AfterEpoch | None = None,
    keep_parameters: bool = True,
) -> list[ModelOutcome]:
    """Train all `plans`, in the order given.

    Args:
        plans: models of any shapes; those of one shape are stacked.
        device: where to train, e.g. `cuda`.
        precision: of the matrix products; bf16 where the processor has it.
        stack_size: models in a stack; None: `automatic_stack_size`.
        after_epoch: called with the epoch just done and, for every model still training, its best score so far by place
            in `plans`; returns the places to prune.
        keep_parameters: keep the best epoch's parameters (memory: one copy of every model).

    Raises:
        ConfigError: a fusion model without stacked form, or a stack size below 1.
    """
    if stack_size is not None and stack_size < 1:
        raise ConfigError(f"stack: expected a size of at least 1, found {stack_size}")
    place = torch.device(device)
    views = _placed({id(plan.view): plan.view for plan in plans}, place, precision)
    members = [Member(index, replace(plan, view=views[id(plan.view)])) for index, plan in enumerate(plans)]
    stacks = _start(members, place, stack_size)
    epoch = 0
    while stacks:
        epoch += 1
        for stack in stacks:
            with _products(place, precision):
                run_epoch(stack, epoch)
                for k in range(len(stack.members)):
                    _judge(stack, k, epoch, keep_parameters)
        training = [member for stack in stacks for member in stack.members if not member.left]
        pruned = after_epoch(epoch, {m.index: m.best_score for m in training}) if after_epoch else ()
        for member in training:
            if member.index in pruned:
                member.left = "pruned"
        if any(member.left for stack in stacks for member in stack.members):
            stacks = _compacted(stacks, stack_size, place)
    return [_outcome(member, plan) for member, plan in zip(members, plans, strict=True)]


def _placed(
    views: Mapping[int, StackView], device: torch.device, precision: Precision
) -> dict[int, StackView]:
    """The views on the device; what they share is moved once."""
    dtype = torch.bfloat16 if precision == "bf16" else None
    data = {id(view.data): view.data for view in views.values()}
    moved = {key: own.to(device, dtype) for key, own in data.items()}
    return {key: view.to(moved[id(view.data)]) for key, view in views.items()}


def _start(members: Sequence[Member], device: torch.device, size: int | None) -> list[Stack]:
    stacks = []
    for shape in dict.fromkeys(member.plan.shape for member in members):
        of_shape = sorted(
            (member for member in members if member.plan.shape == shape),
            key=lambda member: (
                member.plan.view.name,
                member.plan.config.seed,
            ),  # neighbours share their batches
        )
        data = of_shape[0].plan.view.data
        model = build_stacked(FusionShape(data.widths, data.classes), of_shape[0].plan.config)
        averages = any(member.plan.config.averaging > 0 for member in of_shape)
        parts = [
            fresh(
                model,
                epoch_generator(member.plan.config.seed, 0, "initialisation"),
                device,
                averages=averages,
            )
            for member in of_shape
        ]
        stacks += _stacked(model, list(zip(of_shape, parts, strict=True)), size, device)
    return stacks


def _stacked(
    model: StackedModel,
    parts: Sequence[tuple[Member, tuple[Tensors, ...]]],
    size: int | None,
    device: torch.device,
) -> list[Stack]:
    if not parts:
        return []
    count = sum(value.numel() for value in parts[0][1][0].values())
    each = size or automatic_stack_size(count, device)
    return [
        Stack(model, [m for m, _ in chunk], [tensors for _, tensors in chunk])
        for chunk in (parts[start : start + each] for start in range(0, len(parts), each))
    ]


def _compacted(stacks: Sequence[Stack], size: int | None, device: torch.device) -> list[Stack]:
    """The models still training, in as few stacks as they need; the memory of the others is released."""
    left: list[Stack] = []
    for model in dict.fromkeys(stack.model for stack in stacks):
        parts = [
            pair
            for stack in stacks
            if stack.model is model
            for pair in stack.take_apart()
            if not pair[0].left
        ]
        left += _stacked(model, parts, size, device)
    return left


@torch.no_grad()
def _judge(stack: Stack, k: int, epoch: int, keep: bool) -> None:
    """Score a model on its validation clips, remember its best epoch, and see whether it has done enough."""
    member = stack.members[k]
    config, rows = member.plan.config, member.plan.view.validation
    if member.left:
        return
    member.epochs = epoch
    score, loss = _scores(stack, k, rows) if len(rows) else (math.nan, math.nan)
    if len(rows) and not math.isfinite(loss):
        member.left = f"diverged: validation loss {loss} after epoch {epoch}"
        return
    member.scores.append(score)
    if math.isnan(score):
        better = True  # nothing to choose by: the last epoch
    elif config.validation_score == "loss":
        better = loss < member.best_loss
    else:
        better = not score <= member.best_score or (score == member.best_score and loss < member.best_loss)
    if better:
        member.best_epoch, member.best_score, member.best_loss = epoch, score, loss
        if keep:
            member.best = stack.model.state_dict({name: value[0] for name, value in stack.judged(k).items()})
    if epoch >= config.epochs:
        member.left = "epochs"
    elif config.patience and epoch - member.best_epoch >= config.patience:
        member.left = "patience"


def _scores(stack: Stack, k: int, rows: Tensor) -> tuple[float, float]:
    view = stack.members[k].plan.view
    logits = stack.model.forward(stack.judged(k), view.batch(rows), None)[0][0].float()
    truth = view.data.emotion.index_select(0, rows)
    known = truth >= 0
    if not bool(known.any()):
        return math.nan, 0.0
    loss = float(torch.nn.functional.cross_entropy(logits[known], truth[known]))
    counts = confusion(
        truth[known].cpu().numpy(), logits[known].argmax(dim=1).cpu().numpy(), view.data.classes
    )
    return float(waf(counts)), loss


def _products(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def _outcome(member: Member, plan: ModelPlan) -> ModelOutcome:
    return ModelOutcome(
        plan=plan,
        best_score=member.best_score,
        best_loss=member.best_loss,
        best_epoch=member.best_epoch,
        epochs=member.epochs,
        scores=tuple(member.scores),
        left=member.left,
        tensors=member.best,
    )
