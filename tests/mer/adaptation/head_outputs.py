"""What the head of an adapted block says of embeddings, for tests that compare it with how the fit ended."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mer.adaptation.adapted_block import AdaptedBlock
from mer.features.dataset import FeatureTable


def head_logits(block: AdaptedBlock, embeddings: FeatureTable) -> NDArray[np.float32]:
    """(clips, classes) logits of (clips, embedding size) embeddings."""
    block.eval()
    with torch.inference_mode():
        logits: NDArray[np.float32] = (
            block.head(torch.from_numpy(embeddings.values.copy()).to(block.layers.device)).cpu().numpy()
        )
    return logits
