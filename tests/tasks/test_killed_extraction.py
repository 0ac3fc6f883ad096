"""kill -9 in the middle of extraction: no shard is half visible, and only the one in flight is computed again."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from extraction_worker import SPEC
from registered_shards import registered_shards

from benchmarks.extraction.growing_corpus import write_recordings
from tasks.data.features import feature_key, feature_table
from tasks.data.shard_commit import SHARD_KIND
from tasks.stage.references import FeatureSetRef
from tasks.stage.workspace import Workspace, workspace

pytestmark = pytest.mark.slow
WORKER = Path(__file__).parent / "extraction_worker.py"
CLIPS, SHARD_CLIPS, KILLS = 64, 8, 4


def started(home: Path, corpus: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "MER_HOME": str(home), "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(corpus), str(SHARD_CLIPS)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def finished(home: Path, corpus: Path) -> str:
    """What a start that is left alone says."""
    with started(home, corpus) as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return said


def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(home))
    return workspace()


def features(space: Workspace) -> np.ndarray:
    key = feature_key(space.weights, SPEC)
    ids = [row.name for row in space.catalogue.clips("made")]
    table = feature_table(space, FeatureSetRef("acoustic", key, SPEC, "made"), ids)
    assert table.present.all()
    return table.values


@pytest.mark.nightly
def test_a_killed_extraction_loses_the_shard_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recordings(tmp_path / "corpus", range(CLIPS))
    draws = random.Random(3)
    computed = 0
    for kill in range(KILLS):
        with started(tmp_path / "home", tmp_path / "corpus") as process:
            assert process.stdout is not None
            begun = 0
            for line in process.stdout:
                begun += line == "begin\n"
                computed += line == "ran\n"
                if (
                    begun == 2
                ):  # the first shard of this start is done, the second is being computed or written
                    time.sleep(draws.uniform(0, 0.12))
                    process.kill()
                    break
            computed += process.stdout.read().count("ran")
        space = at_home(tmp_path / "home", monkeypatch)
        visible = registered_shards(space.settings)
        assert len(visible) >= kill + 1, "a finished shard was lost"
        for _, ref in visible:
            space.artifacts.verify(ref)
    computed += finished(tmp_path / "home", tmp_path / "corpus").count("ran")
    shards = CLIPS // SHARD_CLIPS
    # a shard that was committed and not yet registered when its process died is found again, not computed
    assert computed <= shards, f"{computed} shards were reported as computed, there are {shards}"
    space = at_home(tmp_path / "home", monkeypatch)
    assert len(registered_shards(space.settings)) == shards
    assert not list((space.work / SHARD_KIND).glob("*")), "work folders were left behind"
    killed = features(space)
    finished(tmp_path / "other", tmp_path / "corpus")
    np.testing.assert_array_equal(features(at_home(tmp_path / "other", monkeypatch)), killed)
