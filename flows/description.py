"""What a run of a recipe would do: its stages, what each reads, what is made already, what would be computed (`mer describe`).

The stages of `flows.retrain` are walked in their order, and each asks for its result by the key that a run would ask for, inside
`tasks.stage.looking`: what is not there is counted, not computed. A key that depends on what is not made yet cannot be known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from flows.experiment import Experiment
from flows.layers import learnt_by_study
from flows.pretrain import prefix_specs, prefix_variants
from flows.stage_reads import (
    ADAPTATION,
    ALIGNMENT,
    EVALUATION,
    FEATURES,
    FUSION,
    INGEST,
    STUDY,
    StageReads,
    stage_reads,
)
from mer.features.spec import FeatureSpec
from mer.recipes import Recipe
from mer.recipes.ensemble import EnsembleConfig
from mer.recipes.layer_reading import has_states_to_choose, states_to_study
from mer.recipes.studies import studied_streams
from mer.recipes.systems import ENSEMBLE, ScoredSystem, choices_of, scored_systems, served_name
from mer.recipes.text_encoders import with_text_encoders
from mer.training.partition import FINAL_VIEW
from tasks.data.dataset import clip_ids_of, labelled_clip_ids, snapshot_dataset
from tasks.data.features import plan_features
from tasks.data.missing import absent_streams
from tasks.data.streams import encoded_features, encoded_name, frame_features, frames_name, speed_features
from tasks.data.text_coverage import cover_texts, text_encoders
from tasks.learn.adaptation import adapt_view, embed_adapted
from tasks.learn.alignment import align_view, embed_aligned
from tasks.learn.ensemble import Members, combine_view
from tasks.learn.fusion import fuse_view
from tasks.learn.layer_study import study_layers_of_view
from tasks.serve.evaluation import evaluate
from tasks.stage.looking import NotMade, looking
from tasks.stage.references import (
    DatasetRef,
    FeatureSetRef,
    FusedView,
    FusionJob,
    LearntStream,
    PrefixVariants,
    SnapshotPlan,
    View,
)
from tasks.stage.run import StageResult

Made = TypeVar("Made")


@dataclass
class StageState:
    """A stage, and how much of it is there."""

    reads: StageReads
    unit: str = "views"
    made: int = 0
    missing: int = 0
    unknown: int = 0
    """Parts whose key depends on what is not made yet."""
    before: str = ""
    """The stage that these wait for."""

    @property
    def parts(self) -> int:
        """All of it."""
        return self.made + self.missing + self.unknown


@dataclass(frozen=True)
class Description:
    """A recipe on a corpus, as it stands."""

    recipe: Recipe
    dataset: DatasetRef | None
    stages: tuple[StageState, ...]


def describe_stages(recipe: Recipe) -> Description:
    """The stages of a recipe, where no corpus is looked at."""
    return Description(recipe, None, tuple(StageState(reads) for reads in stage_reads(recipe)))


def describe_on_corpus(recipe: Recipe, corpus: str) -> Description:
    """The same for a corpus of the catalogue: how much of each stage is there; nothing is computed or written.

    Raises:
        CorpusError: nothing can be trained on its labels.
        ConfigError, WeightsError: an encoder that the recipe names cannot be found.
    """
    with looking():
        try:
            dataset = snapshot_dataset.fn(corpus, SnapshotPlan.of(recipe))
        except NotMade:
            return describe_stages(recipe)
        walk = _Walk(Experiment(recipe, dataset))
        stages = tuple(walk.stages())
        return Description(walk.experiment.recipe, dataset, stages)


@dataclass
class _Walk:
    """An experiment on its way through the stages, and which of its parts are not there yet."""

    experiment: Experiment
    waits: dict[tuple[str, str], str] = field(default_factory=dict)
    """(stream, view) -> the stage whose result is not made."""
    fused: list[FusedView] = field(default_factory=list)
    models: int = 0
    """Models that were looked for."""

    def stages(self) -> Iterator[StageState]:
        """Every stage in the order of a run."""
        features, self.experiment = self._features()
        walked: dict[str, Callable[[StageState, str], None]] = {
            STUDY: self._study,
            ADAPTATION: self._adaptation,
            ALIGNMENT: self._alignment,
        }
        for stream in self.experiment.recipe.streams:
            self._one_state(stream)
        for reads in stage_reads(self.experiment.recipe):
            state = StageState(reads)
            if reads.kind == INGEST:
                state.unit, state.made = "clips", self.experiment.dataset.clips
            elif reads.kind == FEATURES:
                state.unit = "clips"
                state.made, state.missing = features.get(reads.stream, (0, 0))
            elif reads.kind in walked:
                walked[reads.kind](state, reads.stream)
            elif reads.kind == FUSION:
                self._fusion(state)
            elif reads.kind == EVALUATION:
                self._evaluation(state)
            yield state

    def _planned(
        self, specs: Mapping[str, FeatureSpec], clip_ids: Sequence[str]
    ) -> tuple[dict[str, FeatureSetRef], dict[str, int]]:
        """Feature sets by name, and how many contents of these clips each lacks."""
        experiment = self.experiment
        plan = plan_features.fn(experiment.dataset.corpus, specs, clip_ids, experiment.recipe.shard_clips)
        lacking = dict.fromkeys(specs, 0)
        for shard in plan.shards:
            for name, item in plan.features.items():
                if item in shard.features:
                    lacking[name] += len(shard.clip_ids)
        return dict(plan.features), lacking

    def _features(self) -> tuple[dict[str, tuple[int, int]], Experiment]:
        """Contents that each stream's features have and lack, and the experiment with its feature sets."""
        experiment = self.experiment
        clip_ids = clip_ids_of(experiment.dataset)
        texts = {name: stream.features for name, stream in experiment.recipe.streams.items()}
        try:
            covered = cover_texts.fn(experiment.dataset.corpus, texts, clip_ids)
            settled = with_text_encoders(experiment.recipe, text_encoders(experiment.recipe, covered))
            self.experiment = experiment = replace(experiment, recipe=settled)
        except NotMade:
            pass  # the encoder that the recipe names stands for the one that the texts decide on
        specs: dict[str, FeatureSpec] = {}
        for name, stream in experiment.recipe.streams.items():
            specs |= {name: stream.features} | speed_features(name, stream)
            if (encoded := encoded_features(stream)) is not None:
                specs[encoded_name(name)] = encoded
        found, lacking = self._planned(specs, clip_ids)
        counts: dict[str, tuple[int, int]] = {}
        for name in experiment.recipe.streams:  # of the sets of a stream (speeds) the one that lacks most
            most = max(
                missing for key, missing in lacking.items() if key == name or key.startswith(f"{name} ")
            )
            counts[name] = (max(len(clip_ids) - most, 0), most)
        if not any(lacking.values()):
            names = {name: found[name] for name in experiment.recipe.streams}
            absent = absent_streams.fn(names, clip_ids)
            experiment = replace(experiment, recipe=experiment.recipe.without_streams(absent))
        return counts, experiment.with_features(found)

    def _one_state(self, stream: str) -> None:
        """A stream with one hidden state to read needs no study."""
        options = self.experiment.recipe.stream(stream)
        if stream in studied_streams(self.experiment.recipe):
            return
        if options.features.layered and not has_states_to_choose(options):
            learnt = {view.name: LearntStream(read_layer=0) for view in self.experiment.views}
            self.experiment = self.experiment.with_learnt(stream, learnt)

    def _study(self, state: StageState, stream: str) -> None:
        recipe = self.experiment.recipe
        spec = states_to_study(recipe, stream)
        if spec.pooling == "frames":  # how many states there are is known when the encoder is loaded
            self._all_unknown(state, stream, "the encoder is loaded")
            return
        sets = (
            (self.experiment.features[stream],)
            if spec == recipe.stream(stream).features
            else tuple(self._planned({stream: spec}, clip_ids_of(self.experiment.dataset))[0].values())
        )
        config = recipe.stream(stream).layer_study
        results: dict[str, StageResult] = {}
        for view in self.experiment.views:
            look = partial(study_layers_of_view.fn, view, stream, config, sets)
            made = self._part(state, (stream,), view, look)
            if made is not None:
                results[view.name] = made
        learnt = learnt_by_study(self.experiment, stream, results)
        self.experiment = self.experiment.with_learnt(stream, learnt)

    def _adaptation(self, state: StageState, stream: str) -> None:
        for view in self.experiment.views:
            learnt = self._part(state, (stream,), view, partial(self._adapted, stream, view))
            if learnt is not None:
                self.experiment = self.experiment.with_learnt(stream, {view.name: learnt})

    def _adapted(self, stream: str, view: View) -> LearntStream:
        experiment = self.experiment
        recipe, learnt = experiment.recipe, experiment.learnt_of(stream, view)
        options = recipe.stream(stream)
        block = options.named_block or learnt.block
        if block is None:
            raise NotMade("layer-study")
        variants = self._variants(stream, block.start)
        adapter = adapt_view.fn(view, stream, options, variants, block).ref
        adapted = embed_adapted.fn(view, stream, options, variants, adapter, recipe.shard_clips)
        return replace(learnt, block=block, adapter=adapter, adapted=adapted)

    def _variants(self, stream: str, start: int) -> PrefixVariants:
        recipe, dataset = self.experiment.recipe, self.experiment.dataset
        plain, augmented = prefix_specs(recipe, stream, {FINAL_VIEW: start})
        sets, _ = self._planned(plain, clip_ids_of(dataset))
        if augmented:
            sets |= self._planned(augmented, labelled_clip_ids(dataset, dataset.views))[0]
        return prefix_variants(recipe, stream, start, sets)

    def _alignment(self, state: StageState, stream: str) -> None:
        anchor = self.experiment.recipe.anchors[stream]
        for view in self.experiment.views:
            learnt = self._part(state, (stream, anchor), view, partial(self._aligned, stream, view))
            if learnt is not None:
                self.experiment = self.experiment.with_learnt(stream, {view.name: learnt})

    def _aligned(self, stream: str, view: View) -> LearntStream:
        experiment, pair = self.experiment, self.experiment.pair(stream, view)
        alignment = align_view.fn(view, pair).ref
        aligned = embed_aligned.fn(view, pair.trained, alignment, experiment.recipe.shard_clips)
        return replace(experiment.learnt_of(stream, view), alignment=alignment, aligned=aligned)

    def _fusion(self, state: StageState) -> None:
        state.unit = "models"
        self._frames()
        recipe = self.experiment.recipe
        for system in scored_systems(recipe):
            for view in self.experiment.views:
                if not (system.scored_only and view.name == FINAL_VIEW):
                    self._keep(state, system.streams, view, partial(self._fused, system, view))
        if recipe.ensemble is not None and recipe.member_choices:
            for view in self.experiment.views:
                self._members(state, recipe.ensemble, view)

    def _members(self, state: StageState, ensemble: EnsembleConfig, view: View) -> None:
        """Named members of an ensemble, and their combination."""
        recipe, inputs = self.experiment.recipe, self.experiment.inputs(view)
        members: dict[str, FusedView] = {}
        for name, choice in recipe.member_choices.items():
            look = partial(fuse_view.fn, view, inputs, FusionJob(f"{ENSEMBLE}/{name}", choice))
            if (done := self._keep(state, recipe.reads, view, look)) is not None:
                members[name] = done

        def combined() -> FusedView:
            if len(members) < len(recipe.member_choices):
                raise NotMade(FUSION)
            return combine_view.fn(view, inputs, Members(ensemble, recipe.member_choices, members))

        self._keep(state, recipe.reads, view, combined)

    def _fused(self, system: ScoredSystem, view: View) -> FusedView:
        experiment = self.experiment
        inputs = (
            experiment.frozen_inputs(view, system.streams)
            if system.frozen
            else experiment.inputs(view, system.streams)
        )
        return fuse_view.fn(view, inputs, FusionJob(system.name, system.choice, whole=system.whole))

    def _frames(self) -> None:
        """Framewise feature sets, where a system reads frames."""
        experiment = self.experiment
        if all("frames" not in choice.levels for choice in choices_of(experiment.recipe)):
            return
        specs = {
            frames_name(name, stream, learnt): spec
            for name, stream in experiment.recipe.streams.items()
            for view in experiment.views
            for learnt in (experiment.learnt_of(name, view),)
            if (spec := frame_features(stream, learnt)) is not None
        }
        self.experiment = experiment.with_features(self._planned(specs, clip_ids_of(experiment.dataset))[0])

    def _evaluation(self, state: StageState) -> None:
        recipe, state.unit = self.experiment.recipe, "report"
        served = served_name(recipe)
        if recipe.pseudo_labels is not None:
            state.unknown, state.before = 1, "pseudo-labels"
            return
        if len(self.fused) < self.models:
            state.unknown, state.before = 1, "fusion"
            return
        try:
            evaluate.fn(self.experiment.served_view, self.fused, served, recipe.label_shift)
            state.made = 1
        except NotMade:
            state.missing = 1

    def _keep(
        self, state: StageState, streams: Sequence[str], view: View, look: Callable[[], FusedView]
    ) -> FusedView | None:
        self.models += 1
        waits = dict(self.waits)
        done = self._part(state, streams, view, look)
        self.waits = waits  # a model that is not made keeps no other one waiting
        if done is not None:
            self.fused.append(done)
        return done

    def _all_unknown(self, state: StageState, stream: str, before: str) -> None:
        state.unknown, state.before = len(self.experiment.views), before
        for view in self.experiment.views:
            self.waits[stream, view.name] = state.reads.name

    def _part(
        self, state: StageState, streams: Sequence[str], view: View, look: Callable[[], Made]
    ) -> Made | None:
        """Look for a view's part of a stage, which reads these streams: counted as made, missing, or unknown."""
        waited = [self.waits[stream, view.name] for stream in streams if (stream, view.name) in self.waits]
        if waited:
            state.unknown, state.before = state.unknown + 1, state.before or waited[0]
            self.waits[streams[0], view.name] = waited[0]
            return None
        try:
            made = look()
        except NotMade:
            state.missing += 1
            self.waits[streams[0], view.name] = state.reads.name
            return None
        state.made += 1
        return made
