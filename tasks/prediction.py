"""Prediction with a registered version: media files in, `name,discrete,valence,confidence` out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prefect import task

from mer.clips import Clip
from mer.errors import MediaError
from tasks.compute import computing
from tasks.workspace import Workspace, workspace

MEDIA_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".wav", ".flac", ".mp3", ".m4a", ".ogg")


@dataclass(frozen=True)
class PredictionReport:
    """Where the table is, and what could not be predicted."""

    out: str
    predicted: int
    unusable: tuple[tuple[str, str], ...]
    """(file, reason) of media that cannot be read."""
    model: str
    version: int


@task(name="predict", tags=["gpu"])
def predict_files(
    paths: Sequence[str],
    out: str,
    model: str,
    version: int | None,
    progress: Callable[[int, int], None] | None = None,
) -> PredictionReport:
    """Predict every media file under `paths` with a model version (default: the champion) and write the table."""
    from mer.predictor.predictor import Predictor, answer_table

    space = workspace()
    chosen = space.catalogue.model_version(model, version) if version else space.catalogue.champion(model)
    if chosen is None:
        asked = f"version {version}" if version else "champion"
        raise LookupError(
            f"model {model!r} has no {asked}: expected a registered one; `mer models` lists them"
        )
    known = _catalogued(space)
    usable: list[Clip] = []
    unusable: list[tuple[str, str]] = []
    for path in media_files(paths):
        try:
            usable.append(_clip(path, known))
        except MediaError as error:
            unusable.append((str(path), f"{error.reason.value}: {error}"))
    with computing(space.settings):
        predictor = Predictor(space.artifacts.fetch(chosen.artifact), space.weights)
        predictions = predictor.predict(usable, progress)
    Path(out).write_text(answer_table(predictions), encoding="utf-8")
    return PredictionReport(
        out=out, predicted=len(predictions), unusable=tuple(unusable), model=model, version=chosen.version
    )


def media_files(paths: Sequence[str]) -> list[Path]:
    """The files named, and the media files of the folders named, in a stable order."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.suffix.lower() in MEDIA_SUFFIXES)
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _clip(path: Path, known: Mapping[str, Clip]) -> Clip:
    from mer.media.content_hash import sha256_file
    from mer.media.probe import probe

    probe(path)
    clip_id = sha256_file(path)
    found = known.get(clip_id)
    if found is None:
        return Clip(clip_id=clip_id, name=path.stem, path=path, corpus_root=path.parent)
    return replace(found, name=path.stem, path=path)


def _catalogued(space: Workspace) -> dict[str, Clip]:
    """Catalogued clips by content: their transcripts and precomputed features are used, wherever the file lies now."""
    return {
        row.clip_id: Clip(
            clip_id=row.clip_id,
            name=row.name,
            path=row.path,
            corpus_root=corpus.root,
            transcript=row.transcript,
        )
        for corpus in space.catalogue.corpora()
        for row in space.catalogue.clips(corpus.name)
    }
