"""One pass of a stack over its models' training clips."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from mer.training.losses import class_weights
from mer.training.stack_adam import fused_step, stacked_step
from mer.training.stack_data import StackBatch, StackView, joined
from mer.training.stack_draws import EpochDraws, epoch_order
from mer.training.stack_models import StackedDropout
from mer.training.stack_state import ModelPlan, Stack


def run_epoch(stack: Stack, epoch: int) -> None:
    """Train every model of `stack` for one epoch, in place.

    A model with fewer batches than its neighbours sits out the last steps; one that is not finite leaves.
    """
    device = stack.members[0].plan.view.data.emotion.device
    options = _Options(stack, device)
    draws = EpochDraws(
        [m.plan.config.seed for m in stack.members],
        [m.plan.config.dropout for m in stack.members],
        [m.plan.config.modality_dropout for m in stack.members],
        epoch,
        stack.model.dropout_widths,
        options.batch_size,
        device,
    )
    sources = list(dict.fromkeys((id(m.plan.view), m.plan.config.seed) for m in stack.members))
    readers = [sources.index((id(m.plan.view), m.plan.config.seed)) for m in stack.members]
    first_reader = [readers.index(source) for source in range(len(sources))]
    orders = [
        epoch_order(stack.members[k].plan.view, stack.members[k].plan.config.seed, epoch, options.batch_size)
        for k in first_reader
    ]
    of_model = None if len(sources) == 1 else torch.tensor(readers, device=device)
    for step in range(max(len(order) for order in orders)):
        index = [order[step] if step < len(order) else order[0][:0] for order in orders]
        clips = [len(rows) for rows in index]
        padded = [_padded(rows, options.batch_size, orders[s][0]) for s, rows in enumerate(index)]
        views = [stack.members[k].plan.view for k in first_reader]
        batch = joined([view.batch(rows) for view, rows in zip(views, padded, strict=True)], of_model)
        if draws.hides():
            batch = _hidden(batch, draws, [clips[source] for source in readers])
        targets = _Targets(views, padded, readers)
        real = torch.tensor([clips[source] for source in readers], device=device)
        used = (torch.arange(options.batch_size, device=device)[None] < real[:, None]).float()
        losses = _losses(stack, batch, draws.dropout(), targets, used, options)
        for value in stack.parameters.values():
            value.grad = None
        losses.sum().backward()  # type: ignore[no-untyped-call]
        _step(stack, losses.detach(), real > 0, options, epoch)


class _Targets:
    """Labels of every model's batch: (K, B) each."""

    def __init__(self, views: list[StackView], rows: list[Tensor], readers: list[int]) -> None:
        each = list(zip((view.data for view in views), rows, strict=True))
        self.emotion = torch.stack([data.emotion[own] for data, own in each])[readers]
        self.valence = torch.stack([data.valence[own] for data, own in each])[readers]
        self.weight = torch.stack([data.weight[own] for data, own in each])[readers]


class _Options:
    """Options of the K models as tensors."""

    def __init__(self, stack: Stack, device: torch.device) -> None:
        configs = [member.plan.config for member in stack.members]

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        self.batch_size = configs[0].batch_size
        self.learning_rate = column([c.learning_rate for c in configs])
        self.weight_decay = column([c.weight_decay for c in configs])
        self.largest_norm = column([c.gradient_clip for c in configs])
        self.smoothing = column([c.label_smoothing for c in configs])[:, None]
        self.per_class = torch.stack([_class_weights(member.plan) for member in stack.members]).to(device)
        self.valence = column(
            [m.plan.config.valence_weight if m.plan.learns_valence else 0.0 for m in stack.members]
        )


def _losses(
    stack: Stack,
    batch: StackBatch,
    dropout: StackedDropout | None,
    targets: _Targets,
    used: Tensor,
    options: _Options,
) -> Tensor:
    """(K,) loss of every model on its own batch; as `mer.training.losses`, with one label smoothing a model."""
    logits, predicted = stack.model.forward(stack.parameters, batch, dropout)
    truth, valence = targets.emotion, targets.valence  # (K, B)
    weight = targets.weight * used
    known = weight * (truth >= 0)
    log_p = functional.log_softmax(logits.float(), dim=2)
    right = log_p.gather(2, truth.clamp_min(0)[:, :, None]).squeeze(2)
    # as torch's cross_entropy without class weights: they multiply the whole loss of a clip, smoothing included
    cross = -(1 - options.smoothing) * right - options.smoothing * log_p.mean(dim=2)
    weighted = known * options.per_class.gather(1, truth.clamp_min(0))
    losses = (cross * weighted).sum(dim=1) / known.sum(dim=1).clamp_min(1e-8)
    own = weight * ~torch.isnan(valence)
    errors = (predicted.float() - torch.nan_to_num(valence)) ** 2
    return losses + options.valence * (errors * own).sum(dim=1) / own.sum(dim=1).clamp_min(1e-8)


