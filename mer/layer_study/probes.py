"""Many small L2-regularised softmax regressions trained in one batched pass: all layers x all folds x all
seeds.

Per problem (l, r): features of layer l, standardised by the training clips of run r; minimise
    mean cross-entropy over the run's training clips + l2 / 2 * ||W||^2          (the intercept is not
    penalised).
scikit-learn's `LogisticRegression(C)` is the same with C = 1 / (l2 * training clips).

The standardised features of a run are never built. With z the features of a layer standardised once over
all clips, and m, s the run's mean and deviation of z, the run's logits are (z - m) V + b with V = W / s, so
that all runs of a layer share one matrix product. Solver: conjugate gradients (Polak-Ribiere, restarted where
they do not descend), preconditioned by Boehning's bound (Boehning 1992, known): the Hessian of softmax
regression lies below 1/2 (Gram matrix) + l2 s^2, and the Gram matrix over all clips bounds that of every run's
part, so one factorisation per layer serves all its runs. Logits are linear in the step size, so the line
search costs no product with the features. The bound touches speed only, never the optimum, and a plain
preconditioned step of length 1 always descends: that is the way out wherever a line search fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mer.errors import ConfigError, DivergedError

_SMALLEST_DEVIATION = 1e-6
_LINE_SEARCH_STEPS = 2
_TINY = 1e-30


@dataclass(frozen=True)
class StackedProbes:
    """The trained heads' logits on all clips, and how the solver ended."""

    logits: Tensor
    """(L, R, N, C) logits of every clip under every head, training clips included."""
    iterations: int
    change: float
    """Largest change of a logit in the last step."""


@dataclass(frozen=True)
class ProbeTraining:
    """What a probe minimises, and when its solver stops."""

    l2: float
    """Penalty relative to the mean cross-entropy."""
    iterations: int
    """Most steps."""
    tolerance: float
    """Stop when no logit changes by more than this in a step."""


def train_stacked_probes(
    features: Tensor,
    labels: Tensor,
    train: Tensor,
    classes: int,
    training: ProbeTraining,
    progress: Callable[[int, int], None] | None = None,
) -> StackedProbes:
    """Train L x R softmax regressions.

    Args:
        features: (L, N, D) features of every layer.
        labels: (N,) class index, int64.
        train: (R, N) bool, the training clips of every run; or (L, R, N) where the layers' runs differ.
        classes: number of classes C.
        training: penalty, and when to stop.
        progress: called with (steps done, most steps).

    Raises:
        ConfigError: features that are not finite, or a run without training clips.
        DivergedError: the solution is not finite.
    """
    if not bool(torch.isfinite(features).all()):
        raise ConfigError("probes: expected finite features, found NaN or infinity")
    if not bool(train.any(dim=-1).all()):
        raise ConfigError("probes: expected training clips in every run, found a run without any")
    problem = _prepare(features, labels, train, classes, training.l2)
    solution, used, change = _solve(problem, training.iterations, training.tolerance, progress)
    logits = problem.logits(solution).transpose(2, 3)
    if not bool(torch.isfinite(logits).all()):
        raise DivergedError("probes: the solution is not finite; check the features' scale")
    return StackedProbes(logits=logits, iterations=used, change=change)


_Pair = tuple[Tensor, Tensor]
"""Something by weights (L, R, C, D) and by intercepts (L, R, C)."""


