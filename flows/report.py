"""The report of a version: what a run keeps for it, the page at a run's end, and the command that writes one again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from flows.experiment import Experiment
from flows.features import extract_frames
from flows.terminal import console
from infra.errors import InfraError
from infra.modes import as_the_user_writes
from mer.errors import MerError
from mer.whole_files import write_whole
from tasks.report.build import collected
from tasks.report.made import make_report
from tasks.report.run_figures import run_figures
from tasks.report.run_results import RunResults
from tasks.report.written import home_page, rendered, write_report
from tasks.serve.comparison import version_named
from tasks.serve.library import answering_version, model_named
from tasks.stage.references import FusedView, ModelVersion
from tasks.stage.run import StageResult
from tasks.stage.workspace import reading_workspace

logger = logging.getLogger(__name__)


def keep_figures(
    experiment: Experiment, fused: Sequence[FusedView], served: str, evaluation: StageResult
) -> None:
    """Keep what the report needs of the run's stages."""
    try:
        _keep(experiment, fused, served, evaluation)
    except MerError as error:
        logger.warning("the report will lack what the run's stages say of themselves: %s", error)


def _keep(experiment: Experiment, fused: Sequence[FusedView], served: str, evaluation: StageResult) -> None:
    experiment = extract_frames(experiment)
    streams = [name for name in experiment.recipe.streams if name in experiment.features]
    inputs = {view.name: experiment.inputs(view, streams) for view in experiment.views}
    results = RunResults(
        experiment.served_view, experiment.recipe, inputs, tuple(fused), served, evaluation.ref
    )
    run_figures(results)


def report_of_run(version: ModelVersion, parent_run: str | None) -> str | None:
    """Write the report of what a run has registered; returns its path.

    A run does not fail for want of a report: it says so in a warning, and `mer report` makes it later.
    """
    try:
        return make_report(version, parent_run).path
    except (MerError, InfraError, LookupError) as error:
        logger.warning("there is no report of %s version %d: %s", version.name, version.version, error)
        return None


def show_report_path(path: str | None) -> None:
    """Print where the report is."""
    if path is not None:
        console.print(f"[bold]report[/] {path}", soft_wrap=True)


def write_one(
    model: str, version: int | None, against: str, out: Path | None, predictions: Path | None
) -> None:
    """Write the report of a version to the home, or to a file; predictions to a file of their own where asked for."""
    space = reading_workspace()
    model = model_named(space, model)
    row = answering_version(space, model, version).row
    other = version_named(space, against, model=model) if against else None
    report = rendered(collected(space, row, other))
    if out is None:
        page = write_report(home_page(space.settings, row.name, row.version), report)
    else:
        with as_the_user_writes():
            page = write_report(out, report)
    console.print(f"[bold]{row.name}[/] version {row.version}: report in {page}", soft_wrap=True)
    if predictions is not None:
        with as_the_user_writes():
            write_whole(predictions, report.predictions.encode(), sweep=True)
        console.print(f"predictions in {predictions}", soft_wrap=True)
