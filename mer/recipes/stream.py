"""What every stream of a recipe has: features, and what a view may learn of them. Imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.posteriors_config import AdaptedPosteriors
from mer.alignment.config import AlignmentConfig
from mer.features.augmentation import AugmentedVariant
from mer.features.spec import CROPS_SOURCE, SOUND_SOURCE, FeatureSpec
from mer.layer_study.config import LayerStudyConfig
from mer.names import is_stored
from mer.recipes.states import StatesRead


class StreamAlignment(AlignmentConfig):
    """Alignment pre-training of a stream into the space of another one."""

    to: str | None = Field(
        default=None,
        description="Name of the stream whose space this one is aligned to. None: the recipe's one acoustic stream.",
    )

    @property
    def training(self) -> AlignmentConfig:
        """The options of the pre-training alone."""
        return AlignmentConfig.model_validate(self.model_dump(exclude={"to"}))


class Stream(BaseModel):
    """One stream: an encoder's features (or precomputed ones, or face crops), frozen, adapted, or aligned.

    The vector that a fusion reads is what these options keep of, in this order: the aligned vector, the adapted state, the frozen
    features. What the modality adds is in the subclasses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: FeatureSpec = Field(description="Frozen features; they name the encoder and the modality.")
    layer_study: LayerStudyConfig = Field(
        default_factory=LayerStudyConfig, description="How the encoder's layers are scored (`mer layers`)."
    )
    adaptation: AdaptationConfig | None = Field(
        default=None, description="PEFT of a block of the encoder; none: frozen features alone."
    )
    block: tuple[int, int] | None = Field(
        default=None,
        description="Layers to adapt, from the first number on up to the second (hidden states, 0 = embeddings): [18, 24] "
        "are the last six of 24. None: the block that this stream's layer study chooses.",
    )
    read: StatesRead = Field(
        default_factory=StatesRead,
        description="Which frozen hidden states the fusion reads, where the features are several side by side (`layers: all`).",
    )
    keep_frozen: bool = Field(
        default=True,
        description="Give the fusion the frozen vector beside the adapted one (concatenated; only with `adaptation`).",
    )
    keep_adapted: bool = Field(
        default=True,
        description="Give the fusion the adapted state; off: only the alignment follows it (with `adaptation`).",
    )
    adapted_posteriors: AdaptedPosteriors | None = Field(
        default=None,
        description="Give the fusion log-posteriors of the adapted classifier in place of the adapted state, cross-fitted: a "
        "labelled clip's by adapters that were not fitted on its inner fold, a new clip's the mean of all (with `adaptation`, "
        "fitted folds x seeds times, each to its last epoch). None: the adapted state of one adapter.",
    )
    alignment: StreamAlignment | None = Field(
        default=None, description="Alignment pre-training toward another stream; none: features as they are."
    )
    keep_unaligned: bool = Field(
        default=False,
        description="Give the fusion the unaligned vector beside the aligned one (with `alignment`): of face crops the output of "
        "the alignment's `encoder` as its source gives it, vectors and frames.",
    )
    keep_aligned: bool = Field(
        default=True,
        description="Give the fusion the aligned vector; off: the unaligned one alone (with `alignment`; of face crops only with "
        "`keep_unaligned`).",
    )

    @property
    def modality(self) -> str:
        """Modality of the features."""
        return self.features.modality

    @property
    def named_block(self) -> Block | None:
        """The block, where the recipe names one."""
        return Block(*self.block) if self.block is not None else None

    @property
    def reads_crops(self) -> bool:
        """Whether the features are face crops, which only an alignment turns into vectors."""
        return self.features.source == CROPS_SOURCE

    @property
    def is_space(self) -> bool:
        """Whether other streams may be aligned to it where none is named: two figures (loudness and length) are no space."""
        return self.features.source != SOUND_SOURCE

    @property
    def trained_encoder(self) -> str | None:
        """Source of the encoder that the alignment trains on the features, if they are pictures."""
        return None

    @property
    def frozen_speeds(self) -> tuple[float, ...]:
        """Speeds beside 1 of which the frozen features are extracted too."""
        return ()

    @property
    def feature_variants(self) -> tuple[FeatureSpec, ...]:
        """The frozen features that are read of the clips as they are, then of each of `frozen_speeds`."""
        plain = self.unaligned_features or self.features
        return (plain, *(plain.at_speed(speed) for speed in self.frozen_speeds))

    @property
    def unaligned_features(self) -> FeatureSpec | None:
        """What the fusion may read unaligned: the features, or of face crops what the alignment's encoder gives as it is.

        None: pixels alone, since `keep_unaligned` is off or there is no encoder.
        """
        if not self.reads_crops:
            return self.features
        if self.trained_encoder is None or not self.keep_unaligned:
            return None
        return self.features.model_copy(update={"source": self.trained_encoder, "layers": "output"})

    @property
    def further_speeds(self) -> tuple[float, ...]:
        """Speeds beside 1 over which the adapted state is averaged."""
        return ()

    @property
    def augmented_variants(self) -> tuple[AugmentedVariant, ...]:
        """Variants of the labelled clips that the adaptation learns from beside the clips themselves."""
        return ()

    @property
    def class_words(self) -> tuple[str, ...] | None:
        """A word for each class that the adapted classifier starts from."""
        return None

    @property
    def other_encoder(self) -> str | None:
        """Source of the encoder that reads what is of another language than `features.source` is made for."""
        return None

    @model_validator(mode="after")
    def _something_to_adapt(self, info: ValidationInfo) -> Stream:
        if self.block is not None and not 0 <= self.block[0] < self.block[1]:
            raise ValueError(f"block: expected 0 <= first < second, found {list(self.block)}")
        if self.adaptation is None:
            for option in ("block", "adapted_posteriors"):
                if getattr(self, option) is not None:
                    raise ValueError(f"{option}: expected `adaptation` as well, found none")
            return self
        if not self.features.encoded:
            raise ValueError(
                f"adaptation: expected features of an encoder, found {self.features.source!r}, which has no layers; "
                "name an encoder, or leave adaptation out"
            )
        chosen = self.features.layered and self.features.layers != "all" and self.block is None
        if chosen and not is_stored(info.context):
            raise ValueError(
                "adaptation: expected features of all hidden states (`layers: all`) to choose a block of, or `block`, found "
                f"layers {list(self.features.layers)}"
            )
        if self.features.tokens == "sum":
            raise ValueError("adaptation: expected `tokens` class or patches, found sum")
        return self

    @model_validator(mode="after")
    def _states_to_read(self) -> Stream:
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

    @model_validator(mode="after")
    def _something_to_read(self) -> Stream:
        if not self.keep_aligned and self.reads_crops and not self.keep_unaligned:
            raise ValueError(
                "keep_aligned: face crops are read through their alignment, or with `keep_unaligned` as its encoder gives them"
            )
        return self