@dataclass(frozen=True)
class _Problem:
    """Data of all L x R problems. Clips are the last axis, classes the one before: work on logits runs along memory."""

    z: Tensor  # (L, N, D), standardised once over all clips
    mean: Tensor  # (L, R, D) of the run's training clips
    deviation: Tensor  # (L, R, D)
    share: Tensor  # (R, N) or (L, R, N): 1 / (training clips) on training clips, else 0
    target: Tensor  # (C, N) one-hot
    inverse: Tensor  # (L, D, D) inverse of the bound on the Hessian
    l2: float

    def logits(self, solution: _Pair) -> Tensor:
        """(L, R, C, N)."""
        weights, intercept = solution
        layers, runs, classes, width = weights.shape
        product = torch.bmm(weights.reshape(layers, runs * classes, width), self.z.transpose(1, 2))
        shift = intercept - torch.einsum("lrd,lrcd->lrc", self.mean, weights)
        return product.view(layers, runs, classes, -1) + shift[..., None]

    def loss(self, logits: Tensor, weights: Tensor) -> Tensor:
        """(L, R) penalised cross-entropy."""
        surprise = torch.logsumexp(logits, dim=2) - (logits * self.target).sum(dim=2)  # (L, R, N)
        return (surprise * self.share).sum(dim=-1) + self.l2 / 2 * self.product(weights, weights)

    def product(self, first: Tensor, second: Tensor) -> Tensor:
        """(L, R) inner products of two weights V in the units of W: of V s and V s."""
        return ((first * second).sum(dim=2) * self.deviation**2).sum(dim=2)

    def gradient(self, logits: Tensor, weights: Tensor) -> _Pair:
        """At weights whose logits are given."""
        layers, runs, classes, _ = weights.shape
        error = (torch.softmax(logits, dim=2) - self.target) * self.share[..., None, :]  # (L, R, C, N)
        total = error.sum(dim=3)  # (L, R, C)
        gradient = torch.bmm(error.view(layers, runs * classes, -1), self.z).view(weights.shape)
        gradient -= self.mean[:, :, None] * total[..., None]
        gradient += self.l2 * self.deviation[:, :, None] ** 2 * weights
        return gradient, total

    def descent(self, gradient: _Pair) -> _Pair:
        """The preconditioned step that always descends."""
        step = torch.bmm(gradient[0].flatten(1, 2), self.inverse)  # the inverse is symmetric
        return -step.view(gradient[0].shape), -2.0 * gradient[1]

    def step_size(self, logits: Tensor, weights: Tensor, along: Tensor, direction: Tensor) -> Tensor:
        """(L, R) about the best length of a step whose logits are `along`: Newton's method on the line."""
        at_truth = (along * self.target).sum(dim=2)  # (L, R, N)
        slope_0, bend_0 = (
            self.l2 * self.product(weights, direction),
            self.l2 * self.product(direction, direction),
        )
        # convex on the line: slope and curvature are mean and variance of the line's logits under the shares
        size = torch.zeros_like(slope_0)
        for _ in range(_LINE_SEARCH_STEPS):
            shares = torch.softmax(logits + size[..., None, None] * along, dim=2)
            weighted = shares * along
            expected = weighted.sum(dim=2)  # (L, R, N)
            spread = (weighted * along).sum(dim=2) - expected.square()
            slope = ((expected - at_truth) * self.share).sum(dim=-1) + slope_0 + size * bend_0
            bend = (spread * self.share).sum(dim=-1) + bend_0
            size = size - slope / bend.clamp_min(_TINY)
        return size


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
    return _Problem(
        z=z,
        mean=mean,
        deviation=deviation,
        share=share,
        target=torch.nn.functional.one_hot(labels, classes).to(z.dtype).T.contiguous(),
        inverse=torch.cholesky_inverse(torch.linalg.cholesky(bound)),
        l2=l2,
    )


def _solve(
    problem: _Problem, iterations: int, tolerance: float, progress: Callable[[int, int], None] | None
) -> tuple[_Pair, int, float]:
    layers, _, width = problem.z.shape
    runs, classes = problem.share.shape[-2], len(problem.target)
    solution = problem.z.new_zeros(layers, runs, classes, width), problem.z.new_zeros(layers, runs, classes)
    logits = problem.logits(solution)
    loss = problem.loss(logits, solution[0])
    gradient = problem.gradient(logits, solution[0])
    descent = direction = problem.descent(gradient)
    slack = 100 * torch.finfo(loss.dtype).eps  # equal losses differ by rounding
    change, done = float("inf"), 0
    for done in range(1, iterations + 1):
        along = problem.logits(direction)
        size = problem.step_size(logits, solution[0], along, direction[0])
        moved = logits + size[..., None, None] * along
        new_loss = problem.loss(moved, solution[0] + size[..., None, None] * direction[0])
        failed = ~(new_loss <= loss * (1 + slack))  # not finite, or uphill: stay, then go straight down
        size = torch.where(failed, torch.zeros_like(size), size)
        loss = torch.where(failed, loss, new_loss)
        solution = (
            solution[0] + size[..., None, None] * direction[0],
            solution[1] + size[..., None] * direction[1],
        )
        change = float((size[..., None, None] * along).abs().max())
        logits = torch.where(failed[..., None, None], logits, moved)
        if progress is not None:
            progress(done, iterations)
        if not (change > tolerance or bool(failed.any())):
            break
        before = gradient, descent
        gradient = problem.gradient(logits, solution[0])
        descent = problem.descent(gradient)
        direction = _conjugate(*before, gradient, descent, direction, failed)
    return solution, done, change


def _conjugate(
    old: _Pair, old_descent: _Pair, new: _Pair, descent: _Pair, direction: _Pair, restart: Tensor
) -> _Pair:
    """The next direction; straight down where asked for (L, R), or where the conjugate one would not descend."""
    turned = descent[0] - old_descent[0], descent[1] - old_descent[1]
    # Polak-Ribiere with the preconditioner; 0 starts again from the plain descent
    beta = (_dot(new, turned) / _dot(old, old_descent).clamp_max(-_TINY)).clamp_min(0.0)
    beta = torch.where(restart, torch.zeros_like(beta), beta)
    uphill = _dot(new, descent) + beta * _dot(new, direction) > 0
    beta = torch.where(uphill, torch.zeros_like(beta), beta)
    return (
        descent[0] + beta[..., None, None] * direction[0],
        descent[1] + beta[..., None] * direction[1],
    )


def _dot(first: _Pair, second: _Pair) -> Tensor:
    """(L, R) inner products."""
    return (first[0] * second[0]).sum(dim=(2, 3)) + (first[1] * second[1]).sum(dim=2)
