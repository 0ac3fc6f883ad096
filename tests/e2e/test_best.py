"""The built-in recipe of all three systems runs as it stands: members of both levels vote, and the vote is what predicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e_installation import Installation

from infra.artifacts import ArtifactStore
from infra.objects import open_store
from mer.demo import DemoConfig, generate_demo
from mer.prediction_files import read_predictions
from mer.recipes import load_recipe

pytestmark = pytest.mark.slow

TWO_FOLDS = ("--set", "folds={count: 2, use_published: false}")
"""Half of the time; nothing else of the recipe is another."""


@pytest.mark.nightly  # members, rounds and shift are each shown by a test of its own in every landing
def test_every_member_votes_and_the_vote_predicts(tmp_path: Path, server_addresses: dict[str, str]) -> None:
    corpus = generate_demo(tmp_path / "corpus", DemoConfig(clips=48, seed=5))
    made = Installation(home=tmp_path / "home", corpus=corpus, environment=server_addresses)
    made.mer("run", "--recipe", "best", *TWO_FOLDS, "--corpus", str(corpus), "--name", "small")
    assert {kind for kind, _ in made.results()} >= {"layer-study", "adapter", "alignment", "ensemble"}

    artifacts = ArtifactStore(open_store(made.settings()), cache=tmp_path / "cache")
    with made.catalogue() as catalogue:
        (evaluated,) = [one.ref for one in catalogue.artifacts() if one.ref.kind == "evaluation"]
        package = artifacts.fetch(catalogue.model_version("small", 1).artifact)
    report = json.loads(artifacts.read(evaluated, "report.json"))
    rows = {row["system"]: row for row in report["systems"]}
    members = tuple(load_recipe("best").member_fusions)
    assert {"fused", "ensemble", *(f"ensemble/{name}" for name in members)} <= set(rows)
    assert report["served"] in ("ensemble", "ensemble+pseudo")
    assert set(report["label_shift"]) == {"unlabelled", "holdout"}
    fitted = json.loads(package.joinpath("package.json").read_text(encoding="utf-8"))["ensemble"]
    assert fitted["weighting"] == "log_pool" and tuple(fitted["members"]) == members

    out = tmp_path / "predictions.csv"
    predicted = made.mer("predict", str(corpus), "--out", str(out), "--model", "small", "--version", "1")
    answered = [row for row in read_predictions(out) if row.answered]
    assert len(answered) >= 44 and len({row.discrete for row in answered}) > 1
    assert "label shift: not estimated" in predicted.stdout, "too few clips to say that the priors moved"
