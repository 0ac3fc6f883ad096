"""Adam over stacked parameters: every model has its own step size, weight decay, gradient norm and step count.

Known (Kingma and Ba 2015; weight decay inside the gradient as in `torch.optim.Adam`). On a processor the fused kernel
behind `torch.optim.Adam(fused=True)` runs once a model over that model's slices: one pass over memory, and a model that
sits out a step is not called. Elsewhere one launch for all models matters more than passes, so the update is a few
elementwise operations over the whole stack.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


def fused_step(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    first: Sequence[Tensor],
    second: Sequence[Tensor],
    step: Tensor,
    *,
    learning_rate: float,
    weight_decay: float,
    largest_norm: float,
) -> bool:
    """One step of one model on a processor, in place; False (and nothing changed) where a norm to clip is not finite.

    Args:
        parameters: contiguous tensors of the model, as are all further ones.
        gradients: of the loss; scaled in place where clipped.
        first: running means of gradients.
        second: running means of squared gradients.
        step: () float32, the number of this step from 1.
        learning_rate: step size.
        weight_decay: L2 penalty added to the gradient.
        largest_norm: gradients of a larger norm are scaled down to it; infinity: never.
    """
    scale: Tensor | None = None
    if math.isfinite(largest_norm):
        norm = float(torch.linalg.vector_norm(torch.stack([part.norm() for part in gradients])))
        if not math.isfinite(norm):
            return False
        if norm + 1e-6 > largest_norm:
            scale = torch.tensor((norm + 1e-6) / largest_norm)  # the kernel divides by it
    torch._fused_adam_(
        list(parameters),
        list(gradients),
        list(first),
        list(second),
        [],
        [step] * len(parameters),
        amsgrad=False,
        lr=learning_rate,
        beta1=BETAS[0],
        beta2=BETAS[1],
        weight_decay=weight_decay,
        eps=EPSILON,
        maximize=False,
        grad_scale=scale,
        found_inf=None,
    )
    return True


def stacked_step(
    parameters: Mapping[str, Tensor],
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    steps: Tensor,
    *,
    learning_rate: Tensor,
    weight_decay: Tensor,
    largest_norm: Tensor,
    takes_step: Tensor,
) -> Tensor:
    """One step of K models, in place; returns (K,) whether each model's gradient was finite.

    Args:
        parameters: name -> (K, ...) with gradients.
        first: running means of gradients.
        second: running means of squared gradients.
        steps: (K,) float32, the number of this step of every model.
        learning_rate: (K,)
        weight_decay: (K,)
        largest_norm: (K,), infinity where gradients are not clipped.
        takes_step: (K,) float32, 0 for models that sit this step out: nothing of theirs changes.
    """
    gradients = {name: value.grad for name, value in parameters.items() if value.grad is not None}
    square = torch.stack([gradient.flatten(1).square().sum(dim=1) for gradient in gradients.values()])
    norm = square.sum(dim=0).sqrt()
    finite = torch.isfinite(norm)
    on = takes_step * finite
    shrink = (largest_norm / (norm + 1e-6)).clamp_max(1.0)
    first_bias, second_bias = 1 - BETAS[0] ** steps, 1 - BETAS[1] ** steps
    for name, gradient in gradients.items():
        value, mean, square_mean = parameters[name], first[name], second[name]

        def per_model(numbers: Tensor, like: Tensor = value) -> Tensor:
            return numbers.view(-1, *[1] * (like.dim() - 1))

        moved = torch.addcmul(gradient * per_model(shrink), per_model(weight_decay), value)
        moved = moved.where(per_model(on) > 0, 0.0)  # a product would keep NaN
        mean.lerp_(moved, per_model((1 - BETAS[0]) * on))
        square_mean.lerp_(moved.square(), per_model((1 - BETAS[1]) * on))
        denominator = (square_mean / per_model(second_bias)).sqrt_().add_(EPSILON)
        value.sub_(per_model(learning_rate * on / first_bias) * mean / denominator)
    return finite
