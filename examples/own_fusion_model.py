"""A fusion model of your own: a gated one (Arevalo et al. 2017, arXiv 1702.01992), against concatenation, on the same folds."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

import mer
from mer.fusion.config import FusionConfig
from mer.fusion.interface import FusionOutput, FusionShape


class GatedFusion(mer.FusionModel):
    """Every stream becomes tanh features, and a gate that sees all streams says how much of each gets through.

    Its parameters are those of linear layers, which are initialised from the seed; `add_heads` comes last.
    """

    def __init__(self, shape: FusionShape, config: FusionConfig) -> None:
        super().__init__(shape)
        self.encoders = nn.ModuleDict(
            {name: nn.Linear(size, config.hidden) for name, size in shape.widths.items()}
        )
        self.gate = nn.Linear(sum(shape.widths.values()), len(shape.widths))
        self.add_heads(config.hidden, config)

    def fuse(self, inputs: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> FusionOutput:
        """Streams (B, width), zeros where missing, and masks (B, 1)."""
        present = torch.cat([masks[name] for name in self.streams], dim=1)  # (B, M)
        scores = self.gate(torch.cat([inputs[name] for name in self.streams], dim=1))
        weights = torch.softmax(scores.masked_fill(present == 0, -1e9), dim=1) * present
        encoded = torch.stack([torch.tanh(self.encoders[name](inputs[name])) for name in self.streams], dim=1)
        return self.decode((encoded * weights[:, :, None]).sum(dim=1), weights)


def main(clips: int = 360, epochs: int = 40) -> None:
    """Both models on the same made clips, folds and seeds."""
    generator = np.random.default_rng(1)
    labels, speakers = generator.integers(0, 3, clips), generator.integers(0, 12, clips)
    shown = np.eye(3)[labels] * 1.5
    features = {name: shown + generator.normal(0, 1, (clips, 3)) for name in ("acoustic", "visual")}
    gated = mer.Fusion(GatedFusion, epochs=epochs, hidden=32)
    for fusion in (mer.Fusion("concat", epochs=epochs, hidden=32), gated):
        print(f"\n{fusion}\n{mer.cross_validate(fusion, features, labels, speakers, folds=4)}")

    # Code is not saved with a model: who loads it gives the class again. A package can register it instead, by an entry point
    # of the group `mer.fusion_models`; then its name works in recipes, `mer run` and `mer search` too.
    gated.fit(features, labels, speakers=speakers)
    with tempfile.TemporaryDirectory() as folder:
        loaded = mer.Fusion.load(gated.save(folder), model=GatedFusion)
    print("\nsaved and loaded, equal:", np.array_equal(loaded.predict(features), gated.predict(features)))


if __name__ == "__main__":
    main()
