"""One step of the optimiser for every model of a stack, and what becomes of one that is not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mer.fusion.task_balance import renormalised
from mer.stack.adam import fused_step, stacked_step
from mer.stack.state import BALANCE, ModelPlan, Stack


@dataclass(frozen=True)
class StepOptions:
    """Options of K models, (K,) each."""

    learning_rate: Tensor
    weight_decay: Tensor
    largest_norm: Tensor
    balance_rate: Tensor

    @classmethod
    def of_plans(cls, plans: Sequence[ModelPlan], device: torch.device) -> StepOptions:
        """Those of these models."""
        configs = [plan.config for plan in plans]

        def column(values: Sequence[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        return cls(
            column([own.learning_rate for own in configs]),
            column([own.weight_decay for own in configs]),
            column([own.gradient_clip for own in configs]),
            column([own.balance_rate for own in configs]),
        )


def take_step(
    stack: Stack, losses: Tensor, active: Tensor, moves: Tensor, options: StepOptions, epoch: int
) -> None:
    """Let the optimiser move every active model whose loss is finite; the others leave or sit out.

    Args:
        stack: gradients are in its leaves.
        losses: (K,)
        active: (K,) bool, whether the model has a batch.
        moves: (K,) bool, whether its learned weights of the losses take a step.
        options: of the optimiser.
        epoch: for the reason of leaving.
    """
    if losses.device.type != "cpu":
        _step_elsewhere(stack, losses, active, moves, options, epoch)
        return
    grown = _gradients_of_models(stack)
    each = zip(stack.members, losses.tolist(), active.tolist(), moves.tolist(), strict=True)
    for k, (member, loss, on, moving) in enumerate(each):
        if member.left or not on:
            continue
        config, (reached, gradients) = member.plan.config, grown[k]
        parameters, first, second = ([parts[i] for i in reached] for parts in stack.slices[k][:3])
        stack.step_counts[k] += 1
        member.steps += 1
        if not math.isfinite(loss) or not fused_step(
            parameters, gradients, first, second, stack.step_counts[k],
            learning_rate=config.learning_rate, weight_decay=config.weight_decay, largest_norm=config.gradient_clip,
        ):  # fmt: skip
            member.left, member.epochs = _diverged(loss, epoch), epoch
            continue
        if BALANCE in stack.parameters:
            _move_balance(stack, k, moving)
        if config.averaging > 0:
            everything, average = stack.slices[k][0], stack.slices[k][3]
            torch._foreach_lerp_(average, everything, 1.0 - _kept(config.averaging, member.steps))


def _gradients_of_models(stack: Stack) -> list[tuple[list[int], tuple[Tensor, ...]]]:
    """Of every model: the places in `stack.order` of the parameters that its loss reaches, and their gradients.

    The others are not stepped, as in torch's optimisers: a gradient of 0 would still decay them. The losses' weights are
    stepped by themselves.
    """
    found: list[tuple[list[int], tuple[Tensor, ...]]] = []
    for leaves in stack.leaves:
        grown = [(place, leaves[name].grad) for place, name in enumerate(stack.order) if name != BALANCE]
        reached = [place for place, gradient in grown if gradient is not None]
        each = zip(*(gradient.unbind(0) for _, gradient in grown if gradient is not None), strict=True)
        found += [(reached, own) for own in each]
    return found


def _move_balance(stack: Stack, k: int, moving: bool) -> None:
    member = stack.members[k]
    (weights, first, second, _) = ([parts[-1]] for parts in stack.slices[k])
    if moving:
        turn = next(number for number, own in enumerate(stack.turns) if own.start <= k < own.stop)
        gradient = stack.leaves[turn][BALANCE].grad
        assert gradient is not None
        stack.balance_counts[k] += 1
        member.balance_steps += 1
        fused_step(
            weights, [gradient[k - stack.turns[turn].start]], first, second, stack.balance_counts[k],
            learning_rate=member.plan.config.balance_rate, weight_decay=0.0, largest_norm=math.inf,
        )  # fmt: skip
    if member.plan.config.task_balance == "gradnorm":
        weights[0].copy_(renormalised(weights[0]))


@torch.no_grad()
def _step_elsewhere(
    stack: Stack, losses: Tensor, active: Tensor, moves: Tensor, options: StepOptions, epoch: int
) -> None:
    device = losses.device
    training = torch.tensor([not member.left for member in stack.members], device=device)
    on = active & training & torch.isfinite(losses)
    for member, steps in zip(stack.members, active.tolist(), strict=True):
        member.steps += int(steps)
    (leaves,) = stack.leaves
    finite = stacked_step(
        {name: value for name, value in leaves.items() if name != BALANCE},
        stack.first,
        stack.second,
        _counts([member.steps for member in stack.members], device),
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
    if BALANCE in leaves:
        _move_balances_elsewhere(stack, moved & moves, options)
    for name, average in stack.average.items():
        shares = [
            (1.0 - _kept(m.plan.config.averaging, m.steps)) if m.plan.config.averaging > 0 else 0.0
            for m in stack.members
        ]
        share = torch.tensor(shares, device=device) * moved
        average.lerp_(stack.parameters[name], share.view(-1, *[1] * (average.dim() - 1)))


def _move_balances_elsewhere(stack: Stack, moving: Tensor, options: StepOptions) -> None:
    weights = stack.leaves[0][BALANCE]
    if weights.grad is not None:
        for member, steps in zip(stack.members, moving.tolist(), strict=True):
            member.balance_steps += int(steps)
        stacked_step(
            {BALANCE: weights},
            stack.first,
            stack.second,
            _counts([member.balance_steps for member in stack.members], weights.device),
            learning_rate=options.balance_rate,
            weight_decay=torch.zeros_like(options.balance_rate),
            largest_norm=torch.full_like(options.balance_rate, math.inf),
            takes_step=moving.float(),
        )
    if stack.members[0].plan.config.task_balance == "gradnorm":
        weights.copy_(renormalised(weights))


def _counts(steps: Sequence[int], device: torch.device) -> Tensor:
    return torch.tensor([float(max(count, 1)) for count in steps], device=device)


def _kept(decay: float, steps: int) -> float:
    """Share of the running average that stays: early steps count more, as in `mer.fusion.train`."""
    return 0.0 if steps == 1 else min(decay, steps / (steps + 9))


def _diverged(loss: float, epoch: int) -> str:
    return f"diverged: loss {loss} or gradient not finite in epoch {epoch}; lower the learning rate or check the features"
