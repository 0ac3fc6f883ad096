"""The three structures of attention-guided feature gathering: early (S1), hierarchical (S2), guided by each other (S3).

Known: that there are three structures built from AFG, combined on the posterior level (Wang et al. 2023, arXiv 2309.07925).
Reconstruction: what each of them is (below), the encoder of single frames, and masks. A vector per clip is a stream of one frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mer.fusion.config import FusionConfig
from mer.fusion.model import FusionModel, FusionOutput, FusionShape
from mer.fusion.models.gathering import Gathering, JoinedFrames, frame_encoder, shared_evenly


class EarlyGathering(FusionModel):
    """S1: all features side by side in every frame, one AFG over the frames."""

    reads_frames = True

    def __init__(self, shape: FusionShape, config: FusionConfig) -> None:
        super().__init__(shape)
        self.encoder = JoinedFrames(shape.widths, config.hidden, config.dropout)
        self.gathering = Gathering(config.hidden)
        self.add_heads(config.hidden, config)

    def fuse(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> FusionOutput:
        """Streams (B, T, width); as nothing weighs them, the present ones share the weight evenly."""
        frames, valid = self.encoder(inputs, masks)
        fused, _ = self.gathering(frames, valid)
        return self.decode(fused, shared_evenly(masks, self.streams))


class StreamGatherings(nn.Module):
    """AFG within each stream of a modality and across them: one summary of the modality.

    Args:
        streams: the modality's streams.
        hidden: features of an encoded frame, and of the summary.
        guide: features of a guiding summary; 0: learned queries only.
    """

    def __init__(self, streams: Sequence[str], hidden: int, guide: int = 0) -> None:
        super().__init__()
        self.streams = tuple(streams)
        self.within = nn.ModuleDict({name: Gathering(hidden, guide) for name in streams})
        self.across = Gathering(hidden, guide)

    def forward(
        self, encoded: Mapping[str, Tensor], masks: Mapping[str, Tensor], guide: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Summary (B, hidden), the streams' weights (B, streams), and (B,) 1 where any stream is present."""
        gathered = [self.within[name](encoded[name], masks[name][..., 0], guide)[0] for name in self.streams]
        present = torch.stack([masks[name][..., 0].amax(dim=1) for name in self.streams], dim=1)
        summary, weights = self.across(torch.stack(gathered, dim=1), present, guide)
        return summary, weights, present.amax(dim=1)


class HierarchicalGathering(FusionModel):
    """S2: AFG within each feature stream, across the streams of a modality, then across the modalities."""

    reads_frames = True

    def __init__(self, shape: FusionShape, config: FusionConfig) -> None:
        super().__init__(shape)
        self.encoders = nn.ModuleDict(
            {
                name: frame_encoder(width, config.hidden, config.dropout)
                for name, width in shape.widths.items()
            }
        )
        self.modalities = nn.ModuleDict(
            {name: StreamGatherings(streams, config.hidden) for name, streams in shape.modalities.items()}
        )
        self.across = Gathering(config.hidden)
        self.add_heads(config.hidden, config)

    def fuse(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> FusionOutput:
        """Streams (B, T, width); a stream's weight is its weight in its modality times that of the modality."""
        encoded = {name: self.encoders[name](inputs[name]) for name in self.streams}
        gathered = {name: gather(encoded, masks) for name, gather in self.modalities.items()}
        return self._across_modalities(gathered)

    def _across_modalities(self, gathered: Mapping[str, tuple[Tensor, Tensor, Tensor]]) -> FusionOutput:
        summaries = torch.stack([summary for summary, _, _ in gathered.values()], dim=1)
        present = torch.stack([known for _, _, known in gathered.values()], dim=1)
        fused, shares = self.across(summaries, present)
        weights = {
            stream: within[:, column] * shares[:, row]
            for row, (name, (_, within, _)) in enumerate(gathered.items())
            for column, stream in enumerate(self.shape.modalities[name])
        }
        return self.decode(fused, torch.stack([weights[name] for name in self.streams], dim=1))


class GuidedGathering(HierarchicalGathering):
    """S3: as S2, but every modality is gathered again with the others' summaries as the query.

    A modality's guide is the mean of the other present modalities' summaries; where there are none, its own learned query
    is left. A guide chooses among frames and among streams: with one vector and one stream per modality there is nothing to
    choose, and S3 computes what S2 does.
    """

    def __init__(self, shape: FusionShape, config: FusionConfig) -> None:
        super().__init__(shape, config)
        self.guided = nn.ModuleDict(
            {
                name: StreamGatherings(streams, config.hidden, config.hidden)
                for name, streams in shape.modalities.items()
            }
        )

    def fuse(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> FusionOutput:
        """Streams (B, T, width); weights as in S2, of the guided pass."""
        encoded = {name: self.encoders[name](inputs[name]) for name in self.streams}
        first = [gather(encoded, masks) for gather in self.modalities.values()]
        summaries = torch.stack([summary for summary, _, _ in first], dim=1)  # (B, modalities, hidden)
        present = torch.stack([known for _, _, known in first], dim=1)  # (B, modalities)
        summaries = summaries * present[..., None]
        others = (present.sum(dim=1, keepdim=True) - present).clamp_min(1)  # (B, modalities)
        guides = (summaries.sum(dim=1, keepdim=True) - summaries) / others[..., None]
        return self._across_modalities(
            {
                name: gather(encoded, masks, guides[:, row])
                for row, (name, gather) in enumerate(self.guided.items())
            }
        )
