"""Scores by class, by speaker, and by part of the holdout."""

from __future__ import annotations

from typing import Any

import numpy as np

from mer.report.blocks import Bars, Block, Range, Section, Table
from mer.report.figures import Figure
from tasks.report.collected import Collected
from tasks.report.predicted import Predicted

MOST_SPEAKERS, MOST_BARS = 40, 24
"""Speakers that are listed, the worst first; and up to how many of them bars are drawn."""


def groups(found: Collected) -> Section:
    """Tables of each."""
    blocks: list[Block] = [*_classes(found.out_of_fold), *_speakers(found.out_of_fold)]
    if found.evaluation.has("holdout"):
        blocks.append(_holdout(found))
    return Section(
        name="groups",
        title="By class, speaker and test part",
        lead="Out of fold unless something else is said. Recall: share of a class's clips that is found. Precision: share of the "
        "clips called so that are.",
        blocks=tuple(blocks),
    )


def _classes(clips: Predicted) -> list[Block]:
    counts = clips.counts.astype(float)
    rows: list[tuple[Any, ...]] = []
    bars: list[tuple[Figure, ...]] = []
    for number, name in enumerate(clips.emotions):
        right, true, said = counts[number, number], counts[number].sum(), counts[:, number].sum()
        recall = clips.figure(right / true if true else None, "recall", emotion=name)
        precision = clips.figure(right / said if said else None, "precision", emotion=name)
        f1 = clips.figure(2 * right / (true + said) if true + said else None, "f1", emotion=name)
        truth = clips.figure(float(true), "true", "count", emotion=name)
        rows.append((name, truth, recall, precision, f1))
        bars.append((recall, precision))
    return [
        Table(caption="By class", columns=("class", "clips", "recall", "precision", "F1"), rows=tuple(rows)),
        Bars(
            title="Recall and precision by class",
            axis="share",
            series=("recall", "precision"),
            groups=clips.emotions,
            values=tuple(bars),
        ),
    ]


def _speakers(clips: Predicted) -> list[Block]:
    names, index = np.unique([speaker or "" for speaker in clips.speaker], return_inverse=True)
    known = [number for number, name in enumerate(names) if name]
    if len(known) < 2:
        return []
    totals = np.bincount(index, minlength=len(names))
    right = np.bincount(index, weights=clips.truth == clips.predicted, minlength=len(names)) / totals
    order = sorted(known, key=lambda number: (right[number], str(names[number])))
    shown = [clips.of_speaker(str(names[number])) for number in order[:MOST_SPEAKERS]]
    table = Table(
        caption="By speaker, the worst first",
        columns=("speaker", "clips", "accuracy", "WAF"),
        rows=tuple(
            (name, one.clips(speaker=name), one.accuracy(speaker=name), one.waf(speaker=name))
            for one in shown
            if (name := str(one.speaker[0]))
        ),
        omitted=max(0, len(order) - MOST_SPEAKERS),
    )
    if len(order) > MOST_BARS:
        return [table]
    bars = Bars(
        title="Accuracy by speaker",
        axis="accuracy",
        series=("accuracy",),
        groups=tuple(str(one.speaker[0]) for one in shown),
        values=tuple((one.accuracy(speaker=str(one.speaker[0])),) for one in shown),
    )
    return [table, bars]


def _holdout(found: Collected) -> Table:
    report = found.evaluation
    places: list[tuple[str, tuple[str, ...]]] = [("whole holdout", ("holdout",))]
    places += [(name, ("holdout_parts", name)) for name in report.names("holdout_parts")]
    rows = []
    for title, at in places:
        ends = [report.figure(*at, f"waf_{end}") for end in ("low", "high")]
        rows.append(
            (
                title,
                report.figure(*at, "clips", form="count"),
                report.figure(*at, "accuracy"),
                report.figure(*at, "waf"),
                Range(low=ends[0], high=ends[1]),
                report.figure(*at, "macro_f1"),
            )
        )
    return Table(
        caption="The served model on clips that no fold trained on, by part",
        columns=("part", "clips", "accuracy", "WAF", "95 %", "macro-F1"),
        rows=tuple(rows),
    )
