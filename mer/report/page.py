"""A report as one page of HTML that needs nothing else: no script, no request; light, dark and printed."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mer.report.blocks import Bars, Cell, Dots, Lines, Map, Range, Reliability, ReportData, Table
from mer.report.charts import bars, dots, lines, reliability, scatter
from mer.report.figures import Figure

if TYPE_CHECKING:
    from jinja2 import Template

Chart = Dots | Lines | Bars | Reliability | Map
_FOLDER = "templates"


def render(report: ReportData) -> str:
    """The page. Whatever users named (clips, speakers, transcripts, models) is escaped."""
    return _template().render(
        report=report, style=Markup(style_sheet()), draw=draw, behind=behind, numeric=numeric
    )


def draw(block: Chart) -> Markup:
    """The chart of a block."""
    match block:
        case Dots():
            return dots(block)
        case Lines():
            return lines(block)
        case Bars():
            return bars(block)
        case Reliability():
            return reliability(block)
        case Map():
            return scatter(block)


def behind(block: Chart) -> Table | None:
    """The numbers of a chart as a table; None where they stand in another one, or are places of clips on a map."""
    match block:
        case Lines():
            return _of_lines(block)
        case Bars():
            rows: list[tuple[Cell | Range, ...]] = [
                (name, *values) for name, values in zip(block.groups, block.values, strict=True)
            ]
            return Table(caption=block.title, columns=("", *block.series), rows=tuple(rows))
        case Reliability():
            bins = [
                (f"{one.low:.2f} to {one.high:.2f}", one.confidence, one.accuracy, one.clips)
                for one in block.bins
                if one.clips.value
            ]
            columns = ("confidence between", "mean confidence", "share that is right", "clips")
            return Table(caption=block.title, columns=columns, rows=tuple(bins))
        case _:
            return None


def _of_lines(block: Lines) -> Table:
    across = sorted({value for series in block.series for value in series.x})
    columns: list[str] = []
    cells: list[dict[float, Cell | Range]] = []
    for series in block.series:
        columns.append(series.name)
        cells.append(dict(zip(series.x, series.y, strict=True)))
        if series.low and series.high:
            columns.append("95 %")
            ends = [Range(low=low, high=high) for low, high in zip(series.low, series.high, strict=True)]
            cells.append(dict(zip(series.x, ends, strict=True)))
    rows = [(f"{value:g}", *(column.get(value, "") for column in cells)) for value in across]
    return Table(caption=block.title, columns=(block.x_label, *columns), rows=tuple(rows))


def numeric(block: Table, column: int) -> bool:
    """Whether a column holds numbers, so that its heading stands to the right above them."""
    return any(isinstance(row[column], Figure | Range) for row in block.rows if column < len(row))


def style_sheet() -> str:
    """The style of pages and charts."""
    return _text("style.css")


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment: Any = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    template: Template = environment.from_string(_text("page.html"))
    return template


def _text(name: str) -> str:
    return (files("mer.report") / _FOLDER / name).read_text(encoding="utf-8")
