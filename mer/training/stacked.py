"""Many small L2-regularised softmax regressions trained in one batched pass: all layers x all folds x all
seeds.

Per problem (l, r): features of layer l, standardised by the training clips of run r; minimise
    mean cross-entropy over the run's training clips + l2 / 2 * ||W||^2          (the intercept is not
    penalised).
scikit-learn's `LogisticRegression(C)` is the same with C = 1 / (l2 * training clips).

The standardised features of a run are never built. With z the features of a layer standardised once over
all clips, and m, s the run's mean and deviation of z, the run's logits are (z - m) V + b with V = W / s, so
that all runs of a layer share one matrix product. Solver: accelerated gradient steps (FISTA with restarts),
preconditioned by Boehning's bound (Boehning 1992, known): the Hessian of softmax regression lies below 1/2
(Gram matrix) + l2 s^2, and the Gram matrix over all clips bounds that of every run's part, so one
factorisation per layer serves all its runs. The bound touches speed only, never the optimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mer.errors import ConfigError, DivergedError

_SMALLEST_DEVIATION = 1e-6
_CHECK_EVERY = 10


@dataclass(frozen=True)
class StackedProbes:
    """The trained heads' logits on all clips, and how the solver ended."""

    logits: Tensor
    """(L, R, N, C) logits of every clip under every head, training clips included."""
    iterations: int
    change: float
    """Largest change of a logit in the last step."""


def train_stacked_probes(
    features: Tensor,
    labels: Tensor,
    train: Tensor,
    classes: int,
    *,
    l2: float,
    iterations: int,
    tolerance: float,
    progress: Callable[[int, int], None] | None = None,
) -> StackedProbes:
    """Train L x R softmax regressions.

    Args:
        features: (L, N, D) features of every layer.
        labels: (N,) class index, int64.
        train: (R, N) bool, the training clips of every run; or (L, R, N) where the layers' runs differ.
        classes: number of classes C.
        l2: penalty relative to the mean cross-entropy.
        iterations: most steps.
        tolerance: stop when no logit changes by more than this in a step.
        progress: called with (steps done, most steps).

    Raises:
        ConfigError: features that are not finite, or a run without training clips.
        DivergedError: the solution is not finite.
    """
    if not bool(torch.isfinite(features).all()):
        raise ConfigError("probes: expected finite features, found NaN or infinity")
    if not bool(train.any(dim=-1).all()):
        raise ConfigError("probes: expected training clips in every run, found a run without any")
    problem = _prepare(features, labels, train, classes, l2)
    solution, used, change = _solve(problem, iterations, tolerance, progress)
    logits = problem.logits(solution)
    if not bool(torch.isfinite(logits).all()):
        raise DivergedError("probes: the solution is not finite; check the features' scale")
    return StackedProbes(logits=logits, iterations=used, change=change)


