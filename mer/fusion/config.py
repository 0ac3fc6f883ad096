"""Options of the fusion. Imports no torch: recipes and forms read it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class FusionConfig(BaseModel):
    """The fusion model and its training.

    Known (challenge baseline): the model `attention`, CE + MSE 1:1, Adam with weight decay 1e-5, batch 32, 100
    epochs, the best epoch kept. Reconstruction: every other option. The defaults were compared on inner folds of
    RAVDESS (speech layer 2 + action units; two outer folds, two inner ones each, one seed): concat .830 +- .012,
    attention .802 +- .009 (that one with 40 epochs and no patience). Outer folds had been looked at for other
    settings before the last comparison, so their figures (concat .817, attention .789) are not untouched.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Literal["attention", "attention_softmax", "concat"] = Field(
        default="concat",
        description="Challenge baseline (raw weights), softmax weights, or plain concatenation.",
    )
    hidden: int = Field(default=128, ge=4, le=4096, description="Width of every hidden layer (features).")
    dropout: float = Field(
        default=0.5, ge=0.0, lt=1.0, description="Dropout on each stream's input (probability)."
    )
    modality_dropout: float = Field(
        default=0.1,
        ge=0.0,
        lt=1.0,
        description="Chance that a training clip's stream is hidden; one always stays.",
    )
    epochs: int = Field(default=100, ge=1, le=100_000, description="Passes over the training clips.")
    batch_size: int = Field(default=32, ge=1, le=65_536, description="Clips in a step.")
    learning_rate: float = Field(default=5e-4, gt=0.0, description="Adam step size.")
    weight_decay: float = Field(default=1e-5, ge=0.0, le=10.0, description="L2 penalty inside Adam.")
    gradient_clip: float = Field(default=1.0, gt=0.0, description="Largest norm of a step's gradient.")
    averaging: float = Field(
        default=0.99,
        ge=0.0,
        lt=1.0,
        description="Decay per step of the running average of the parameters, which is what is kept; 0: none.",
    )
    label_smoothing: float = Field(
        default=0.1, ge=0.0, lt=1.0, description="Label smoothing of the cross-entropy."
    )
    class_weighting: Literal["none", "balanced", "square_root"] = Field(
        default="none",
        description="Weight of a class in the cross-entropy: 1, 1 / frequency, or the square root of that.",
    )
    valence_weight: float = Field(
        default=1.0,
        ge=0.0,
        le=100.0,
        description="Weight of the squared error of valence; 0 leaves valence out.",
    )
    validation_score: Literal["waf", "loss"] = Field(
        default="waf",
        description="What on the validation clips picks the epoch: weighted F1, or cross-entropy.",
    )
    patience: int = Field(
        default=20,
        ge=0,
        le=100_000,
        description="Epochs without a better validation score before stopping; 0: never.",
    )
    checkpoint_epochs: int = Field(
        default=10, ge=1, le=100_000, description="Epochs between two checkpoints."
    )
    seed: int = Field(default=1, ge=0, description="Seed of initialisation, order and dropout.")
