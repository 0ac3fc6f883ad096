"""Options of the alignment pre-training and of its study. Imports no torch: recipes and forms read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

GroupKind = Literal["speaker", "source"]
"""Property that makes clips alike for other reasons than emotion: their speaker, or the recording they were cut from."""


OLDER_OPTIONS = {
    "acoustic_projector": "anchor_projector",
    "acoustic_components": "anchor_components",
    "standardise_acoustic": "standardise_anchor",
}
"""Names of options to 0.2.0 -> today's."""


def named_as_today(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The values with the keys of `names` replaced by what they are called today.

    Raises:
        ValueError: a value is given under both names.
    """
    if both := [f"{name} and {names[name]}" for name in names if name in values and names[name] in values]:
        raise ValueError(
            f"expected each value once, found {', '.join(both)}, two names of one; remove the former"
        )
    return {names.get(name, name): value for name, value in values.items()}


class AlignmentConfig(BaseModel):
    """Symmetric InfoNCE between a clip's embeddings of two streams (system A, 3; reconstruction).

    The anchor is the stream whose space is fixed; the trained side is the stream that is aligned to it. Options of
    records and recipes of versions to 0.2.0, which named the anchor `acoustic`, are read under today's names. The defaults of
    `hidden_size`, `anchor_components`, `standardise_anchor` and `dropout` were selected on RAVDESS (docs/experiments.md).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(
        default=128, ge=8, le=4096, description="Width E of the joint space (features)."
    )
    hidden_size: int = Field(
        default=512,
        ge=8,
        le=8192,
        description="Width of the hidden layer of the trained side's projector (features).",
    )
    anchor_projector: Literal["linear", "whiten", "raw"] = Field(
        default="linear",
        description="How the fixed embedding of the anchor enters the joint space: a trained linear map, its "
        "leading principal components at equal variance (`whiten`), or as it is, standardised (`raw`); these two are "
        "fitted on training clips and then fixed, and the joint space is as wide as they are.",
    )
    anchor_components: int = Field(
        default=32,
        ge=0,
        le=4096,
        description="Principal components kept of the anchor's embedding before its projector; 0 keeps all.",
    )
    trunk: Literal["frozen", "lora", "full"] = Field(
        default="full",
        description="What is trained of the encoder of face crops beside the projector: nothing, low-rank "
        "updates of its layers' linear maps, or all of it. Without effect on vectors.",
    )
    lora_rank: int = Field(default=8, ge=1, le=256, description="Rank of the updates of `trunk: lora`.")
    lora_alpha: float = Field(
        default=16.0, gt=0.0, le=1024.0, description="Scale of the updates of `trunk: lora`, divided by rank."
    )
    standardise_anchor: Literal["none", "speaker", "source"] = Field(
        default="speaker",
        description="Standardise the anchor's targets within each speaker (or source) over its clips, labels "
        "unused: who speaks is then no shortcut. Clips of unknown or rare groups take the statistics of all.",
    )
    dropout: float = Field(
        default=0.5, ge=0.0, lt=1.0, description="Dropout in the trained side's projector (probability)."
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
    queue: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Clips of earlier batches whose anchors are further negatives of every trained embedding (0: none).",
    )
    hard_negatives: Literal["none", "speaker", "source"] = Field(
        default="none",
        description="Fill batches with runs of clips of one speaker (or source), which then are each other's "
        "negatives; clips of unknown groups are drawn as without.",
    )
    hard_negative_run: int = Field(
        default=16, ge=2, le=4096, description="Clips of one group that come in a run (`hard_negatives`)."
    )
    learning_rate: float = Field(
        default=1e-3, gt=0.0, le=1.0, description="Peak AdamW step size of the projectors."
    )
    encoder_learning_rate: float = Field(
        default=5e-4, gt=0.0, le=1.0, description="Peak AdamW step size of a trainable encoder of crops."
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
    shuffle_pairs: Literal["none", "all", "speaker"] = Field(
        default="none",
        description="Control run: every clip is paired with another's anchor, of any clip (nothing is left to "
        "learn) or of the same speaker (only who speaks is left).",
    )
    seed: int = Field(default=1, ge=0, description="Seed of initialisation, order, frame choice and dropout.")

    @model_validator(mode="before")
    @classmethod
    def _under_todays_names(cls, values: Any) -> Any:
        return named_as_today(values, OLDER_OPTIONS) if isinstance(values, Mapping) else values

    @field_validator("shuffle_pairs", mode="before")
    @classmethod
    def _of_older_records(cls, value: Any) -> Any:
        return {True: "all", False: "none"}[value] if isinstance(value, bool) else value


class AlignmentStudyConfig(BaseModel):
    """Options of the study that measures an alignment on unseen speakers and against controls."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    control: bool = Field(
        default=True,
        description="Also fit on shuffled pairs: over all clips, and within speakers where those are known.",
    )
    control_seeds: int = Field(
        default=5, ge=2, le=100, description="Fits of each control, for the interval of its mean."
    )
    permutations: int = Field(
        default=500,
        ge=100,
        le=100_000,
        description="Permuted pairings of the held-out clips that the true pairing is tested against.",
    )
    gallery: int = Field(
        default=2000,
        ge=10,
        le=20_000,
        description="Held-out clips retrieval is measured on at most; more are sampled (memory grows as its square).",
    )
    probe: bool = Field(
        default=True,
        description="Score a linear probe on raw, aligned, and raw + aligned vectors (vectors only, labels used).",
    )
    few_speakers: tuple[int, ...] = Field(
        default=(1, 2, 4, 8),
        description="Labelled speakers of the probes with few labels (numbers; empty: none), raw against aligned; with `probe`.",
    )
    few_draws: int = Field(
        default=8, ge=1, le=1000, description="Drawings of these speakers, over which a probe is averaged."
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="Coverage of the intervals.")
    seed: int = Field(default=0, ge=0, description="Seed of permutations, resampling and gallery.")
