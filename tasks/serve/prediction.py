"""Prediction with a registered version: clips in, predictions (as a table, JSON or JSON lines) or a submission out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os.path import commonpath
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task

from infra.catalogue import CorpusRow, ModelVersionRow
from mer.clips import Clip
from mer.errors import ConfigError, CorpusError, MediaError, QuarantineReason
from mer.label_shift.config import LabelShiftConfig
from tasks.serve.label_shift import analyse_predictions, write_summary
from tasks.serve.library import model_named, version_of
from tasks.stage.compute import computing
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.corpora.submission import Candidates
    from mer.label_shift.analysis import NoAnalysis, ShiftAnalysis
    from mer.predictions import Prediction
    from mer.predictor.predictor import Predictor, Scores

MEDIA_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".wav", ".flac", ".mp3", ".m4a", ".ogg")


@dataclass(frozen=True)
class UnusableMedia:
    """A file that no model can answer for."""

    path: Path
    reason: QuarantineReason
    message: str

    @property
    def description(self) -> str:
        """Reason and message, for people."""
        return f"{self.reason.value}: {self.message}"


@dataclass(frozen=True)
class PredictionReport:
    """Path of the written file, counts, and the media that could not be predicted."""

    out: str
    predicted: int
    unusable: tuple[tuple[str, str], ...]
    """(file, reason) of media that cannot be read."""
    model: str
    version: int
    label_shift: str = ""
    """What is known of the class priors of these clips, in one line; empty where it was not asked for."""

    @property
    def summary(self) -> str:
        """Lines for people."""
        done = f"{self.predicted} predictions by {self.model} version {self.version} in {self.out}"
        return "\n".join(line for line in (done, self.label_shift) if line)


@dataclass(frozen=True)
class PredictionRequest:
    """What is predicted, by which version, and where the answers go."""

    paths: Sequence[str]
    """Media files, or folders of them."""
    out: str
    """File to write; the suffix names the view: .csv, .json or .jsonl."""
    model: str = ""
    """Registered model; empty: the only one that is served."""
    version: int | None = None
    """None: the champion."""
    candidates: str = ""
    """Table of the names that a submission must have; empty: no submission."""
    corpus: str = ""
    """Corpus in the catalogue that candidates are clips of, where there are no paths; empty: any."""
    label_shift: str = ""
    """Replaces the mode of the version's recipe; empty: as that says."""


@task(name="predict", tags=["gpu"])
def predict_files(
    request: PredictionRequest, progress: Callable[[int, int], None] | None = None
) -> PredictionReport:
    """Predict every media file under the paths and write a row for each; files that cannot be read have their status.

    With a table of candidates only its clips are predicted, and a submission of exactly its rows is written; without paths
    they are taken from the catalogue. Unless label shift is off, a summary with and without correction is written beside.

    Args:
        request: what is predicted.
        progress: called with (clips done, clips in all) after every batch.

    Raises:
        ConfigError: a suffix of no view, or no such folder, before anything is read.
        LookupError: no such version.
    """
    from mer.corpora.submission import read_candidates
    from mer.media.sniff import printable
    from mer.prediction_files import write_predictions
    from mer.predictor.predictor import Predictor

    out = Path(request.out)
    _check_out(out, submission=bool(request.candidates))
    space = workspace()
    model = model_named(space, request.model)
    chosen = version_of(space, model, request.version)
    requested = read_candidates(Path(request.candidates)) if request.candidates else None
    media = _media(space, request.paths, requested)
    if requested is not None and not request.paths:
        media = list(catalogued_candidates(space, requested, request.corpus))
    usable = [medium for medium in media if isinstance(medium, Clip)]
    unusable = [medium for medium in media if isinstance(medium, UnusableMedia)]
    if requested is not None:
        require_one_answer(usable)
    with computing(space.settings):
        predictor = Predictor(space.artifacts.fetch(chosen.artifact), space.weights, chosen.version)
        scores = predictor.scores(usable, progress)
    predictions, shift = _answers(space, chosen, predictor, usable, scores, request.label_shift)
    if requested is None:
        rows = _rows(media, predictions, (model, chosen.version))
        write_predictions(out, rows, predictor.package.recipe.emotions)
    else:
        out.write_text(_submission(requested, predictions, unusable), encoding="utf-8")
    return PredictionReport(
        out=request.out,
        predicted=len(predictions),
        unusable=tuple((printable(str(medium.path)), medium.description) for medium in unusable),
        model=model,
        version=chosen.version,
        label_shift=write_summary(shift, out) if shift is not None else "",
    )


