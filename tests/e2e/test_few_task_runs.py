"""A corpus of more than 5,000 clips has at most 2 task runs for each 1,000 clips, stage and stream, as Prefect counts them."""

from __future__ import annotations

from collections import Counter
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from e2e_installation import Installation
from prefect_runs import ShownRuns, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(1200)]
CLIPS = 5_200
RECIPE = """
name: vectors
emotions: [neutral, angry]
folds: {count: 2, use_published: false}
acoustic:
  features: {modality: acoustic, source: "files:a", pooling: mean}
lexical:
  features: {modality: lexical, source: "files:t", pooling: mean}
"""


def make_corpus(folder: Path) -> Path:
    """Clips of two tiny feature files each, and no media."""
    for name in ("a", "t"):
        (folder / "features" / name).mkdir(parents=True)
    rows = []
    for number in range(CLIPS):
        clip = f"clip{number:05d}"
        for name in ("a", "t"):
            np.save(folder / "features" / name / f"{clip}.npy", np.full(3, 1 + number, np.float32))
        rows.append(f"{clip},{'angry' if number % 2 else 'neutral'},speaker{number // 2 % 10}")
    (folder / "labels.csv").write_text("\n".join(["name,emotion,speaker", *rows]) + "\n", encoding="utf-8")
    return folder


def test_task_runs_are_few_and_progress_is_told_in_shards(
    tmp_path: Path, server_addresses: dict[str, str]
) -> None:
    recipe = tmp_path / "vectors.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    made = Installation(tmp_path / "home", make_corpus(tmp_path / "corpus"), server_addresses)
    said = made.mer(
        "features", "--recipe", str(recipe), "--corpus", str(made.corpus), "--name", "vectors"
    ).stdout
    shown = ShownRuns(made)
    last = max(shown.flow_runs(["COMPLETED"]), key=lambda run: str(run["start_time"]))
    wait_until(lambda: not shown.task_runs(last["id"]), 120)
    runs = shown.task_runs(last["id"], ["COMPLETED"])
    counts = Counter(run["name"].rpartition("-")[0] for run in runs)
    most = 2 * ceil(CLIPS / 1000)
    shards = ceil(CLIPS / 256)
    assert most < shards, "a task run for each shard would be more"
    assert counts["extract shard"] == 0
    assert 2 * most >= counts["extract span"] > 2, "two streams, each shared out"
    assert most >= counts["probe shard"] > 1
    assert f"shard {2 * shards}/{2 * shards}" in said
