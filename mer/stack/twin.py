"""What a stack asks of a kind of model: the stacked twin of a fusion model.

Every parameter has a leading axis of K models under the name it has in the `FusionModel`. Dropout is asked for by place: the
engine draws it, so that a model's masks do not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.fusion.config import FusionConfig
from mer.fusion.interface import FusionModel
from mer.fusion.task_balance import start_model
from mer.stack.batch import StackBatch
from mer.stack.dropout import Place, StackedDropout
from mer.training.seeding import initialise

Parameters = Mapping[str, Tensor]


class StackedModel(Protocol):
    """What the training engine needs of a kind of model."""

    @property
    def reads_frames(self) -> bool:
        """Whether `forward` gets (K, B, T, D)."""
        ...

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place where the model drops values, in the order of use."""
        ...

    def initial(
        self,
        generator: torch.Generator,
        emotion: NDArray[np.int64],
        valence: NDArray[np.floating],
        config: FusionConfig,
    ) -> dict[str, Tensor]:
        """Parameters of one model as `mer.fusion.fit` starts it, from the seed and the training clips' labels."""
        ...

    def forward(
        self, parameters: Parameters, batch: StackBatch, dropout: StackedDropout | None
    ) -> tuple[Tensor, Tensor]:
        """Emotion logits (K, B, C) and valence (K, B); without `dropout` as in prediction. `batch` is `shown`."""
        ...

    def state_dict(self, parameters: Parameters) -> dict[str, Tensor]:
        """Parameters of one model (no leading axis) as the twin's `state_dict`."""
        ...


def started(
    model: FusionModel,
    generator: torch.Generator,
    emotion: NDArray[np.int64],
    valence: NDArray[np.floating],
    config: FusionConfig,
) -> FusionModel:
    """`model` as `mer.fusion.fit` starts it.

    Args:
        model: just built.
        generator: of the initialisation.
        emotion: (N,) labels of the training clips, -1 = unlabelled.
        valence: (N,) NaN = missing.
        config: options.
    """
    initialise(model, generator)
    start_model(model, emotion, valence, config)
    return model
