"""A recipe names the streams, encoders, training stages and the honest protocol of one system.

Built-in recipes are the YAML files beside this module; a path to a YAML file works as well. A YAML file states only what
differs from the defaults below; unknown keys are refused, so a misspelt option cannot be silently ignored.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mer.adaptation.config import AdaptationConfig
from mer.adaptation.token_config import PictureAdaptation, TextAdaptation
from mer.alignment.config import AlignmentConfig
from mer.emotions import EMOTION_SETS, MER_EMOTIONS
from mer.ensemble.config import EnsembleConfig
from mer.errors import ConfigError
from mer.evaluation.gate import GateConfig
from mer.features.augmentation import Speed
from mer.features.spec import CROPS_SOURCE, FeatureSpec
from mer.fusion.config import STRUCTURE, FusionConfig
from mer.label_shift.config import LabelShiftConfig
from mer.layer_study.config import LayerStudyConfig
from mer.quality.filters import QualityFilter
from mer.recipes.adapted_encoder import AdaptedEncoder
from mer.recipes.states import StatesRead
from mer.recipes.variants import AdaptationVariants
from mer.selftraining.config import SelfTrainingConfig


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AcousticStream(_Frozen):
    """The speech stream: every layer pooled for the layer study, then PEFT on the chosen block (system A, 1 and 2)."""

    features: FeatureSpec = Field(
        description="Frozen features: all hidden states, mean+std pooled per layer."
    )
    layer_study: LayerStudyConfig = Field(
        default_factory=LayerStudyConfig, description="How layers are scored."
    )
    adaptation: AdaptationConfig | None = Field(
        default=None, description="PEFT on the chosen block; none: the frozen best layer is used."
    )
    adaptation_variants: AdaptationVariants | None = Field(
        default=None,
        description="Augmented variants of the labelled clips that the adaptation learns from beside the clips themselves.",
    )
    adapted_speeds: tuple[Speed, ...] = Field(
        default=(),
        description="Average the adapted state over these further speeds of every clip (times as fast), in training the "
        "fusion and in every prediction; each costs another pass of the encoder over every clip.",
    )

    @model_validator(mode="after")
    def _layers_to_adapt(self) -> AcousticStream:
        if self.adaptation is not None and not self.features.layered:
            raise ValueError(
                "adaptation: expected features of all hidden states (`layers: all`), found a source without layers; "
                "leave adaptation out"
            )
        return self

    @model_validator(mode="after")
    def _adaptation_to_vary(self) -> AcousticStream:
        for option in ("adaptation_variants", "adapted_speeds"):
            if getattr(self, option) and self.adaptation is None:
                raise ValueError(f"{option}: expected `adaptation` as well, found none")
        if 1.0 in self.adapted_speeds or len(set(self.adapted_speeds)) != len(self.adapted_speeds):
            raise ValueError("adapted_speeds: expected different speeds other than 1, which is always read")
        return self

    @model_validator(mode="after")
    def _states_to_read(self) -> AcousticStream:
        if self.read.start is not None and self.features.layers != "all":
            raise ValueError("read.start: expected features of all hidden states (`layers: all`)")
        if self.read.pooling == "mean_std" and self.features.pooling != "mean_std":
            raise ValueError(
                f"read.pooling: the features have no deviations (pooling `{self.features.pooling}`)"
            )
        if self.read.pooling == "mean" and self.features.pooling == "statistics":
            raise ValueError("read.pooling: means alone are read of `mean_std`, not of `statistics`")
        if not (self.keep_frozen or self.keep_adapted):
            raise ValueError("expected `keep_frozen`, `keep_adapted` or both: nothing would be read")
        return self

    keep_frozen: bool = Field(
        default=True,
        description="Give the fusion the frozen hidden states (`read`) beside the adapted state (concatenated in one stream).",
    )
    keep_adapted: bool = Field(
        default=True,
        description="Give the fusion the adapted state; off: only the alignment follows it (with `adaptation`).",
    )
    read: StatesRead = Field(
        default_factory=StatesRead, description="Which frozen hidden states the fusion reads."
    )


class VisualStream(AdaptedEncoder):
    """The face stream: face crops for a trainable encoder, an encoder's vectors (frozen or adapted) or precomputed ones,
    aligned into the acoustic space.

    An alignment goes on from the adapted vectors where there are some, and what is called unaligned are these.
    """

    features: FeatureSpec = Field(
        description="Face crops (`crops:`), an encoder's features, or precomputed files."
    )
    adaptation: PictureAdaptation | None = Field(
        default=None, description="PEFT of the encoder's block on labelled clips; none: it stays frozen."
    )
    encoder: str | None = Field(
        default=None,
        description="Trainable encoder of face crops that the alignment trains, e.g. `seed:clip-tiny`.",
    )
    alignment: AlignmentConfig | None = Field(
        default=None,
        description="Alignment pre-training toward the acoustic space; none: features as they are.",
    )
    keep_unaligned: bool = Field(
        default=False,
        description="Give the fusion the unaligned vector beside the aligned one (vectors only).",
    )
    keep_aligned: bool = Field(
        default=True,
        description="Give the fusion the aligned vector; off: the unaligned one alone (vectors only, with `alignment`).",
    )
    layer_study: LayerStudyConfig = Field(
        default_factory=LayerStudyConfig, description="How layers are scored (`mer layers --stream visual`)."
    )

    @model_validator(mode="after")
    def _something_to_read(self) -> VisualStream:
        if not self.keep_aligned and self.features.source == CROPS_SOURCE:
            raise ValueError("keep_aligned: face crops are read through their alignment only")
        return self


class LexicalStream(AdaptedEncoder):
    """The text stream: a sentence encoder or language model over the transcript, frozen or adapted."""

    features: FeatureSpec = Field(
        description="Sentence encoder (mean over tokens, special tokens left out), or a causal language model with a `prompt`."
    )
    adaptation: TextAdaptation | None = Field(
        default=None, description="PEFT of the encoder's block on labelled clips; none: it stays frozen."
    )
    label_words: tuple[str, ...] | None = Field(
        default=None,
        description="With `adaptation` of a causal model up to its last layer: a word for each emotion, in their order. The "
        "classifier starts from the language-model head's rows of these words. None: it starts at zero.",
    )

    @model_validator(mode="after")
    def _words_to_start_from(self) -> LexicalStream:
        if self.label_words is not None and self.adaptation is None:
            raise ValueError("label_words: expected `adaptation` as well, found none")
        return self

    layer_study: LayerStudyConfig = Field(
        default_factory=LayerStudyConfig, description="How layers are scored (`mer layers --stream lexical`)."
    )


class FoldPlan(_Frozen):
    """Evaluation protocol: outer speaker-independent folds, and validation speakers inside the training folds."""

    count: int = Field(
        default=5, ge=2, le=20, description="Number of outer folds, where the corpus publishes none."
    )
    use_published: bool = Field(
        default=True, description="Use the corpus' own `fold` column when it has one."
    )
    validation_share: float = Field(
        default=0.2,
        gt=0.0,
        lt=0.5,
        description="Share of training clips (whole speakers) held out to choose by.",
    )
    seed: int = Field(default=7, ge=0, description="Seed of the fold assignment.")


class Recipe(_Frozen):
    """One system, from clips to a served model."""

    name: str = Field(description="Registered model name, and the name of the flow's runs.")
    description: str = Field(default="", description="One line for listings.")
    emotions: tuple[str, ...] = Field(
        default=MER_EMOTIONS, min_length=2, description="Classes, in index order."
    )
    acoustic: AcousticStream | None = Field(default=None, description="Speech stream.")
    visual: VisualStream | None = Field(default=None, description="Face stream.")
    lexical: LexicalStream | None = Field(default=None, description="Text stream.")
    fused_streams: tuple[Literal["acoustic", "visual", "lexical"], ...] | None = Field(
        default=None,
        min_length=1,
        description="Streams that fusions read; the others are scored alone and may serve the alignment. None: all.",
    )
    require_audio: bool = Field(
        default=True,
        description="Quarantine clips without a usable audio track (otherwise the stream is masked).",
    )
    quality: QualityFilter | None = Field(
        default=None,
        description="Leave clips of bad quality out of training (labelled and unlabelled); none: quality is not measured.",
    )
    folds: FoldPlan = Field(default_factory=FoldPlan, description="Cross-validation protocol.")
    fusion: FusionConfig = Field(default_factory=FusionConfig, description="Fusion model and its training.")
    ensemble: EnsembleConfig | None = Field(
        default=None,
        description="Further fusions whose posteriors are combined, scored as the system `ensemble` and served "
        "(`serve: false`: the one of `fusion` is served).",
    )
    pseudo_labels: SelfTrainingConfig | None = Field(
        default=None, description="Self-training on unlabelled clips; none: supervised only."
    )
    label_shift: LabelShiftConfig = Field(
        default_factory=LabelShiftConfig,
        description="Class priors of the clips that are predicted: `off`, `report` (both priors, a test, what a correction would "
        "change), or `correct-if-shifted`.",
    )
    gate: GateConfig = Field(
        default_factory=GateConfig, description="When a challenger may replace the champion."
    )
    shard_clips: int = Field(default=256, ge=1, le=4096, description="Clips per feature shard and per task.")
    seed: int = Field(default=1, ge=0, description="Base seed of every training stage.")

    @field_validator("emotions", mode="before")
    @classmethod
    def _named_set(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in EMOTION_SETS:
                raise ValueError(
                    f"unknown emotion set {value!r}: expected one of {', '.join(EMOTION_SETS)}, or a list"
                )
            return EMOTION_SETS[value]
        return value

    @model_validator(mode="after")
    def _members_are_fusions(self) -> Recipe:
        _ = self.member_fusions
        return self

    @model_validator(mode="after")
    def _pseudo_labels_fit(self) -> Recipe:
        config = self.pseudo_labels
        if config is None:
            return self
        if unknown := sorted(set(config.class_thresholds) - set(self.emotions)):
            raise ValueError(
                f"pseudo_labels.class_thresholds: expected some of {', '.join(self.emotions)}, found {unknown}"
            )
        if config.start == "warm" and self.serves_ensemble:
            raise ValueError("pseudo_labels.start: `warm` needs a single fusion, and the ensemble is served")
        if changed := sorted(set(config.fusion) & set(STRUCTURE)):
            raise ValueError(
                f"pseudo_labels.fusion: expected options of training alone, found {', '.join(changed)}"
            )
        _ = self.taught_fusion
        return self

    @model_validator(mode="after")
    def _a_label_word_for_each_emotion(self) -> Recipe:
        words = self.lexical.label_words if self.lexical is not None else None
        if words is not None and len(words) != len(self.emotions):
            raise ValueError(
                f"lexical.label_words: expected {len(self.emotions)}, one an emotion, found {len(words)}"
            )
        return self

    @model_validator(mode="after")
    def _fused_streams_exist(self) -> Recipe:
        if absent := sorted(set(self.fused_streams or ()) - set(self.streams)):
            raise ValueError(f"fused_streams: expected some of {', '.join(self.streams)}, found {absent}")
        return self

    @property
    def member_fusions(self) -> dict[str, FusionConfig]:
        """Name of an ensemble's member -> its fusion: the recipe's, with the member's own options; empty without ensemble."""
        members = self.ensemble.members if self.ensemble is not None else {}
        base = self.fusion.model_dump()
        return {name: FusionConfig.model_validate({**base, **options}) for name, options in members.items()}

    @property
    def taught_fusion(self) -> FusionConfig:
        """The fusion's options where it learns from pseudo-labels as well."""
        options = self.pseudo_labels.fusion if self.pseudo_labels is not None else {}
        return FusionConfig.model_validate({**self.fusion.model_dump(), **options})

    @property
    def recogniser(self) -> str | None:
        """Source of the recogniser whose transcripts are used where the corpus has none."""
        return self.lexical.features.recogniser if self.lexical is not None else None

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams this recipe has, in the fixed order acoustic, visual, lexical."""
        return tuple(name for name in ("acoustic", "visual", "lexical") if getattr(self, name) is not None)

    @property
    def adapts(self) -> tuple[str, ...]:
        """Names of the streams whose encoder is adapted, in that order."""
        return tuple(name for name in self.streams if getattr(self, name).adaptation is not None)

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the streams that fusions read, in that order."""
        return tuple(
            name for name in self.streams if self.fused_streams is None or name in self.fused_streams
        )

    @property
    def serves_ensemble(self) -> bool:
        """Whether the ensemble is what is gated and served."""
        return self.ensemble is not None and self.ensemble.serve


