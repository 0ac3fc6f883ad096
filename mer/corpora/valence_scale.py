"""The valence scale as people write it: `1..9`, `0..1`, `-1..1`."""

from __future__ import annotations

import re

from mer.errors import ConfigError

_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_SCALE = re.compile(rf"\s*(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})\s*")


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
