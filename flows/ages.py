"""How long something is, in words."""

from __future__ import annotations


def age_text(seconds: float) -> str:
    """E.g. `40 s`, `5 min`, `3 h`, `2 days`."""
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
