"""The words of clips that are predicted: what the user gives, else what lies beside the file, else what the catalogue knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mer.clips import Clip
from mer.corpora.clip_texts import ClipTexts, sidecar_text
from mer.errors import CorpusError

_SHOWN = 5


def with_words(clips: Sequence[Clip], given: ClipTexts | None) -> tuple[list[Clip], list[str]]:
    """The clips with their words, and what is to be said of texts that could not be used.

    A clip that has none of these is left without: the recipe's recogniser, where there is one, listens to it later.

    Args:
        clips: with the transcripts of the catalogue.
        given: of the table that the user names.

    Raises:
        CorpusError: a name of the table that stands for several clips.
    """
    notes: list[str] = []
    files = [(clip.name, clip.path) for clip in clips]
    texts = given.of_files(files) if given is not None else [None] * len(clips)
    if given is not None and (unused := given.without_file(files)):
        shown = ", ".join(unused[:_SHOWN]) + (", ..." if len(unused) > _SHOWN else "")
        notes.append(f"{given.source}: {len(unused)} of {len(given.texts)} texts have no clip here ({shown})")
    spoken = []
    for clip, text in zip(clips, texts, strict=True):
        if text is None:
            try:
                text = sidecar_text(clip.path)
            except CorpusError as error:
                notes.append(f"not used: {error}")
        spoken.append(clip if text is None else replace(clip, transcript=text))
    return spoken, notes
