"""Many models of a few shapes trained side by side: folds x seeds x trials, with options of their own.

Models go through their epochs together; within an epoch they are worked through in stacks of K, whose weights and
moments stay in the processor's cache for all steps of the epoch. After every epoch each model is judged on its own
validation clips; one that stops (patience, epochs, pruned, not finite) leaves, and what remains is stacked anew.
A model's numbers do not depend on its neighbours, but for rounding: every draw comes from (seed, epoch, purpose), no
product crosses models, and what is padded is masked. (Adam makes whole steps of a gradient that is nothing but rounding; no
built-in model has such a parameter.) The options mean what they mean in `mer.fusion.fit`; what differs: dropout draws, and a
model that is not finite leaves instead of skipping steps. Framewise models read batches of similar length as there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from mer.errors import ConfigError
from mer.fusion.interface import FusionShape
from mer.stack.data import StackView
from mer.stack.epoch import run_epoch
from mer.stack.frames import FrameStore
from mer.stack.judging import judge
from mer.stack.models import build_stacked
from mer.stack.state import Member, ModelPlan, Stack, Tensors, fresh
from mer.stack.twin import StackedModel

Precision = Literal["fp32", "bf16"]
AfterEpoch = Callable[[int, Mapping[int, float]], Collection[int]]
CACHE_BYTES = 32 * 2**20
"""Weights, gradients and moments of a stack: the shared cache of the processor it was measured on (docs/experiments.md)."""
LARGEST_STACK = 32
MAPPED_BYTES = 8 * 2**20
"""Frames of models whose operations are batched on a processor: beyond that batching them is slower than one after the other."""
DEVICE_BYTES = 8 * 2**30
"""Activations of a stack on an accelerator."""
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
        stack_size: models in a stack; None: `automatic_stack_size`, and on a processor framewise models share a stack only
            with those that read the same batches: others would be padded to the longest of all.
        after_epoch: called with the epoch just done and, for every model still training, its best score so far by place
            in `plans`; returns the places to prune.
        keep_parameters: keep the best epoch's parameters (memory: one copy of every model).

    Raises:
        ConfigError: a fusion model that cannot be stacked, or a stack size below 1.
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
                judge(stack, epoch, keep=keep_parameters)
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
    stores: dict[int, FrameStore] = {}
    moved = {key: own.to(device, dtype, stores) for key, own in data.items()}
    return {key: view.to(moved[id(view.data)]) for key, view in views.items()}


def _start(members: Sequence[Member], device: torch.device, size: int | None) -> list[Stack]:
    stacks = []
    order = {
        id(view): number
        for number, view in enumerate({id(m.plan.view): m.plan.view for m in members}.values())
    }
    for shape in dict.fromkeys(member.plan.shape for member in members):
        of_shape = sorted(
            (member for member in members if member.plan.shape == shape),
            # neighbours share their batches
            key=lambda member: (order[id(member.plan.view)], member.plan.config.seed),
        )
        data = of_shape[0].plan.view.data
        model = build_stacked(FusionShape(data.widths, data.classes), of_shape[0].plan.config)
        averages = any(member.plan.config.averaging > 0 for member in of_shape)
        parts = [fresh(model, member.plan, device, averages=averages) for member in of_shape]
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
    data = parts[0][0].plan.view.data
    framewise = model.reads_frames and bool(data.frames)
    each, at_once = size or automatic_stack_size(_parameters(parts[0][1][0]), device), None
    if framewise:
        bytes_of_one = _frame_bytes(parts[0][0].plan)
        if device.type == "cpu":
            each, at_once = size or LARGEST_STACK, max(1, MAPPED_BYTES // bytes_of_one)
        else:
            each = size or max(1, min(each, DEVICE_BYTES // (_STATES * bytes_of_one)))
    apart = framewise and size is None and device.type == "cpu"
    groups: dict[object, list[tuple[Member, tuple[Tensors, ...]]]] = {}
    for part in parts:
        groups.setdefault(part[0].plan.reads if apart else None, []).append(part)
    return [
        Stack(model, [m for m, _ in chunk], [tensors for _, tensors in chunk], at_once)
        for group in groups.values()
        for chunk in (group[start : start + each] for start in range(0, len(group), each))
    ]


def _parameters(tensors: Tensors) -> int:
    return sum(value.numel() for value in tensors.values())


def _frame_bytes(plan: ModelPlan) -> int:
    """What a model holds of a batch of average clips: its streams' frames, and one hidden layer on them."""
    data = plan.view.data
    features = sum(
        (float(data.frames[name].counts.float().mean()) if name in data.frames else 1.0)
        * (width + plan.config.hidden)
        for name, width in data.widths.items()
    )
    return max(1, int(plan.config.batch_size * features) * _FLOAT_BYTES)


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