def recipe_names() -> tuple[str, ...]:
    """Names of the built-in recipes."""
    return tuple(
        sorted(
            entry.name.removesuffix(".yaml")
            for entry in files(__package__).iterdir()
            if entry.name.endswith(".yaml")
        )
    )


def load_recipe(name_or_path: str) -> Recipe:
    """Load a built-in recipe by name, or a YAML file by path.

    Raises:
        ConfigError: no such recipe, not YAML, or an option that does not exist or is out of range.
    """
    if name_or_path in recipe_names():
        text = files(__package__).joinpath(f"{name_or_path}.yaml").read_text(encoding="utf-8")
    elif name_or_path.endswith((".yaml", ".yml")) and Path(name_or_path).is_file():
        text = Path(name_or_path).read_text(encoding="utf-8")
    else:
        raise ConfigError(
            f"no recipe {name_or_path!r}: expected one of {', '.join(recipe_names())}, or a path to a .yaml file"
        )
    return parse_recipe(text, origin=name_or_path)


def parse_recipe(text: str, *, origin: str) -> Recipe:
    """Parse a recipe's YAML text; all errors of the file are reported together."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"recipe {origin}: not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"recipe {origin}: expected a mapping of options, found {type(values).__name__}")
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        problems = "\n".join(
            f"  {'.'.join(str(step) for step in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ConfigError(f"recipe {origin} cannot be used:\n{problems}") from error
    if not recipe.streams:
        raise ConfigError(f"recipe {origin}: expected at least one of acoustic, visual, lexical; found none")
    return recipe
