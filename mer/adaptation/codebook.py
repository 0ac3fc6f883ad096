"""Cluster targets for the masked reconstruction, as HuBERT was trained with (Hsu et al. 2021).

Known: HuBERT predicts the k-means cluster of hidden frames. Reconstruction: that the clusters are of the frozen
encoder's own state `stop`, on the training clips of the fit only, each frame normalised over its features (otherwise
the few features of very large values decide alone).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

CODEBOOK_FRAMES = 50_000
"""Frames that the codebook is fitted on at most, drawn without repetition."""
_CHUNK = 8192


def fit_codebook(frames: Tensor, clusters: int, seed: int) -> Tensor:
    """Centres of the clusters, by mini-batch k-means.

    Args:
        frames: (frames, width) frozen states of the training clips; those that are not finite are left out.
        clusters: how many; fewer where there are fewer frames.
        seed: of the draw and of the centres' start.

    Returns:
        (clusters, width) float32 on the device of `frames`.
    """
    from sklearn.cluster import MiniBatchKMeans  # slow to import

    usable = torch.nonzero(frames.isfinite().all(dim=1))[:, 0]
    order = torch.randperm(len(usable), generator=torch.Generator().manual_seed(seed))[:CODEBOOK_FRAMES]
    drawn = _normalised(frames[usable[order.to(usable.device)]]).cpu().numpy()
    model = MiniBatchKMeans(
        n_clusters=min(clusters, len(drawn)), batch_size=4096, n_init=3, random_state=seed % 2**32
    )
    centres = model.fit(drawn).cluster_centers_.astype(np.float32)
    return torch.from_numpy(centres).to(frames.device)


def nearest_clusters(frames: Tensor, centres: Tensor) -> Tensor:
    """(frames, width) -> (frames,) int64 index of the nearest centre; frames that are not finite give 0."""
    nearest = [
        torch.cdist(_normalised(torch.nan_to_num(chunk)), centres).argmin(dim=1)
        for chunk in torch.split(frames, _CHUNK)
    ]
    return torch.cat(nearest)


def _normalised(frames: Tensor) -> Tensor:
    return functional.layer_norm(frames.float(), frames.shape[-1:])
