"""What a report consists of: sections of blocks, each a table, a chart or a remark, whose numbers are figures with sources."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mer.report.figures import Figure


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Cell = Figure | str


class Range(_Part):
    """An interval, as one cell of a table."""

    low: Figure
    high: Figure


class Remark(_Part):
    """A sentence; its numbers are figures among the words."""

    kind: Literal["remark"] = "remark"
    parts: tuple[Cell, ...]


class Command(_Part):
    """What to type in a terminal."""

    kind: Literal["command"] = "command"
    text: str


class Table(_Part):
    """Rows of cells below headings."""

    kind: Literal["table"] = "table"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell | Range, ...], ...]
    marked: tuple[int, ...] = Field(
        default=(), description="Rows that stand out: they are bold and have a star."
    )
    omitted: int = Field(default=0, ge=0, description="Further rows that are not shown.")


class Confusion(_Part):
    """Which class is taken for which: counts, and shares of each row."""

    kind: Literal["confusion"] = "confusion"
    caption: str
    classes: tuple[str, ...]
    counts: tuple[tuple[Figure, ...], ...] = Field(description="Rows truth, columns prediction.")
    shares: tuple[tuple[Figure, ...], ...] = Field(description="Of each row.")


class Dot(_Part):
    """A point with its interval."""

    label: str
    point: Figure
    low: Figure
    high: Figure
    marked: bool = False


class Dots(_Part):
    """Points with intervals on one axis; the numbers stand in a table of the same section."""

    kind: Literal["dots"] = "dots"
    title: str
    axis: str
    rows: tuple[Dot, ...]
    line: Figure | None = Field(default=None, description="A value that a line is drawn at.")
    line_label: str = ""


class Series(_Part):
    """A line of a chart."""

    name: str
    x: tuple[float, ...]
    y: tuple[Figure, ...]
    low: tuple[Figure, ...] = ()
    high: tuple[Figure, ...] = ()


class Lines(_Part):
    """Lines over an axis of numbers, with the numbers in a table below that can be opened."""

    kind: Literal["lines"] = "lines"
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    shade: tuple[float, float] | None = Field(
        default=None, description="Stretch of the axis that stands out."
    )
    shade_label: str = ""


class Bars(_Part):
    """Bars by group, with their numbers in a table below that can be opened."""

    kind: Literal["bars"] = "bars"
    title: str
    axis: str
    series: tuple[str, ...]
    groups: tuple[str, ...]
    values: tuple[tuple[Figure, ...], ...] = Field(description="One row a group, one figure a series.")


class Bin(_Part):
    """Answers of about one confidence."""

    low: float
    high: float
    confidence: Figure
    accuracy: Figure
    clips: Figure


class Reliability(_Part):
    """How often answers of a confidence are right, with the numbers in a table below that can be opened."""

    kind: Literal["reliability"] = "reliability"
    title: str
    bins: tuple[Bin, ...]


class Spot(_Part):
    """A clip on a map."""

    x: float
    y: float
    group: int
    name: str


class Map(_Part):
    """Clips in a plane; near ones are alike."""

    kind: Literal["map"] = "map"
    title: str
    groups: tuple[str, ...]
    spots: tuple[Spot, ...]
    source: str
    """Where the coordinates are."""
    x_label: str = ""
    y_label: str = ""


Block = Annotated[
    Remark | Command | Table | Confusion | Dots | Lines | Bars | Reliability | Map,
    Field(discriminator="kind"),
]


class Section(_Part):
    """A part of the report under a heading."""

    name: str = Field(pattern=r"^[a-z][a-z-]*$", description="Anchor on the page.")
    title: str
    lead: str = Field(default="", description="What it shows and how to read it.")
    blocks: tuple[Block, ...] = ()
    absent: str = Field(default="", description="Why there is nothing to show, in one line; empty: there is.")


class Source(_Part):
    """An artifact that figures come from."""

    name: str
    uri: str
    sha256: str


class ReportData(_Part):
    """A whole report. Numbers are in figures alone."""

    title: str
    model: str
    version: int
    summary: tuple[Remark, ...]
    sections: tuple[Section, ...]
    sources: tuple[Source, ...]