def _check_out(out: Path, *, submission: bool) -> None:
    from mer.prediction_files import VIEWS, view_of

    if not submission:
        view_of(out)
    elif out.suffix.lower() in set(VIEWS) - {".csv"}:
        raise ConfigError(
            f"submission: expected a file named *.csv, found {out.name!r}; a submission is a table"
        )
    if not out.parent.is_dir() or out.is_dir():
        raise ConfigError(f"predictions: expected a file in a folder that exists, found {str(out)!r}")


def _rows(
    media: Sequence[Clip | UnusableMedia], predictions: Sequence[Prediction], model: tuple[str, int]
) -> list[Prediction]:
    """A row for every medium, in their order, under names that tell them apart."""
    from mer.predictions import Prediction

    answers = iter(predictions)
    rows = [
        next(answers)
        if isinstance(medium, Clip)
        else Prediction(name=medium.path.stem, path=str(medium.path), status=medium.reason, model=model[0])
        for medium in media
    ]
    return [
        Prediction.model_validate({**dict(row), "name": name, "model": model[0], "version": model[1]})
        for row, name in zip(rows, answer_names(media), strict=True)
    ]


def _answers(
    space: Workspace,
    version: ModelVersionRow,
    predictor: Predictor,
    clips: Sequence[Clip],
    scores: Scores,
    mode: str,
) -> tuple[list[Prediction], ShiftAnalysis | NoAnalysis | None]:
    """Answers, corrected for label shift only where that is asked for and a test says that there is one."""
    from mer.label_shift.analysis import ShiftAnalysis

    config = predictor.package.recipe.label_shift
    if mode:
        config = LabelShiftConfig.model_validate({**config.model_dump(), "mode": mode})
    if config.mode == "off":
        return predictor.answers(clips, scores), None
    analysis = analyse_predictions(space, version, predictor.package, clips, scores.logits, config)
    corrected = analysis.corrected if isinstance(analysis, ShiftAnalysis) and analysis.applied else None
    return predictor.answers(clips, scores, corrected), analysis


def catalogued_candidates(space: Workspace, candidates: Candidates, corpus: str) -> list[Clip]:
    """Catalogued clips that candidates name, of one corpus or of all.

    Raises:
        CorpusError: one name stands for several clips: says in which corpora.
    """
    clips_by_name: dict[str, tuple[str, Clip]] = {}
    for row in space.catalogue.corpora():
        if corpus and row.name != corpus:
            continue
        for clip in _clips_of(space, row):
            known = clips_by_name.get(clip.name)
            if known is not None and known[1].content != clip.content and candidates.wants(clip.name):
                raise CorpusError(
                    f"candidate {clip.name} is a clip of {known[0]} and another one of {row.name}: say which corpus "
                    "by --name"
                )
            if candidates.wants(clip.name):
                clips_by_name[clip.name] = (row.name, clip)
    return [clip for _, clip in clips_by_name.values()]


def _media(
    space: Workspace, paths: Sequence[str], candidates: Candidates | None
) -> list[Clip | UnusableMedia]:
    """The media files under `paths`, in order: as clips, or why they are none."""
    known = _Catalogued(space)
    media: list[Clip | UnusableMedia] = []
    for path in media_files(paths):
        if candidates is not None and not candidates.wants(path.stem):
            continue
        try:
            media.append(_clip(path, known))
        except MediaError as error:
            media.append(UnusableMedia(path, error.reason, str(error)))
    return media


