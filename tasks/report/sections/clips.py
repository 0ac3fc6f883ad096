"""The clips that the model is most wrong and most unsure about."""

from __future__ import annotations

import numpy as np

from mer.report.blocks import Block, Section, Table
from tasks.report.collected import Collected
from tasks.report.predicted import Predicted, ranked

MOST = 20
"""Clips of each list."""


def clips(found: Collected) -> Section:
    """Both lists, out of fold."""
    predicted = found.out_of_fold
    blocks: list[Block] = [_wrong(predicted), _unsure(predicted)]
    return Section(
        name="clips",
        title="Clips to look at",
        lead="Out of fold, probabilities as they are served. Clips that are wrong with most confidence may be labelled wrongly; "
        "those that are unsure are most worth a second look.",
        blocks=tuple(blocks),
    )


def _wrong(clips: Predicted) -> Table:
    wrong = np.flatnonzero(clips.truth != clips.predicted)
    confidence = clips.probabilities[wrong, clips.predicted[wrong]]
    names = [clips.names[row] for row in wrong]
    shown = [int(wrong[at]) for at in ranked(confidence.tolist(), names, MOST)]
    rows = []
    for row in shown:
        name, said, truth = (
            clips.names[row],
            clips.emotions[clips.predicted[row]],
            clips.emotions[clips.truth[row]],
        )
        rows.append(
            (
                name,
                clips.speaker[row] or "",
                truth,
                said,
                clips.figure(
                    float(clips.probabilities[row, clips.predicted[row]]),
                    "probability",
                    clip=name,
                    emotion=said,
                ),
                clips.figure(
                    float(clips.probabilities[row, clips.truth[row]]), "probability", clip=name, emotion=truth
                ),
            )
        )
    return Table(
        caption="Most wrong: answered wrongly with most confidence",
        columns=("clip", "speaker", "label", "answer", "probability of the answer", "of the label"),
        rows=tuple(rows),
        omitted=len(wrong) - len(shown),
    )


def _unsure(clips: Predicted) -> Table:
    if clips.probabilities.shape[1] < 2:
        return Table(caption="Most unsure", columns=("clip",), rows=())
    best = np.argsort(-clips.probabilities, axis=1, kind="stable")[:, :2]
    every = np.arange(len(clips))
    margin = clips.probabilities[every, best[:, 0]] - clips.probabilities[every, best[:, 1]]
    shown = ranked((-margin).tolist(), clips.names, MOST)
    rows = []
    for row in shown:
        name = clips.names[row]
        first, second = (clips.emotions[best[row, rank]] for rank in (0, 1))
        rows.append(
            (
                name,
                clips.speaker[row] or "",
                clips.emotions[clips.truth[row]],
                first,
                clips.figure(
                    float(clips.probabilities[row, best[row, 0]]), "probability", clip=name, emotion=first
                ),
                second,
                clips.figure(
                    float(clips.probabilities[row, best[row, 1]]), "probability", clip=name, emotion=second
                ),
            )
        )
    return Table(
        caption="Most unsure: the two likeliest classes are closest",
        columns=("clip", "speaker", "label", "likeliest", "probability", "second", "probability"),
        rows=tuple(rows),
        omitted=len(clips) - len(shown),
    )
