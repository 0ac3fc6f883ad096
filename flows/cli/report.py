"""The command for reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import AgainstOption, ModelArgument


def report(
    model: ModelArgument = "",
    version: Annotated[
        int | None, typer.Option(help="Version; left out: the champion, or without one the newest.")
    ] = None,
    against: AgainstOption = "",
    out: Annotated[
        Path | None,
        typer.Option(
            help="File (.html) to write it to. Left out: in the folder `reports` of the home.",
            show_default=False,
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="File (.csv) for the predictions of clips that it did not learn: out of fold, and of the holdout. They lie "
            "beside the report in any case.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the report of a version: one HTML file that needs nothing else, predictions and recipe beside it.

    What it was trained on, results with intervals against the champion and simpler systems, confusions, speakers, layers,
    streams, calibration, label shift, data quality, clips to look at, the command that repeats it. Every run writes one.
    """
    from flows.report import write_one

    check_suffix(out, ".html")
    check_suffix(predictions, ".csv")
    write_one(model, version, against, out, predictions)


def check_suffix(path: Path | None, suffix: str) -> None:
    """Refuse a file of another kind. Raises ConfigError."""
    from mer.errors import ConfigError

    if path is not None and path.suffix.lower() != suffix:
        raise ConfigError(f"report: expected a file named *{suffix}, found {path.name!r}")
    if path is not None and path.is_dir():
        raise ConfigError(f"report: expected a file, found the folder {path}")
