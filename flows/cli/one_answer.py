"""One prediction for people, in a terminal of 80 columns."""

from __future__ import annotations

import sys

from mer.predictions import Prediction

_WIDTH = 80
_BAR = 40


def answer_lines(row: Prediction) -> list[str]:
    """Lines of at most 80 characters: the answer, every class with a bar, what was read, what is odd; or why there is none."""
    lines = [_fitting(row.name)]
    if not row.probabilities:
        return [*lines, f"no answer: {row.status}"]
    valence = "" if row.valence is None else f", valence {row.valence:+.2f} (-5 to 5)"
    said = f"{row.discrete} {100 * (row.confidence or 0):.1f} %{valence}"
    lines.append(said if row.answered else f"no answer: {row.status}")
    if row.prediction_set:
        lines.append(_fitting(f"one of: {', '.join(row.prediction_set)}"))
    wide = max(map(len, row.probabilities))
    name_width = min(wide, _WIDTH - _BAR - 12)
    full = "█" if (sys.stdout.encoding or "").lower().replace("-", "") == "utf8" else "#"
    for name, share in row.probabilities.items():
        bar = full * round(share * _BAR)
        lines.append(f"  {name[:name_width]:<{name_width}}  {100 * share:5.1f} %  {bar}".rstrip())
    lines.append(_fitting(f"read: {', '.join(row.modalities) or 'nothing of the clip'}"))
    if row.flags:
        lines.append(_fitting(f"odd: {', '.join(row.flags)}"))
    return lines


def _fitting(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."
