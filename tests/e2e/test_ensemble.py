"""System C from clips to a served model: framewise structures, their ensemble among the scored systems."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from e2e_installation import CLIPS, Installation

from infra.artifacts import ArtifactStore
from infra.objects import open_store
from mer.ensemble.posteriors import Posteriors

pytestmark = pytest.mark.slow
RECIPE = Path(__file__).parent / "ensemble.yaml"
MEMBERS = {"ensemble/S1", "ensemble/S2", "ensemble/S3"}


def test_the_ensemble_is_trained_scored_and_found_again(installation: Installation, tmp_path: Path) -> None:
    arguments = ("run", "--recipe", str(RECIPE), "--corpus", str(installation.corpus), "--name", "ensemble")
    installation.mer(*arguments)
    artifacts = ArtifactStore(open_store(installation.settings()), cache=tmp_path / "cache")
    with installation.catalogue() as catalogue:
        made = [record.ref for record in catalogue.artifacts()]
    refs = {kind: [ref for ref in made if ref.kind == kind] for kind in ("ensemble", "evaluation")}
    report = json.loads(artifacts.read(refs["evaluation"][0], "report.json"))
    rows = {row["system"]: row for row in report["systems"]}
    assert {"fused", "acoustic", "visual", "lexical", "ensemble", *MEMBERS} <= set(rows)
    assert rows["ensemble"]["clips"] == rows["fused"]["clips"]
    assert rows["ensemble/S3"]["waf"] == rows["fused"]["waf"], "the same fusion is trained once"
    assert all(rows[name]["valence_mse"] is not None for name in ("ensemble", *MEMBERS))
    assert len(refs["ensemble"]) == 3, "two folds and the final view"
    for ref in refs["ensemble"]:
        fitted = json.loads(artifacts.read(ref, "ensemble.json"))
        assert fitted["weighting"] == "entropy" and fitted["members"] == ["S1", "S2", "S3"]
        assert min(fitted["temperatures"].values()) > 0

    out = tmp_path / "predictions.csv"
    installation.mer(
        "predict", str(installation.corpus), "--out", str(out), "--model", "ensemble", "--version", "1"
    )
    answers = {row["name"]: row for row in csv.DictReader(out.read_text(encoding="utf-8").splitlines())}
    assert len(answers) >= CLIPS - 4
    with installation.catalogue() as catalogue:
        names = {row.clip_id: row.name for row in catalogue.clips("ensemble")}
    holdout = Posteriors.from_parquet(artifacts.read(refs["evaluation"][0], "holdout.parquet"))
    assert len(holdout) > 0
    for clip_id, valence in zip(holdout.clip_ids, holdout.valence, strict=True):
        # the predictor builds the same framewise streams from the media alone
        assert float(answers[names[clip_id]]["valence"]) == pytest.approx(float(valence), abs=2e-3)

    before = installation.results()
    installation.mer(*arguments)
    assert installation.results() == before
