"""Numbers in the cells of tables, as spreadsheets of several countries write them."""

from __future__ import annotations

import math
import re

from mer.errors import CorpusError

MISSING = frozenset({"", "nan", "none", "null", "na", "n/a", "-", "#n/a"})
"""Cells, in lower case, that say that there is no number."""

_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")
_FOLD = re.compile(r"(?:fold|f|cv)?[\s_-]*(\d{1,6})(?:[.,]0+)?")


def number_of(text: str) -> float | None:
    """The finite number of a cell; None for an empty one. `3,5` is 3.5 and `65 %` is 0.65.

    Raises:
        CorpusError: it is no number.
    """
    plain = text.replace("\u2212", "-").replace("\xa0", "").strip()
    if plain.lower() in MISSING:
        return None
    percent = plain.endswith("%")
    plain = plain.removesuffix("%").strip()
    if _DECIMAL_COMMA.fullmatch(plain):
        plain = plain.replace(",", ".")
    try:
        value = float(plain)
    except ValueError:
        raise CorpusError(f"{text!r} is no number") from None
    if not math.isfinite(value):
        raise CorpusError(f"{text!r} is no finite number")
    return value / 100 if percent else value


def fold_of(text: str) -> int | None:
    """The number of a fold: 3, 3.0, `fold 3`; None for an empty cell.

    Raises:
        CorpusError: it is no whole number >= 0.
    """
    if text.lower() in MISSING:
        return None
    match = _FOLD.fullmatch(text.lower())
    if match is None:
        raise CorpusError(f"fold {text!r} is no whole number >= 0")
    return int(match[1])
