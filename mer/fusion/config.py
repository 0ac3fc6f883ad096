"""Options of the fusion. Imports no torch: recipes and forms read it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mer.fusion.registry import ENTRY_POINTS, MODELS, model_names

BUILT_IN_MODELS = tuple(MODELS)
"""Models of this package."""

ROBUST_LOSS_OPTIONS = ("emotion_loss", "loss_power", "loss_forward", "loss_reverse", "loss_log_zero")
"""Options that change nothing while the emotion loss is cross-entropy."""

STRUCTURE = (
    "model", "level", "frame_window", "frame_statistics", "audio_guided", "hidden", "queries", "valence_decoding", "task_balance",
)  # fmt: skip
"""Options that decide what the parameters mean; the others may change from round to round."""


class AudioGuidedConfig(BaseModel):
    """Parts of the model `audio_guided` (see `mer.fusion.models.audio_guided`); each can be switched off to see its worth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intra_channel: bool = Field(
        default=True, description="A transformer within each modality; off: its encoded frames as they are."
    )
    layers: int = Field(default=1, ge=1, le=24, description="Layers of the transformer within a modality.")
    inter_channel: bool = Field(
        default=True, description="Attention across modalities; off: each modality's own frames are pooled."
    )
    guide: str = Field(
        default="acoustic",
        min_length=1,
        description="Modality that guides. Where no stream is of it, a learned query asks the others.",
    )
    guidance: bool = Field(
        default=True, description="The guide asks the other modalities; off: one learned query does."
    )
    residual: bool = Field(
        default=True, description="Add the guide to what it has gathered; off: the gathered alone."
    )
    adaptive_gate: bool = Field(
        default=True,
        description="Weigh modalities clip by clip; off: those that are there count alike.",
    )


