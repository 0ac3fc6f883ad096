"""The small, JSON-sized references that cross task borders. Never tensors, sessions or open files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from infra.artifacts import ArtifactRef
from mer.adaptation.block import Block
from mer.features.spec import FeatureSpec
from mer.media.detector_choice import AUTO
from mer.quality.filters import QualityFilter
from mer.recipes import FoldPlan, Recipe, Stream
from mer.recipes.face_detectors import quality_detector
from mer.selftraining.config import SelfTrainingConfig
from mer.systems.choice import SystemChoice


@dataclass(frozen=True)
class SnapshotPlan:
    """What of a recipe decides which clips take part, with which labels and folds."""

    emotions: tuple[str, ...]
    """Classes, in index order."""
    folds: FoldPlan
    quality: QualityFilter | None = None
    """Bounds of the quality of training clips; None: all take part."""
    recogniser: str | None = None
    """Whose transcripts stand in for clips that the corpus has none of."""
    detector: str = AUTO
    """Face detector by which quality is measured."""
    targets: Literal["hard", "soft"] = "hard"
    """Whether distributions of votes are learnt."""

    @classmethod
    def of(cls, recipe: Recipe) -> SnapshotPlan:
        """The plan of a recipe."""
        recogniser = next(iter(recipe.recognisers), None)
        return cls(
            recipe.emotions,
            recipe.folds,
            recipe.quality,
            recogniser,
            quality_detector(recipe),
            recipe.labels.targets,
        )


@dataclass(frozen=True)
class DatasetRef:
    """A snapshot of a corpus: an artifact listing clips, visible labels, folds and splits."""

    ref: ArtifactRef
    corpus: str
    membership: str
    """Hash of the snapshot's rows."""
    views: tuple[str, ...]
    """`fold0`, ..., `final`."""
    clips: int
    labelled: int
    unlabelled: int
    holdout: int
    emotions: tuple[str, ...]
    """Classes, in index order."""
    folds: FoldPlan
    """Protocol by which views are dealt."""
    canary: int = 0
    """Clips with true labels that watch over self-training."""


@dataclass(frozen=True)
class View:
    """A view of a snapshot: an outer fold, or `final`. What a stage is computed for."""

    dataset: DatasetRef
    name: str
    parent_run: str | None = None
    """Tracked run that the view's stages belong to; None: they are not tracked."""
    part: int | None = None
    """Part of the view's labelled speakers that is held out in place of its validation speakers (see `mer.training.parts`); None:
    the view as it is."""

    @property
    def label(self) -> str:
        """What it is called: its name, and the part."""
        return view_label(self.name, self.part)


def view_label(name: str, part: int | None) -> str:
    """What a view, or a part of one, is called."""
    return name if part is None else f"{name}, part {part + 1}"


@dataclass(frozen=True)
class FeatureSetRef:
    """All clips' features under one key; the shards are found through the catalogue."""

    stream: str
    key: str
    spec: FeatureSpec | None
    """None for derived sets (adapted, aligned), whose key names the model that made them."""
    corpus: str | None = None
    """Corpus whose clips the features are of; None for derived sets."""
    derived_from: FeatureSetRef | None = None
    """The set a derived one is computed from: its contents are theirs."""


@dataclass(frozen=True)
class PrefixVariants:
    """The frozen hidden state that an adapted block starts from, of several variants of the clips' sound."""

    plain: FeatureSetRef
    """All clips as they are."""
    speeds: tuple[FeatureSetRef, ...] = ()
    """All clips at further speeds, over which the adapted state is averaged."""
    augmented: tuple[FeatureSetRef, ...] = ()
    """Labelled clips as variants drew them, to learn from."""


@dataclass(frozen=True)
class ShardPlan:
    """Features of one modality that the same clips lack."""

    features: tuple[FeatureSetRef, ...]
    clip_ids: tuple[str, ...]


@dataclass(frozen=True)
class SpanPlan:
    """Shards of the same features that one task run extracts one after another; each is committed by itself."""

    features: tuple[FeatureSetRef, ...]
    shards: tuple[tuple[str, ...], ...]
    """Names of the clips of each."""


@dataclass(frozen=True)
class ExtractionPlan:
    """What is missing from feature sets, cut into shards."""

    features: Mapping[str, FeatureSetRef]
    """By the name asked for."""
    shards: tuple[ShardPlan, ...]


@dataclass(frozen=True)
class LearntStream:
    """What one view has learnt of a stream, and the feature sets that gives."""

    read_layer: int | None = None
    """Hidden state that is read, chosen on this view's training clips; None: the features have no axis of states."""
    layer_count: int = 0
    """Transformer layers of the encoder (hidden states 0 .. layer_count); 0: no study."""
    block: Block | None = None
    """Layers to adapt: named by the recipe, or chosen on this view's training clips."""
    study: ArtifactRef | None = field(default=None, compare=False)
    """Layer study that chose; for the report, no stage reads it."""
    adapter: ArtifactRef | None = None
    adapted: FeatureSetRef | None = None
    alignment: ArtifactRef | None = None
    aligned: FeatureSetRef | None = None


