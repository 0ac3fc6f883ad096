"""What a whole corpus lacks is found as what a few clips lack, without naming each: equal contents once, damaged shards again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from catalogued import catalogue_clips

from mer.features.clip_feature import ClipFeature
from mer.features.spec import FeatureSpec
from tasks.data.features import commit_shard, representatives
from tasks.stage.references import FeatureSetRef
from tasks.stage.workspace import Workspace, workspace

NAMES = [f"clip{number}" for number in range(12)]
CONTENTS = [f"{number % 9:064x}" for number in range(12)]
"""Of the last three clips those of the first three."""


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    opened = workspace()
    catalogue_clips(opened, "c", NAMES, CONTENTS)
    return opened


def extract(space: Workspace, features: FeatureSetRef, contents: list[str]) -> None:
    made = [ClipFeature(np.ones((1, 2), np.float32), present=True) for _ in contents]
    commit_shard(space, features.key, contents, lambda: made)


@pytest.mark.parametrize("derived", [False, True])
def test_both_ways_find_the_same(space: Workspace, monkeypatch: pytest.MonkeyPatch, derived: bool) -> None:
    spec = FeatureSpec(modality="acoustic", source="sound:")
    features = FeatureSetRef("acoustic", "f" * 64, spec, "c")
    if derived:
        features = FeatureSetRef("acoustic", "d" * 64, None, derived_from=features)
    extract(space, features, CONTENTS[:4])
    extract(space, features, CONTENTS[4:6])
    asked = [name for name in NAMES if name != "clip7"]

    def both() -> list[list[str]]:
        found = []
        for limit in (4096, 2):
            monkeypatch.setattr("tasks.data.features.LOOKED_AT", limit)
            found.append(representatives(space, features, asked))
        return found

    few, many = both()
    assert few == many == ["clip6", "clip8"]
    (shard,) = set(space.catalogue.features_of(features.key, CONTENTS[:1]).values())
    (blob, *_) = [entry.sha256 for entry in space.artifacts.manifest(shard).files.values()]
    (path,) = space.settings.home.rglob(blob)
    path.chmod(0o600)
    path.write_bytes(b"damaged" + path.read_bytes()[7:])
    monkeypatch.setattr("tasks.data.features.LOOKED_AT", 2)
    assert representatives(space, features, asked) == ["clip0", "clip1", "clip11", "clip3", "clip6", "clip8"]
    assert both()[0] == both()[1]
