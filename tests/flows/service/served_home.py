"""A home with a champion that answers in milliseconds, and a service over it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile
from fastapi.testclient import TestClient
from small_model import register_small

from flows.service.app import build_app
from flows.service.limits import ServiceLimits
from flows.service.state import Service, open_service
from infra.catalogue import ClipUpsert
from mer.media.content_hash import sha256_file
from tasks.stage.workspace import Workspace

CORPUS = "shown"


def register_words(space: Workspace, folder: Path) -> None:
    """A champion that reads transcripts, `words`; clips without are answered by what it expects."""
    register_small(space, folder / "words", "words", reads_words=True)


def write_sound(path: Path, seconds: float = 0.2) -> Path:
    """A hum."""
    soundfile.write(path, [0.1, -0.1] * int(8_000 * seconds), 16_000)
    return path


def add_corpus(space: Workspace, root: Path) -> Path:
    """A corpus of one clip with sound and words, and of one whose file lies outside of it; returns the first one's file."""
    root.mkdir(parents=True)
    inside, outside = write_sound(root / "a.wav"), write_sound(root.parent / "outside.wav", 0.3)
    (root / "link.wav").symlink_to(outside)
    space.catalogue.upsert_corpus(CORPUS, root, "table", ("angry", "happy"))
    space.catalogue.upsert_clips(
        CORPUS,
        [
            ClipUpsert(
                name=name, content=sha256_file(path), path=str(path), size=path.stat().st_size, mtime_ns=1, duration_seconds=0.2,
                has_audio=True, has_video=False, transcript="so glad", split=split,
            )
            for name, path, split in (("a", inside, "train"), ("linked", root / "link.wav", "test"))
        ],
    )  # fmt: skip
    return inside


@contextmanager
def serving(
    space: Workspace, limits: ServiceLimits | None = None, model: str = ""
) -> Iterator[tuple[TestClient, Service]]:
    """A client of a service whose model is loaded."""
    service = open_service(space, limits, model)
    assert service.answering is not None
    service.answering.champion.look()
    try:
        with TestClient(build_app(service), raise_server_exceptions=False) as client:
            yield client, service
    finally:
        service.answering.stop()
