"""Attention pooling for the layer study: one learned query for every layer and run, all trained side by side.

Reconstruction: `e_t = q . z_t / sqrt(D)`, `alpha = softmax(e)` over a clip's real frames, `p = sum_t alpha_t z_t`, with z the
standardised frames. The query starts at 0, where p is the mean over time, and is learned together with a linear softmax head on
p by Adam on batches of clips. That head only teaches the query: what is scored is the same converged head that every other
pooling gets (`mer.layer_study.probes`), on the vectors p of all clips. A run's query sees the labels of its training clips alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mer.errors import DivergedError
from mer.layer_study.frames import LayerFrames

_SMALLEST_DEVIATION = 1e-6


@dataclass(frozen=True, kw_only=True)
class QueryTraining:
    """Options of the training of queries."""

    l2: float
    """Penalty of the teaching head, relative to the mean cross-entropy, as for the heads that are scored."""
    steps: int
    """Of Adam; the step size falls to 0 along a cosine."""
    batch_size: int
    """Clips in a step, shared by all layers and runs."""
    learning_rate: float
    """First step size of the queries and the head."""
    seed: int
    """Of the batches."""


def learn_queries(
    frames: LayerFrames, labels: Tensor, train: Tensor, classes: int, how: QueryTraining
) -> Tensor:
    """Learn L x R queries (L, R, D).

    Args:
        frames: L hidden states of N clips.
        labels: (N,) class index, int64.
        train: (R, N) bool, the training clips of every run.
        classes: number of classes C.
        how: sizes and steps.

    Raises:
        DivergedError: a query is not finite.
    """
    layers, width, runs = len(frames.values), frames.values.shape[2], len(train)
    scale = frames.means().std(dim=1, correction=0).clamp_min(_SMALLEST_DEVIATION)  # (L, D)
    queries = torch.zeros(layers, runs, width, requires_grad=True)
    head = torch.zeros(layers * runs, width, classes, requires_grad=True)
    intercept = torch.zeros(layers * runs, 1, classes, requires_grad=True)
    optimiser = torch.optim.Adam([queries, head, intercept], lr=how.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, how.steps)
    generator = torch.Generator().manual_seed(how.seed)
    size = min(how.batch_size, frames.clips)
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(how.steps):
        if len(order) < size:
            order = torch.randperm(frames.clips, generator=generator)
        rows, order = order[:size], order[size:]
        pooled = pool(*frames.padded(rows), queries) / scale[:, None, None]
        logits = torch.baddbmm(intercept, pooled.flatten(0, 1), head)  # (L * R, B, C)
        losses = functional.cross_entropy(
            logits.flatten(0, 1), labels[rows].repeat(layers * runs), reduction="none"
        ).view(layers, runs, -1)
        weight = train[:, rows].to(losses.dtype)
        weight = weight / weight.sum(dim=1, keepdim=True).clamp_min(1.0)  # (R, B)
        total = (losses * weight).sum() + how.l2 / 2 * head.square().sum()
        optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    learnt = queries.detach()
    if not bool(torch.isfinite(learnt).all()):
        raise DivergedError("attention pooling: the queries are not finite; check the features' scale")
    return learnt


def pooled_clips(frames: LayerFrames, queries: Tensor) -> Tensor:
    """(L, R, N, D) every clip pooled by every query (L, R, D)."""
    layers, runs, width = queries.shape
    pooled = torch.empty(layers, runs, frames.clips, width)
    with torch.no_grad():
        for rows in frames.in_order():
            pooled[:, :, rows] = pool(*frames.padded(rows), queries)
    return pooled


def pool(values: Tensor, mask: Tensor, queries: Tensor) -> Tensor:
    """Attention-weighted means (L, R, B, D) of frames (L, B, T, D) under a mask (B, T) and queries (L, R, D).

    Padded frames get no weight; every clip has at least one real frame.
    """
    layers, clips, time, width = values.shape
    scores = torch.bmm(values.reshape(layers, clips * time, width), queries.transpose(1, 2)) / width**0.5
    scores = scores.view(layers, clips, time, -1).masked_fill(~mask[..., None], float("-inf"))
    weights = torch.softmax(scores, dim=2).transpose(2, 3)  # (L, B, R, T)
    return torch.matmul(weights, values).transpose(1, 2)
