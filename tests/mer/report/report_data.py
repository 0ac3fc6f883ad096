"""A report with every kind of block, whose names are those given."""

from __future__ import annotations

from mer.report.blocks import (
    Bars,
    Bin,
    Command,
    Confusion,
    Dot,
    Dots,
    Lines,
    Map,
    Range,
    Reliability,
    Remark,
    ReportData,
    Section,
    Series,
    Source,
    Spot,
    Table,
)
from mer.report.figures import Figure


def figure(value: float | None, source: str = "evaluation/report.json#/x") -> Figure:
    return Figure(value=value, source=source)


def every_block(name: str, value: float | None = 0.5) -> ReportData:
    """All texts that users name are `name`."""
    one = figure(value, f"evaluation/out_of_fold.parquet?clip={name}")
    series = Series(name=name, x=(0, 1), y=(one, one), low=(one, one), high=(one, one))
    blocks = (
        Remark(parts=(name, one, name)),
        Command(text=name),
        Table(caption=name, columns=(name, name), rows=((name, Range(low=one, high=one)), (name, name)), marked=(0,), omitted=3),
        Confusion(caption=name, classes=(name, name), counts=((one, one), (one, one)), shares=((one, one), (one, one))),
        Dots(title=name, axis=name, rows=(Dot(label=name, point=one, low=one, high=one),), line=one, line_label=name),
        Lines(title=name, x_label=name, y_label=name, series=(series,), shade=(0, 1), shade_label=name),
        Bars(title=name, axis=name, series=(name, name), groups=(name,), values=((one, one),)),
        Reliability(title=name, bins=(Bin(low=0, high=1, confidence=one, accuracy=one, clips=one),)),
        Map(title=name, groups=(name,), spots=(Spot(x=0, y=0, group=0, name=name),), source=name, x_label=name, y_label=name),
    )  # fmt: skip
    sections = (
        Section(name="all", title=name, lead=name, blocks=blocks),
        Section(name="none", title=name, absent=name),
    )
    return ReportData(
        title=name,
        model=name,
        version=1,
        summary=(Remark(parts=(name,)),),
        sections=sections,
        sources=(Source(name=name, uri=name, sha256=name),),
    )
