"""Whether the model is as often right as it says."""

from __future__ import annotations

import math

from mer.report.blocks import Bin, Block, Reliability, Remark, Section
from mer.report.figures import Figure, Form
from tasks.report.collected import Collected


def reliability(found: Collected) -> Section:
    """Bins of confidence with the share that is right, and the calibration error before and after."""
    from mer.evaluation.calibration import cross_fitted_probabilities, reliability_bins

    clips, report = found.out_of_fold, found.evaluation
    if not len(clips):
        return Section(
            name="reliability", title="Confidence", absent="No labelled clips were predicted out of fold."
        )
    binned = reliability_bins(cross_fitted_probabilities(clips.logits, clips.truth, clips.fold), clips.truth)

    def figure(number: int, measure: str, value: float, form: Form = "score") -> Figure:
        return clips.figure(
            None if math.isnan(value) else float(value), measure, form, bin=number, bins=len(binned.count)
        )

    bins = tuple(
        Bin(
            low=float(binned.edges[number]),
            high=float(binned.edges[number + 1]),
            confidence=figure(number, "confidence", float(binned.confidence[number])),
            accuracy=figure(number, "right", float(binned.accuracy[number])),
            clips=figure(number, "binned", float(binned.count[number]), "count"),
        )
        for number in range(len(binned.count))
    )
    said: list[Block] = [
        Remark(
            parts=(
                "Expected calibration error: ",
                report.figure("calibration", "ece_before"),
                " as trained, ",
                report.figure("calibration", "ece_after"),
                " at the temperature ",
                report.figure("temperature", form="number"),
                " that is served (each fold at one fitted on the others).",
            )
        )
    ]
    return Section(
        name="reliability",
        title="Confidence",
        lead="Clips by the probability of the answer: where it says .8, 8 of 10 should be right.",
        blocks=(*said, Reliability(title="How often answers are right, by confidence", bins=bins)),
    )
