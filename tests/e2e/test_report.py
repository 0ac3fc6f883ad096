"""Every number of a run's report is found in the run's artifacts: of a small run, and on RAVDESS at night."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from e2e_installation import Installation
from report_sources import ShownFigures, Sources, wrong_figures

from tasks.report.build import usual_opponent
from tasks.report.written import home_page
from tasks.stage.workspace import workspace

pytestmark = pytest.mark.slow


def check_report(home: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> ShownFigures:
    """The report that the run wrote; all its figures are looked up."""
    monkeypatch.setenv("MER_HOME", str(home))
    space = workspace()
    row = space.catalogue.model_versions(model)[-1]
    page = home_page(space.settings, model, row.version).read_text(encoding="utf-8")
    assert wrong_figures(page, Sources(space, row, usual_opponent(space, row))) == []
    return ShownFigures(page)


def test_a_run_ends_with_a_report_of_its_figures(
    finished: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = check_report(finished.home, "tiny", monkeypatch)
    places = {source.partition("#")[0].partition("?")[0] for source, _ in shown.figures}
    assert {
        "figures/layers.json",
        "figures/alignment.json",
        "figures/weights.json",
        "figures/curves.json",
    } <= places
    page = finished.home / "reports" / "tiny-v1.html"
    assert str(page) in finished.mer("status").stdout.replace("\n", "")
    assert str(page) in finished.mer("evaluate", "tiny", "--version", "1").stdout.replace("\n", "")
    out = tmp_path / "again.html"
    finished.mer("report", "tiny", "--version", "1", "--out", str(out))
    assert out.read_bytes() == page.read_bytes(), "the same again"


@pytest.fixture(scope="module")
def ravdess_home(
    request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A home in which `mer run --recipe ravdess --model ravdess` has ended: a new one (an hour of two cores), or that of
    `MER_RAVDESS_HOME`, whose stores are its own.
    """
    if given := os.environ.get("MER_RAVDESS_HOME"):
        return Path(given)
    corpus = shared_data / "data" / "ravdess"
    if not corpus.is_dir():
        pytest.skip("RAVDESS is not beside the checkout")
    home = tmp_path_factory.mktemp("ravdess") / "home"
    made = Installation(home=home, corpus=corpus, environment=request.getfixturevalue("server_addresses"))
    command = made.command("run", "--recipe", "ravdess", "--corpus", str(corpus), "--model", "ravdess")
    environment = {**os.environ, **made.variables()}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=4 * 3600, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return home


@pytest.mark.nightly
@pytest.mark.timeout(4 * 3600)
def test_every_figure_on_ravdess(ravdess_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = check_report(ravdess_home, "ravdess", monkeypatch)
    assert len(shown.figures) > 500
    places = {source.partition("#")[0].partition("?")[0] for source, _ in shown.figures}
    assert places >= {
        "evaluation/report.json",
        "evaluation/out_of_fold.parquet",
        "figures/differences.json",
        "figures/search.json",
        "figures/weights.json",
        "snapshot",
    }
