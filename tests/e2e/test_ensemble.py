"""System C from clips to a served model: framewise structures, their ensemble scored and served."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from e2e_installation import CLIPS, Installation

from infra.artifacts import ArtifactRef, ArtifactStore
from infra.objects import open_store
from mer.clips import Clip, Split
from mer.features.spec import FeatureSpec
from mer.posteriors import Posteriors
from mer.predictor.predictor import Predictor
from mer.recipes import load_recipe
from tasks.data.features import feature_key

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
RECIPE = Path(__file__).parent / "ensemble.yaml"
MEMBERS = {"ensemble/S1", "ensemble/S2", "ensemble/S3"}


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory, demo_corpus: Path, server_addresses: dict[str, str]
) -> Installation:
    """A home in which the recipe has run once."""
    home = tmp_path_factory.mktemp("ensemble") / "home"
    made = Installation(home=home, corpus=demo_corpus, environment=server_addresses)
    run(made)
    return made


def run(installation: Installation) -> None:
    installation.mer(
        "run", "--recipe", str(RECIPE), "--corpus", str(installation.corpus), "--name", "ensemble"
    )


@pytest.fixture
def artifacts(ran: Installation, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(open_store(ran.settings()), cache=tmp_path / "cache")


def refs(installation: Installation, kind: str) -> list[ArtifactRef]:
    with installation.catalogue() as catalogue:
        return [record.ref for record in catalogue.artifacts() if record.ref.kind == kind]


def test_the_ensemble_is_trained_and_scored(ran: Installation, artifacts: ArtifactStore) -> None:
    report = json.loads(artifacts.read(refs(ran, "evaluation")[0], "report.json"))
    rows = {row["system"]: row for row in report["systems"]}
    assert {"fused", "acoustic", "visual", "lexical", "ensemble", *MEMBERS} <= set(rows)
    assert rows["ensemble"]["clips"] == rows["fused"]["clips"]
    assert rows["ensemble/S3"]["waf"] == rows["fused"]["waf"], "the same fusion is trained once"
    assert all(rows[name]["valence_mse"] is not None for name in ("ensemble", *MEMBERS))
    assert report["served"] in ("ensemble", "ensemble+pseudo")
    assert {f"{name}+pseudo" for name in ("ensemble", *MEMBERS)} <= set(rows), (
        "the round trains the members again"
    )
    shift = report["label_shift"]
    assert shift["unlabelled"]["available"] and "scores" not in shift["unlabelled"]
    assert shift["holdout"]["available"] and 0 <= shift["holdout"]["scores"]["waf_served"] <= 1
    combined = refs(ran, "ensemble")
    assert len(combined) == 6, "two folds and the final view, without and with pseudo-labels"
    for ref in combined:
        fitted = json.loads(artifacts.read(ref, "ensemble.json"))
        assert fitted["weighting"] == "entropy" and fitted["members"] == ["S1", "S2", "S3"]
        assert min(fitted["temperatures"].values()) > 0
        assert len(fitted["class_valence"]) == 6 and 0 <= fitted["member_valence_share"] <= 1


def test_the_predictor_answers_as_the_ensemble_was_evaluated(
    ran: Installation, artifacts: ArtifactStore, tmp_path: Path
) -> None:
    """The same clips through the packaged encoders and fusions, from the media alone, and through the evaluation."""
    holdout = Posteriors.from_parquet(artifacts.read(refs(ran, "evaluation")[0], "holdout.parquet"))
    assert len(holdout) > 0
    with ran.catalogue() as catalogue:
        version = catalogue.model_version("ensemble", 1)
        rows = {row.name: row for row in catalogue.clips("ensemble")}
    predictor = Predictor(artifacts.fetch(version.artifact), ran.settings().weights_folder)
    assert predictor.package.ensemble is not None and len(predictor.package.fusion_folders) == 3
    clips = [
        Clip(
            name=i,
            content=rows[i].content,
            path=rows[i].path,
            corpus_root=ran.corpus,
            transcript=rows[i].transcript,
        )
        for i in holdout.clip_ids
    ]
    answered = predictor.posteriors(clips)
    np.testing.assert_allclose(answered.probabilities(), holdout.probabilities(), atol=1e-4)
    np.testing.assert_allclose(answered.valence, holdout.valence, atol=2e-3)

    out = tmp_path / "predictions.csv"
    ran.mer("predict", str(ran.corpus), "--out", str(out), "--model", "ensemble", "--version", "1")
    summary = json.loads((tmp_path / "predictions.label_shift.json").read_text(encoding="utf-8"))
    assert summary["clips"] >= CLIPS - 4 and not summary["corrected"], "the recipe only reports"
    told = {row["name"]: row for row in csv.DictReader(out.read_text(encoding="utf-8").splitlines())}
    assert len(told) >= CLIPS - 4
    sure = holdout.probabilities(predictor.package.temperature).max(axis=1)
    for clip_id, confidence in zip(holdout.clip_ids, sure, strict=True):
        assert float(told[clip_id]["confidence"]) == pytest.approx(confidence, abs=1e-3)


def test_variants_were_made_of_clips_to_learn_from_and_speeds_of_all(ran: Installation) -> None:
    """What the adaptation learnt from (the recipe's `adaptation_variants`) never comes from a clip that is held out."""
    stream = load_recipe(str(RECIPE)).streams["acoustic"]
    assert stream is not None and stream.adaptation_variants is not None
    (variant,) = stream.adaptation_variants.variants()
    weights = ran.settings().weights_folder
    with ran.catalogue() as catalogue:
        rows = catalogue.clips("ensemble")
        ids = [row.content for row in rows]

        def extracted(take: Callable[[FeatureSpec], FeatureSpec]) -> set[str]:
            keys = [feature_key(weights, take(stream.features.prefix(start))) for start in range(6)]
            return {clip_id for key in keys for clip_id in catalogue.features_of(key, ids)}

        learnt = {row.content for row in rows if row.emotion is not None and row.split == Split.TRAIN}
        assert extracted(lambda prefix: prefix.augmented(variant)) == learnt < set(ids)
        assert extracted(lambda prefix: prefix.at_speed(1.1)) == set(ids)


def test_a_second_run_finds_everything(ran: Installation) -> None:
    before = ran.results()
    run(ran)
    assert ran.results() == before
