"""Alignment and its study as stages, on precomputed vectors: keys, sources, and whose labels are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from alignment_corpus import RECIPE, write_corpus

from mer.alignment.config import AlignmentConfig, AlignmentStudyConfig
from mer.emotions import MER_EMOTIONS
from mer.recipes import StreamAlignment
from mer.recipes.loading import parse_recipe
from mer.recipes.recipe import Recipe
from tasks.data.dataset import load_examples, load_partitions, snapshot_dataset
from tasks.data.features import extract_shard, plan_features
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.learn.alignment import align_view, clip_groups
from tasks.learn.alignment_study import pooled_study, study_alignment_of_view
from tasks.stage.references import (
    DatasetRef,
    FeatureSetRef,
    LearntStream,
    SnapshotPlan,
    StreamInput,
    StreamPair,
    View,
)
from tasks.stage.workspace import workspace

STUDY = AlignmentStudyConfig(control_seeds=2, permutations=100)


def prepared(corpus: Path, recipe: Recipe) -> tuple[DatasetRef, dict[str, FeatureSetRef]]:
    listing = list_corpus.fn(str(corpus), "vectors", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("vectors", listing.fresh, True))
    dataset = snapshot_dataset.fn("vectors", SnapshotPlan.of(recipe))
    specs = {name: stream.features for name, stream in recipe.streams.items()}
    ids = [row.name for row in workspace().catalogue.clips("vectors")]
    plan = plan_features.fn("vectors", specs, ids, 64)
    for shard in plan.shards:
        extract_shard.fn("vectors", shard)
    return dataset, dict(plan.features)


@pytest.mark.slow
def test_a_view_is_aligned_and_studied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    recipe = parse_recipe(RECIPE, origin="vectors")
    dataset, features = prepared(write_corpus(tmp_path / "corpus"), recipe)

    def study(recipe: Recipe, options: AlignmentStudyConfig = STUDY, name: str = "fold0"):  # type: ignore[no-untyped-def]
        view = View(dataset, name)
        inputs = {
            stream: StreamInput(stream, stream, recipe.streams[stream], features[stream])
            for stream in recipe.streams
        }
        pair = StreamPair(inputs["visual"], inputs["acoustic"])
        aligned = align_view.fn(view, pair)
        learnt = replace(pair.trained, learnt=LearntStream(alignment=aligned.ref))
        return aligned, study_alignment_of_view.fn(view, replace(pair, trained=learnt), options)

    first, second = study(recipe), study(recipe, name="fold1")
    figures = pooled_study([first[1], second[1]], STUDY)
    _, partitions = load_partitions(workspace(), dataset)
    scored = sum(int(partitions[view].test.sum()) for view in ("fold0", "fold1"))
    assert figures["retrieval_clips"] == scored == figures["probe_clips"] == 108
    assert figures["control_all_r1_fits"] == figures["control_speaker_within_speaker_r1_fits"] == 2
    assert figures["probe_raw"] > 0.6
    assert not any(result.ran for result in study(recipe))
    aligned_again, studied_again = study(recipe, STUDY.model_copy(update={"control": False}))
    assert not aligned_again.ran and studied_again.ran
    other = recipe.with_stream("visual", alignment=StreamAlignment(epochs=2, queue=50))
    assert study(other)[0].ran


@pytest.mark.slow
def test_folders_are_sources_where_they_tell_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = parse_recipe(RECIPE, origin="vectors")
    config = AlignmentConfig(hard_negatives="source")
    for name, folders in (("told", True), ("one", False)):
        monkeypatch.setenv("MER_HOME", str(tmp_path / name / "home"))
        dataset, _ = prepared(write_corpus(tmp_path / name / "corpus", folders=folders), recipe)
        examples, *_ = load_examples(workspace(), dataset)
        groups = clip_groups(workspace(), dataset, config, examples)
        assert len(set(groups.speaker)) == 10
        codes = groups.codes("source")
        if folders:
            assert len(np.unique(codes)) == 10 and codes.min() == 0
            speakers = groups.codes("speaker")
            assert len(set(zip(codes.tolist(), speakers.tolist(), strict=True))) == 10
        else:
            assert (codes == -1).all()
        asked = clip_groups(workspace(), dataset, AlignmentConfig(), examples)
        assert set(asked.source) == {None}
