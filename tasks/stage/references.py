"""The small, JSON-sized references that cross task borders. Never tensors, sessions or open files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.artifacts import ArtifactRef
from mer.adaptation.block import Block
from mer.features.spec import FeatureSpec


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
    canary: int = 0
    """Clips with true labels that watch over self-training."""


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
class ExtractionPlan:
    """What is missing from feature sets, cut into shards."""

    features: Mapping[str, FeatureSetRef]
    """By the name asked for."""
    shards: tuple[ShardPlan, ...]


@dataclass(frozen=True)
class AdaptedStream:
    """An encoder of pictures or text that one view has adapted."""

    block: Block
    """Layers adapted: named by the recipe, or chosen on this view's training clips."""
    adapter: ArtifactRef
    features: FeatureSetRef


@dataclass(frozen=True)
class ViewSpaces:
    """The encoders one view has learnt, and the feature sets they give."""

    view: str
    read_layer: int | None = None
    """Hidden state the acoustic stream reads (chosen on this view's training clips)."""
    layer_count: int = 0
    """Transformer layers of the acoustic encoder (hidden states 0 .. layer_count)."""
    block: Block | None = None
    """Layers to adapt (chosen on this view's training clips)."""
    adapter: ArtifactRef | None = None
    adapted: FeatureSetRef | None = None
    alignment: ArtifactRef | None = None
    aligned: FeatureSetRef | None = None
    encoders: Mapping[str, AdaptedStream] = field(default_factory=dict)
    """Adapted encoders of the visual and the lexical stream, by stream."""

    def adapted_features(self, stream: str) -> FeatureSetRef | None:
        """Features of a stream's adapted encoder; None where it is not adapted."""
        if stream == "acoustic":
            return self.adapted
        return self.encoders[stream].features if stream in self.encoders else None


@dataclass(frozen=True)
class FusedView:
    """A fusion model trained on one view, and its predictions for all clips whose gold labels it did not learn."""

    view: str
    system: str
    """`fused`, a single stream's name, `ensemble`, or `ensemble/` and a member's name; trained with pseudo-labels:
    the same and `+pseudo`."""
    model: ArtifactRef
    posteriors: ArtifactRef
    validation_waf: float
    """Weighted F1 on the view's validation speakers: what choices are made by."""
    members: Mapping[str, ArtifactRef] = field(default_factory=dict)
    """Fusion models that an ensemble combines, by name; empty for a single fusion."""


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
