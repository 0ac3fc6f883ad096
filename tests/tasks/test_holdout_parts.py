"""A challenge's test parts from its label file to the snapshot, and a part that is renamed."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus_layouts import labels, vectors

from mer.clips import Split
from mer.emotions import MER_EMOTIONS
from mer.recipes import FoldPlan
from tasks.data.dataset import holdout_parts, load_examples, snapshot_dataset
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.stage.references import SnapshotPlan
from tasks.stage.workspace import workspace


def release(root: Path, **tests: list[str]) -> None:
    parts = {
        "train": {f"t{row}": {"emo": ("sad", "happy")[row % 2]} for row in range(8)},
        **{part: {name: {"emo": "angry"} for name in names} for part, names in tests.items()},
    }
    labels(root, "label-6way.npz", **parts)
    vectors(root, "hubert-UTT", *(name for part in parts.values() for name in part))


def ingested(root: Path) -> None:
    listing = list_corpus.fn(str(root), "corpus", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("corpus", listing.fresh, False))


def test_parts_reach_the_snapshot_and_follow_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    root, plan = tmp_path / "corpus", SnapshotPlan(MER_EMOTIONS, FoldPlan(count=2))
    release(root, test1=["a", "b"], test2=["c"], test3=["d"])
    ingested(root)
    dataset = snapshot_dataset.fn("corpus", plan)
    assert {part: set(names) for part, names in holdout_parts(workspace(), dataset).items()} == {
        "test1": {"a", "b"}, "test2": {"c"}, "test3": {"d"},
    }  # fmt: skip
    clips = load_examples(workspace(), dataset)
    assert {part for part, held in zip(clips.part, clips.holdout, strict=True) if not held} == {None}
    release(root, test1=["a"], test2=["b", "c", "d"])
    ingested(root)
    moved = snapshot_dataset.fn("corpus", plan)
    assert moved.ref.sha256 != dataset.ref.sha256
    assert sorted(holdout_parts(workspace(), moved)["test2"]) == ["b", "c", "d"]
    rows = workspace().catalogue.clips("corpus")
    assert {row.name for row in rows if row.split == Split.TEST} == {"a", "b", "c", "d"}
