"""Sets of classes and abstention: which classes a clip may have; how many answers are right if the unsure get none."""

from __future__ import annotations

from mer.report.blocks import Block, Lines, Range, Remark, Section, Series, Table
from tasks.report.collected import EARLIER, Collected

_TITLE = "Answers that may be left open"
_SCORE_NAMES = {
    "lac": "the class's own probability (LAC)",
    "aps": "summed probabilities (APS)",
    "raps": "summed, larger sets penalised (RAPS)",
}


def sure_answers(found: Collected) -> Section:
    """Coverage and size of sets, and the risk of answering only the surest clips."""
    report, name = found.evaluation, "sure-answers"
    if "answers" not in report.names():
        return Section(
            name=name, title=_TITLE, absent=f"Sets and risks are {EARLIER}, or of a model of a single fold."
        )
    rows = range(len(report.value("answers", "sets")))
    sets = Table(
        caption="Prediction sets: thresholds of each fold are set on the speakers of the others. The starred score is taken.",
        columns=("set by", "asked", "true class inside", "95 %", "classes", "one class", "least of a class"),
        rows=tuple(
            (
                _SCORE_NAMES[report.value("answers", "sets", row, "score")],
                report.figure("answers", "sets", row, "asked", form="percent"),
                report.figure("answers", "sets", row, "coverage", form="percent"),
                Range(
                    low=report.figure("answers", "sets", row, "coverage_low", form="percent"),
                    high=report.figure("answers", "sets", row, "coverage_high", form="percent"),
                ),
                report.figure("answers", "sets", row, "size", form="number"),
                report.figure("answers", "sets", row, "single", form="percent"),
                report.figure("answers", "sets", row, "least_class", form="percent"),
            )
            for row in rows
        ),
        marked=tuple(
            row
            for row in rows
            if report.value("answers", "sets", row, "score") == report.value("answers", "score")
        ),
    )
    places = range(len(report.value("answers", "curve")))
    curve = Lines(
        title="Wrong answers, if only the surest clips are answered",
        x_label="clips answered",
        y_label="of them wrong",
        series=(
            Series(
                name="served",
                x=tuple(float(report.value("answers", "curve", place, "share")) for place in places),
                y=tuple(report.figure("answers", "curve", place, "risk", form="percent") for place in places),
            ),
        ),
    )
    said: list[Block] = [sets, curve]
    for row, asked in enumerate(report.value("answers", "risks")):
        limit = report.figure("answers", "risks", row, "asked", form="percent")
        if "risk" in asked:
            said.append(
                Remark(
                    parts=(
                        "Asked for at most ",
                        limit,
                        " wrong: ",
                        report.figure("answers", "risks", row, "share", form="percent"),
                        " of the clips are answered, ",
                        report.figure("answers", "risks", row, "risk", form="percent"),
                        " of them wrongly.",
                    )
                )
            )
        else:
            said.append(
                Remark(
                    parts=(
                        "Asked for at most ",
                        limit,
                        " wrong: no share of the clips is answered so well.",
                    )
                )
            )
    return Section(
        name=name,
        title=_TITLE,
        lead="`mer predict --coverage .9` names which classes a clip may have, `--abstain-above-risk .1` answers the sure ones.",
        blocks=tuple(said),
    )
