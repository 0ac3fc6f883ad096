"""Learning curves: figures of every epoch of the fits of the served view, where a fit has epochs."""

from __future__ import annotations

from mer.report.blocks import Block, Lines, Remark, Section, Series
from mer.training.partition import FINAL_VIEW
from tasks.report.collected import EARLIER, Collected
from tasks.report.documents import Document
from tasks.report.run_results import CURVES

MOST_FITS, MOST_STEPS = 12, 120
"""Fits that are drawn, and steps of each: more are thinned out evenly."""
_FIGURES = (
    "loss",
    "train_loss",
    "validation_loss",
    "validation_waf",
    "validation_accuracy",
    "waf",
    "accuracy",
)


def curves(found: Collected) -> Section:
    """Losses and scores by epoch."""
    title = "Learning curves"
    kept = found.kept(CURVES)
    if kept is None:
        return Section(name="curves", title=title, absent=f"Learning curves are {EARLIER}.")
    named = kept.names()
    if not named:
        return Section(
            name="curves",
            title=title,
            absent="Nothing was trained in epochs: kernel machines and logistic regressions are solved at once.",
        )
    blocks: list[Block] = [block for name in named[:MOST_FITS] for block in _fit(kept, name)]
    if len(named) > MOST_FITS:
        blocks.append(Remark(parts=(f"And of further fits: {', '.join(named[MOST_FITS:])}.",)))
    return Section(
        name="curves",
        title=title,
        lead="Of the served view; where a fit holds speakers out, the epoch with the best score on them is kept.",
        blocks=tuple(blocks),
    )


def _fit(kept: Document, name: str) -> list[Block]:
    views = kept.names(name)
    view = FINAL_VIEW if FINAL_VIEW in views else views[-1]
    rows = kept.value(name, view)
    drawn = [figure for figure in _FIGURES if any(figure in row for row in rows)]
    drawn = drawn or [figure for figure in rows[0] if figure not in ("epoch", "step")][:4]
    steps = range(0, len(rows), max(1, -(-len(rows) // MOST_STEPS)))
    losses = [figure for figure in drawn if "loss" in figure]
    scores = [figure for figure in drawn if figure not in losses]
    return [
        Lines(
            title=f"{name}, view {view}: {'loss' if chosen is losses else 'score'} by epoch",
            x_label="epoch",
            y_label="loss" if chosen is losses else "score",
            series=tuple(
                Series(
                    name=figure.replace("_", " "),
                    x=tuple(
                        float(rows[step].get("epoch", step + 1)) for step in steps if figure in rows[step]
                    ),
                    y=tuple(
                        kept.figure(name, view, step, figure, form="number")
                        for step in steps
                        if figure in rows[step]
                    ),
                )
                for figure in chosen
            ),
        )
        for chosen in (losses, scores)
        if chosen
    ]
