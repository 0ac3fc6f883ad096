"""What drift compares: clips of a version's training snapshot, measured once per version, and new clips, measured once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infra.catalogue import ClipRow, ModelVersionRow
from infra.errors import ArtifactMissing
from infra.objects.local_copies import local_paths
from mer.clips import Clip
from mer.drift.config import DriftConfig
from mer.errors import MediaError
from mer.predictor.package import RECORD, ModelPackage
from mer.recipes.face_detectors import quality_detector
from tasks.data.face_detectors import settled_detector
from tasks.data.quality import known_quality, measure_clips, quality_method
from tasks.serve.comparison import held_out, snapshot_of
from tasks.serve.complete_versions import fetch_package
from tasks.serve.package_code import package_implementations
from tasks.serve.predicted_media import Catalogued, read_media
from tasks.stage.run import Produced, StageResult, StageRun, digest, run_stage
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mer.drift.measured import MeasuredClips
    from mer.quality.measure import ClipQuality

COLUMNS = ("duration_seconds", "speech_seconds", "snr_db", "face_share", "brightness")
"""Columns of quality that are compared."""


@dataclass(frozen=True)
class NewClips:
    """The batch that is looked at."""

    clips: tuple[Clip, ...]
    speakers: tuple[str | None, ...]
    """(M,) speaker, or the folder where no speaker is known and there are several; None: unknown."""
    corpus: str = ""
    """In the catalogue; empty: the clips are of none."""
    unusable: tuple[tuple[str, str], ...] = ()
    """(file, reason) of media that cannot be read."""
    left_out: int = 0
    """Clips beyond the most that are read."""


def served_package(space: Workspace, version: ModelVersionRow) -> ModelPackage:
    """The record of a version's package."""
    return ModelPackage.parse(space.artifacts.read(version.artifact, RECORD))


def new_of_corpus(space: Workspace, corpus: str, version: ModelVersionRow, config: DriftConfig) -> NewClips:
    """Clips of a corpus whose content the version's snapshot does not hold."""
    from mer.drift.measured import spread_over_speakers

    known = {member.content for member in snapshot_of(space, version.snapshot_id)}
    rows = [row for row in space.catalogue.clips(corpus) if row.content not in known and _is_there(row)]
    rows.sort(key=lambda row: (row.content, row.name))
    home = space.catalogue.corpus_of(version) or corpus
    speakers = [
        row.speaker if row.speaker is None or home == corpus else f"{corpus}/{row.speaker}" for row in rows
    ]
    folders = [str(row.path.parent) for row in rows]
    chosen = spread_over_speakers(speakers, config.batch_clips, config.seed).tolist()
    clips = _clips(space, corpus, [rows[row] for row in chosen])
    sources = _sources(speakers, folders)
    return NewClips(
        tuple(clips), tuple(sources[row] for row in chosen), corpus, left_out=len(rows) - len(chosen)
    )


def new_of_paths(space: Workspace, paths: Sequence[str], config: DriftConfig) -> NewClips:
    """Media files and folders of them; speakers of files that the catalogue knows, else their folders.

    Raises:
        CorpusError: there is no clip at all.
    """
    from mer.drift.measured import spread_over_speakers

    media = read_media(local_paths(paths, space.settings), Catalogued(space))
    clips = media.clips
    rows = space.catalogue.clips_lying_at((), [clip.content for clip in clips])
    known = {row.content: row.speaker for _, row in rows if row.speaker}
    speakers = [known.get(clip.content) for clip in clips]
    sources = _sources(speakers, [str(clip.path.parent) for clip in clips])
    chosen = spread_over_speakers(sources, config.batch_clips, config.seed).tolist()
    return NewClips(
        tuple(clips[row] for row in chosen),
        tuple(sources[row] for row in chosen),
        unusable=tuple((str(one.path), one.description) for one in media.unusable),
        left_out=len(clips) - len(chosen),
    )


def measured_reference(space: Workspace, version: ModelVersionRow, config: DriftConfig) -> StageResult | None:
    """Clips of the version's snapshot that were predicted by models that did not learn them; computed once per version.

    None: the version has no such predictions, or their files are gone.
    """
    from mer.drift.measured import spread_over_speakers

    if version.evaluation is None or version.snapshot_id is None:
        return None
    members = {member.name: member for member in snapshot_of(space, version.snapshot_id)}
    try:
        posteriors = held_out(space, version.evaluation, list(members.values()))
    except ArtifactMissing:
        return None
    corpus = space.catalogue.corpus_of(version)
    if corpus is None:
        return None
    rows = {row.name: row for row in space.catalogue.clips(corpus)}
    usable = sorted(
        name
        for name in posteriors.clip_ids
        if name in rows
        and name in members
        and rows[name].content == members[name].content
        and _is_there(rows[name])
    )
    speakers = [members[name].speaker for name in usable]
    names = [usable[row] for row in spread_over_speakers(speakers, config.reference_clips, config.seed)]
    package = served_package(space, version)
    detector = settled_detector(quality_detector(package.recipe), space.settings)

    def produce(run: StageRun) -> Produced:
        from mer.drift.measured import MeasuredClips
        from mer.predictor.measuring import read_with_package

        clips = _clips(run.space, corpus, [rows[name] for name in names])
        _, vectors = read_with_package(fetch_package(run.space, version), run.space.weights, clips)
        quality = _catalogued_quality(run.space, corpus, [rows[name] for name in names], detector)
        probabilities = posteriors.restricted(names).probabilities(package.temperature)
        measured = MeasuredClips(
            tuple(names),
            tuple(members[name].speaker for name in names),
            vectors,
            _columns(quality),
            probabilities,
        )
        return _saved(run, measured)

    return run_stage(
        "drift-reference",
        inputs={
            "model": version.artifact.sha256,
            "evaluation": version.evaluation.sha256,
            "clips": digest(
                [
                    [name, members[name].content, rows[name].transcript, members[name].speaker]
                    for name in names
                ]
            ),
        },
        config={"quality": quality_method(detector)},
        produce=produce,
        implementations=_reading_code(space, package),
    )


