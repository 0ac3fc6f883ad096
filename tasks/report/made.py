"""The report that every run makes."""

from __future__ import annotations

from prefect import task

from tasks.report.written import PAGE, WrittenReport, keep_report
from tasks.stage.references import ModelVersion
from tasks.stage.workspace import workspace

URI_TAG, SHA256_TAG = "mer.report.uri", "mer.report.sha256"
"""Tags of a tracked run that say where its report is."""
FOLDER, CHARTS = "report", "charts"
"""Folders of a tracked run's artifacts: the page, and below it its charts."""


@task(name="report")
def make_report(version: ModelVersion, parent_run: str | None) -> WrittenReport:
    """Write the report of a version, and give the tracker its page, its charts and its figures.

    Args:
        version: the registered version.
        parent_run: tracked run that made it; None: none is told.
    """
    space = workspace()
    row = space.catalogue.model_version(version.name, version.version)
    written, report = keep_report(space, row)
    if parent_run is not None:
        space.tracker.log_run(
            parent_run,
            metrics=report.metrics,
            figures={
                f"{FOLDER}/{PAGE}": report.page.encode(),
                **{f"{FOLDER}/{CHARTS}/{name}": drawn for name, drawn in report.charts.items()},
            },
            tags={URI_TAG: written.uri, SHA256_TAG: written.sha256},
            status="FINISHED",
        )
    return written
