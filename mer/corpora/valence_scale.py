"""The scale that valences are written on: `1..9`, `0..1`, `-1..1`; what a table does not say is never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mer.corpora.cell_numbers import number_of
from mer.corpora.options import ReadingOptions
from mer.emotions import VALENCE_RANGE
from mer.errors import ConfigError, CorpusError

_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_SCALE = re.compile(rf"\s*(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})\s*")
_DIGITS = 6
"""Of a converted valence: 5.5 on 1..9 is 0.625, and not 0.6250000000000004."""
_COMMON = ((0, 1), (1, 5), (1, 7), (1, 9), (0, 10), (0, 100))
"""Scales without negative values that people rate on."""
_ENDS = (1, 2, 3)
"""Of scales around 0 that lie within ours: CMU-MOSEI's is -3..3."""


class ValenceOutside(CorpusError):
    """A valence outside its scale."""


def parse_valence_scale(text: str) -> tuple[float, float] | None:
    """Lowest and highest value of a scale; None for an empty text.

    Raises:
        ConfigError: it is not LOW..HIGH with LOW below HIGH.
    """
    if not text.strip():
        return None
    match = _SCALE.fullmatch(text)
    if match is None or not float(match["low"]) < float(match["high"]):
        raise ConfigError(
            f"valence scale: expected LOW..HIGH, the lowest and the highest value, e.g. 1..9, 0..1 or -1..1, found {text!r}"
        )
    return float(match["low"]), float(match["high"])


def about_scale(texts: Iterable[str], options: ReadingOptions) -> tuple[list[str], list[str]]:
    """Notes on the scale of a table's valences, and problems with it.

    It is a problem if no valence is negative, so that they are hardly on the scale -5..5, and nothing was said.

    Args:
        texts: the cells of the column.
        options: what was said about it.
    """
    if options.valence_scale is not None:
        low, high = options.valence_scale
        return [f"valence: {low:g}..{high:g} becomes {VALENCE_RANGE[0]:g}..{VALENCE_RANGE[1]:g} (linear)"], []
    numbers = [number for number in map(_number, texts) if number is not None]
    if not numbers:
        return [], []
    lowest, highest = min(numbers), max(numbers)
    span = f"{len(numbers)} valences from {lowest:g} to {highest:g}"
    if lowest >= 0:
        likely = [f"{low}..{high}" for low, high in _COMMON if low <= lowest and highest <= high][:3]
        meant = ", or -5..5 if they are meant so" if highest <= VALENCE_RANGE[1] else ""
        return [], [
            f"{span}, none below 0: expected the scale -5..5, or to be told another one. Say which it is: --valence-scale "
            f"{' or '.join(likely) or 'LOWEST..HIGHEST'}{meant}; in Python, valence_scale=(1, 9)"
        ]
    likely_end = next((end for end in _ENDS if -end <= lowest and highest <= end), None)
    if likely_end is not None:
        scale = f"-{likely_end}..{likely_end}"
        return [
            f"{span}: taken as they are, on -5..5; --valence-scale {scale} says that {likely_end} is the highest"
        ], []
    return [], []


def on_our_scale(text: str, scale: tuple[float, float] | None) -> float | None:
    """Valence in [-5, 5] of a cell; None for an empty one.

    Raises:
        CorpusError: no number.
        ValenceOutside: a number outside the scale.
    """
    try:
        value = number_of(text)
    except CorpusError as error:
        raise CorpusError(f"valence {error}") from None
    if value is None:
        return None
    low, high = scale or VALENCE_RANGE
    if not low <= value <= high:
        hint = "" if scale else "; --valence-scale LOWEST..HIGHEST says what scale it is"
        raise ValenceOutside(
            f"valence {text} is outside [{low:g}, {high:g}]: leave the cell empty where it is missing{hint}"
        )
    if scale is None or scale == VALENCE_RANGE:
        return value
    least, most = VALENCE_RANGE
    return round(least + (most - least) * (value - low) / (high - low), _DIGITS)


def _number(text: str) -> float | None:
    """None also for what is no number: rows are complained about one by one."""
    try:
        return number_of(text)
    except CorpusError:
        return None