@dataclass(frozen=True)
class _Problem:
    z: Tensor  # (L, N, D), standardised once over all clips
    mean: Tensor  # (L, R, D) of the run's training clips
    deviation: Tensor  # (L, R, D)
    share: Tensor  # (R, N, 1) or (L, R, N, 1): 1 / (training clips) on training clips, else 0
    target: Tensor  # (N, C) one-hot
    inverse: Tensor  # (L, D, D) inverse of the bound on the Hessian
    l2: float

    def logits(self, solution: tuple[Tensor, Tensor]) -> Tensor:
        """(L, R, N, C) of weights (L, D, R, C) and intercepts (L, R, C)."""
        weights, intercept = solution
        layers, width, runs, classes = weights.shape
        product = torch.bmm(self.z, weights.reshape(layers, width, runs * classes))
        shift = intercept - torch.einsum("lrd,ldrc->lrc", self.mean, weights)
        return product.reshape(layers, -1, runs, classes).permute(0, 2, 1, 3) + shift[:, :, None]

    def step(self, logits: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The preconditioned descent step at weights whose logits are given: changes of weights and
        intercepts.
        """
        layers, width, runs, classes = weights.shape
        error = (torch.softmax(logits, dim=-1) - self.target) * self.share  # (L, R, N, C)
        total = error.sum(dim=2)  # (L, R, C)
        flat = error.permute(0, 2, 1, 3).reshape(layers, -1, runs * classes)
        gradient = torch.bmm(self.z.transpose(1, 2), flat).reshape(weights.shape)
        gradient -= torch.einsum("lrd,lrc->ldrc", self.mean, total)
        gradient += self.l2 * (self.deviation**2).permute(0, 2, 1)[..., None] * weights
        flat_step = torch.bmm(self.inverse, gradient.reshape(layers, width, runs * classes))
        return -flat_step.reshape(weights.shape), -2.0 * total


def _prepare(features: Tensor, labels: Tensor, train: Tensor, classes: int, l2: float) -> _Problem:
    centred = features - features.mean(dim=1, keepdim=True)
    z = centred / centred.pow(2).mean(dim=1, keepdim=True).sqrt().clamp_min(_SMALLEST_DEVIATION)
    share = train.to(z.dtype) / train.sum(dim=-1, keepdim=True)  # (R, N) or (L, R, N)
    over_clips = "rn,lnd->lrd" if share.ndim == 2 else "lrn,lnd->lrd"
    mean = torch.einsum(over_clips, share, z)
    square = torch.einsum(over_clips, share, z**2)
    deviation = (square - mean**2).clamp_min(_SMALLEST_DEVIATION**2).sqrt()
    fewest = int(train.sum(dim=-1).min())
    bound = torch.bmm(z.transpose(1, 2), z) / (2 * fewest)  # covers every run's half Gram matrix
    penalty = l2 * float(deviation.max()) ** 2
    bound += penalty * torch.eye(z.shape[2], dtype=z.dtype)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(bound))
    return _Problem(
        z=z,
        mean=mean,
        deviation=deviation,
        share=share[..., None],
        target=torch.nn.functional.one_hot(labels, classes).to(z.dtype),
        inverse=inverse,
        l2=l2,
    )


def _solve(
    problem: _Problem, iterations: int, tolerance: float, progress: Callable[[int, int], None] | None
) -> tuple[tuple[Tensor, Tensor], int, float]:
    layers, _, width = problem.z.shape
    runs, classes = problem.share.shape[-3], problem.target.shape[1]
    weights = problem.z.new_zeros(layers, width, runs, classes)
    intercept = problem.z.new_zeros(layers, runs, classes)
    ahead = (weights, intercept)  # the point the gradient is taken at, ahead of the iterate
    momentum = problem.z.new_ones(layers, runs)
    logits = problem.logits(ahead)
    change, done = float("inf"), 0
    for done in range(1, iterations + 1):
        step = problem.step(logits, ahead[0])
        new = (ahead[0] + step[0], ahead[1] + step[1])
        moved = (new[0] - weights, new[1] - intercept)
        # restart the momentum of a problem where the step points against the way it came (O'Donoghue and
        # Candes)
        against = (step[0] * moved[0]).sum(dim=(1, 3)) + (step[1] * moved[1]).sum(dim=2) < 0  # (L, R)
        momentum = torch.where(against, torch.ones_like(momentum), momentum)
        following = (1 + torch.sqrt(1 + 4 * momentum**2)) / 2
        push = torch.where(against, torch.zeros_like(momentum), (momentum - 1) / following)
        weights, intercept, momentum = *new, following
        ahead = (weights + push[:, None, :, None] * moved[0], intercept + push[:, :, None] * moved[1])
        before, logits = logits, problem.logits(ahead)
        if done % _CHECK_EVERY == 0 or done == iterations:
            change = float((logits - before).abs().max())
            if progress is not None:
                progress(done, iterations)
            if not change > tolerance:
                break
    return (weights, intercept), done, change
