"""Writing a report: the page, the predictions and the recipe beside it, in the home or where a person wants them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from infra.artifacts import manifest_uri
from infra.catalogue import ModelVersionRow
from infra.settings import Settings
from infra.shown_address import shown_address
from mer.report.chart_files import chart_files
from mer.report.page import render
from mer.whole_files import write_whole
from tasks.report.build import collected, report_data, tracked_metrics
from tasks.report.collected import Collected
from tasks.report.predictions_table import predictions_csv
from tasks.stage.workspace import Workspace

KIND = "report"
PAGE, PREDICTIONS = "report.html", "predictions.csv"


@dataclass(frozen=True)
class Rendered:
    """A report, ready to be written."""

    page: str
    predictions: str
    recipe: str
    metrics: dict[str, float]
    charts: dict[str, bytes]
    """The page's charts as SVG files by name."""


@dataclass(frozen=True)
class WrittenReport:
    """A report in the home, and in the store."""

    path: str
    uri: str
    sha256: str
    """Of the artifact's manifest."""


def rendered(found: Collected) -> Rendered:
    """The page of a version and what lies beside it. Raises what `report_data` raises."""
    from mer.search.searched_recipe import whole_recipe

    data = report_data(found)
    notes = [f"The recipe of {data.title}."]
    recipe = whole_recipe(found.package.recipe, notes)
    return Rendered(render(data), predictions_csv(found), recipe, tracked_metrics(data), chart_files(data))


def home_page(settings: Settings, model: str, version: int) -> Path:
    """Where the home keeps the page of a version."""
    return settings.reports_folder / f"{model}-v{version}.html"


def beside(page: Path, suffix: str) -> Path:
    """The file of another kind beside a page: `demo-v1.html` -> `demo-v1.predictions.csv`."""
    return page.with_name(page.name.removesuffix(page.suffix) + suffix)


def write_report(page: Path, report: Rendered) -> Path:
    """Write the page, predictions and recipe beside it. Raises DiskFull or WriteFailed."""
    write_whole(page, report.page.encode())
    write_whole(beside(page, ".predictions.csv"), report.predictions.encode())
    write_whole(beside(page, ".recipe.yaml"), report.recipe.encode())
    return page


def keep_report(space: Workspace, row: ModelVersionRow) -> tuple[WrittenReport, Rendered]:
    """Write the report of a version to the home, and keep it in the store under the hash of what it says."""
    report = rendered(collected(space, row))
    path = write_report(home_page(space.settings, row.name, row.version), report)
    files = {PAGE: report.page.encode(), PREDICTIONS: report.predictions.encode()}
    key = hashlib.sha256(b"".join(files.values())).hexdigest()
    ref = space.artifacts.commit(KIND, key, files, meta={"model": row.name, "version": row.version})
    uri = shown_address(manifest_uri(space.settings.object_store_url, ref))
    return WrittenReport(str(path), uri, ref.sha256), report
