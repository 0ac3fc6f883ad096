"""Charts as inline SVG, each a pure function of its block. Numbers at marks are in the tables beside or below."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from mer.report.blocks import Bars, Dots, Lines, Map, Reliability
from mer.report.figures import Figure
from mer.report.svg import (
    WIDTH,
    drawing,
    element,
    legend,
    line,
    mark,
    path,
    shortened,
    tick_text,
    ticks,
    words,
)

_LABELS = 118.0
"""Units on the left for names of rows."""
_ROW = 22.0
_PLOT = 190.0
"""Height of a plot."""
_LEFT, _TOP = 44.0, 12.0


def dots(block: Dots) -> Markup:
    """A row for each point, its interval as a line; the marked one is a filled diamond."""
    values = [_number(one) for row in block.rows for one in (row.point, row.low, row.high)]
    values += [block.line.value] if block.line is not None and block.line.value is not None else []
    known = [value for value in values if math.isfinite(value)]
    at = ticks(min(known, default=0.0), max(known, default=1.0))
    bottom = _TOP + _ROW * len(block.rows)

    def place(value: float) -> float:
        return _LABELS + (WIDTH - 10 - _LABELS) * (value - at[0]) / (at[-1] - at[0])

    drawn = [line(place(value), _TOP - 4, place(value), bottom, "g") for value in at]
    drawn += [words(place(value), bottom + 12, tick_text(value), "middle") for value in at]
    drawn.append(words((_LABELS + WIDTH) / 2, bottom + 27, block.axis, "middle"))
    if block.line is not None and block.line.value is not None:
        drawn.append(line(place(block.line.value), _TOP - 4, place(block.line.value), bottom, "z"))
    for number, row in enumerate(block.rows):
        y = _TOP + _ROW * (number + 0.5)
        name = f"{row.label} *" if row.marked else row.label
        drawn.append(words(_LABELS - 8, y + 3.5, shortened(name, 21), "end"))
        low, high, point = (_number(one) for one in (row.low, row.high, row.point))
        if math.isfinite(low) and math.isfinite(high):
            drawn.append(line(place(low), y, place(high), y, "w"))
        if math.isfinite(point):
            drawn.append(mark(3 if row.marked else 0, place(point), y))
    height = bottom + 32
    if block.line_label:
        drawn.append(words(_LABELS, height + 8, f"dashed: {block.line_label}"))
        height += 14
    return drawing(height, block.title, "Points with 95 % intervals; the numbers are in the table.", *drawn)


def lines(block: Lines) -> Markup:
    """Lines with marks at their points; shaded bands are intervals."""
    every = [one for series in block.series for one in (*series.y, *series.low, *series.high)]
    known = [value for one in every if math.isfinite(value := _number(one))]
    across = [value for series in block.series for value in series.x] or [0.0, 1.0]
    rows = ticks(min(known, default=0.0), max(known, default=1.0))
    whole = all(value.is_integer() for value in across)
    columns = ticks(min(across), max(across), 7, whole=whole)
    drawn, x, y = _axes(columns, rows, block.x_label, block.y_label)
    if block.shade is not None:
        left, right = (x(value) for value in block.shade)
        drawn.insert(0, element("rect", x=left, y=_TOP, width=right - left, height=_PLOT, class_="shade"))
    for number, series in enumerate(block.series):
        if series.low and series.high:
            upper = [(x(at), y(_number(one))) for at, one in zip(series.x, series.high, strict=True)]
            lower = [(x(at), y(_number(one))) for at, one in zip(series.x, series.low, strict=True)]
            outline = " ".join(f"{at:.1f},{height:.1f}" for at, height in (*upper, *reversed(lower)))
            drawn.append(element("polygon", points=outline, class_=f"band c{number % 8}"))
        points = [
            (x(at), y(value))
            for at, one in zip(series.x, series.y, strict=True)
            if math.isfinite(value := _number(one))
        ]
        drawn.append(path(points, number))
        spread = max(1, len(points) // 8)
        drawn += [mark(number, *point) for point in points[:: spread if len(points) > 30 else 1]]
    named = [series.name for series in block.series]
    shown, taken = legend(named, _TOP + _PLOT + 46)
    drawn += shown
    height = _TOP + _PLOT + 38 + taken
    if block.shade is not None and block.shade_label:
        drawn.append(words(4, height + 6, f"shaded: {block.shade_label}"))
        height += 12
    return drawing(height, block.title, "Lines; the numbers are in the table below.", *drawn)


def bars(block: Bars) -> Markup:
    """Horizontal bars, the series of a group below each other."""
    known = [value for row in block.values for one in row if math.isfinite(value := _number(one))]
    at = ticks(min(0.0, *known), max(known)) if known else [0.0, 1.0]
    thick = 9.0
    group = thick * len(block.series) + 9
    bottom = _TOP + group * len(block.groups)

    def place(value: float) -> float:
        return _LABELS + (WIDTH - 12 - _LABELS) * (value - at[0]) / (at[-1] - at[0])

    drawn = [line(place(value), _TOP - 4, place(value), bottom, "g") for value in at]
    drawn += [words(place(value), bottom + 12, tick_text(value), "middle") for value in at]
    drawn.append(words((_LABELS + WIDTH) / 2, bottom + 27, block.axis, "middle"))
    for row, (name, values) in enumerate(zip(block.groups, block.values, strict=True)):
        top = _TOP + group * row
        drawn.append(words(_LABELS - 8, top + group / 2, shortened(name, 21), "end"))
        for number, one in enumerate(values):
            if not math.isfinite(value := _number(one)):
                continue
            left, right = sorted((place(0.0), place(value)))
            y = top + 3 + thick * number
            drawn.append(
                element(
                    "rect",
                    x=left,
                    y=y,
                    width=max(0.6, right - left),
                    height=thick - 2,
                    class_=f"b c{number % 8}",
                )
            )
            if len(block.series) > 1:
                drawn.append(mark(number, right, y + thick / 2 - 1))
    height = bottom + 34
    if len(block.series) > 1:
        shown, taken = legend(block.series, bottom + 44)
        drawn += shown
        height = bottom + 36 + taken
    return drawing(height, block.title, "Bars; the numbers are in the table below.", *drawn)


def reliability(block: Reliability) -> Markup:
    """Bars of the share that is right by confidence; a calibrated model's end on the diagonal."""
    rows = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    drawn, x, y = _axes(rows, rows, "confidence (calibrated)", "share that is right")
    for one in block.bins:
        if math.isfinite(right := _number(one.accuracy)):
            inset = 0.1 * (one.high - one.low)
            left, width = x(one.low + inset), x(one.high - inset) - x(one.low + inset)
            drawn.append(
                element(
                    "rect", x=left, y=y(right), width=width, height=max(0.6, y(0) - y(right)), class_="b c0"
                )
            )
    drawn.append(line(x(0), y(0), x(1), y(1), "z"))
    height = _TOP + _PLOT + 52
    drawn.append(words(4, height - 6, "dashed: confidence and share agree"))
    return drawing(height, block.title, "Bars by confidence; the numbers are in the table below.", *drawn)


