"""How a corpus is read, where its files do not say it themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AUTO = "auto"
"""The format is found out."""

LabelMap = Mapping[str, str | None]
"""A corpus' own label -> a member of the emotion set, or None for "no label"."""


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """What all readers of corpora are given; a reader need not use every field."""

    format: str = AUTO
    """Name of the reader to use."""
    label_map: LabelMap = field(default_factory=dict)
    """Looked up before the common synonyms."""
    valence_scale: tuple[float, float] | None = None
    """Lowest and highest value of the scale that valences are written on; None: the format's own, [-5, 5] for tables."""
    text_column: str = ""
    """Column of the transcripts; empty: the format's own choice."""


AS_FOUND = ReadingOptions()
"""Nothing is said: all is found out."""
