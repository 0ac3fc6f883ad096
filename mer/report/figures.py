"""A number that a report shows, and where it comes from."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Form = Literal["score", "signed", "count", "percent", "number", "seconds", "probability"]


class Figure(BaseModel):
    """One number with its source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None = Field(description="The number; None: there is none (a class without clips).")
    source: str = Field(
        description="Where it is found: `ARTIFACT/FILE#POINTER` (a JSON pointer), `ARTIFACT/FILE?QUERY` (computed from "
        "predictions, see docs/report.md), or `catalogue?QUERY`; ARTIFACT is a name in the report's list of sources."
    )
    form: Form = Field(default="score", description="How it is written.")

    @property
    def text(self) -> str:
        """The number as a person reads it."""
        return shown(self.value, self.form)


def shown(value: float | None, form: Form) -> str:
    """A number in few characters: .618 for a score of 0.618; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if form == "count":
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if form == "percent":
        return f"{100 * value:.1f} %"
    if form == "seconds":
        return f"{value:.1f} s"
    if form == "probability":
        return f"{value:.4f}".replace("0.", ".", 1) if value < 1 else "1"
    if form == "number":
        return f"{value:.4g}"
    text = f"{value:+.3f}" if form == "signed" else f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and not text.endswith("1.000") else text