def _submission(
    candidates: Candidates, predictions: Sequence[Prediction], unusable: Sequence[UnusableMedia]
) -> str:
    from mer.corpora.submission import submission_table

    return submission_table(
        candidates, predictions, {medium.path.stem: medium.description for medium in unusable}
    )


def media_files(paths: Sequence[str]) -> list[Path]:
    """The files named, and the media files of the folders named, in a stable order."""
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            files += sorted(file for file in path.rglob("*") if file.suffix.lower() in MEDIA_SUFFIXES)
        else:
            files.append(path)
    return list(dict.fromkeys(files))


def answer_names(media: Sequence[Clip | UnusableMedia]) -> list[str]:
    """Names of the rows: the clip's or file's name; where several share one, their paths below the folder they share.

    As names of a corpus are made: `a/x.wav` and `b/x.wav` are `a__x` and `b__x`; the suffix is added where it alone differs.
    """
    names = [medium.name if isinstance(medium, Clip) else medium.path.stem for medium in media]
    paths = [medium.path.absolute() for medium in media]
    media_of = Counter(names)
    sharing = [path for path, name in zip(paths, names, strict=True) if media_of[name] > 1]
    if not sharing:
        return names
    root = commonpath([str(path.parent) for path in sharing])
    below = {path: "__".join(path.relative_to(root).with_suffix("").parts) for path in sharing}
    alike = Counter(below.values())
    for path, name in below.items():
        if alike[name] > 1 or media_of[name]:
            below[path] = "__".join(path.relative_to(root).parts)
    return [below.get(path, name) for path, name in zip(paths, names, strict=True)]


def require_one_answer(clips: Sequence[Clip]) -> None:
    """A submission has one answer a name.

    Raises:
        CorpusError: clips of one name differ; says where they lie.
    """
    first: dict[str, Clip] = {}
    for clip in clips:
        known = first.setdefault(clip.name, clip)
        if known.content != clip.content:
            raise CorpusError(
                f"candidate {clip.name}: expected one file of this name, found {known.path} and {clip.path}, which differ; "
                "give the folder that holds the candidates"
            )


def _clip(path: Path, known: _Catalogued) -> Clip:
    from mer.media.content_hash import sha256_file
    from mer.media.probe import probe

    probe(path)
    content = sha256_file(path)
    return known.clip(path, content) or Clip(
        name=path.stem, content=content, path=path, corpus_root=path.parent
    )


class _Catalogued:
    """Catalogued clips: their transcripts and precomputed features are used, wherever the file lies now."""

    def __init__(self, space: Workspace) -> None:
        self._by_path: dict[Path, Clip] = {}
        self._by_content: dict[str, list[Clip]] = {}
        for corpus in space.catalogue.corpora():
            for clip in _clips_of(space, corpus):
                self._by_path[clip.path] = clip
                self._by_content.setdefault(clip.content, []).append(clip)

    def clip(self, path: Path, content: str) -> Clip | None:
        """The clip that lies at this path, under its name in its corpus (which may be another than the file's, as in MELD and
        MMSA); else one of equal content, under the file's name. Of several the one of that name comes first.
        """
        at_home = self._by_path.get(path.resolve())
        if at_home is not None and at_home.content == content:
            return at_home
        equal = self._by_content.get(content, [])
        namesakes = [clip for clip in equal if clip.name == path.stem]
        return replace((namesakes or equal)[0], name=path.stem, path=path) if equal else None


def _clips_of(space: Workspace, corpus: CorpusRow) -> list[Clip]:
    return [
        Clip(
            name=row.name,
            content=row.content,
            path=row.path,
            corpus_root=corpus.root,
            transcript=row.transcript,
        )
        for row in space.catalogue.clips(corpus.name)
    ]
