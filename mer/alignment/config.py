"""Options of the alignment pre-training. Imports no torch: recipes and forms read it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AlignmentConfig(BaseModel):
    """Symmetric InfoNCE between a clip's visual and acoustic embedding (system A, 3; reconstruction)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(
        default=128, ge=8, le=4096, description="Width E of the joint space (features)."
    )
    hidden_size: int = Field(
        default=256,
        ge=8,
        le=8192,
        description="Width of the hidden layer of the visual projector (features).",
    )
    acoustic_projector: Literal["linear", "whiten"] = Field(
        default="linear",
        description="How the fixed acoustic embedding enters the joint space: a trained linear map, or its "
        "leading principal components at equal variance, fitted on training clips and then fixed.",
    )
    acoustic_components: int = Field(
        default=64,
        ge=0,
        le=4096,
        description="Principal components kept of the acoustic embedding before the projector; 0 keeps all.",
    )
    dropout: float = Field(
        default=0.2, ge=0.0, lt=1.0, description="Dropout in the visual projector (probability)."
    )
    cosine_weight: float = Field(
        default=0.0,
        ge=0.0,
        le=100.0,
        description="Weight of the additional term 1 - cosine of the true pairs.",
    )
    temperature: float = Field(
        default=0.1, gt=0.0, le=1.0, description="Initial temperature of the softmax; learned from there."
    )
    temperature_range: tuple[float, float] = Field(
        default=(0.01, 1.0), description="Bounds the learned temperature is clamped to (lowest, highest)."
    )
    epochs: int = Field(default=40, ge=1, le=10_000, description="Passes over the training pairs.")
    batch_size: int = Field(
        default=64, ge=2, le=65_536, description="Pairs in a step; the others are the negatives."
    )
    learning_rate: float = Field(
        default=1e-3, gt=0.0, le=1.0, description="Peak AdamW step size of the projectors."
    )
    encoder_learning_rate: float = Field(
        default=5e-4, gt=0.0, le=1.0, description="Peak AdamW step size of a trainable visual encoder."
    )
    weight_decay: float = Field(default=1e-2, ge=0.0, le=10.0, description="AdamW weight decay.")
    frames_per_step: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Random frames of a clip's crops that one step looks at (crops only).",
    )
    patience: int = Field(
        default=10,
        ge=0,
        le=10_000,
        description="Epochs without a better held-out loss before stopping; 0: never stop.",
    )
    shuffle_pairs: bool = Field(
        default=False,
        description="Control run: every training clip gets another's sound; retrieval must stay at chance.",
    )
    seed: int = Field(default=1, ge=0, description="Seed of initialisation, order, frame choice and dropout.")
