"""The charts of a report as SVG files of their own, for whoever shows single pictures (MLflow's page)."""

from __future__ import annotations

import re

from mer.report.blocks import Bars, Dots, Lines, Map, Reliability, ReportData
from mer.report.page import draw, style_sheet

_SCALE = 2.0
"""Pixels for each unit of a drawing."""
_SLUG_CHARACTERS = 60


def chart_files(report: ReportData) -> dict[str, bytes]:
    """File name -> chart, in the order of the page: `results-01-weighted-f1-by-system.svg`."""
    files: dict[str, bytes] = {}
    for section in report.sections:
        charts = [
            block for block in section.blocks if isinstance(block, Dots | Lines | Bars | Reliability | Map)
        ]
        for number, block in enumerate(charts, 1):
            files[f"{section.name}-{number:02d}-{_slug(block.title)}.svg"] = _alone(
                str(draw(block)), block.title
            )
    return files


def _slug(title: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", title.lower()))[:_SLUG_CHARACTERS].strip("-") or "chart"


def _alone(drawing: str, title: str) -> bytes:
    """A drawing with the style that it has on the page, its size in pixels, and a name space: what a file needs."""
    found = re.match(r'<svg viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing)
    if found is None:
        raise ValueError(
            f"chart {title!r}: expected a drawing that begins with its size, found {drawing[:60]!r}"
        )
    width, height = (_SCALE * float(value) for value in found.groups())
    own = (
        f'svg {{ width: {width:g}px; height: {height:g}px; background: var(--paper); font-family: system-ui, "DejaVu Sans", '
        "sans-serif; }"
    )
    style = f"<style><![CDATA[{style_sheet()}{own}]]></style>"
    head, rest = drawing.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}">{style}{rest}'.encode()
