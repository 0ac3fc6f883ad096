"""What streams of a recipe may be called."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mer.recipes.modalities import MODALITIES
from mer.recipes.stream import Stream
from mer.stream_tables import RESERVED_STREAM_NAMES

RESERVED_NAMES = ("learnt", "statistics", "fused", "ensemble", "logistic", "frozen")
"""No names of streams: they are those of what is made of streams, and of rows of the result table."""
_STREAM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def check_stream_names(streams: Mapping[str, Stream]) -> None:
    """Refuse names of streams that something else has, or that are no plain names.

    Raises:
        ValueError: such a name.
    """
    for name, stream in streams.items():
        if not _STREAM_NAME.fullmatch(name) or name in RESERVED_NAMES:
            raise ValueError(
                f"streams: expected names of 1 to 32 letters, digits, - and _ other than {', '.join(RESERVED_NAMES)}, "
                f"found {name[:60]!r}"
            )
        if stream.modality in RESERVED_STREAM_NAMES:
            raise ValueError(
                f"streams.{name}.modality: expected another name than {stream.modality}, which torch has for something else"
            )
        alike = [other for other in streams if other != name and _alike(other) == _alike(name)]
        if alike:
            raise ValueError(
                f"streams: expected names that differ in more than case, - and _, found {name} and {alike[0]}"
            )
        if name in MODALITIES and name != stream.modality:
            raise ValueError(
                f"streams.{name}: expected modality {name}, found {stream.modality}; give the stream another name"
            )


def _alike(name: str) -> str:
    """What names of folders and of artifacts in the UI tell apart."""
    return name.lower().replace("_", "-")
