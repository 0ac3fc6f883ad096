"""The built-in recipe of system A runs as it stands, from clips to a model that predicts."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e_installation import Installation

from mer.demo import DemoConfig, generate_demo
from mer.prediction_files import read_predictions

pytestmark = pytest.mark.slow

TWO_FOLDS = ("--set", "folds={count: 2, use_published: false}")
"""Half of the time; nothing else of the recipe is another."""


@pytest.mark.nightly
def test_the_recipe_runs_every_stage_and_its_model_predicts(
    tmp_path: Path, server_addresses: dict[str, str]
) -> None:
    corpus = generate_demo(tmp_path / "corpus", DemoConfig(clips=48, seed=5))
    made = Installation(home=tmp_path / "home", corpus=corpus, environment=server_addresses)
    made.mer("run", "--recipe", "acoustic_adaptation", *TWO_FOLDS, "--corpus", str(corpus), "--name", "small")
    assert {kind for kind, _ in made.results()} >= {"layer-study", "adapter", "alignment"}
    out = tmp_path / "predictions.csv"
    made.mer("predict", str(corpus), "--out", str(out), "--model", "small", "--version", "1")
    rows = [row for row in read_predictions(out) if row.answered]
    assert len(rows) >= 44 and len({row.discrete for row in rows}) > 1
