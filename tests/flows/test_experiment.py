"""What travels through a flow: every step adds to it, streams and views are looked up by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows.experiment import Experiment
from flows.pretrain import study_if_needed
from infra.artifacts import ArtifactRef
from mer.adaptation.block import Block
from mer.errors import ConfigError
from mer.recipes import Recipe
from tasks.data.streams import frames_name, speed_features
from tasks.stage.references import DatasetRef, FeatureSetRef, LearntStream, SnapshotPlan

RECIPE = Recipe.model_validate(
    {
        "name": "x",
        "emotions": ["angry", "happy"],
        "streams": {
            "whisper": {"modality": "acoustic", "features": {"source": "a"}},
            "acoustic": {"features": {"source": "b"}},
            "clip": {"modality": "visual", "features": {"source": "c"}, "alignment": {"to": "whisper"}},
        },
        "fused_streams": ["clip", "whisper"],
    }
)


@pytest.fixture
def experiment() -> Experiment:
    ref = ArtifactRef(kind="dataset", key="0" * 64, sha256="0" * 64)
    plan = SnapshotPlan.of(RECIPE)
    views = ("fold0", "fold1", "final")
    dataset = DatasetRef(ref, "made", "made", views, 4, 4, 0, 0, plan.emotions, plan.folds)
    sets = {
        name: FeatureSetRef(name, name, stream.features, "made") for name, stream in RECIPE.streams.items()
    }
    return Experiment(RECIPE, dataset, "run").with_features(sets)


def test_views_carry_the_snapshot_and_the_tracked_run(experiment: Experiment) -> None:
    assert [view.name for view in experiment.views] == ["fold0", "fold1", "final"]
    assert {(view.dataset, view.parent_run) for view in experiment.views} == {(experiment.dataset, "run")}
    assert experiment.served_view == experiment.view("final")


def test_a_step_adds_to_what_there_is_and_changes_nothing_before_it(experiment: Experiment) -> None:
    first = experiment.with_learnt(
        "whisper", {"fold0": LearntStream(read_layer=1), "final": LearntStream(read_layer=2)}
    )
    second = first.with_learnt("whisper", {"final": LearntStream(read_layer=2, block=Block(0, 2))})
    third = second.with_learnt("clip", {"fold0": LearntStream(read_layer=5)})
    views = {name: experiment.view(name) for name in experiment.dataset.views}
    learnt = {name: third.learnt_of("whisper", view) for name, view in views.items()}
    assert learnt == {
        "fold0": LearntStream(read_layer=1), "fold1": LearntStream(), "final": LearntStream(read_layer=2, block=Block(0, 2)),
    }  # fmt: skip
    assert third.learnt_of("clip", views["fold0"]).read_layer == 5
    assert first.learnt_of("whisper", views["final"]).block is None and not experiment.learnt
    frames = FeatureSetRef("f", "f", None)
    assert third.with_features({"f": frames}).features == {**experiment.features, "f": frames}


def test_a_view_has_the_streams_that_are_fused_or_those_that_are_named(experiment: Experiment) -> None:
    view = experiment.view("fold1")
    assert list(experiment.inputs(view)) == ["whisper", "clip"], (
        "in the recipe's order, without those not fused"
    )
    (alone,) = experiment.inputs(view, ("acoustic",)).values()
    assert (alone.name, alone.table_name, alone.frames) == ("acoustic", "acoustic", None)
    given = experiment.input("whisper", view)
    assert (given.table_name, given.features.key, given.learnt) == (
        "acoustic/whisper",
        "whisper",
        LearntStream(),
    )
    with pytest.raises(ConfigError, match="found 'hubert'"):
        experiment.input("hubert", view)


def test_frames_are_those_of_the_state_that_the_view_reads(experiment: Experiment) -> None:
    learnt = {"fold0": LearntStream(read_layer=1), "fold1": LearntStream(read_layer=2)}
    sets = {
        frames_name("whisper", RECIPE.streams["whisper"], one): FeatureSetRef("whisper", view, None)
        for view, one in learnt.items()
    }
    whole = experiment.with_learnt("whisper", learnt).with_features(sets)
    for view in learnt:
        frames = whole.input("whisper", whole.view(view)).frames
        assert frames is not None and frames.key == view


def test_a_stream_comes_with_its_further_speeds(experiment: Experiment) -> None:
    varied = replace(experiment, recipe=RECIPE.with_stream("whisper", speeds=(0.9, 1.1)))
    specs = speed_features("whisper", varied.recipe.streams["whisper"])
    assert {name: spec.audio.speed for name, spec in specs.items()} == {
        "whisper at 0.9": 0.9, "whisper at 1.1": 1.1,
    }  # fmt: skip
    varied = varied.with_features(
        {name: FeatureSetRef(name, name, spec, "made") for name, spec in specs.items()}
    )
    view = varied.view("fold0")
    keys = [features.key for features in varied.input("whisper", view).variants]
    assert keys == ["whisper", "whisper at 0.9", "whisper at 1.1"]
    assert [one.key for one in varied.input("clip", view).variants] == ["clip"]


def test_a_pair_is_a_stream_and_its_anchor_as_one_view_has_them(experiment: Experiment) -> None:
    learnt = experiment.with_learnt("whisper", {"final": LearntStream(read_layer=3)})
    pair = learnt.pair("clip", learnt.served_view)
    assert (pair.trained.name, pair.anchor.name) == ("clip", "whisper")
    assert pair.anchor.learnt.read_layer == 3


def test_a_single_hidden_state_is_read_without_a_study(experiment: Experiment) -> None:
    features = RECIPE.streams["clip"].features.model_copy(update={"layers": (12,)})
    one = replace(experiment, recipe=RECIPE.with_stream("clip", features=features))
    learnt = study_if_needed(one, "clip").learnt["clip"]
    assert learnt == dict.fromkeys(experiment.dataset.views, LearntStream(read_layer=0))
    assert study_if_needed(experiment, "clip") == experiment, "the encoder's output is no state"
