"""Transcripts of clips that the corpus has none of, by a recogniser; only clips it has not heard yet."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task

from tasks.data.equal_contents import one_of_each_content
from tasks.data.features import cut
from tasks.data.spans import spans_of
from tasks.stage.compute import computing
from tasks.stage.workspace import workspace

SAVED_CLIPS = 64
"""Clips whose transcripts are stored together: what an interrupted task loses at most."""


@task(name="plan transcription")
def plan_transcription(corpus: str, recogniser: str, shard_clips: int) -> tuple[tuple[str, ...], ...]:
    """Clips with sound, without a transcript of the corpus or of this recogniser, one clip of each content, by task run: shards,
    in a large corpus several of them (`tasks.data.spans`).
    """
    rows = workspace().catalogue.clips(corpus, recogniser)
    silent = [row for row in rows if row.has_audio and row.transcript is None]
    return tuple(spans_of(cut(one_of_each_content(silent), shard_clips), len(rows)))


@task(name="transcribe shard", tags=["gpu"])
def transcribe_shard(corpus: str, recogniser: str, names: Sequence[str]) -> int:
    """Listen to these clips and keep what was said, some at a time; a clip whose sound cannot be decoded said nothing.

    Of a clip that could not be heard for a reason that passes nothing is kept: the next run listens again.
    """
    from mer.transcription.listen import heard_or_none
    from mer.transcription.recogniser import open_recogniser

    space = workspace()
    rows = space.catalogue.clips(corpus, only=names)
    count = 0
    with computing(space.settings):
        model = open_recogniser(recogniser)
        for some in cut(rows, SAVED_CLIPS):
            texts = [(row.content, heard_or_none(model, row.path)) for row in some]
            heard = [(content, text) for content, text in texts if text is not None]
            space.catalogue.set_recognised(recogniser, heard)
            count += len(heard)
    return count