@dataclass(frozen=True)
class StreamInput:
    """A stream as one view has it: its options, its features, and what the view has learnt of it."""

    name: str
    table_name: str
    """What fusions call it."""
    stream: Stream
    features: FeatureSetRef
    learnt: LearntStream = LearntStream()
    frames: FeatureSetRef | None = None
    """Its frames, where a fusion of level `frames` reads some."""
    speeds: tuple[FeatureSetRef, ...] = ()
    """Its features of all clips at the stream's further speeds, in the order of `Stream.frozen_speeds`."""
    encoded: FeatureSetRef | None = None
    """Of face crops: what the alignment's encoder gives as its source has it, where a fusion reads that."""

    @property
    def variants(self) -> tuple[FeatureSetRef, ...]:
        """The frozen features that are read of the clips as they are, then those of each further speed."""
        return (self.unaligned, *self.speeds)

    @property
    def unaligned(self) -> FeatureSetRef:
        """Frozen features that a fusion reads."""
        return self.encoded or self.features

    @property
    def adapted_state(self) -> FeatureSetRef | None:
        """Adapted features where they are states: posteriors are no space that anything is aligned to."""
        return self.learnt.adapted if self.stream.adapted_posteriors is None else None

    @property
    def alignable(self) -> FeatureSetRef:
        """What an alignment goes on from, and leads to: adapted features where there are some."""
        return self.adapted_state or self.features


StreamInputs = Mapping[str, StreamInput]
"""Stream name -> what a view has of it, in the recipe's order of streams."""


@dataclass(frozen=True)
class StreamPair:
    """A stream that is aligned, and the anchor to whose space it is aligned, as one view has them."""

    trained: StreamInput
    anchor: StreamInput


@dataclass(frozen=True)
class FusionJob:
    """One system of any kind to train on a view's streams."""

    system: str
    """Name of what is trained (see `FusedView.system`)."""
    choice: SystemChoice
    """Its kind and options."""
    pseudo: tuple[ArtifactRef, ...] = ()
    """The view's own pseudo-labels to learn from as well, by generation, oldest first."""
    self_training: SelfTrainingConfig | None = None
    """How pseudo-labels are learnt from."""
    taught: SystemChoice | None = None
    """Kind and options where there are pseudo-labels to learn from; None: those of `choice`."""
    start: ArtifactRef | None = None
    """A fitted system of this view to go on from, where there are pseudo-labels; None: from scratch."""
    whole: bool = False
    """Learn from the view's validation clips too: for systems that choose by inner folds of what they learn from. Its posteriors
    then leave these clips out."""


@dataclass(frozen=True)
class FusedView:
    """A system trained on one view, and its predictions for all clips whose gold labels it did not learn."""

    view: str
    system: str
    """`fused`, `ensemble`, `ensemble/` and a member's name, `logistic`, a modality's or a single stream's name; trained with
    pseudo-labels: the same and `+pseudo`."""
    model: ArtifactRef
    posteriors: ArtifactRef
    validation_waf: float
    """Weighted F1 on the view's validation speakers, or on held-out clips of inner folds; NaN where nobody was held out."""
    members: Mapping[str, ArtifactRef] = field(default_factory=dict)
    """Systems that an ensemble combines, by name; empty for a single one."""
    streams: tuple[str, ...] = ()
    """Names of the streams that it reads."""
    part: int | None = None
    """Part of the view that it held out (see `View.part`)."""
    found: bool = field(default=False, compare=False)
    """True where the model was ready and nothing was trained for it now."""


@dataclass(frozen=True)
class Standing:
    """Generations of pseudo-labels as they stand when a refresh begins."""

    live: Mapping[str, tuple[ArtifactRef, ...]]
    """View -> its own selections of the generations that are trained on, oldest first."""
    aside: Mapping[str, tuple[ArtifactRef, ...]]
    """View -> selections of stopped and withdrawn generations, whose clips wait for somebody."""
    generations: tuple[str, ...] = ()
    """Keys of those that the served view learns from."""
    waiting: tuple[str, ...] = ()
    """What to tell of those set aside, one line each."""

    @property
    def taught(self) -> bool:
        """True if the served view learns from any pseudo-labels."""
        return bool(self.generations)


@dataclass(frozen=True)
class ModelVersion:
    """A registered model version."""

    name: str
    version: int
    ref: ArtifactRef
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Promotion:
    """Decision of the promotion gate, with its reason and the version served now."""

    decision: str
    reason: str
    champion: int | None
