"""Whether unlabelled clips and the holdout have other class priors than the training clips."""

from __future__ import annotations

from typing import Any

from mer.label_shift.page import shift_line
from mer.report.blocks import Bars, Block, Range, Remark, Section, Table
from tasks.report.collected import Collected
from tasks.report.documents import Document

_SHARES = (("training prior", "training_prior"), ("EM", "em"), ("BBSE", "bbse_soft"))


def label_shift(found: Collected) -> Section:
    """Priors by class, of each set of clips that was looked at."""
    report = found.evaluation
    sets = [name for name in report.names("label_shift") if report.has("label_shift", name, "available")]
    looked = [name for name in sets if report.value("label_shift", name, "available")]
    if not looked:
        why = [f"{name}: {report.value('label_shift', name, 'reason')}" for name in sets]
        return Section(
            name="label-shift",
            title="Label shift",
            absent=f"Not estimated: {'; '.join(why)}."
            if why
            else "Not estimated: `label_shift` of the recipe is off.",
        )
    blocks: list[Block] = []
    for name in looked:
        blocks += _set(report, name)
    return Section(
        name="label-shift",
        title="Label shift",
        lead="Shares of the classes, estimated from predictions alone. EM and BBSE suppose that only the shares differ; where "
        "they disagree, more does.",
        blocks=tuple(blocks),
    )


def _set(report: Document, name: str) -> list[Block]:
    at = ("label_shift", name)
    classes = range(len(report.value(*at, "classes")))
    columns = [(title, key) for title, key in _SHARES if report.has(*at, "classes", 0, key)]
    rows: list[tuple[Any, ...]] = []
    for number in classes:
        place = (*at, "classes", number)
        cells: list[Any] = [str(report.value(*place, "emotion"))]
        for _, key in columns:
            cells.append(report.figure(*place, key, form="percent"))
            if key != "training_prior" and report.has(*place, f"{key}_low"):
                low, high = (report.figure(*place, f"{key}_{end}", form="percent") for end in ("low", "high"))
                cells.append(Range(low=low, high=high))
        rows.append(tuple(cells))
    heads = ["class"]
    for title, key in columns:
        interval = key != "training_prior" and report.has(*at, "classes", 0, f"{key}_low")
        heads += [title, "95 %"] if interval else [title]
    blocks: list[Block] = []
    if report.has(*at, "test", "p_value"):
        evidence = ("Permutation test: p = ", report.figure(*at, "test", "p_value", form="number"))
        found = "there is a shift" if report.value(*at, "shifted") else "no shift is seen"
        blocks.append(Remark(parts=(f"{name} clips: ", *evidence, f"; {found}.")))
    else:
        blocks.append(Remark(parts=(shift_line(report.value(*at)),)))
    blocks.append(Table(caption=f"Shares of classes, {name} clips", columns=tuple(heads), rows=tuple(rows)))
    blocks.append(
        Bars(
            title=f"Shares of classes, {name} clips",
            axis="share",
            series=tuple(title for title, _ in columns),
            groups=tuple(str(report.value(*at, "classes", number, "emotion")) for number in classes),
            values=tuple(
                tuple(report.figure(*at, "classes", number, key) for _, key in columns) for number in classes
            ),
        )
    )
    return blocks
