"""The domain of a training set as a stage: measured by what outer folds hold out, and keyed by what it is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from alignment_corpus import RECIPE, write_corpus

from mer.domain.speakers import TrainingSpeakers
from mer.domain.training_domain import TrainingDomain
from mer.recipes.loading import parse_recipe
from mer.stream_tables import Level
from tasks.data.dataset import snapshot_dataset
from tasks.data.features import extract_shard, plan_features
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.data.streams import view_streams
from tasks.serve.domain import training_domain
from tasks.stage.references import DatasetRef, SnapshotPlan, StreamInput
from tasks.stage.workspace import Workspace, workspace

Inputs = dict[str, dict[str, StreamInput]]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, DatasetRef, Inputs]:
    """120 clips of 10 speakers with precomputed streams, and every view's inputs."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    recipe = parse_recipe(RECIPE, origin="vectors")
    root = write_corpus(tmp_path / "corpus", folders=False)
    listing = list_corpus.fn(str(root), "vectors", recipe.emotions)
    write_labels.fn(listing, recipe.emotions, probe_shard.fn("vectors", listing.fresh, True))
    space = workspace()
    dataset = snapshot_dataset.fn("vectors", SnapshotPlan.of(recipe))
    specs = {name: stream.features for name, stream in recipe.streams.items()}
    ids = [row.name for row in space.catalogue.clips("vectors")]
    plan = plan_features.fn("vectors", specs, ids, 64)
    for shard in plan.shards:
        extract_shard.fn("vectors", shard)
    inputs = {
        name: StreamInput(name, recipe.table_name(name), stream, plan.features[name])
        for name, stream in recipe.streams.items()
    }
    return space, dataset, {view: dict(inputs) for view in dataset.views}


def test_the_stage_knows_its_training_set(made: tuple[Workspace, DatasetRef, Inputs]) -> None:
    space, dataset, views = made
    ref = training_domain.fn(dataset, views, "utterance")
    domain = TrainingDomain.load(space.artifacts.fetch(ref))
    assert set(domain.tables) == {"acoustic", "visual"} and domain.level == "utterance"
    assert len(domain.class_shares) == len(dataset.emotions) and sum(domain.class_shares) == pytest.approx(1)
    ids = [row.name for row in space.catalogue.clips("vectors")]
    tables = view_streams(space, views["final"], "utterance", ids)
    assert domain.outside(tables).mean() < 0.05
    far = {name: replace(table, values=10 - table.values) for name, table in tables.items()}
    assert domain.outside(far).all()
    assert np.isfinite([one.threshold for one in domain.tables.values()]).all()


def test_what_the_served_system_reads_says_how_its_speakers_differ(
    made: tuple[Workspace, DatasetRef, Inputs],
) -> None:
    space, dataset, views = made
    plain = training_domain.fn(dataset, views, "utterance")
    assert TrainingSpeakers.load(space.artifacts.fetch(plain)) == TrainingSpeakers({}), "nothing is read"
    ref = training_domain.fn(dataset, views, "utterance", ("utterance", "states"))
    speakers = TrainingSpeakers.load(space.artifacts.fetch(ref))
    assert speakers is not None and ref.key != plain.key
    assert set(speakers.spreads) == {
        (level, name) for level in ("utterance", "states") for name in ("acoustic", "visual")
    }
    spread = speakers.spreads["utterance", "acoustic"]
    assert (spread.within > 0).any() and spread.mean.shape == speakers.spreads[
        "states", "acoustic"
    ].mean.shape[-1:]


def test_it_is_found_again_and_depends_on_the_streams(made: tuple[Workspace, DatasetRef, Inputs]) -> None:
    _, dataset, views = made
    first = training_domain.fn(dataset, views, "utterance")
    assert training_domain.fn(dataset, views, "utterance").key == first.key
    fewer = {view: {"acoustic": inputs["acoustic"]} for view, inputs in views.items()}
    assert training_domain.fn(dataset, fewer, "utterance").key != first.key
    # without outer folds, clips are held out within the training set, by speaker
    alone = training_domain.fn(dataset, {"final": views["final"]}, "utterance")
    assert TrainingDomain.load(workspace().artifacts.fetch(alone)).tables.keys() == {"acoustic", "visual"}


@pytest.mark.parametrize(("level", "read"), [("states", ()), ("utterance", ("states",))])
def test_it_depends_on_further_speeds_where_hidden_states_are_read(
    made: tuple[Workspace, DatasetRef, Inputs], level: Level, read: tuple[Level, ...]
) -> None:
    _, dataset, views = made
    twice = {
        view: {name: replace(item, speeds=(item.features,)) for name, item in inputs.items()}
        for view, inputs in views.items()
    }
    plain = training_domain.fn(dataset, views, level, read)
    assert training_domain.fn(dataset, twice, level, read).key != plain.key
    vectors = training_domain.fn(dataset, views, "utterance", ("utterance",))
    assert training_domain.fn(dataset, twice, "utterance", ("utterance",)).key == vectors.key