class FusionConfig(BaseModel):
    """The fusion model and its training.

    Known (challenge baseline): the model `attention`, CE + MSE 1:1, Adam with weight decay 1e-5, batch 32, 100
    epochs, the best epoch kept. Reconstruction: every other option. The defaults were compared on inner folds of
    RAVDESS (speech layer 2 + action units; two outer folds, two inner ones each, one seed): concat .830 +- .012,
    attention .802 +- .009 (that one with 40 epochs and no patience). Outer folds had been looked at for other
    settings before the last comparison, so their figures (concat .817, attention .789) are not untouched.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        default="concat",
        description="`attention`: challenge baseline (raw weights); `attention_softmax`; `attention_queries`: several learned "
        "queries over the streams; `concat`; `early`: features "
        "joined frame by frame; `late`: mean of one classifier per stream; `token_attention`: self-attention over "
        "all streams' frames; attention-guided feature gathering `afg_early` (S1), `afg_hierarchical` (S2), "
        "`afg_guided` (S3, each modality queries the others); `audio_guided`: the audio-guided transformer; or a model of "
        "an installed package.",
    )
    level: Literal["utterance", "frames"] = Field(
        default="utterance",
        description="Streams as one vector a clip, or frame by frame where the stream has frames.",
    )
    frame_window: int = Field(
        default=1, ge=1, le=10_000, description="Neighbouring frames averaged into one; 1: as they are."
    )
    frame_statistics: bool = Field(
        default=False,
        description="Read mean and deviation of a stream's frames over the clip as a second stream of its modality.",
    )
    audio_guided: AudioGuidedConfig = Field(
        default_factory=AudioGuidedConfig, description="Parts of the model `audio_guided`; others ignore it."
    )
    hidden: int = Field(default=128, ge=4, le=4096, description="Width of every hidden layer (features).")
    queries: int = Field(
        default=4, ge=1, le=64, description="Learned queries over the streams (number; `attention_queries`)."
    )
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
        default=0.1,
        ge=0.0,
        lt=1.0,
        description="Share of an emotion's target spread over all classes; not in the reverse part of the symmetric loss.",
    )
    class_weighting: Literal["none", "balanced", "square_root", "effective_number"] = Field(
        default="none",
        description="Weight of a class in the emotion loss: 1, 1 / frequency, the square root of that, or "
        "1 / effective number of its clips.",
    )
    chosen_on_validation: tuple[Literal["class_weighting", "valence_weight"], ...] = Field(
        default=(),
        description="Options that are chosen on the validation clips of every view, a fit for each choice: the class weighting "
        "(as it is said here, `none` or `balanced`), the valence weight (as said, or a tenth).",
    )
    effective_beta: float = Field(
        default=0.999, ge=0.0, lt=1.0, description="Beta of the effective number of clips."
    )
    focal_gamma: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        description="Power of the focal loss; 0: none. Only with cross-entropy: the other losses weigh ill-fitting clips down.",
    )
    emotion_loss: Literal["cross_entropy", "generalised", "symmetric"] = Field(
        default="cross_entropy",
        description="Loss of the emotion: cross-entropy, or one that bears wrong labels: generalised (Zhang & Sabuncu 2018) or "
        "symmetric cross-entropy (Wang et al. 2019).",
    )
    loss_power: float = Field(
        default=0.7,
        gt=0.0,
        le=1.0,
        description="Power q of the generalised cross-entropy: toward 0 cross-entropy, 1 the absolute error 1 - p.",
    )
    loss_forward: float = Field(
        default=0.1,
        ge=0.0,
        le=100.0,
        description="Weight alpha of the cross-entropy in the symmetric loss.",
    )
    loss_reverse: float = Field(
        default=1.0,
        ge=0.0,
        le=100.0,
        description="Weight beta of the reverse cross-entropy in the symmetric loss.",
    )
    loss_log_zero: float = Field(
        default=-4.0,
        ge=-100.0,
        lt=0.0,
        description="What stands for log 0 in the reverse cross-entropy (A).",
    )
    valence_weight: float = Field(
        default=1.0,
        ge=0.0,
        le=100.0,
        description="Weight of the squared error of valence (only whether it is 0 counts with learned weights); 0 "
        "leaves valence out.",
    )
    valence_decoding: Literal["separate", "joint"] = Field(
        default="separate",
        description="Valence from the fused vector alone, or jointly with the class posteriors and class means.",
    )
    posterior_gradient: bool = Field(
        default=True,
        description="Joint decoding: let the error of valence train the class posteriors it reads; off: it reads them only.",
    )
    task_balance: Literal["fixed", "uncertainty", "gradnorm"] = Field(
        default="fixed",
        description="Weights of the two losses: 1 and `valence_weight`; learned by uncertainty; or such that both "
        "tasks' gradients keep pace (GradNorm).",
    )
    balance_rate: float = Field(
        default=0.01, gt=0.0, le=1.0, description="Adam step size of the learned weights of the losses."
    )
    gradnorm_alpha: float = Field(
        default=0.5, ge=0.0, le=5.0, description="How strongly GradNorm helps the task that learns slower."
    )
    validation_score: Literal["waf", "loss", "combined"] = Field(
        default="waf",
        description="What on the validation clips picks the epoch: weighted F1, cross-entropy, or weighted F1 - .25 "
        "squared error of valence (without valence: as `waf`).",
    )
    patience: int = Field(
        default=20,
        ge=0,
        le=100_000,
        description="Epochs without a better validation score before stopping; 0: never.",
    )
    patience_steps: int = Field(
        default=100,
        ge=0,
        le=10_000_000,
        description="Steps without a better validation score before stopping, where that is more than `patience` epochs of them: "
        "of few clips an epoch is a step or two, which teach next to nothing.",
    )
    checkpoint_epochs: int = Field(
        default=10, ge=1, le=100_000, description="Epochs between two checkpoints."
    )
    seed: int = Field(default=1, ge=0, description="Seed of initialisation, order and dropout.")

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: str) -> str:
        if value not in (known := model_names()):
            raise ValueError(
                f"unknown fusion model {value!r}: expected one of {', '.join(known)}, or install the package that "
                f"adds it (entry point group {ENTRY_POINTS})"
            )
        return value

    @model_validator(mode="after")
    def _one_emotion_loss(self) -> FusionConfig:
        if conflict := self.loss_conflict():
            raise ValueError(conflict)
        return self

    def loss_conflict(self) -> str | None:
        """Contradiction in the options of the emotion loss, in words; None where there is none."""
        if self.emotion_loss != "cross_entropy" and self.focal_gamma > 0:
            return (
                f"emotion_loss {self.emotion_loss!r} with focal_gamma {self.focal_gamma:g}: expected one of them, since the "
                "focal factor weighs clips up that fit ill and this loss weighs them down; set focal_gamma to 0"
            )
        if self.emotion_loss == "symmetric" and self.loss_forward == self.loss_reverse == 0:
            return "emotion_loss 'symmetric': expected loss_forward or loss_reverse above 0, found both 0"
        return None
