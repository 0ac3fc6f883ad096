"""Attention-guided feature gathering (AFG), and what it needs: softmax under a mask, frames of streams side by side.

Known: three fusion structures built from attention-guided feature gathering (Wang et al. 2023, arXiv 2309.07925). Reconstruction:
the formula `e_t = w^T tanh(W_x x_t + W_q q)`, `alpha = softmax(e)` under the mask, `out = sum_t alpha_t x_t`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mer.training.seeding import SeededDropout

_FAR_BELOW = -1e9
"""Stands for minus infinity: a row without any valid frame must not become NaN."""


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis under a mask (1 = valid) of the same shape; rows without a valid entry are zeros."""
    return torch.softmax(scores.masked_fill(mask == 0, _FAR_BELOW), dim=-1) * mask


class Gathering(nn.Module):
    """AFG: (B, T, width) frames under a mask -> (B, width), the mean weighted by attention to a query.

    The query is learned, or another modality's summary. `W_q q` of a learned query is one vector: the bias of `W_x`. It stays
    beside a guide, so that a clip whose guide is missing is gathered by the learned query.

    Args:
        width: features of a frame.
        guide: features of the guiding summary; 0: learned query only.
    """

    def __init__(self, width: int, guide: int = 0) -> None:
        super().__init__()
        self.frames = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)
        self.query = nn.Linear(guide, width, bias=False) if guide else None

    def forward(self, values: Tensor, mask: Tensor, guide: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The gathered vectors (B, width), and alpha (B, T), which sums to 1 where any frame is valid.

        Args:
            values: (B, T, width).
            mask: (B, T) 1 at valid frames.
            guide: (B, guide) zeros where the guide is missing.
        """
        keys = self.frames(values)
        if self.query is not None and guide is not None:
            keys = keys + self.query(guide)[:, None]
        alpha = masked_softmax(self.score(torch.tanh(keys)).squeeze(-1), mask)
        return torch.einsum("bt,btd->bd", alpha, values), alpha


def frame_encoder(width: int, hidden: int, dropout: float) -> nn.Sequential:
    """Frames (B, T, width) -> (B, T, hidden), each by itself."""
    return nn.Sequential(SeededDropout(dropout), nn.Linear(width, hidden), nn.ReLU())


class JoinedFrames(nn.Module):
    """Streams of different frame rates side by side in every frame, and one hidden layer on them: relu(W [x_1; ...; x_M] + b).

    Every clip is on the frames of its longest stream; the others repeat their nearest frames: frame t of T reads frame
    floor((t + 1/2) T_m / T) of a stream with T_m valid ones. A missing stream is zeros. As `W [x_1; ...] = sum_m W_m x_m`,
    streams are projected at their own rate and only the narrow result is repeated (dropout strikes before that).
    """

    def __init__(self, widths: Mapping[str, int], hidden: int, dropout: float) -> None:
        super().__init__()
        self.widths = dict(widths)
        self.dropout = SeededDropout(dropout)
        self.linear = nn.Linear(sum(widths.values()), hidden)

    def forward(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(B, T, hidden), and (B, T) 1 at valid frames, the first ones of every clip.

        Args:
            inputs: stream name -> (B, T_m, width).
            masks: stream name -> (B, T_m, 1).
        """
        counts = {name: masks[name][..., 0].sum(dim=1) for name in self.widths}  # each (B,)
        longest = torch.stack(list(counts.values())).amax(dim=0)  # (B,)
        steps = torch.arange(max(int(inputs[name].shape[1]) for name in self.widths), device=longest.device)
        columns = torch.split(self.linear.weight, list(self.widths.values()), dim=1)
        joined: Tensor = self.linear.bias
        for name, weight in zip(self.widths, columns, strict=True):
            projected = functional.linear(self.dropout(inputs[name]), weight)  # (B, T_m, hidden)
            # valid frames first, in their order
            order = torch.argsort(masks[name][..., 0], dim=1, descending=True, stable=True)
            nearest = ((steps + 0.5) * (counts[name] / longest.clamp_min(1))[:, None]).long()  # (B, T)
            index = order.gather(1, nearest.minimum((counts[name] - 1).clamp_min(0).long()[:, None]))
            joined = joined + projected.gather(1, index[..., None].expand(-1, -1, projected.shape[2]))
        valid = (steps < longest[:, None]).to(joined.dtype)  # (B, T)
        return torch.relu(joined), valid


def shared_evenly(masks: Mapping[str, Tensor], streams: Sequence[str]) -> Tensor:
    """(B, M) equal weights of the streams a clip has."""
    present = torch.stack([masks[name].flatten(1).amax(dim=1) for name in streams], dim=1)
    return present / present.sum(dim=1, keepdim=True).clamp_min(1)
