"""Options of the acoustic adaptation. Imports no torch: recipes and forms read it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AdaptationConfig(BaseModel):
    """Parameter-efficient fine-tuning of one block of layers (system A, 2).

    Known: only the most effective layers are adapted; bottleneck adapters; masked reconstruction plus
    cross-entropy. Reconstruction: LoRA, DoRA, (IA)3 and prompt frames as alternatives, the sizes, the targets of
    the reconstruction, the augmentation and the schedule.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["lora", "dora", "ia3", "bottleneck", "prompt"] = Field(
        default="lora",
        description="Low-rank updates of attention and MLP matrices (lora, dora), learned scales of keys, values and "
        "the MLP's inner features (ia3), an adapter after each layer, or learned frames before each layer's (prompt).",
    )
    rank: int = Field(
        default=16,
        ge=1,
        le=1024,
        description="Rank of the update (lora, dora), or width of the bottleneck (features).",
    )
    alpha: float = Field(
        default=32.0,
        gt=0.0,
        le=4096.0,
        description="Scale: updates are multiplied by alpha / rank (lora, dora).",
    )
    prompt_frames: int = Field(
        default=8, ge=1, le=1024, description="Learned frames put before a clip's in each layer (prompt)."
    )
    bottleneck_scale: float = Field(
        default=1.0, gt=0.0, le=100.0, description="s in h + s * W_up ReLU(W_down h) (bottleneck)."
    )
    dropout: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="Dropout inside the adapters (lora, dora, bottleneck; probability); costs a third of a step's time "
        "on a CPU.",
    )
    head_dropout: float = Field(
        default=0.3,
        ge=0.0,
        lt=1.0,
        description="Dropout on the pooled embedding before the head (probability).",
    )
    label_smoothing: float = Field(
        default=0.1, ge=0.0, lt=1.0, description="Label smoothing of the cross-entropy."
    )
    epochs: int = Field(default=12, ge=1, le=10_000, description="Passes over the training clips.")
    batch_size: int = Field(default=16, ge=1, le=65_536, description="Clips in a step.")
    learning_rate: float = Field(
        default=1e-3, gt=0.0, le=1.0, description="Peak AdamW step size of the adapters."
    )
    head_learning_rate: float = Field(
        default=1e-3, gt=0.0, le=1.0, description="Peak AdamW step size of the heads."
    )
    weight_decay: float = Field(default=1e-2, ge=0.0, le=10.0, description="AdamW weight decay.")
    warmup_share: float = Field(
        default=0.1,
        ge=0.0,
        lt=1.0,
        description="Share of the steps in which the step size rises, then falls to 0.",
    )
    gradient_clip: float = Field(
        default=1.0, gt=0.0, le=1e6, description="Largest norm of the gradient of a step."
    )
    mask_weight: float = Field(
        default=0.1,
        ge=0.0,
        le=100.0,
        description="lambda of the masked reconstruction loss; 0 leaves it out.",
    )
    mask_probability: float = Field(
        default=0.2, ge=0.0, lt=1.0, description="Share of a clip's frames hidden in training, and predicted."
    )
    mask_span_frames: int = Field(default=5, ge=1, le=1000, description="Length of one hidden span (frames).")
    time_masks: int = Field(
        default=0, ge=0, le=100, description="SpecAugment: stretches of frames blanked in each training clip."
    )
    time_mask_share: float = Field(
        default=0.1,
        gt=0.0,
        le=1.0,
        description="Longest of these stretches, as a share of the clip's frames.",
    )
    feature_masks: int = Field(
        default=0, ge=0, le=100, description="SpecAugment: runs of features blanked in each training clip."
    )
    feature_mask_share: float = Field(
        default=0.1, gt=0.0, le=1.0, description="Longest of these runs, as a share of the features."
    )
    mixup: float = Field(
        default=0.0,
        ge=0.0,
        le=100.0,
        description="Shape of the Beta distribution by which pooled embeddings and labels of two clips are mixed; "
        "0: not mixed.",
    )
    variants_per_epoch: Literal["one", "all"] = Field(
        default="one",
        description="Of a clip's augmented variants (the plain one included), one drawn anew every epoch, or all.",
    )
    class_weighting: Literal["none", "balanced"] = Field(
        default="none", description="Weights of the cross-entropy: all 1, or 1 / frequency of the class."
    )
    averaging: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="Share of the running average of the parameters that a step keeps (0.99: over about 100 steps); "
        "the average is validated and kept. 0: no average.",
    )
    pooling: Literal["mean_std", "attention"] = Field(
        default="mean_std",
        description="Mean and standard deviation over time, all frames alike or weighted by learned attention.",
    )
    mask_target: Literal["regression", "cluster"] = Field(
        default="regression",
        description="What is predicted of a hidden frame: the frozen encoder's state, or the k-means cluster it is in.",
    )
    clusters: int = Field(
        default=100,
        ge=2,
        le=10_000,
        description="Clusters of the frozen states of the training clips (cluster).",
    )
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32",
        description="Arithmetic of the block in training: bf16 by autocast, pooling, heads and losses in fp32.",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Keep only what enters each layer and compute the rest again in the backward pass: "
        "less memory, a third more time.",
    )
    max_frames: int = Field(
        default=600,
        ge=8,
        le=100_000,
        description="Longest piece of a clip trained on (frames, random window); reading uses all.",
    )
    patience: int = Field(
        default=6,
        ge=0,
        le=10_000,
        description="Epochs without a better validation score before stopping; 0: never.",
    )
    validation_score: Literal["waf", "uar"] = Field(
        default="waf",
        description="Score on the validation clips that picks the epoch: weighted F1, or mean recall.",
    )
    seed: int = Field(default=1, ge=0, description="Seed of initialisation, order, masks and dropout.")
