"""One pass of a stack over its models' training clips."""

from __future__ import annotations

import torch
from torch import Tensor

from mer.stack.batch import StackBatch, joined
from mer.stack.draws import EpochDraws, epoch_order
from mer.stack.dropout import StackedDropout
from mer.stack.losses import LossOptions, Targets, balanced, stacked_losses
from mer.stack.state import Stack
from mer.stack.step import StepOptions, take_step


def run_epoch(stack: Stack, epoch: int) -> None:
    """Train every model of `stack` for one epoch, in place.

    A model with fewer batches than its neighbours sits out the last steps; one that is not finite leaves.
    """
    plans = [member.plan for member in stack.members]
    device, size = plans[0].view.data.emotion.device, plans[0].config.batch_size
    losses, steps = LossOptions.of_plans(plans, device), StepOptions.of_plans(plans, device)
    sources = list(dict.fromkeys(plan.reads for plan in plans))
    readers = [sources.index(plan.reads) for plan in plans]
    first_reader = [plans[readers.index(source)] for source in range(len(sources))]
    views = [plan.view for plan in first_reader]
    draws = EpochDraws([plan.config for plan in plans], readers, epoch, stack.model.places, device)
    orders = [epoch_order(plan.view, plan.config.seed, epoch, size) for plan in first_reader]
    framewise = stack.model.reads_frames and bool(views[0].data.frames)
    of_model = None if len(sources) == 1 else torch.tensor(readers, device=device)
    for step in range(max(len(order) for order in orders)):
        index = [order[step] if step < len(order) else order[0][:0] for order in orders]
        clips = [len(rows) for rows in index]
        # frames of a row that is no clip cost as much as any: without neighbours of another size there are no such rows
        rows_read = clips[0] if framewise and len(sources) == 1 else size
        padded = [_padded(rows, rows_read, orders[s][0]) for s, rows in enumerate(index)]
        each = [
            view.batch(rows, reads_frames=stack.model.reads_frames)
            for view, rows in zip(views, padded, strict=True)
        ]
        dropout = draws.dropout([own.frames for own in each], rows_read)
        batch = joined(each, of_model)
        if draws.hides():
            batch = _hidden(batch, draws, [clips[source] for source in readers])
        real = torch.tensor([clips[source] for source in readers], device=device)
        used = (torch.arange(rows_read, device=device)[None] < real[:, None]).float()
        targets = Targets.of_batches(views, padded, readers, used)
        found, moves = _gradients(stack, batch, dropout, targets, losses)
        take_step(stack, found, real > 0, moves, steps, epoch)


def _gradients(
    stack: Stack,
    batch: StackBatch,
    dropout: StackedDropout | None,
    targets: Targets,
    options: LossOptions,
) -> tuple[Tensor, Tensor]:
    """(K,) loss of every model on its own batch, its gradient in the leaves; (K,) whether the losses' weights move."""
    balance = stack.members[0].plan.config.task_balance
    whole = len(stack.turns) == 1
    found: list[tuple[Tensor, Tensor]] = []
    for turn, leaves in zip(stack.turns, stack.leaves, strict=True):
        for value in leaves.values():
            value.grad = None
        own = batch if whole else batch.of(turn)
        masks = dropout if whole or dropout is None else dropout.of(turn)
        logits, predicted = stack.model.forward(leaves, own.shown(), masks)
        asked, weights = (targets, options) if whole else (targets.of(turn), options.of(turn))
        minimised, moves = balanced(
            stacked_losses(logits, predicted, asked, weights), leaves, weights, balance
        )
        minimised.sum().backward()  # type: ignore[no-untyped-call]
        found.append((minimised.detach(), moves))
    if whole:
        return found[0]
    return torch.cat([loss for loss, _ in found]), torch.cat([moves for _, moves in found])


def _padded(rows: Tensor, size: int, filler: Tensor) -> Tensor:
    """(size,) row numbers: beyond the real ones anything that exists, its weight in the loss is 0."""
    if len(rows) == size:
        return rows
    fill = rows[:1] if len(rows) else filler[:1]
    return torch.cat([rows, fill.expand(size - len(rows))])


def _hidden(batch: StackBatch, draws: EpochDraws, clips: list[int]) -> StackBatch:
    """The batch with streams hidden model by model."""
    count = len(clips)
    held = {name: own.expand(count, *own.shape[1:]) for name, own in batch.present.items()}
    each = [draws.present(k, {name: own[k] for name, own in held.items()}, clips[k]) for k in range(count)]
    present = {name: torch.stack([own[name] for own in each]) for name in held}
    return StackBatch(batch.values, present, hides=True)
