"""Each view decides on pseudo-labels by its own held-out speakers: what others hold out, and test labels, say nothing there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from refresh_corpus import EMOTIONS, make_corpus

from mer.posteriors import Posteriors
from mer.selftraining.config import SelfTrainingConfig
from mer.training.parts import MOST_PARTS
from tasks.data.dataset import judging_views, load_partitions, load_view, snapshot_dataset
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.selftrain.pseudo_labels import judge
from tasks.selftrain.rounds import JudgedPair
from tasks.stage.references import DatasetRef, FoldPlan, FusedView, SnapshotPlan, View
from tasks.stage.workspace import workspace

FOLDS = FoldPlan(validation_share=0.4, seed=2)


def snapshot(corpus: Path, folds: FoldPlan = FOLDS) -> DatasetRef:
    listing = list_corpus.fn(str(corpus), "grown", EMOTIONS)
    write_labels.fn(listing, EMOTIONS, probe_shard.fn("grown", listing.fresh, False))
    return snapshot_dataset.fn("grown", SnapshotPlan(EMOTIONS, folds))


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetRef:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return snapshot(make_corpus(tmp_path / "corpus"))


def system(view: str, right: NDArray[np.bool_], dataset: DatasetRef) -> FusedView:
    """A system that is right about these clips alone."""
    examples, _ = load_partitions(workspace(), dataset)
    truth = np.maximum(examples.emotion, 0)
    said = np.where(right, truth, (truth + 1) % len(EMOTIONS))
    logits = 5 * np.eye(len(EMOTIONS), dtype=np.float32)[said]
    posteriors = Posteriors(examples.clip_ids, logits, np.zeros(len(said), np.float32))
    key = f"{abs(hash((view, right.tobytes()))):064x}"
    ref = workspace().artifacts.commit("posteriors", key, {"posteriors.parquet": posteriors.to_parquet()})
    return FusedView(view, "x", ref, ref, 0.0)


def test_a_view_decides_by_its_own_held_out_speakers(dataset: DatasetRef) -> None:
    examples, partitions = load_partitions(workspace(), dataset)
    own, test = partitions["fold0"].validation, partitions["fold0"].test
    others = partitions["fold1"].validation & ~own
    assert (test & partitions["fold1"].validation).any(), "what one view holds out is tested in another"
    config = SelfTrainingConfig(confidence=0.5)
    nobody, view = np.zeros_like(own), View(dataset, "fold0")

    def verdict(after: NDArray[np.bool_]) -> tuple[bool, int]:
        pair = JudgedPair(view, system("fold0", nobody, dataset), system("fold0", after, dataset))
        meta = judge.fn(view, config, 0, [pair]).meta
        return bool(meta["kept"]), int(meta["clips"])

    known = int((own & (examples.emotion >= 0)).sum())
    assert verdict(own) == (True, known)
    assert verdict(others | test) == (False, known), "a gain on others' speakers is none here"


def test_few_validation_speakers_are_judged_by_every_labelled_one(dataset: DatasetRef) -> None:
    few = replace(dataset, folds=FOLDS.model_copy(update={"validation_share": 0.1}))
    view = View(few, "final")
    parts = judging_views(view)
    assert [part.label for part in parts] == [f"final, part {number + 1}" for number in range(MOST_PARTS)]
    space = workspace()
    _, whole = load_view(space, view)
    labelled = whole.train | whole.validation
    nobody = np.zeros_like(labelled)
    before, after = system("final", nobody, few), system("final", labelled, few)
    done = judge.fn(view, SelfTrainingConfig(), 0, [JudgedPair(part, before, after) for part in parts])
    assert done.meta["kept"] and done.meta["clips"] == int(labelled.sum())
    for part in parts:
        seen, partition = load_view(space, part)
        assert (seen.emotion[partition.validation] >= 0).all() and not partition.validation[
            partition.train
        ].any()