def measured_batch(space: Workspace, version: ModelVersionRow, new: NewClips) -> StageResult:
    """New clips as the version reads them; each is read once."""
    package = served_package(space, version)
    detector = settled_detector(quality_detector(package.recipe), space.settings)

    def produce(run: StageRun) -> Produced:
        from mer.drift.measured import MeasuredClips
        from mer.predictor.measuring import read_with_package

        folder = fetch_package(run.space, version)
        probabilities, vectors = read_with_package(folder, run.space.weights, new.clips)
        if new.corpus:
            by_name = {row.name: row for row in run.space.catalogue.clips(new.corpus)}
            rows = [by_name[clip.name] for clip in new.clips]
            quality = _catalogued_quality(run.space, new.corpus, rows, detector)
        else:
            quality = _loose_quality(run.space, new.clips, detector)
        names = tuple(clip.name for clip in new.clips)
        return _saved(run, MeasuredClips(names, new.speakers, vectors, _columns(quality), probabilities))

    return run_stage(
        "drift-batch",
        inputs={"model": version.artifact.sha256, "clips": batch_digest(new)},
        config={"quality": quality_method(detector)},
        produce=produce,
        implementations=_reading_code(space, package),
    )


def _reading_code(space: Workspace, package: ModelPackage) -> tuple[str, ...]:
    """What reads the clips: the package's code, and what decodes them for measuring their quality."""
    from mer.encoders.weights import resolve_weights
    from mer.features.readers import DECODING

    return (
        *package_implementations(package, lambda source: resolve_weights(source, space.weights)),
        DECODING,
    )


def batch_digest(new: NewClips) -> str:
    """Hash of which clips a batch has, with their words and speakers."""
    return digest(
        [
            [clip.name, clip.content, clip.transcript, who]
            for clip, who in zip(new.clips, new.speakers, strict=True)
        ]
    )


def _saved(run: StageRun, measured: MeasuredClips) -> Produced:
    folder = run.folder / "measured"
    folder.mkdir(parents=True, exist_ok=True)
    measured.save(folder)
    files = {path.name: path for path in sorted(folder.iterdir())}
    return Produced(files=files, meta={"clips": len(measured)})


def _clips(space: Workspace, corpus: str, rows: Sequence[ClipRow]) -> list[Clip]:
    root = space.catalogue.corpus_root(corpus)
    return [
        Clip(name=row.name, content=row.content, path=row.path, corpus_root=root, transcript=row.transcript)
        for row in rows
    ]


def _is_there(row: ClipRow) -> bool:
    return row.path.is_file() or not (row.has_audio or row.has_video)


def _sources(speakers: Sequence[str | None], folders: Sequence[str]) -> list[str | None]:
    """The speakers; where none is known and clips lie in several folders, these: a folder is usually a person or a session."""
    if any(who is not None for who in speakers) or len(set(folders)) < 2:
        return list(speakers)
    return [f"folder {folder}" for folder in folders]


def _catalogued_quality(
    space: Workspace, corpus: str, rows: Sequence[ClipRow], detector: str
) -> list[ClipQuality | None]:
    known = known_quality(space, corpus, rows, detector)
    missing = [row.name for row in rows if known[row.name] is None and (row.has_audio or row.has_video)]
    if missing:
        measure_clips(space, corpus, missing, detector)
        known = known_quality(space, corpus, rows, detector)
    return [known[row.name] for row in rows]


def _loose_quality(space: Workspace, clips: Sequence[Clip], detector: str) -> list[ClipQuality | None]:
    from mer.media.contained import ContainedMedia
    from mer.media.detector_choice import open_detector
    from mer.quality.measure import measure_quality

    opened = open_detector(detector, space.weights)
    measured: list[ClipQuality | None] = []
    with ContainedMedia() as contained:
        for clip in clips:
            try:
                measured.append(measure_quality(clip.path, opened, contained=contained))
            except MediaError:
                measured.append(None)
    return measured


def _columns(quality: Sequence[ClipQuality | None]) -> Mapping[str, NDArray[np.float64]]:
    return {
        name: np.array(
            [np.nan if one is None or getattr(one, name) is None else getattr(one, name) for one in quality],
            dtype=np.float64,
        )
        for name in COLUMNS
    }
