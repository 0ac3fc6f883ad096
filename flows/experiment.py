"""What travels through a flow as one value: a recipe on a snapshot, and what has been made for it so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mer.recipes import Recipe
from mer.training.partition import FINAL_VIEW
from tasks.data.streams import encoded_name, frames_name, speed_name
from tasks.stage.references import (
    DatasetRef,
    FeatureSetRef,
    LearntStream,
    StreamInput,
    StreamInputs,
    StreamPair,
    View,
)


@dataclass(frozen=True)
class Experiment:
    """Every step of a flow takes one, and returns one that holds what the step has made."""

    recipe: Recipe
    dataset: DatasetRef
    parent_run: str | None = None
    """Tracked run that all stages belong to; None: they are not tracked."""
    aligned_on: DatasetRef | None = None
    """An earlier snapshot whose alignments stay as they are; None: alignments are fitted on `dataset`."""
    features: Mapping[str, FeatureSetRef] = field(default_factory=dict)
    """Feature sets of all clips, by stream, frames by `frames_name`, further speeds by `speed_name`, and what encoders give of
    crops by `encoded_name`.
    """
    learnt: Mapping[str, Mapping[str, LearntStream]] = field(default_factory=dict)
    """Stream -> view -> what the view has learnt of it."""

    @property
    def views(self) -> tuple[View, ...]:
        """Every outer fold, and the one that is served."""
        return tuple(self.view(name) for name in self.dataset.views)

    @property
    def served_view(self) -> View:
        """The view that learns from all labels."""
        return self.view(FINAL_VIEW)

    def view(self, name: str) -> View:
        """A view by name."""
        return View(self.dataset, name, self.parent_run)

    def earlier_view(self, view: View) -> View | None:
        """The same view of the snapshot whose alignments stay; None: there is none."""
        earlier = self.aligned_on
        return None if earlier is None or view.name not in earlier.views else replace(view, dataset=earlier)

    def with_features(self, features: Mapping[str, FeatureSetRef]) -> Experiment:
        """The same with further feature sets."""
        return replace(self, features={**self.features, **features})

    def with_learnt(self, stream: str, learnt: Mapping[str, LearntStream]) -> Experiment:
        """The same with what views have learnt of a stream, instead of what they had."""
        return replace(self, learnt={**self.learnt, stream: {**self.learnt.get(stream, {}), **learnt}})

    def learnt_of(self, stream: str, view: View) -> LearntStream:
        """What a view has learnt of a stream."""
        return self.learnt.get(stream, {}).get(view.name, LearntStream())

    def input(self, stream: str, view: View) -> StreamInput:
        """A stream as a view has it."""
        options, learnt = self.recipe.stream(stream), self.learnt_of(stream, view)
        return StreamInput(
            stream,
            self.recipe.table_name(stream),
            options,
            self.features[stream],
            learnt,
            frames=self.features.get(frames_name(stream, options, learnt)),
            speeds=tuple(self.features[speed_name(stream, speed)] for speed in options.frozen_speeds),
            encoded=self.features.get(encoded_name(stream)),
        )

    def inputs(self, view: View, streams: Sequence[str] | None = None) -> StreamInputs:
        """Streams as a view has them; none named: all that the recipe's fusions read."""
        return {name: self.input(name, view) for name in streams or self.recipe.reads}

    def frozen_inputs(self, view: View, streams: Sequence[str]) -> StreamInputs:
        """Streams as their encoders give them, without what the view has learnt of them."""
        return {
            name: replace(item, learnt=LearntStream(read_layer=item.learnt.read_layer))
            for name, item in self.inputs(view, streams).items()
        }

    def pair(self, stream: str, view: View) -> StreamPair:
        """A stream that is aligned, with its anchor."""
        return StreamPair(self.input(stream, view), self.input(self.recipe.anchors[stream], view))
