"""Which options candidates can be trained with, found out by training: an engine says nothing of options it leaves out."""

from __future__ import annotations

import numpy as np
import torch

from mer.errors import ConfigError
from mer.features.dataset import FeatureTable
from mer.fusion.config import BUILT_IN_MODELS, FusionConfig
from mer.search.candidates import search_view
from mer.training.examples import Examples
from mer.training.partition import Partition
from mer.training.stack import train_stack
from mer.training.stack_state import ModelPlan

_CLIPS, _CLASSES, _WIDTH = 12, 2, 3


def trainable_models() -> tuple[str, ...]:
    """The built-in fusion models that can be trained side by side, in their usual order."""
    return tuple(model for model in BUILT_IN_MODELS if _learnt(FusionConfig(model=model)) is not None)


def trains_jointly(models: tuple[str, ...]) -> bool:
    """Whether all these models can be trained to decode valence jointly, and with losses balanced by uncertainty."""
    for model in models:
        asked = FusionConfig(model=model, valence_decoding="joint", task_balance="uncertainty")
        learnt = _learnt(asked)
        if learnt is None or not {"class_valence", "task_balance"} <= set(learnt):
            return False
        if not bool(learnt["task_balance"].any()):  # weights that stay as they began were not learnt
            return False
    return True


def _learnt(config: FusionConfig) -> dict[str, torch.Tensor] | None:
    """Parameters after two epochs on made clips of two streams; None where the options cannot be trained."""
    small = config.model_copy(
        update={"hidden": 4, "epochs": 2, "batch_size": 4, "averaging": 0.0, "patience": 0}
    )
    generator = np.random.default_rng(0)
    emotion = np.arange(_CLIPS) % _CLASSES
    names = tuple(str(number) for number in range(_CLIPS))
    examples = Examples(
        names,
        emotion,
        emotion.astype(np.float32),
        (None,) * _CLIPS,
        np.zeros(_CLIPS, np.int64),
        np.ones(_CLIPS, np.float32),
    )
    train = np.arange(_CLIPS) < _CLIPS - 4
    nobody = np.zeros(_CLIPS, dtype=bool)
    tables = {
        name: FeatureTable(
            names, generator.normal(0, 1, (_CLIPS, _WIDTH)).astype(np.float32), np.ones(_CLIPS, dtype=bool)
        )
        for name in ("acoustic", "visual")
    }
    view = search_view(examples, Partition("made", train, ~train, nobody, nobody), tables, _CLASSES)
    try:
        (outcome,) = train_stack([ModelPlan(small, view)])
    except (ConfigError, LookupError):  # a twin without the parameters that the option adds
        return None
    return dict(outcome.tensors)
