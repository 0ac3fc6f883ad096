"""Clips in the catalogue without any media, for tests that make their features up."""

from __future__ import annotations

from collections.abc import Sequence

from infra.catalogue import ClipUpsert
from tasks.stage.workspace import Workspace


def catalogue_clips(
    space: Workspace, corpus: str, names: Sequence[str], contents: Sequence[str] = ()
) -> None:
    """A corpus of clips; without `contents` these are called as the clips are."""
    space.catalogue.upsert_corpus(corpus, f"/{corpus}", "folder", ("neutral",))
    rows = [
        ClipUpsert(
            name=name, content=content, path=f"/{corpus}/{name}.wav", size=1, mtime_ns=1, duration_seconds=1.0,
            has_audio=True, has_video=False,
        )
        for name, content in zip(names, contents or names, strict=True)
    ]  # fmt: skip
    space.catalogue.upsert_clips(corpus, rows)
