"""The command for quality: how good the clips of a corpus are, and which are worst."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tasks.data.quality_report import CorpusQuality

TITLES = {
    "duration_seconds": "duration (s)",
    "speech_seconds": "speech (s)",
    "snr_db": "SNR (dB)",
    "face_share": "face share",
    "brightness": "brightness",
}
"""Column -> what the tables call it."""

SOME_NOT_MEASURED = 3
"""Exit code: done, but some clips could not be measured."""


def quality(
    corpus: Annotated[
        str, typer.Argument(help="A corpus of the catalogue (`mer status` lists them), or its folder.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="File for one row a clip: .csv, .parquet or .json.", show_default=False),
    ] = None,
    detector: Annotated[
        str,
        typer.Option(
            help="Face detector: auto (as recipe `clips`), haar, or the path of YuNet's ONNX file. Values of each are kept."
        ),
    ] = "auto",
    worst: Annotated[int, typer.Option(min=0, max=1000, help="Worst clips listed of every column.")] = 3,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Measure clips that are not measured yet.")
    ] = True,
) -> None:
    """Show duration, speech, noise, visible faces and light of a corpus' clips: distribution and the worst of each.

    Needs no server. What is not measured yet is measured and kept; a recipe's `quality:` leaves clips out of training by the same
    values. Exit code 3: some clips could not be measured; they are listed.
    """
    from rich.console import Console
    from rich.progress import Progress

    from flows.terminal import say_aside
    from infra.modes import as_the_user_writes
    from tasks.data.face_detectors import detector_line, settled_detector
    from tasks.data.quality_report import catalogued_corpus, check_quality_file, corpus_quality, write_quality
    from tasks.stage.workspace import workspace

    if out is not None:
        check_quality_file(out)
    space = workspace()
    name = catalogued_corpus(space, corpus)
    settled = settled_detector(detector, space.settings)
    if measure:
        say_aside(detector_line(settled, space.settings))
    with Progress(transient=True) as bar:
        line = bar.add_task("measuring", total=None, visible=measure)
        report = corpus_quality(
            space,
            name,
            settled,
            measure=measure,
            progress=lambda done, total: bar.update(line, completed=done, total=total),
        )
    console = Console(highlight=False)
    show_quality(console, report, worst)
    if out is not None:
        with as_the_user_writes():
            write_quality(report, out)
        console.print(f"{len(report.measured)} rows in {out}", markup=False, soft_wrap=True)
    for clip, reason in report.unmeasured.items():
        say_aside(f"not measured: {clip}: {reason}")
    if report.unmeasured:
        raise typer.Exit(SOME_NOT_MEASURED)


def show_quality(console: Console, report: CorpusQuality, worst: int) -> None:
    """Print the distribution of each column and the worst clips by it, within 80 columns."""
    from mer.quality.summary import worst_clips

    console.print(_distribution(report))
    without = sum(values is None for values in report.measured.values())
    if without:
        console.print(f"{without} of {len(report.measured)} clips are not measured", markup=False)
    if worst and any(report.measured.values()):
        console.print(f"lowest {worst} of each column", markup=False)
        for column, title in TITLES.items():
            for number, (name, value) in enumerate(worst_clips(report.measured, column, worst)):
                console.print(
                    f"  {title if number == 0 else '':<12} {_figure(value):>8}  {name}",
                    markup=False,
                    soft_wrap=True,
                )


def _distribution(report: CorpusQuality) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from mer.media.detector_choice import short_name
    from mer.quality.summary import summaries

    title = f"quality of {escape(report.corpus)}: {len(report.measured)} clips, faces by {short_name(report.detector)}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("column", "min", "25 %", "median", "75 %", "max", "missing"):
        table.add_column(heading, justify="left" if heading == "column" else "right", no_wrap=True)
    for row in summaries(report.measured):
        figures = (row.minimum, row.lower_quartile, row.median, row.upper_quartile, row.maximum)
        table.add_row(TITLES[row.column], *(_figure(value) for value in figures), str(row.missing))
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
