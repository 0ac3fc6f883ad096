"""What a caller says is spoken in clips."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mer.clips import Clip
from mer.corpora.clip_texts import ClipTexts, read_texts, with_words
from mer.errors import ConfigError
from mer.library.arrays import described


def spoken_clips(clips: Sequence[Clip], transcripts: Any) -> list[Clip]:
    """The clips with the words that are given, else with those that are known of them, else of the text files beside them.

    Args:
        clips: with the transcripts that are known.
        transcripts: texts in the order of the clips, a mapping from name or path to text, the path of a table of these, or None.

    Raises:
        ConfigError: none of these, or texts of another number than the clips.
        CorpusError: a table that cannot be read, or a name that stands for several clips.
    """
    given: ClipTexts | None = None
    if isinstance(transcripts, (str, os.PathLike)):
        given = read_texts(Path(transcripts).expanduser())
    elif isinstance(transcripts, Mapping):
        texts = {os.fspath(name): str(text) for name, text in transcripts.items() if not _unknown(text)}
        given = ClipTexts(texts, "transcripts")
    elif transcripts is not None:
        clips = _in_order(clips, transcripts)
    spoken, notes = with_words(clips, given, before_known=False)
    for note in notes:
        warnings.warn(f"transcripts: {note}", UserWarning, stacklevel=3)
    return spoken


def _in_order(clips: Sequence[Clip], transcripts: Any) -> list[Clip]:
    if not isinstance(transcripts, Iterable):
        raise ConfigError(
            f"transcripts: expected texts, a mapping or the path of a table, found {described(transcripts)}"
        )
    texts = list(transcripts)
    if len(texts) != len(clips):
        raise ConfigError(f"transcripts: expected {len(clips)} texts, one for each clip, found {len(texts)}")
    return [
        clip if _unknown(text) else replace(clip, transcript=str(text))
        for clip, text in zip(clips, texts, strict=True)
    ]


def _unknown(text: Any) -> bool:
    """None or NaN; an empty text is one: nothing is spoken."""
    return text is None or (isinstance(text, float) and math.isnan(text))
