"""The result table of an evaluation: systems out of fold with intervals, the holdout, label shift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import create_table_artifact
from rich.box import SIMPLE_HEAD
from rich.table import Table

from flows.score_legend import WAF_LINE
from flows.terminal import console
from tasks.stage.references import DatasetRef

WIDE = 100
"""Columns of a terminal in which a table of systems has room for valence and for every fold."""

_LEAST = {"95 %": 9, "macro-F1": 8, "WAF-MSE/4": 9}
"""Characters that columns of scores are never narrower than, where not 4."""


def show_systems(report: Mapping[str, Any], dataset: DatasetRef) -> None:
    """The result table: every system out of fold, with intervals, and the served one on the holdout."""
    rows = report["systems"]
    print_systems(report, f"{dataset.labelled} labelled clips, {folds_line(rows[0])}, out-of-fold")
    flat = [{name: value for name, value in row.items() if name != "accuracy_folds"} for row in rows]
    create_table_artifact(flat, key="systems", description="out-of-fold scores by system")


def print_systems(report: Mapping[str, Any], title: str) -> None:
    """The same on the terminal alone."""
    rows = report["systems"]
    console.print(systems_table(rows, report["served"], title, by_fold=console.width >= WIDE))
    console.print(
        f"* the system that is registered; 95 % interval of WAF by bootstrap over {resampled_line(rows[0])}; "
        f"chance accuracy {report['chance']:.3f}"
    )
    console.print(WAF_LINE, markup=False)
    for difference in report.get("differences", ()):
        console.print(difference_line(difference), markup=False)
    if report.get("holdout"):
        console.print(f"holdout of true labels {_holdout_line(report['holdout'])}")
    for part, scores in report.get("holdout_parts", {}).items():
        console.print(f"  {part} {_holdout_line(scores)}", markup=False)
    for clips, summary in report.get("label_shift", {}).items():
        if not summary["available"] and summary["reason"].startswith("0 target clips"):
            continue  # there are none to speak of
        console.print(f"{clips} clips, {label_shift_line(summary)}", markup=False)
    for note in report.get("notes", ()):
        console.print(f"[dim]{note}[/]")


def difference_line(difference: Mapping[str, Any]) -> str:
    """The served system minus another one, with 95 % intervals."""
    said = ", ".join(
        f"{label} {difference[name]:+.3f} ({difference[f'{name}_low']:+.3f} to {difference[f'{name}_high']:+.3f})"
        for name, label in (("accuracy", "accuracy"), ("waf", "WAF"))
    )
    return f"{difference['system']} minus {difference['minus']}: {said}"


def folds_line(scores: Mapping[str, Any]) -> str:
    """How the folds of a row of scores keep speakers apart, as far as these are known."""
    folds = len(scores["accuracy_folds"])
    if "speakers" not in scores:  # an evaluation of 0.3.0 or before
        return f"{folds} folds"
    speakers = scores["speakers"]
    if speakers < 2:
        return f"{folds} folds by clip, {'one speaker' if speakers else 'speakers unknown'}"
    partly = "" if scores["resampled"] == "speakers" else " where known"
    return f"{folds} speaker-independent folds{partly}, {speakers} speakers"


def resampled_line(scores: Mapping[str, Any]) -> str:
    """What the interval of a row of scores resamples, and how many of them."""
    return f"{scores.get('speakers_or_clips', '')} {scores.get('resampled', 'speakers or clips')}".lstrip()


def _holdout_line(scores: Mapping[str, Any]) -> str:
    """Scores on held-out clips, after what the clips are called."""
    known = scores.get("valence_mse") is not None
    return (
        f"({scores['clips']} clips): accuracy {scores['accuracy']:.3f}, "
        f"WAF {scores['waf']:.3f} ({scores['waf_low']:.3f} to {scores['waf_high']:.3f})"
        + (f", MSE of valence {scores['valence_mse']:.3f}" if known else "")
    )


def label_shift_line(summary: Mapping[str, Any]) -> str:
    """What is known of the priors of some clips, and what correcting for them does to the score where labels are known."""
    from mer.label_shift.page import shift_line

    line = shift_line(summary)
    if (scores := summary.get("scores")) is None:
        return line
    interval = (
        f" ({scores['difference_low']:+.3f} to {scores['difference_high']:+.3f})"
        if "difference_low" in scores
        else ""
    )
    return (
        f"{line}; WAF {scores['waf_served']:.3f} as served, {scores['waf_corrected']:.3f} corrected{interval}"
    )


def systems_table(rows: Sequence[Mapping[str, Any]], served: str, title: str, *, by_fold: bool) -> Table:
    """Scores of systems; columns of valence only where the corpus has valence, of folds where asked for."""
    # the divider of the box is the gap between columns: a member's name and all scores fit into 80 columns
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("system", overflow="fold")
    valence = any(row.get("valence_mse") is not None for row in rows)
    for column in ("acc.", "WAF", "95 %", "macro-F1", *(("MSE val.", "WAF-MSE/4") if valence else ())):
        most = 5 if column == "MSE val." and not by_fold else None  # its head takes two lines
        table.add_column(column, justify="right", min_width=_LEAST.get(column, 4), max_width=most)
    if by_fold or not valence:
        table.add_column("acc. by fold", no_wrap=True)
    for row in rows:
        scores = [row.get("valence_mse"), row.get("combined_score")] if valence else []
        table.add_row(
            row["system"] + (" *" if row["system"] == served else ""),
            points(row["accuracy"]),
            points(row["waf"]),
            interval(row["waf_low"], row["waf_high"]),
            points(row["macro_f1"]),
            *("" if value is None else points(value) for value in scores),
            *([" ".join(points(value) for value in row["accuracy_folds"])] if by_fold or not valence else ()),
        )
    return table


def interval(low: float, high: float) -> str:
    """An interval in few characters; where its lower end is negative, a dash between the ends would read as another minus."""
    return f"{points(low)} .. {points(high)}" if low < 0 else f"{points(low)}-{points(high)}"


def points(value: float) -> str:
    """A score in few characters: .618 for 0.618."""
    shown = f"{value:.3f}" if value < 1 else f"{value:.2f}"
    return shown.replace("0.", ".", 1) if abs(value) < 1 else shown
