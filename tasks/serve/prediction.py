"""Prediction with a registered version: clips in, `name,discrete,valence,confidence` or a submission out."""

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
from mer.errors import CorpusError, MediaError
from mer.label_shift.config import LabelShiftConfig
from tasks.serve.label_shift import analyse_predictions, write_summary
from tasks.stage.compute import computing
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.corpora.submission import Candidates
    from mer.label_shift.analysis import NoAnalysis, ShiftAnalysis
    from mer.predictor.predictor import Prediction, Predictor, Scores

MEDIA_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".wav", ".flac", ".mp3", ".m4a", ".ogg")


@dataclass(frozen=True)
class PredictionReport:
    """Path of the written table, counts, and the media that could not be predicted."""

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


@task(name="predict", tags=["gpu"])
def predict_files(
    paths: Sequence[str],
    out: str,
    model: str,
    version: int | None,
    progress: Callable[[int, int], None] | None = None,
    *,
    candidates: str = "",
    corpus: str = "",
    label_shift: str = "",
) -> PredictionReport:
    """Predict every media file under `paths` with a model version (default: the champion) and write the table.

    With a table of `candidates` only its clips are predicted, and a submission of exactly its rows is written; without
    `paths` they are taken from the catalogue (of `corpus`, if it is named). `label_shift` replaces the mode of the
    version's recipe; unless it is off, a summary with and without correction is written beside the table.
    """
    from mer.corpora.submission import read_candidates
    from mer.predictor.predictor import Predictor, answer_table

    space = workspace()
    chosen = space.catalogue.model_version(model, version) if version else space.catalogue.champion(model)
    if chosen is None:
        description = f"version {version}" if version else "champion"
        raise LookupError(
            f"model {model!r} has no {description}: expected a registered one; `mer models` lists them"
        )
    requested = read_candidates(Path(candidates)) if candidates else None
    usable, unusable = _usable(space, paths, requested)
    if requested is not None and not paths:
        usable = catalogued_candidates(space, requested, corpus)
    with computing(space.settings):
        predictor = Predictor(space.artifacts.fetch(chosen.artifact), space.weights)
        scores = predictor.scores(usable, progress)
    predictions, shift = _answers(space, chosen, predictor, usable, scores, label_shift)
    if requested is None:
        names = answer_names(usable)
        predictions = [
            replace(prediction, name=name) for prediction, name in zip(predictions, names, strict=True)
        ]
    else:
        require_one_answer(usable)
    text = answer_table(predictions) if requested is None else _submission(requested, predictions, unusable)
    Path(out).write_text(text, encoding="utf-8")
    return PredictionReport(
        out=out,
        predicted=len(predictions),
        unusable=tuple(unusable),
        model=model,
        version=chosen.version,
        label_shift=write_summary(shift, Path(out)) if shift is not None else "",
    )


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


def _usable(
    space: Workspace, paths: Sequence[str], candidates: Candidates | None
) -> tuple[list[Clip], list[tuple[str, str]]]:
    """Clips of the media files under `paths`, and those that cannot be read."""
    known = _Catalogued(space)
    usable: list[Clip] = []
    unusable: list[tuple[str, str]] = []
    for path in media_files(paths):
        if candidates is not None and not candidates.wants(path.stem):
            continue
        try:
            usable.append(_clip(path, known))
        except MediaError as error:
            unusable.append((str(path), f"{error.reason.value}: {error}"))
    return usable, unusable


def _submission(
    candidates: Candidates, predictions: Sequence[Prediction], unusable: Sequence[tuple[str, str]]
) -> str:
    from mer.corpora.submission import Answer, submission_table

    answers = {prediction.name: Answer(prediction.discrete, prediction.valence) for prediction in predictions}
    return submission_table(candidates, answers, {Path(path).stem: reason for path, reason in unusable})


def media_files(paths: Sequence[str]) -> list[Path]:
    """The files named, and the media files of the folders named, in a stable order."""
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            files += sorted(file for file in path.rglob("*") if file.suffix.lower() in MEDIA_SUFFIXES)
        else:
            files.append(path)
    return list(dict.fromkeys(files))


def answer_names(clips: Sequence[Clip]) -> list[str]:
    """Names of the clips' answers: the clip's name; where files share one, their paths below the folder they share.

    As names of a corpus are made: `a/x.wav` and `b/x.wav` are `a__x` and `b__x`; the suffix is added where it alone differs.
    """
    clips_of = Counter(clip.name for clip in clips)
    sharing = [clip.path.absolute() for clip in clips if clips_of[clip.name] > 1]
    if not sharing:
        return [clip.name for clip in clips]
    root = commonpath([str(path.parent) for path in sharing])
    below = {path: "__".join(path.relative_to(root).with_suffix("").parts) for path in sharing}
    alike = Counter(below.values())
    for path, name in below.items():
        if alike[name] > 1 or clips_of[name]:
            below[path] = "__".join(path.relative_to(root).parts)
    return [below.get(clip.path.absolute(), clip.name) for clip in clips]


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
