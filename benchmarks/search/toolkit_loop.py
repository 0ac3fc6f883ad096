"""Hyper-parameter search the toolkits' way, as a yardstick: written after MERTools' training script, kept as plain as it is.

One model at a time, fp32, `torch.optim.Adam` with its defaults, always all epochs, every set scored in every epoch. Kinder than
the original: features are already standardised tensors in memory, without a DataLoader that collates clip by clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn

if TYPE_CHECKING:
    from benchmarks.search.protocols import Draw


class Encoder(nn.Sequential):
    """The baseline's MLP."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__(
            nn.Dropout(dropout),
            nn.Linear(width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )


class Attention(nn.Module):
    """The challenge baseline `attention`."""

    def __init__(self, widths: Sequence[int], hidden: int, dropout: float, classes: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(Encoder(width, hidden, dropout) for width in widths)
        self.attention = Encoder(hidden * len(widths), hidden, dropout)
        self.weigh = nn.Linear(hidden, len(widths))
        self.emotion = nn.Linear(hidden, classes)
        self.valence = nn.Linear(hidden, 1)

    def forward(self, streams: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Emotion logits (B, C) and valence (B,)."""
        hidden = [encoder(values) for encoder, values in zip(self.encoders, streams, strict=True)]
        weights = self.weigh(self.attention(torch.cat(hidden, dim=1)))
        fused = torch.matmul(torch.stack(hidden, dim=2), weights[:, :, None]).squeeze(2)
        return self.emotion(fused), self.valence(fused).squeeze(1)


class Loop:
    """One draw on one fold.

    Args:
        streams: (N, D) standardised features of each stream.
        emotion: (N,) class index.
        valence: (N,).
        sets: row numbers of train, validation and test.
        draw: width, dropout and step size.
        fused: Adam's fused kernel instead of the default.
    """

    def __init__(
        self, streams: Sequence[Tensor], emotion: Tensor, valence: Tensor, sets: tuple[Tensor, Tensor, Tensor],
        draw: Draw, *, fused: bool = False,
    ) -> None:  # fmt: skip
        self.streams, self.emotion, self.valence, self.sets = streams, emotion, valence, sets
        classes = int(emotion.max()) + 1
        self.model = Attention([values.shape[1] for values in streams], draw.hidden, draw.dropout, classes)
        self.optimiser = torch.optim.Adam(
            self.model.parameters(), lr=draw.learning_rate, weight_decay=1e-5, fused=True if fused else None
        )

    def epoch(self, *, scored: Sequence[str] = ("train", "validation", "test")) -> dict[str, float]:
        """Train an epoch and score these sets; train is scored on the outputs of its own steps, as in the script."""
        self.model.train()
        shuffled = self.sets[0][torch.randperm(len(self.sets[0]))]
        outputs = [self._batch(rows, train=True) for rows in torch.split(shuffled, 32)]
        scores = {"train": _f1(outputs, self.emotion[shuffled])} if "train" in scored else {}
        self.model.eval()
        for name, rows in (("validation", self.sets[1]), ("test", self.sets[2])):
            if name in scored:
                with torch.no_grad():
                    outputs = [self._batch(part, train=False) for part in torch.split(rows, 32)]
                scores[name] = _f1(outputs, self.emotion[rows])
        return scores

    def _batch(self, rows: Tensor, *, train: bool) -> Tensor:
        logits, valence = self.model([values[rows] for values in self.streams])
        loss = nn.functional.cross_entropy(logits, self.emotion[rows])
        loss = loss + nn.functional.mse_loss(valence, self.valence[rows])
        if train:
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
        predicted: Tensor = logits.detach().argmax(dim=1)
        return predicted


def _f1(outputs: Sequence[Tensor], truth: Tensor) -> float:
    return float(f1_score(truth.numpy(), torch.cat(list(outputs)).numpy(), average="weighted"))
