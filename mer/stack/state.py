"""Models side by side: their parameters, moments and averages, joined along a leading axis and taken apart again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mer.fusion.config import FusionConfig
from mer.stack.data import StackView
from mer.stack.twin import StackedModel
from mer.training.seeding import epoch_generator

Tensors = dict[str, Tensor]
BALANCE = "task_balance"
"""The parameter that holds the learned weights of the losses."""


@dataclass(frozen=True)
class ModelPlan:
    """One model to train: its options and the clips it may use."""

    config: FusionConfig
    view: StackView
    learns_valence: bool = True
    """Whether valence enters the loss, besides `config.valence_weight`."""

    @property
    def shape(self) -> tuple[object, ...]:
        """What must be equal for models to be stacked."""
        data = self.view.data
        return (
            self.config.model,
            self.config.level,
            self.config.hidden,
            self.config.batch_size,
            self.config.valence_decoding,
            self.config.posterior_gradient,
            self.config.task_balance,
            self.config.emotion_loss,
            self.config.audio_guided,
            data.classes,
            tuple(data.frames),
            *data.widths.items(),
        )

    @property
    def reads(self) -> tuple[object, ...]:
        """What must be equal for models to read the same batches: they also draw the same dropout bytes."""
        return (id(self.view), self.config.seed)


@dataclass
class Member:
    """One model of a stack and what is known of it so far."""

    index: int
    """Its place among the plans."""
    plan: ModelPlan
    steps: int = 0
    balance_steps: int = 0
    """Of the learned weights of the losses: they sit out batches that do not have both tasks' labels."""
    epochs: int = 0
    best_epoch: int = 0
    best_score: float = math.nan
    best_loss: float = math.inf
    best: Tensors = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)
    """Weighted F1 on the validation clips after every epoch."""
    left: str = ""
    """Why it left the stack; empty while it trains."""


class Stack:
    """K models of one shape.

    Args:
        model: how such models compute.
        members: K of them.
        parts: parameters, first moments, second moments and (if kept) averages of each: four dictionaries.
        at_once: models whose operations are batched; the others' turn comes after them, on the same clips.
    """

    def __init__(
        self,
        model: StackedModel,
        members: Sequence[Member],
        parts: Sequence[tuple[Tensors, ...]],
        at_once: int | None = None,
    ) -> None:
        self.model = model
        self.members = list(members)
        self.parameters, self.first, self.second, self.average = (
            {name: torch.stack([own[kind][name] for own in parts]) for name in parts[0][kind]}
            for kind in range(4)
        )
        count = len(self.members)
        size = min(at_once or count, count)
        self.turns = [slice(start, min(start + size, count)) for start in range(0, count, size)]
        # leaves of each turn share memory with the stack: what the optimiser writes there is read here
        self.leaves = [
            {name: value[turn].detach().requires_grad_() for name, value in self.parameters.items()}
            for turn in self.turns
        ]
        self.step_counts = [torch.tensor(float(member.steps)) for member in members]
        self.balance_counts = [torch.tensor(float(member.balance_steps)) for member in members]
        # the weights of the losses last: they are not stepped with the rest
        self.order = sorted(self.parameters, key=lambda name: name == BALANCE)
        # per model, once: the optimiser is called with them at every step
        self.slices = [
            tuple([tensors[name].detach()[k] for name in self.order] for tensors in self._four())
            for k in range(count)
        ]

    def take_apart(self) -> list[tuple[Member, tuple[Tensors, ...]]]:
        """Every model with its own tensors (views)."""
        return [
            (
                member,
                tuple(
                    {name: value.detach()[k] for name, value in tensors.items()}
                    for tensors in self._four(True)
                ),
            )
            for k, member in enumerate(self.members)
        ]

    def judged(self, k: int) -> Tensors:
        """(1, ...) parameters that are validated and kept: the running average where there is one."""
        own = self.members[k].plan.config.averaging > 0
        return {
            name: value.detach()[k : k + 1]
            for name, value in (self.average if own else self.parameters).items()
        }

    def _four(self, with_empty: bool = False) -> list[Tensors]:
        four = [self.parameters, self.first, self.second, self.average]
        return four if with_empty or self.average else [*four[:3], self.parameters]


def fresh(
    model: StackedModel, plan: ModelPlan, device: torch.device, *, averages: bool
) -> tuple[Tensors, ...]:
    """Tensors of a model before its first step."""
    data, train = plan.view.data, plan.view.train
    begun = model.initial(
        epoch_generator(plan.config.seed, 0, "initialisation"),
        data.emotion.index_select(0, train).cpu().numpy(),
        data.valence.index_select(0, train).cpu().numpy(),
        plan.config,
    )
    start = {name: value.to(device) for name, value in begun.items()}
    zeros = [{name: torch.zeros_like(value) for name, value in start.items()} for _ in range(2)]
    return start, *zeros, {name: value.clone() for name, value in start.items()} if averages else {}