def _step(stack: Stack, losses: Tensor, active: Tensor, options: _Options, epoch: int) -> None:
    """Let the optimiser move every active model whose loss is finite; the others leave or sit out."""
    if losses.device.type != "cpu":
        _step_elsewhere(stack, losses, active, options, epoch)
        return
    names = list(stack.parameters)
    gradients = list(zip(*(stack.parameters[name].grad.unbind(0) for name in names), strict=True))  # type: ignore[union-attr]
    for k, (member, loss, on) in enumerate(zip(stack.members, losses.tolist(), active.tolist(), strict=True)):
        if member.left or not on:
            continue
        config = member.plan.config
        parameters, first, second, average = stack.slices[k]
        stack.step_counts[k] += 1
        member.steps += 1
        if not math.isfinite(loss) or not fused_step(
            parameters, gradients[k], first, second, stack.step_counts[k],
            learning_rate=config.learning_rate, weight_decay=config.weight_decay, largest_norm=config.gradient_clip,
        ):  # fmt: skip
            member.left, member.epochs = _diverged(loss, epoch), epoch
            continue
        if config.averaging > 0:
            torch._foreach_lerp_(average, parameters, 1.0 - _kept(config.averaging, member.steps))


@torch.no_grad()
def _step_elsewhere(stack: Stack, losses: Tensor, active: Tensor, options: _Options, epoch: int) -> None:
    training = torch.tensor([not member.left for member in stack.members], device=losses.device)
    on = active & training & torch.isfinite(losses)
    for member, steps in zip(stack.members, active.tolist(), strict=True):
        member.steps += int(steps)
    counts = torch.tensor([float(max(member.steps, 1)) for member in stack.members], device=losses.device)
    finite = stacked_step(
        stack.parameters,
        stack.first,
        stack.second,
        counts,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        largest_norm=options.largest_norm,
        takes_step=on.float(),
    )
    moved = on & finite
    for member, loss, fine, was in zip(
        stack.members, losses.tolist(), (moved | ~active).tolist(), training.tolist(), strict=True
    ):
        if was and not fine:
            member.left, member.epochs = _diverged(loss, epoch), epoch
    for name, average in stack.average.items():
        shares = [
            (1.0 - _kept(m.plan.config.averaging, m.steps)) if m.plan.config.averaging > 0 else 0.0
            for m in stack.members
        ]
        share = torch.tensor(shares, device=losses.device) * moved
        average.lerp_(stack.parameters[name].detach(), share.view(-1, *[1] * (average.dim() - 1)))


def _class_weights(plan: ModelPlan) -> Tensor:
    """(C,) from the labels of the model's own training clips."""
    data = plan.view.data
    labels = data.emotion.index_select(0, plan.view.train).cpu().numpy()
    return class_weights(labels, data.classes, plan.config.class_weighting)


def _kept(decay: float, steps: int) -> float:
    """Share of the running average that stays: early steps count more, as in `mer.fusion.train`."""
    return 0.0 if steps == 1 else min(decay, steps / (steps + 9))


def _diverged(loss: float, epoch: int) -> str:
    return f"diverged: loss {loss} or gradient not finite in epoch {epoch}; lower the learning rate or check the features"


def _padded(rows: Tensor, size: int, filler: Tensor) -> Tensor:
    """(size,) row numbers: beyond the real ones anything that exists, its weight in the loss is 0."""
    if len(rows) == size:
        return rows
    fill = filler[:1] if len(filler) else rows.new_zeros(1)
    return torch.cat([rows, fill.expand(size - len(rows))])


def _hidden(batch: StackBatch, draws: EpochDraws, clips: list[int]) -> StackBatch:
    """The batch with streams hidden model by model."""
    count = len(clips)
    held = {name: own.expand(count, -1, -1) for name, own in batch.present.items()}
    each = [draws.present(k, {name: own[k] for name, own in held.items()}, clips[k]) for k in range(count)]
    present = {name: torch.stack([own[name] for own in each]) for name in held}
    values = {name: own * present[name] for name, own in batch.values.items()}
    return StackBatch(values, present)
