"""Clip names of corpora that write more than a number into them."""

from __future__ import annotations

import re

_OTHERS = (
    re.compile(r"(?P<speaker>S[MF]\d+)_F\d+_[AHNS]\d+"),  # URDU: SM1_F12_A012
    re.compile(r"(?P<speaker>[OY]AF?)_\w+_[a-z]+"),  # TESS: OAF_back_angry
)
_IEMOCAP = re.compile(r"Ses0(?P<session>[1-5])[FM]_\w+_(?P<gender>[FM])(?:[XY]X)?\d+")


def iemocap_speaker(name: str) -> tuple[str, str] | None:
    """(speaker, fold) of an IEMOCAP utterance, `Ses01F_impro01_M003` -> (`Ses01M`, `0`).

    The letter after the session says who wears the markers, the last one who speaks. Folds are the sessions, as
    published work leaves one session out.
    """
    match = _IEMOCAP.fullmatch(name)
    return (f"Ses0{match['session']}{match['gender']}", str(int(match["session"]) - 1)) if match else None


def other_speaker(name: str) -> str:
    """Speaker of a clip of URDU, TESS or IEMOCAP by its name; empty: it is named otherwise."""
    if (iemocap := iemocap_speaker(name)) is not None:
        return iemocap[0]
    matches = (pattern.fullmatch(name) for pattern in _OTHERS)
    return next((match["speaker"] for match in matches if match), "")


def name_before_first_dot(name: str) -> str:
    """The clip a file of MER2024 to 2026 belongs to: its name up to the first dot."""
    return name.split(".", 1)[0]
