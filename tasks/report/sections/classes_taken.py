"""Which class is taken for which, out of fold and on the holdout."""

from __future__ import annotations

from mer.report.blocks import Block, Confusion, Section
from tasks.report.collected import Collected
from tasks.report.predicted import Predicted


def confusion(found: Collected) -> Section:
    """Counts and shares of rows."""
    blocks: list[Block] = [confused(found.out_of_fold, "Out of fold")]
    if len(found.holdout):
        blocks.append(confused(found.holdout, "Holdout"))
    return Section(
        name="confusion",
        title="Which class is taken for which",
        lead="Rows are true classes, columns what the model says: the share of the row, and below it the number of clips.",
        blocks=tuple(blocks),
    )


def confused(clips: Predicted, caption: str) -> Confusion:
    """The confusion matrix of some clips."""
    counts = clips.counts
    names = clips.emotions
    shares = []
    for row, truth in enumerate(names):
        total = int(counts[row].sum())
        shares.append(
            tuple(
                clips.figure(
                    counts[row, column] / total if total else None, "share", truth=truth, predicted=said
                )
                for column, said in enumerate(names)
            )
        )
    return Confusion(
        caption=caption,
        classes=names,
        counts=tuple(
            tuple(
                clips.figure(float(counts[row, column]), "count", "count", truth=truth, predicted=said)
                for column, said in enumerate(names)
            )
            for row, truth in enumerate(names)
        ),
        shares=tuple(shares),
    )
