"""A recipe names the streams, encoders, training stages and the honest protocol of one system.

A recipe's YAML file (`mer.recipes.loading`) states only what differs from the defaults below; unknown keys are refused, so a
misspelt option cannot be silently ignored.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mer.conformal.policy import AnswerPolicy
from mer.drift.config import DriftConfig
from mer.emotions import EMOTION_SETS, MER_EMOTIONS
from mer.errors import ConfigError
from mer.evaluation.gate import GateConfig
from mer.fusion.config import STRUCTURE, AudioGuidedConfig, FusionConfig
from mer.label_shift.config import LabelShiftConfig
from mer.names import check_name, is_stored
from mer.quality.filters import QualityFilter
from mer.recipes.ensemble import EnsembleConfig
from mer.recipes.fold_plan import FoldPlan
from mer.recipes.members import (
    NEURAL,
    SEARCHED,
    choice_of,
    is_neural,
    located,
    member_choice,
    member_fusion,
    neural_choice,
)
from mer.recipes.modalities import MODALITIES, AnyStream, in_fusion_order, with_modality
from mer.recipes.stream import Stream
from mer.recipes.stream_names import check_stream_names
from mer.selftraining.config import SelfTrainingConfig
from mer.systems.choice import SystemChoice
from mer.training.refit import RefitConfig
from mer.votes.config import LabelsConfig


class Recipe(BaseModel):
    """One system, from clips to a served model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Registered model name, and the name of the flow's runs.")
    description: str = Field(default="", description="One line for listings.")
    emotions: tuple[str, ...] = Field(
        default=MER_EMOTIONS, min_length=2, description="Classes, in index order."
    )
    streams: dict[str, AnyStream] = Field(
        default_factory=dict,
        description="Name -> stream, any number of each modality. `acoustic:`, `visual:` and `lexical:` at the top are short for "
        "one stream of that modality and name.",
    )
    fused_streams: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Streams that fusions read; the others are scored alone and may serve an alignment. None: all.",
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
    labels: LabelsConfig = Field(
        default_factory=LabelsConfig, description="What is learnt of clips on which several people voted."
    )
    fusion: FusionConfig = Field(default_factory=FusionConfig, description="Fusion model and its training.")
    ensemble: EnsembleConfig | None = Field(
        default=None,
        description="Several systems whose posteriors are combined, named or searched; scored as the system `ensemble` and "
        "served (`serve: false`: the one of `fusion` is served).",
    )
    comparisons: Literal["none", "modalities", "streams"] = Field(
        default="modalities",
        description="What is scored beside the system that is served, each trained in every view as that is: one system for each "
        "modality, or for each stream (they vote on pseudo-labels too); `none`: nothing, which saves their time.",
    )
    compare_frozen: bool = Field(
        default=False,
        description="Score a searched system on the frozen features too, as the row `frozen`, and what is served minus it: what "
        "adapting and aligning are worth.",
    )
    pseudo_labels: SelfTrainingConfig | None = Field(
        default=None, description="Self-training on unlabelled clips; none: supervised only."
    )
    label_shift: LabelShiftConfig = Field(
        default_factory=LabelShiftConfig,
        description="Class priors of the clips that are predicted: `off`, `report` (both priors, a test, what a correction would "
        "change), or `correct-if-shifted`.",
    )
    answers: AnswerPolicy = Field(
        default_factory=AnswerPolicy,
        description="When clips are answered at all, and with which sets of classes, where a request says nothing else.",
    )
    gate: GateConfig = Field(
        default_factory=GateConfig, description="When a challenger may replace the champion."
    )
    drift: DriftConfig = Field(
        default_factory=DriftConfig,
        description="How new clips are compared with the training snapshot of what is served, and what drift leads to.",
    )
    refit: RefitConfig = Field(
        default_factory=RefitConfig,
        description="How far labels and clips must have grown before scheduled and watched runs fit models again.",
    )
    shard_clips: int = Field(default=256, ge=1, le=4096, description="Clips per feature shard and per task.")
    seed: int = Field(default=1, ge=0, description="Base seed of every training stage.")

    @model_validator(mode="before")
    @classmethod
    def _named_streams(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        short = {name: values[name] for name in MODALITIES if values.get(name) is not None}
        rest = {name: value for name, value in values.items() if name not in MODALITIES}
        named = rest.get("streams") or {}
        if not isinstance(named, dict):
            return rest
        if twice := sorted(set(short) & set(named)):
            raise ValueError(
                f"streams: expected every stream once, found {', '.join(twice)} in the short form too"
            )
        streams = {name: value for name, value in (short | named).items() if value is not None}
        return rest | {
            "streams": in_fusion_order({name: with_modality(name, value) for name, value in streams.items()})
        }

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

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str, info: ValidationInfo) -> str:
        if is_stored(info.context):
            return value
        return check_name(value, "name of the recipe", remedy="give it another `name:`")

    @field_validator("emotions")
    @classmethod
    def _plain_classes(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if is_stored(info.context):
            return value
        if len(set(value)) < len(value):
            raise ValueError(f"expected every class once, found {', '.join(value)}")
        return tuple(check_name(emotion, "name of a class") for emotion in value)

    @model_validator(mode="after")
    def _members_can_be_trained(self) -> Recipe:
        for name, options in self.ensemble.members.items() if self.ensemble is not None else ():
            with located(f"ensemble.members.{name}"):
                member_choice(self.fusion, options, self.table_names)
        if self.ensemble is not None and self.ensemble.search is not None:
            with located("ensemble.search"):
                _ = self.searched_choice
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
        with located("pseudo_labels.fusion"):
            _ = self.taught(neural_choice(self.fusion))
        return self

    @model_validator(mode="after")
    def _streams_are_named(self) -> Recipe:
        check_stream_names(self.streams)
        return self

    @model_validator(mode="after")
    def _a_label_word_for_each_emotion(self) -> Recipe:
        for name, stream in self.streams.items():
            words = stream.class_words
            if words is not None and len(words) != len(self.emotions):
                raise ValueError(
                    f"streams.{name}.label_words: expected {len(self.emotions)}, one an emotion, found {len(words)}"
                )
        return self

    @model_validator(mode="after")
    def _fused_streams_exist(self) -> Recipe:
        if absent := sorted(set(self.fused_streams or ()) - set(self.streams)):
            raise ValueError(f"fused_streams: expected some of {', '.join(self.streams)}, found {absent}")
        return self

    @model_validator(mode="after")
    def _a_guide_is_among_the_modalities(self) -> Recipe:
        modalities = {stream.modality for stream in self.streams.values()}
        default = AudioGuidedConfig.model_fields["guide"].default
        for fusion in (self.fusion, *self.member_fusions.values()):
            guide = fusion.audio_guided.guide
            if guide not in {default, *modalities}:
                raise ValueError(
                    f"fusion.audio_guided.guide: expected a modality of the streams ({', '.join(sorted(modalities))}), "
                    f"found {guide!r}"
                )
        return self

    @model_validator(mode="after")
    def _alignments_lead_somewhere(self, info: ValidationInfo) -> Recipe:
        for name, stream in self.streams.items():
            if stream.alignment is None:
                continue
            others = [other for other in self.streams if other != name]
            if name not in self.anchors and not is_stored(info.context):
                raise ValueError(
                    f"streams.{name}.alignment: expected a stream to align to, found no acoustic one; name another by `to` "
                    f"({', '.join(others) or 'there is none'}), or leave the alignment out (`alignment: null`)"
                )
            if stream.alignment.to is None and len(self._speech(besides=name)) > 1:
                raise ValueError(
                    f"streams.{name}.alignment.to: expected the stream to align to, one of {', '.join(others)}, found none; "
                    "there are several acoustic ones"
                )
            if stream.alignment.to is not None and stream.alignment.to not in others:
                raise ValueError(
                    f"streams.{name}.alignment.to: expected one of {', '.join(others) or 'several streams'}, found "
                    f"{stream.alignment.to!r}"
                )
            if stream.alignment.to is not None and self.streams[stream.alignment.to].reads_crops:
                raise ValueError(
                    f"streams.{name}.alignment.to: expected a stream of vectors, found {stream.alignment.to!r}, whose features "
                    "are face crops; align to another stream"
                )
        return self

    @property
    def member_fusions(self) -> dict[str, FusionConfig]:
        """Name of an ensemble's neural member -> its fusion: the recipe's, with the member's own options."""
        return {
            name: member_fusion(self.fusion, options)
            for name, options in self._members.items()
            if is_neural(options)
        }

    @property
    def member_choices(self) -> dict[str, SystemChoice]:
        """Name of an ensemble's member -> its kind and options; empty without named members."""
        return {
            name: member_choice(self.fusion, options, self.table_names)
            for name, options in self._members.items()
        }

    @property
    def searched_choice(self) -> SystemChoice | None:
        """The system that is searched in every view; None: members are named, or there is no ensemble."""
        searched = self.ensemble.search if self.ensemble is not None else None
        return None if searched is None else choice_of(SEARCHED, searched.model_dump(), self.table_names)

    @property
    def _members(self) -> dict[str, dict[str, Any]]:
        return self.ensemble.members if self.ensemble is not None else {}

    def taught(self, choice: SystemChoice) -> SystemChoice:
        """A system's options where it learns from pseudo-labels as well: fusions may have others there."""
        if self.pseudo_labels is None or choice.kind != NEURAL:
            return choice
        return neural_choice(
            member_fusion(FusionConfig.model_validate(choice.options), self.pseudo_labels.fusion)
        )

    @property
    def recognisers(self) -> tuple[str, ...]:
        """Sources of the recognisers whose transcripts are used where the corpus has none."""
        sources = (stream.features.recogniser for stream in self.streams.values())
        return tuple(dict.fromkeys(source for source in sources if source is not None))

    @property
    def adapts(self) -> tuple[str, ...]:
        """Names of the streams whose encoder is adapted, in their order."""
        return tuple(name for name, stream in self.streams.items() if stream.adaptation is not None)

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the streams that fusions read, in their order."""
        return tuple(
            name for name in self.streams if self.fused_streams is None or name in self.fused_streams
        )

    @property
    def anchors(self) -> dict[str, str]:
        """Name of every stream that is aligned -> the stream to whose space; without a speech stream there may be none."""
        targets: dict[str, str] = {}
        for name, stream in self.streams.items():
            if stream.alignment is not None:
                target = stream.alignment.to or next(iter(self._speech(besides=name)), None)
                targets |= {name: target} if target is not None else {}
        return targets

    @property
    def needs_sound(self) -> bool:
        """Whether a clip without a usable audio track is quarantined."""
        return self.require_audio and any(
            not self.streams[name].features.precomputed for name in self._speech()
        )

    @property
    def hears(self) -> bool:
        """Whether it reads the sound of clips."""
        return bool(self._speech())

    def table_name(self, stream: str) -> str:
        """What fusions call a stream: its modality, or `<modality>/<name>` where it has a name besides."""
        modality = self.streams[stream].modality
        return stream if stream == modality else f"{modality}/{stream}"

    @property
    def table_names(self) -> dict[str, str]:
        """Name of every stream that is read -> what systems call it."""
        return {name: self.table_name(name) for name in self.reads}

    def with_stream(self, name: str, **options: Any) -> Recipe:
        """A copy in which options of a stream are others; they are not validated."""
        changed = {**self.streams, name: self.streams[name].model_copy(update=options)}
        return self.model_copy(update={"streams": changed})

    def without_streams(self, names: Collection[str]) -> Recipe:
        """A copy without some streams, and without the alignments that led to them; not validated."""
        left = {name: stream for name, stream in self.streams.items() if name not in names}
        fused = (
            None if self.fused_streams is None else tuple(name for name in self.fused_streams if name in left)
        )
        ensemble = self.ensemble.without_streams(names) if self.ensemble is not None else None
        reduced = self.model_copy(update={"streams": left, "fused_streams": fused, "ensemble": ensemble})
        for name, anchor in self.anchors.items():
            if name in left and anchor in names:
                reduced = reduced.with_stream(name, alignment=None)
        return reduced

    def stream(self, name: str) -> Stream:
        """A stream by name.

        Raises:
            ConfigError: the recipe has no such stream.
        """
        if name not in self.streams:
            raise ConfigError(
                f"recipe {self.name}: expected one of its streams ({', '.join(self.streams)}), found {name!r}"
            )
        return self.streams[name]

    def require_vectors(self) -> None:
        """Check that every stream has vectors for a fusion to read.

        Raises:
            ConfigError: face crops without an alignment, or without the encoder that it trains.
        """
        for name, stream in self.streams.items():
            if stream.unaligned_features is not None or (
                name in self.anchors and stream.trained_encoder is not None
            ):
                continue
            raise ConfigError(
                f"recipe {self.name}: streams.{name}: expected face crops with an `alignment` and the `encoder` that it trains, "
                f"found no {'encoder' if name in self.anchors else 'alignment'}; name a visual encoder as source, or leave the "
                "stream out"
            )

    def _speech(self, besides: str = "") -> tuple[str, ...]:
        """Acoustic streams; with `besides`, those that this one may be aligned to."""
        return tuple(
            name
            for name, stream in self.streams.items()
            if stream.modality == MODALITIES[0] and name != besides and (not besides or stream.is_space)
        )

    @property
    def serves_ensemble(self) -> bool:
        """Whether the ensemble is what is gated and served."""
        return self.ensemble is not None and self.ensemble.serve
