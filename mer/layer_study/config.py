"""Options of the layer study. Imports no torch: recipes and forms read it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LayerStudyConfig(BaseModel):
    """Options of the study that scores the layers of an encoder (system A, 1).

    Known: the contribution of every layer is measured, and the most effective ones are adapted.
    Reconstruction: a linear head
    on pooled hidden states, the poolings, speaker-independent folds, and the block with the best lower bound.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pooling: Literal["mean_std", "statistics", "attention"] | None = Field(
        default=None,
        description="Over time, before the head: mean and standard deviation, `statistics` (minimum and maximum beside these "
        "two), or `attention` (a learned query per layer and run; reads every frame of every layer). None: as the "
        "stream's features are pooled, mean_std where they are read frame by frame.",
    )
    folds: int = Field(
        default=5, ge=2, le=20, description="Speaker-independent folds inside the training clips."
    )
    seeds: int = Field(
        default=3, ge=1, le=100, description="Different fold assignments; scores are pooled over them."
    )
    l2: float = Field(
        default=0.1,
        gt=0.0,
        le=100.0,
        description="L2 penalty of the head, relative to the mean cross-entropy.",
    )
    iterations: int = Field(default=300, ge=1, le=10_000, description="Most steps of the solver.")
    tolerance: float = Field(
        default=3e-3,
        ge=0.0,
        le=1.0,
        description="Largest change of a logit per step at which the solver stops.",
    )
    weighting_steps: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Steps of the second view, a head on a learned mixture of all layers.",
    )
    attention_steps: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Steps of Adam in which the queries are learned (attention).",
    )
    attention_batch_size: int = Field(
        default=128,
        ge=1,
        le=65_536,
        description="Clips in such a step, shared by all layers and runs (attention).",
    )
    attention_learning_rate: float = Field(
        default=0.03, gt=0.0, le=1.0, description="First Adam step size of the queries (attention)."
    )
    attention_frames: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Most frames of a clip; longer clips become means of neighbouring frames (attention).",
    )
    memory_gib: float = Field(
        default=4.0,
        gt=0.0,
        le=1024.0,
        description="Size (GiB) of what is trained together, and again of the frames held (attention): layers and runs that "
        "exceed it are taken in turns.",
    )
    score: Literal["accuracy", "waf"] = Field(default="accuracy", description="Accuracy, or weighted F1.")
    block_length: int | None = Field(
        default=None,
        ge=1,
        le=200,
        description="Layers in the block; none: a quarter of the encoder (the paper's 6 of 24), at least 2.",
    )
    resamples: int = Field(
        default=1000, ge=100, le=100_000, description="Bootstrap resamples (of whole speakers)."
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1.0, description="Coverage of the two-sided intervals."
    )
    seed: int = Field(default=1, ge=0, description="Seed of the fold assignments and the bootstrap.")
