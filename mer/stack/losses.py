"""The losses of K models, each with options of its own, as `mer.training.losses` and `mer.fusion.task_balance` have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mer.fusion.loss_form import loss_form_of
from mer.fusion.task_balance import is_shared, valence_spread
from mer.stack.data import StackView
from mer.stack.state import BALANCE, ModelPlan
from mer.training.loss_forms import LossForm, clip_losses, focal_factor, untrained_loss
from mer.training.losses import VALENCE_FLOOR, class_weights, gradient_balance


@dataclass(frozen=True)
class LossOptions:
    """Options of K models, one row each."""

    form: LossForm
    """Of the emotion: one kind, its options (K, 1) each."""
    untrained: Tensor
    """(K,) emotion loss of equal probabilities."""
    per_class: Tensor
    """(K, C) weight per class, from each model's own training clips."""
    valence: Tensor
    """(K,) weight of the squared error of valence; 0 where valence is not learnt."""
    spread: Tensor
    """(K,) variance of the training clips' valence."""
    alpha: Tensor
    """(K,) of GradNorm."""

    @classmethod
    def of_plans(cls, plans: Sequence[ModelPlan], device: torch.device) -> LossOptions:
        """Options and class weights of these models.

        Raises:
            ConfigError: options of the emotion loss that contradict each other.
        """
        forms = [loss_form_of(plan.config) for plan in plans]

        def column(values: Sequence[object]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        kind, *options = zip(*forms, strict=True)
        return cls(
            form=LossForm(kind[0], *(column(own)[:, None] for own in options)),
            untrained=column(
                [untrained_loss(own, plan.view.data.classes) for own, plan in zip(forms, plans, strict=True)]
            ),
            per_class=torch.stack([_class_weights(plan) for plan in plans]).to(device),
            valence=column([plan.config.valence_weight if plan.learns_valence else 0.0 for plan in plans]),
            spread=column([_spread(plan) for plan in plans]),
            alpha=column([plan.config.gradnorm_alpha for plan in plans]),
        )

    def of(self, turn: slice) -> LossOptions:
        """Those of the models in `turn`."""
        form = LossForm(self.form.kind, *(own[turn] for own in self.form[1:] if isinstance(own, Tensor)))
        rows = ("untrained", "per_class", "valence", "spread", "alpha")
        return replace(self, form=form, **{name: getattr(self, name)[turn] for name in rows})


@dataclass(frozen=True)
class Targets:
    """Labels of every model's batch: (K, B) each."""

    emotion: Tensor
    valence: Tensor
    weight: Tensor
    """0 where a row is no clip."""
    distribution: Tensor | None = None
    """(K, B, C) in place of the classes, which then say only who is labelled; None: every label is hard."""

    @classmethod
    def of_batches(
        cls, views: Sequence[StackView], rows: Sequence[Tensor], readers: Sequence[int], used: Tensor
    ) -> Targets:
        """Labels of the rows of each view; `readers` (K,) says which of them each model reads, `used` (K, B) which count."""
        each = list(zip((view.data for view in views), rows, strict=True))
        chosen = list(readers)
        soft = any(data.target is not None for data, _ in each)
        return cls(
            emotion=torch.stack([data.emotion[own] for data, own in each])[chosen],
            valence=torch.stack([data.valence[own] for data, own in each])[chosen],
            weight=torch.stack([data.weight[own] for data, own in each])[chosen] * used,
            distribution=torch.stack([data.distribution(own) for data, own in each])[chosen]
            if soft
            else None,
        )

    def of(self, turn: slice) -> Targets:
        """Those of the models in `turn`."""
        own = None if self.distribution is None else self.distribution[turn]
        return Targets(self.emotion[turn], self.valence[turn], self.weight[turn], own)


class StackedLosses(NamedTuple):
    """Losses of K models on their batches, (K,) each."""

    emotion: Tensor
    valence: Tensor
    """Squared error, not weighted."""
    known: Tensor
    """(K, 2) 1 where the batch has labels of emotion, of valence."""


def stacked_losses(
    logits: Tensor, predicted: Tensor, targets: Targets, options: LossOptions
) -> StackedLosses:
    """Both tasks' losses.

    Args:
        logits: (K, B, C)
        predicted: (K, B) valence.
        targets: labels.
        options: of the models.
    """
    truth, valence = targets.emotion, targets.valence  # (K, B)
    labelled = targets.weight * (truth >= 0)
    each, of_class = _of_clips(functional.log_softmax(logits.float(), dim=2), targets, options)
    emotion = (each * labelled * of_class).sum(dim=1) / labelled.sum(dim=1).clamp_min(1e-8)
    own = targets.weight * ~torch.isnan(valence)
    errors = (predicted.float() - torch.nan_to_num(valence)) ** 2
    squared = (errors * own).sum(dim=1) / own.sum(dim=1).clamp_min(1e-8)
    known = torch.stack([(labelled > 0).any(dim=1), (own > 0).any(dim=1)], dim=1)
    return StackedLosses(emotion, squared, known.to(emotion.dtype))


def _of_clips(log_p: Tensor, targets: Targets, options: LossOptions) -> tuple[Tensor, Tensor]:
    """(K, B) emotion loss of every clip, and (K, B) the weight of its class."""
    form, truth = options.form, targets.emotion.clamp_min(0)
    if targets.distribution is None and form.kind == "cross_entropy":
        right = log_p.gather(2, truth[:, :, None]).squeeze(2)
        # as torch's cross_entropy without class weights: they multiply the whole loss of a clip, smoothing included
        cross = -(1 - form.smoothing) * right - form.smoothing * log_p.mean(dim=2)
        # a power of 0 is a factor of exactly 1: the others do not notice
        return cross * focal_factor(right.exp(), form.focal), options.per_class.gather(1, truth)
    own = targets.distribution
    if own is None:
        own = functional.one_hot(truth, log_p.shape[2]).to(log_p.dtype)
    return clip_losses(log_p, own, form), (own * options.per_class[:, None]).sum(dim=2)


def balanced(
    losses: StackedLosses, leaves: Mapping[str, Tensor], options: LossOptions, balance: str
) -> tuple[Tensor, Tensor]:
    """(K,) what is minimised, and (K,) bool whether the learned weights of the losses take a step.

    Under GradNorm the gradient of these weights is set here, and kept from `backward`.

    Args:
        losses: of the models.
        leaves: parameters of the models, (K, ...) each.
        options: of the models.
        balance: `fixed`, `uncertainty` or `gradnorm`.
    """
    if balance == "fixed":
        return losses.emotion + options.valence * losses.valence, torch.zeros_like(
            losses.emotion, dtype=torch.bool
        )
    learns = options.valence > 0
    log_weights = leaves[BALANCE]  # (K, 2)
    if balance == "uncertainty":
        errors = torch.stack([losses.emotion, 0.5 * (losses.valence + VALENCE_FLOOR)], dim=1)
        both = ((torch.exp(-log_weights) * errors + 0.5 * log_weights) * losses.known).sum(dim=1)
        return both.where(learns, losses.emotion), learns
    weights = log_weights.detach().exp()
    moves = learns & losses.known.bool().all(dim=1)
    if bool(moves.any()):
        log_weights.grad = weights * _gradnorm(losses, leaves, weights, options)
    both = (weights * torch.stack([losses.emotion, losses.valence], dim=1)).sum(dim=1)
    return both.where(learns, losses.emotion), moves


def _gradnorm(
    losses: StackedLosses, leaves: Mapping[str, Tensor], weights: Tensor, options: LossOptions
) -> Tensor:
    """(K, 2) slope of every model's GradNorm objective; losses of different models share no parameter."""
    shared = [value for name, value in leaves.items() if is_shared(name)]
    norms = []
    for loss in (losses.emotion, losses.valence):
        found = torch.autograd.grad(loss.sum(), shared, retain_graph=True, allow_unused=True)
        squares = [part.flatten(1).square().sum(dim=1) for part in found if part is not None]
        norms.append(torch.stack(squares).sum(dim=0).sqrt())
    norm = torch.stack(norms, dim=1)  # (K, 2)
    now = torch.stack([losses.emotion, losses.valence], dim=1).detach()
    return torch.stack(
        [
            gradient_balance(
                norm[k], now[k], torch.stack([options.untrained[k], options.spread[k]]), weights[k],
                float(options.alpha[k]),
            )
            for k in range(len(now))
        ]
    )  # fmt: skip


def _class_weights(plan: ModelPlan) -> Tensor:
    data = plan.view.data
    labels = data.emotion.index_select(0, plan.view.train).cpu().numpy()
    target = None if data.target is None else data.target.index_select(0, plan.view.train).cpu().numpy()
    return class_weights(
        labels, data.classes, plan.config.class_weighting, plan.config.effective_beta, target
    )


def _spread(plan: ModelPlan) -> float:
    return valence_spread(plan.view.data.valence.index_select(0, plan.view.train).cpu().numpy())
