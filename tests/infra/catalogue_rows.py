"""Rows for the tests of the catalogue."""

from __future__ import annotations

import hashlib

from infra.artifacts import ArtifactRef
from infra.catalogue import ClipUpsert, GenerationFacts, PseudoLabelRow


def content(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def clip(number: int, **changed: object) -> ClipUpsert:
    values: dict[str, object] = {
        "content": content(number),
        "name": f"clip{number}",
        "path": f"/corpus/clip{number}.mp4",
        "size": 1000 + number,
        "mtime_ns": 1_700_000_000_000_000_000 + number,
        "duration_seconds": 1.5,
        "has_audio": True,
        "has_video": number % 2 == 0,
        "speaker": f"speaker{number % 5}",
        "transcript": f"text of {number}",
        "fold": number % 5,
    }
    return ClipUpsert(**{**values, **changed})  # type: ignore[arg-type]


def ref(name: str) -> ArtifactRef:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return ArtifactRef(kind="model", key=digest, sha256=digest, meta={"name": name})


def label(number: int, emotion: str, confidence: float, valence: float | None) -> PseudoLabelRow:
    return PseudoLabelRow(f"clip{number}", content(number), emotion, confidence, valence)


def generation(key: str, corpus: str, **more: object) -> GenerationFacts:
    facts = {
        "artifact": ref("m"),
        "policy": {"threshold": 0.9},
        "counts": {"angry": 1},
        "recipe": "r",
        **more,
    }
    return GenerationFacts(key=key, corpus=corpus, **facts)  # type: ignore[arg-type]
