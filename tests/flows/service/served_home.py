"""A home with a champion that answers in milliseconds, and a service over it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from fastapi.testclient import TestClient

from flows.service.app import build_app
from flows.service.limits import ServiceLimits
from flows.service.state import Service, open_service
from infra.catalogue import ClipUpsert
from mer.media.content_hash import sha256_file
from tasks.stage.workspace import Workspace

CORPUS = "shown"


def write_sound(path: Path, seconds: float = 0.2, level: float = 0.1) -> Path:
    """A hum."""
    soundfile.write(path, [level, -level] * int(8_000 * seconds), 16_000)
    return path


def add_corpus(space: Workspace, root: Path) -> Path:
    """A corpus of two clips with features of their own, and of one whose file lies outside of it; returns its folder."""
    features = root / "features" / "speech"
    features.mkdir(parents=True)
    files = {name: write_sound(root / f"{name}.wav", level=level) for name, level in (("a", 0.1), ("b", 0.2))}
    for name, value in (("a", 2.0), ("b", -2.0)):
        np.save(features / f"{name}.npy", np.full((1, 3), value, dtype=np.float32))
    (root / "linked.wav").symlink_to(write_sound(root.parent / "outside.wav", 0.3))
    files["linked"] = root / "linked.wav"
    space.catalogue.upsert_corpus(CORPUS, root, "table", ("angry", "happy"))
    space.catalogue.upsert_clips(
        CORPUS,
        [
            ClipUpsert(
                name=name, content=sha256_file(path), path=str(path), size=path.stat().st_size, mtime_ns=1, duration_seconds=0.2,
                has_audio=True, has_video=False, transcript="so glad", split="test" if name == "linked" else "train",
            )
            for name, path in files.items()
        ],
    )  # fmt: skip
    return root


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
