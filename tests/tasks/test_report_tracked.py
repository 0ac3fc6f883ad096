"""MLflow shows the report of a tracked run: the page, its charts as pictures, its figures as metrics; sent once however often."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_version import MadeUp, register_version

from tasks.report.made import SHA256_TAG, make_report
from tasks.report.written import home_page
from tasks.stage.references import ModelVersion
from tasks.stage.workspace import workspace

pytestmark = pytest.mark.slow


def test_a_tracked_run_has_page_charts_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    space = workspace()
    row = register_version(space, MadeUp())
    version = ModelVersion(row.name, row.version, row.artifact)
    first = make_report.fn(version, "retrain made-up")
    assert make_report.fn(version, "retrain made-up") == first
    assert space.tracker.waiting() == 0

    client = MlflowClient(space.settings.mlflow_tracking_uri.get_secret_value())
    (experiment,) = client.search_experiments()
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags[SHA256_TAG] == first.sha256
    fused = "report.results.Systems_ out of fold.fused _fusion_.WAF"
    assert 0 < run.data.metrics[fused] < 1
    listed = {item.path for item in client.list_artifacts(run.info.run_id, "report")}
    assert listed == {"report/report.html", "report/charts"}
    page = Path(client.download_artifacts(run.info.run_id, "report/report.html", str(tmp_path)))
    assert page.read_bytes() == home_page(space.settings, row.name, row.version).read_bytes()
    charts = {item.path for item in client.list_artifacts(run.info.run_id, "report/charts")}
    assert charts >= {
        "report/charts/results-01-weighted-f1-by-system.svg",
        "report/charts/results-02-the-served-system-minus-others.svg",
    }
    assert len(charts) == page.read_text(encoding="utf-8").count("<figcaption>")
