"""The two tasks' losses, and how they are balanced: fixed weights, learned uncertainty, or gradients that keep pace.

Known: a multi-task loss based on uncertainty (Wang et al. 2023, arXiv 2309.07925). Reconstruction: its form (see
`mer.training.losses.uncertainty_weighted`), its start and its step size. GradNorm (Chen et al. 2018) is here for comparison, and
only like the original: norms are of all parameters below the heads, and losses of the untrained model are computed, not measured.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mer.ensemble.valence import class_mean_valence
from mer.fusion.config import FusionConfig
from mer.fusion.loss_form import loss_form_of
from mer.fusion.model import FusionModel, FusionOutput
from mer.training.loss_forms import untrained_loss
from mer.training.losses import (
    emotion_loss,
    gradient_balance,
    settled_log_variance,
    uncertainty_weighted,
    valence_loss,
)

_HEADS = ("emotion.", "valence.", "class_valence", "task_balance")
_SMALLEST_WEIGHT = 0.01


class TaskLosses(NamedTuple):
    """Losses of a batch."""

    emotion: Tensor
    """()"""
    valence: Tensor | None
    """(); None where the options leave valence out."""
    known: Tensor
    """(2,) 1 where the batch has labels of emotion, of valence."""


def task_losses(
    output: FusionOutput,
    emotion: Tensor,
    valence: Tensor,
    weight: Tensor,
    per_class: Tensor,
    config: FusionConfig,
    target: Tensor | None = None,
) -> TaskLosses:
    """Losses of a batch's answers.

    Args:
        output: of the model.
        emotion: (B,) class index, -1 = unlabelled.
        valence: (B,) NaN = missing.
        weight: (B,) weight per clip.
        per_class: (C,) weight per class.
        config: the emotion loss, and whether valence is learnt.
        target: (B, C) distributions in place of the classes; None: every label is hard.
    """
    classes = emotion_loss(output.emotion_logits, emotion, weight, per_class, loss_form_of(config), target)
    labelled = [((emotion >= 0) & (weight > 0)).any(), (~torch.isnan(valence) & (weight > 0)).any()]
    known = torch.stack(labelled).to(classes.dtype)
    if config.valence_weight == 0:
        return TaskLosses(classes, None, known * known.new_tensor([1.0, 0.0]))
    return TaskLosses(classes, valence_loss(output.valence, valence, weight), known)


def balanced_loss(model: FusionModel, losses: TaskLosses, config: FusionConfig) -> Tensor:
    """() loss to minimise. Under GradNorm the gradient of the tasks' weights is set here, that of the model by `backward`."""
    emotion, valence, known = losses
    if valence is None:
        return emotion
    if config.task_balance == "fixed":
        return emotion + config.valence_weight * valence
    if config.task_balance == "uncertainty":
        return uncertainty_weighted(emotion, valence, model.task_balance, known)
    both = torch.stack([emotion, valence])
    weights = model.task_balance.detach().exp()
    if bool(known.all()):
        model.task_balance.grad = weights * gradient_balance(
            _gradient_norms(model, [emotion, valence]),
            both.detach(),
            both.new_tensor(
                [untrained_loss(loss_form_of(config), model.shape.classes), model.valence_spread]
            ),
            weights,
            config.gradnorm_alpha,
        )
    return (weights * both).sum()


@torch.no_grad()
def after_step(model: FusionModel, config: FusionConfig) -> None:
    """GradNorm's renormalisation: the two weights sum to 2."""
    if config.task_balance == "gradnorm":
        model.task_balance.copy_(renormalised(model.task_balance))


def renormalised(log_weights: Tensor) -> Tensor:
    """(..., 2) logarithms of the tasks' weights, moved so that the weights sum to 2."""
    weights = log_weights.exp().clamp_min(_SMALLEST_WEIGHT)
    return (2 * weights / weights.sum(dim=-1, keepdim=True)).log()


def start_model(
    model: FusionModel, emotion: NDArray[np.int64], valence: NDArray[np.floating], config: FusionConfig
) -> None:
    """Initialise the parameters that depend on the training clips' labels; none for separate heads and fixed weights.

    Joint decoding starts as class-mean decoding. Uncertainty starts at its optimum for an untrained model: the emotion loss of
    equal probabilities (cross-entropy: log C), squared error the variance.

    Args:
        model: initialised model.
        emotion: (N,) labels of the training clips, -1 = unlabelled.
        valence: (N,) NaN = missing.
        config: options.
    """
    spread = valence_spread(valence)
    model.start_heads(class_means(emotion, valence, model.shape.classes))
    if config.task_balance != "fixed":
        model.valence_spread = spread
    if config.task_balance == "uncertainty":
        start = settled_log_variance(untrained_loss(loss_form_of(config), model.shape.classes), spread)
        with torch.no_grad():
            model.task_balance.copy_(torch.tensor(start))


def valence_spread(valence: NDArray[np.floating]) -> float:
    """Variance of the known (not NaN) valence of the training clips, at least .001; 1 where none is known."""
    known = np.isfinite(valence)
    return max(float(valence[known].var()) if known.any() else 1.0, 1e-3)


def class_means(emotion: NDArray[np.int64], valence: NDArray[np.floating], classes: int) -> Tensor:
    """(C,) mean valence of every class' clips; see `mer.ensemble.valence.class_mean_valence`."""
    return torch.from_numpy(class_mean_valence(emotion, valence, classes))


def model_parameters(model: FusionModel) -> list[nn.Parameter]:
    """All parameters but the learned weights of the losses, in their order."""
    return [value for name, value in model.named_parameters() if name != "task_balance"]


def parameter_groups(model: FusionModel, config: FusionConfig) -> list[dict[str, Any]]:
    """Parameters for the optimiser; learned weights of the losses have a step size of their own and no decay."""
    groups: list[dict[str, Any]] = [{"params": model_parameters(model)}]
    if config.task_balance != "fixed":
        groups.append({"params": [model.task_balance], "lr": config.balance_rate, "weight_decay": 0.0})
    return groups


def is_shared(name: str) -> bool:
    """Whether the parameter of this name lies below the heads: both tasks' gradients reach it."""
    return not name.startswith(_HEADS)


def _gradient_norms(model: FusionModel, losses: list[Tensor]) -> Tensor:
    """(K,) norm of each loss' gradient with respect to the shared parameters."""
    shared = [value for name, value in model.named_parameters() if is_shared(name)]
    norms = []
    for loss in losses:
        gradients = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
        squares = [gradient.square().sum() for gradient in gradients if gradient is not None]
        norms.append(torch.stack(squares).sum().sqrt())
    return torch.stack(norms)
