"""What an evaluation keeps for the review queue: calibrated answers of the supervised system for the unlabelled clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from review_home import CORPUS, EMOTIONS, catalogue_sounds, posteriors

from infra.artifacts import ArtifactRef
from mer.evaluation.calibration import fit_temperature
from mer.recipes import FoldPlan
from tasks.data.dataset import load_partitions, snapshot_dataset
from tasks.serve.evaluation import _unlabelled
from tasks.stage.references import FusedView, SnapshotPlan
from tasks.stage.workspace import workspace


def test_the_supervised_system_answers_and_not_the_one_that_learnt_its_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    space = workspace()
    catalogue_sounds(space, tmp_path / "sounds", labelled=24, unlabelled=6)
    examples, partitions = load_partitions(
        space, snapshot_dataset.fn(CORPUS, SnapshotPlan(EMOTIONS, FoldPlan(count=3)))
    )
    rng = np.random.default_rng(0)
    free = [name for name in examples.clip_ids if name.startswith("u")]
    labelled = [name for name in examples.clip_ids if name.startswith("l")]
    place = {name: row for row, name in enumerate(examples.clip_ids)}
    truth = examples.emotion[[place[name] for name in labelled]]
    logits = 3 * np.eye(4)[truth] + rng.normal(0, 2, (24, 4))
    out_of_fold = {"fused": posteriors(labelled, logits), "fused+pseudo": posteriors(labelled, 9 * logits)}

    def stored(system: str, number: int) -> FusedView:
        said = posteriors(free, np.full((6, 4), number) + np.eye(4)[[0, 1, 2, 3, 0, 1]])
        ref = space.artifacts.commit(
            "fusion-posteriors", str(number) * 64, {"posteriors.parquet": said.to_parquet()}
        )
        model = ArtifactRef(kind="fusion", key="0" * 64, sha256="0" * 64, meta={})
        return FusedView("final", system, model, ref, float("nan"))

    fused = [stored("fused", 1), stored("fused+pseudo", 2)]
    found = _unlabelled(space, fused, "fused+pseudo", out_of_fold, (examples, partitions))
    expected = [examples.clip_ids[row] for row in np.flatnonzero(partitions["final"].unlabelled)]
    assert list(found.clip_ids) == expected and expected
    temperature = fit_temperature(out_of_fold["fused"].logits, truth)
    row = free.index(expected[0])
    assert found.logits[0] == pytest.approx((1 + np.eye(4)[[0, 1, 2, 3, 0, 1][row]]) / temperature, rel=1e-5)
