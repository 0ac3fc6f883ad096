"""A second view of the layers: which of them a head leans on that may mix all (system A, 1).

Reconstruction: `x = sum_l softmax(a)_l z_l`, z_l the standardised hidden state of layer l, one linear softmax head on x,
a and the head learned together (as in the ELMo and SUPERB protocols, known). The curve of single layers says what each one
tells by itself; these weights say what is left of it once the others are there. All runs are fitted in one batched pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mer.errors import ConfigError, DivergedError

_SMALLEST_DEVIATION = 1e-6
_BYTES_AT_ONCE = 2**21
"""Of all layers' features, so that a part of the clips and their mixtures stay in a processor's cache."""


@dataclass(frozen=True)
class LayerWeights:
    """Learned weights and logits of each of R runs."""

    weights: Tensor
    """(R, L), 1 in sum over the layers."""
    logits: Tensor
    """(R, N, C) logits of every clip, training clips included."""


def weigh_layers(
    features: Tensor,
    labels: Tensor,
    train: Tensor,
    classes: int,
    *,
    l2: float,
    steps: int,
    learning_rate: float = 0.03,
) -> LayerWeights:
    """Fit R mixtures of layers, each with a head of its own, by full-batch Adam from equal weights and a zero head.

    Args:
        features: (L, N, D) features of every layer; standardised here over all clips, without labels.
        labels: (N,) class index, int64.
        train: (R, N) bool, the training clips of every run.
        classes: number of classes C.
        l2: penalty of the head relative to the mean cross-entropy.
        steps: of Adam; the step size falls to 0 along a cosine.
        learning_rate: the first step size.

    Raises:
        ConfigError: no layers to choose from, or a run without training clips.
        DivergedError: the solution is not finite.
    """
    if len(features) < 2 or not bool(train.any(dim=1).all()):
        raise ConfigError(
            f"layer weights: expected at least 2 layers and training clips in every run, found {len(features)} layers"
        )
    layers, _, width = features.shape
    runs = len(train)
    share = train.to(features.dtype) / train.sum(dim=1, keepdim=True)  # (R, N)
    mixing = torch.zeros(runs, layers, requires_grad=True)
    head = torch.zeros(runs, width, classes, requires_grad=True)
    intercept = torch.zeros(runs, 1, classes, requires_grad=True)
    optimiser = torch.optim.Adam([mixing, head, intercept], lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    at_once = max(1, _BYTES_AT_ONCE // (features.element_size() * layers * width))
    chunks = [
        (values.flatten(1), labels[rows].expand(runs, -1), share[:, rows])
        for values, rows in zip(
            torch.split(_standardised(features), at_once, dim=1),
            torch.split(torch.arange(len(labels)), at_once),
            strict=True,
        )
    ]

    def logits(values: Tensor) -> Tensor:
        """(R, n, C) of standardised features (L, n * D)."""
        mixed = torch.softmax(mixing, dim=1) @ values
        return torch.baddbmm(intercept, mixed.view(runs, -1, width), head)

    for _ in range(steps):
        optimiser.zero_grad()
        # the gradients of the chunks add up to the full batch's; the graph of all clips would take too much memory
        for values, truth, weight in chunks:
            losses = functional.cross_entropy(
                logits(values).transpose(1, 2), truth, reduction="none"
            )  # (R, n)
            (losses * weight).sum().backward()  # type: ignore[no-untyped-call]
        (l2 / 2 * head.square().sum()).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        solution = torch.cat([logits(values) for values, *_ in chunks], dim=1)
        if not bool(torch.isfinite(solution).all()):
            raise DivergedError("layer weights: the solution is not finite; check the features' scale")
        return LayerWeights(weights=torch.softmax(mixing, dim=1), logits=solution)


def _standardised(features: Tensor) -> Tensor:
    """(L, N, D) of mean 0 and deviation 1 over the clips; all layers then weigh alike at equal weights."""
    centred = features - features.mean(dim=1, keepdim=True)
    return centred / centred.pow(2).mean(dim=1, keepdim=True).sqrt().clamp_min(_SMALLEST_DEVIATION)
