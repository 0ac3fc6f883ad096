"""The fusions of a full-size recipe, trained for one epoch on random inputs of the real widths."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.command import Figure
from benchmarks.full_size.models import CLASSES

if TYPE_CHECKING:
    from mer.fusion.config import FusionConfig
    from mer.fusion.streams import StreamTable
    from mer.recipes import Recipe

CLIPS = 32
"""One batch."""


def fusion_figures(recipe: Recipe, widths: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, Figure]]:
    """Name of a fusion -> its figures; of an ensemble every member's.

    Args:
        recipe: whose fusions they are.
        widths: table name -> (frames, width) of a typical clip.
    """
    return {
        name: figures_of(config, widths)
        for name, config in (recipe.member_fusions or {"": recipe.fusion}).items()
    }


def figures_of(config: FusionConfig, widths: Mapping[str, tuple[int, int]]) -> dict[str, Figure]:
    """Parameters, FLOPs of a clip's forward pass, and processor seconds of an epoch of `CLIPS` clips.

    Raises:
        RuntimeError: a posterior or a valence that is not finite.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from mer.examples import Examples
    from mer.fusion.fit import fit_fusion, predict_fusion

    rng = np.random.default_rng(0)
    clips = tuple(f"clip{number:02}" for number in range(CLIPS))
    tables = {name: random_table(clips, *shape, rng) for name, shape in widths.items()}
    examples = Examples(
        clip_ids=clips,
        emotion=np.arange(CLIPS) % CLASSES,
        valence=rng.normal(size=CLIPS).astype(np.float32),
        speaker=(None,) * CLIPS,
        fold=np.full(CLIPS, -1, dtype=np.int64),
        weight=np.ones(CLIPS, dtype=np.float32),
    )
    every = np.ones(CLIPS, dtype=bool)
    started = time.process_time()
    fitted = fit_fusion(
        tables, examples, every, ~every, tuple("abcdef"), config.model_copy(update={"epochs": 1})
    )
    seconds = time.process_time() - started
    answers = predict_fusion(fitted, tables)
    if not (np.isfinite(answers.logits).all() and np.isfinite(answers.valence).all()):
        raise RuntimeError(f"{config.model}: expected finite answers")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        predict_fusion(fitted, tables)
    return {
        "parameters": sum(value.numel() for value in fitted.tensors.values()),
        "clip_gflops": counter.get_total_flops() / CLIPS / 1e9,
        "clips": CLIPS,
        "epoch_seconds": seconds,
    }


def random_table(clips: tuple[str, ...], frames: int, width: int, rng: np.random.Generator) -> StreamTable:
    """Values of a stream, frame by frame where a clip has several."""
    from mer.features.dataset import FeatureTable, RaggedTable

    present = np.ones(len(clips), dtype=bool)
    if frames == 1:
        return FeatureTable(clips, rng.normal(size=(len(clips), width)).astype(np.float32), present)
    values = rng.normal(size=(len(clips) * frames, width)).astype(np.float32)
    return RaggedTable(clips, values, np.arange(len(clips) + 1) * frames, present)