def scatter(block: Map) -> Markup:
    """A mark for each clip, by its group; readers of screens get the title alone."""
    height = WIDTH * 0.8
    low_x, high_x = _reach([spot.x for spot in block.spots])
    low_y, high_y = _reach([spot.y for spot in block.spots])
    drawn = [element("rect", x=1, y=1, width=WIDTH - 2, height=height - 2, class_="frame")]
    for spot in block.spots:
        x = 10 + (WIDTH - 20) * (spot.x - low_x) / (high_x - low_x)
        y = height - 10 - (height - 20) * (spot.y - low_y) / (high_y - low_y)
        drawn.append(mark(spot.group, x, y, element("title", f"{spot.name}: {block.groups[spot.group]}")))
    drawn.append(words(WIDTH - 6, height + 14, f"across: {block.x_label}, up: {block.y_label}", "end"))
    shown, taken = legend(block.groups, height + 32)
    description = f"A map of clips by {', '.join(block.groups)}; near ones are alike."
    return drawing(height + 26 + taken, block.title, description, *drawn, *shown)


def _axes(
    columns: Sequence[float], rows: Sequence[float], x_label: str, y_label: str
) -> tuple[list[Markup], _Scale, _Scale]:
    x = _Scale(columns[0], columns[-1], _LEFT, WIDTH - 12)
    y = _Scale(rows[0], rows[-1], _TOP + _PLOT, _TOP)
    bottom, right = _TOP + _PLOT, WIDTH - 12
    drawn = [line(_LEFT, y(value), right, y(value), "g") for value in rows]
    drawn += [words(_LEFT - 5, y(value) + 3.5, tick_text(value), "end") for value in rows]
    drawn += [line(x(value), bottom, x(value), bottom + 4, "a") for value in columns]
    drawn += [words(x(value), bottom + 15, tick_text(value), "middle") for value in columns]
    drawn += [
        line(_LEFT, bottom, right, bottom, "a"),
        words((_LEFT + right) / 2, bottom + 29, x_label, "middle"),
        words(0, 0, y_label, "middle", transform=f"translate(10,{_TOP + _PLOT / 2:.0f}) rotate(-90)"),
    ]
    return drawn, x, y


class _Scale:
    """From values to units of the drawing."""

    def __init__(self, low: float, high: float, start: float, stop: float) -> None:
        self._low, self._reach, self._start, self._stop = low, high - low, start, stop

    def __call__(self, value: float) -> float:
        return self._start + (self._stop - self._start) * (value - self._low) / self._reach


def _reach(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _number(figure: Figure) -> float:
    return math.nan if figure.value is None else figure.value
