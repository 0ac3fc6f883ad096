"""Corpora, their clips a page at a time, the clips' files by ranges, and answers for them."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from flows.service.explained_clip import ExplainedClip
from flows.service.part import Part
from flows.service.predict import REFUSALS, Asked, Policy
from flows.service.problems import Refused, described
from flows.service.state import Service
from infra.catalogue import ClipRow
from mer.clips import Clip

_MOST = 200
_KINDS = {
    ".mkv": "video/x-matroska",
    ".m4a": "audio/mp4",
    ".m4v": "video/mp4",
    ".opus": "audio/ogg",
    ".ogv": "video/ogg",
    ".flac": "audio/flac",
}
Name = Annotated[str, Query(min_length=1, max_length=1000, description="Name in the catalogue.")]


class Corpus(BaseModel):
    """A corpus of the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    clips: int = Field(ge=0, description="Clips with a file.")
    labelled: int = Field(ge=0)
    emotions: tuple[str, ...]


class Corpora(BaseModel):
    """All corpora, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpora: tuple[Corpus, ...]


class StoredClip(BaseModel):
    """A clip of a corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    seconds: float | None = Field(description="Duration; null: not known.")
    has_audio: bool
    has_video: bool
    emotion: str | None = Field(
        description="Its label; null: unlabelled, or a label that only the evaluator may read (test)."
    )
    valence: float | None
    speaker: str | None
    split: str
    transcript: str | None


class ClipPage(BaseModel):
    """Clips in the order of their names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clips: tuple[StoredClip, ...]
    more: bool = Field(description="Whether others follow: ask with `after`, the last name.")


def router(service: Service) -> APIRouter:
    """What is read of stores is named by corpus and clip, never by a path."""
    routes = APIRouter(prefix="/api", tags=["corpora"], responses=described(404, 422, 503))
    asked = Asked(service)

    @routes.get("/corpora", summary="All corpora")
    def corpora() -> Corpora:
        catalogue = service.space.catalogue
        listed = []
        for row in catalogue.corpora():
            counts = catalogue.counts(row.name)
            listed.append(
                Corpus(name=row.name, clips=counts.clips, labelled=counts.labelled, emotions=row.emotions)
            )
        return Corpora(corpora=tuple(listed))

    @routes.get("/clips", summary="Clips of a corpus")
    def clips(
        corpus: Name,
        after: Annotated[str, Query(max_length=1000)] = "",
        contains: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=_MOST)] = 50,
    ) -> ClipPage:
        rows = service.space.catalogue.clip_page(
            _text(corpus), after=_text(after), contains=_text(contains), limit=limit + 1
        )
        return ClipPage(clips=tuple(map(_stored, rows[:limit])), more=len(rows) > limit)

    @routes.get(
        "/media",
        summary="A clip's file, also by ranges",
        response_class=FileResponse,
        responses={
            200: {
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                    "video/*": {},
                    "audio/*": {},
                }
            },
            206: {"description": "The ranges that were asked for", "content": {"*/*": {}}},
            **described(416),
        },
    )
    def media(corpus: Name, clip: Name) -> FileResponse:
        path, _ = stored_file(service, corpus, clip)
        kind = _KINDS.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or ""
        playable = kind.startswith(("video/", "audio/"))
        return FileResponse(path, media_type=kind if playable else "application/octet-stream")

    @routes.post(
        "/clips/explain",
        summary="A stored clip, and what each modality says of it",
        responses=described(*REFUSALS),
    )
    async def explain(corpus: Name, clip: Name, policy: Policy) -> ExplainedClip:
        asked.check_room(1)
        path, found = await to_thread.run_sync(stored_file, service, corpus, clip)
        return await asked.explain_clip(found, path.name, policy)

    return routes


def stored_file(service: Service, corpus: str, clip: str) -> tuple[Path, Clip]:
    """File and clip of a name in a corpus; only a regular file within the corpus' folder is given out.

    Raises:
        CatalogueError: no such corpus.
        Refused: 404, no such clip, or its file is gone or lies elsewhere by now.
    """
    root = service.space.catalogue.corpus_root(_text(corpus))
    rows = service.space.catalogue.clips(_text(corpus), only=[_text(clip)])
    if not rows:
        raise Refused(
            404, "not_found", f"expected a clip of corpus {corpus!r}, found none named {clip[:100]!r}"
        )
    row = rows[0]
    path = row.path.resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        raise Refused(
            404,
            "no_file",
            f"expected the file of clip {clip[:100]!r} in its corpus, found none there: ingest the corpus again",
        )
    return path, Clip(
        name=row.name, content=row.content, path=row.path, corpus_root=root, transcript=row.transcript
    )


def _stored(row: ClipRow) -> StoredClip:
    hidden = row.split == "test"  # labels of test clips are read by the evaluator alone
    return StoredClip(
        name=row.name,
        seconds=row.duration_seconds,
        has_audio=row.has_audio,
        has_video=row.has_video,
        emotion=None if hidden else row.emotion,
        valence=None if hidden else row.valence,
        speaker=row.speaker,
        split=row.split,
        transcript=row.transcript,
    )


def _text(text: str) -> str:
    """What databases take. Raises Refused (422) for what no name in the catalogue holds."""
    if "\x00" in text or any(0xD800 <= ord(character) < 0xE000 for character in text):
        raise Refused(
            422, "invalid_request", "expected text, found characters that no name holds (NUL, half of a pair)"
        )
    return text


PART = Part(name="corpora", router=router)
