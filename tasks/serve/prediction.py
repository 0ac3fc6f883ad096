"""Prediction with a registered version: clips in, predictions (as a table, JSON or JSON lines) or a submission out.

Imports no orchestration, which would take most of the time of one prediction; as a task of a flow: `tasks.serve.prediction_task`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from infra.catalogue import ModelVersionRow
from infra.modes import as_the_user_writes
from infra.objects.local_copies import local_paths
from mer.clips import Clip
from mer.conformal.policy import AnswerPolicy, abstained_line
from mer.corpora.clip_texts import read_texts, with_words
from mer.corpora.submission import Candidates, read_candidates, submission_table
from mer.errors import ConfigError
from mer.label_shift.config import LabelShiftConfig
from mer.label_shift.given import checked_priors
from mer.media.sniff import printable
from mer.prediction_files import VIEWS, view_of
from mer.predictions import Prediction, flag_counts
from tasks.serve.answer_names import answer_names
from tasks.serve.complete_versions import fetch_package
from tasks.serve.destination import Destination
from tasks.serve.enrolment import enrolled_speaker, speaker_line
from tasks.serve.label_shift import analyse_predictions, correct_for_given, write_summary
from tasks.serve.library import NOT_GATED, answering_version, model_named
from tasks.serve.predicted_media import (
    Catalogued,
    RequestedMedia,
    UnusableMedia,
    catalogued_candidates,
    read_media,
    require_one_answer,
)
from tasks.stage.compute import computing
from tasks.stage.workspace import Workspace, reading_workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mer.domain.speakers import Enrolment
    from mer.label_shift.analysis import NoAnalysis, ShiftAnalysis
    from mer.label_shift.given import GivenAnalysis
    from mer.predictor.predictor import Predictor, Scores

Progress = Callable[[int, int], None]

PRIORS_GIVEN = "priors_given"
"""Flag of every answer that was corrected for class priors given with the request."""


@dataclass(frozen=True)
class PredictionReport:
    """Path of the written file, counts, and the media that could not be predicted."""

    out: str
    """Empty: no file was written."""
    predicted: int
    unusable: tuple[tuple[str, str], ...]
    """(file, reason) of media that cannot be read."""
    model: str
    version: int
    label_shift: str = ""
    """What is known of the class priors of these clips, in one line; empty where it was not asked for."""
    notes: tuple[str, ...] = ()
    """What was passed over or not used, for people."""
    speaker: str = ""
    """What the speaker's own clips changed, in one line; empty where there were none."""
    flags: str = ""
    """How many answers have which flag, in one line; empty where none has one."""
    abstained: str = ""
    """How many clips were read and not answered, and why, in one line; empty where all were."""

    @property
    def summary(self) -> str:
        """Lines for people."""
        done = f"{self.predicted} prediction{'' if self.predicted == 1 else 's'} by {self.model} version {self.version}"
        where = f" in {self.out}" if self.out else ""
        return "\n".join(
            line
            for line in (self.flags, self.abstained, self.speaker, self.label_shift, done + where)
            if line
        )


@dataclass(frozen=True)
class Answers:
    """What was asked for."""

    report: PredictionReport
    rows: tuple[Prediction, ...]
    """One for every file, also for those that cannot be read."""
    classes: tuple[str, ...]
    """Class names in order."""
    submission: str | None
    """The submission's text, where one was asked for."""

    def text(self, suffix: str) -> str:
        """The submission, or the rows as files of this suffix hold them."""
        return VIEWS[suffix].text(self.rows, self.classes) if self.submission is None else self.submission


@dataclass(frozen=True)
class PredictionRequest:
    """What is predicted, by which version, and where the answers go."""

    paths: Sequence[str]
    """Media files, or folders of them, also in a bucket."""
    out: str
    """File to write; the suffix names the view: .csv, .json or .jsonl. Empty: none."""
    model: str = ""
    """Registered model; empty: the one promoted last."""
    version: int | None = None
    """None: the champion, or the newest version of a model without one."""
    candidates: str = ""
    """Table of the names that a submission must have; empty: no submission."""
    corpus: str = ""
    """Corpus in the catalogue that candidates are clips of, where there are no paths; empty: any."""
    label_shift: str = ""
    """Replaces the mode of the version's recipe; empty: as that says."""
    priors: Mapping[str, float] = field(default_factory=dict)
    """Class -> share of the clips that are asked for; answers are those under these priors (with mode `report` only what they
    would change is said). Empty: none are given."""
    speaker_clips: Sequence[str] = ()
    """Files, or folders of them, of the one new speaker whose clips are asked for: what they tell of the speaker, without labels,
    is taken off before the answers. Empty: nothing is known of who speaks."""
    transcripts: str = ""
    """Table of what is spoken in the clips; it comes before a text file beside a clip, and before the catalogue."""
    policy: AnswerPolicy = field(default_factory=AnswerPolicy)
    """When clips are answered at all, and with which sets of classes; what it leaves open the version's recipe says."""
    alone: bool = False
    """Whether this process does nothing else: then it leaves out what libraries import for other uses."""


def predict_files(request: PredictionRequest, progress: Progress | None = None) -> PredictionReport:
    """Predict every media file under the paths and write a row for each; see `answer`."""
    return answer(request, progress).report


def answer(request: PredictionRequest, progress: Progress | None = None) -> Answers:
    """Predict every media file under the paths, a row for each; files that cannot be read have their status.

    With a table of candidates only its clips are predicted, and a submission of exactly its rows is written; without paths
    they are taken from the catalogue. Unless label shift is off, a summary with and without correction is written beside.

    Args:
        request: what is predicted.
        progress: called with (clips done, clips in all) after every batch.

    Raises:
        ConfigError: a file that cannot be written, or priors that are none of the model's classes, before anything is read.
        CorpusError: no clips, or a table that cannot be read.
        LookupError: no such version.
    """
    if request.priors and request.label_shift == "off":
        raise ConfigError(
            "priors: expected a label shift mode other than off with priors, found off; leave one of them out"
        )
    if request.candidates and request.policy.asks:
        raise ConfigError(
            "candidates: expected no coverage, risk or flags without answer beside them, as a submission has an answer in every "
            "row; leave them out"
        )
    destination = _destination(request)
    texts = read_texts(Path(request.transcripts)) if request.transcripts else None
    space = reading_workspace()
    model = model_named(space, request.model)
    chosen, remark, gated = answering_version(space, model, request.version)
    requested = read_candidates(Path(request.candidates)) if request.candidates else None
    media = _requested(space, request, requested)
    clips, notes = with_words(media.clips, texts)
    predictor, given = _predictor(space, chosen, request)
    policy = (
        predictor.package.recipe.answers.overridden(request.policy) if requested is None else AnswerPolicy()
    )
    predictor.under_policy((), policy)  # what cannot be promised is said before any clip is read
    enrolled = enrolled_speaker(space, predictor, request.speaker_clips)
    scores = _scores(space, predictor, clips, progress, enrolled, alone=request.alone)
    predictions, shift = _answers(space, chosen, predictor, clips, scores, _Shift(request.label_shift, given))
    rows = _rows(media, predictor.under_policy(predictions, policy), (model, chosen.version))
    if not gated:
        rows = [row.model_copy(update={"flags": (*row.flags, NOT_GATED)}) for row in rows]
    submission = None if requested is None else _submission(requested, predictions, media.unusable)
    report = PredictionReport(
        out=request.out,
        predicted=len(predictions),
        unusable=tuple((printable(str(medium.path)), medium.description) for medium in media.unusable),
        model=model,
        version=chosen.version,
        notes=(*((remark,) if remark else ()), *media.notes, *notes),
        speaker=speaker_line(enrolled, scores, predictor.package.recipe.emotions),
        flags=flag_counts(rows),
        abstained=abstained_line(rows),
    )
    answers = Answers(report, tuple(rows), tuple(predictor.package.recipe.emotions), submission)
    if destination is not None:
        with as_the_user_writes():
            destination.write(answers.text(destination.path.suffix.lower()))
    if shift is not None:
        line = write_summary(shift, destination.path if destination is not None else None)
        answers = replace(answers, report=replace(report, label_shift=line))
    return answers


def _destination(request: PredictionRequest) -> Destination | None:
    if not request.out:
        return None
    out = Path(request.out)
    if not request.candidates:
        view_of(out)
    elif out.suffix.lower() in set(VIEWS) - {".csv"}:
        raise ConfigError(
            f"submission: expected a file named *.csv, found {out.name!r}; a submission is a table"
        )
    with as_the_user_writes():
        return Destination(out)


def _requested(space: Workspace, request: PredictionRequest, requested: Candidates | None) -> RequestedMedia:
    if requested is not None and not request.paths:
        media = RequestedMedia(tuple(catalogued_candidates(space, requested, request.corpus)), ())
    else:
        media = read_media(local_paths(request.paths, space.settings), Catalogued(space), requested)
    if requested is not None:
        require_one_answer(media.clips)
    return media


def _predictor(
    space: Workspace, version: ModelVersionRow, request: PredictionRequest
) -> tuple[Predictor, NDArray[np.float64] | None]:
    """The version's predictor, and the priors that were given, of its classes, before any clip is read."""
    from mer.predictor.predictor import Predictor

    with computing(space.settings):
        predictor = Predictor(fetch_package(space, version), space.weights, version.version)
    if not request.priors:
        return predictor, None
    return predictor, checked_priors(request.priors, predictor.package.recipe.emotions)


def _scores(
    space: Workspace,
    predictor: Predictor,
    clips: Sequence[Clip],
    progress: Progress | None,
    enrolled: Enrolment | None,
    *,
    alone: bool,
) -> Scores:
    with computing(space.settings):
        if alone and clips and predictor.package.runs_encoders:
            from mer.encoders.lean_import import import_lean

            import_lean()
        return predictor.scores(clips, progress, enrolment=enrolled)


def _rows(
    media: RequestedMedia, predictions: Sequence[Prediction], model: tuple[str, int]
) -> list[Prediction]:
    """A row for every medium, in their order, under names that tell them apart."""
    answers = iter(predictions)
    rows = [
        next(answers)
        if isinstance(medium, Clip)
        else Prediction(name=medium.name, path=str(medium.path), status=medium.reason, model=model[0])
        for medium in media.media
    ]
    names = answer_names([(medium.name, medium.path) for medium in media.media])
    return [
        row.model_copy(update={"name": name, "model": model[0], "version": model[1]})
        for row, name in zip(rows, names, strict=True)
    ]


@dataclass(frozen=True)
class _Shift:
    """What is asked about class priors."""

    mode: str
    """Empty: as the version's recipe says."""
    given: NDArray[np.float64] | None


def _answers(
    space: Workspace,
    version: ModelVersionRow,
    predictor: Predictor,
    clips: Sequence[Clip],
    scores: Scores,
    shift: _Shift,
) -> tuple[list[Prediction], ShiftAnalysis | GivenAnalysis | NoAnalysis | None]:
    """Answers, corrected for label shift only where priors are given, or where that is asked for and a test says there is one.

    Clips whose answers are doubted (nothing to read, out of domain) say nothing of the classes' shares, and are not corrected.
    """
    import numpy as np

    from mer.label_shift.analysis import NoAnalysis

    config = predictor.package.recipe.label_shift
    if shift.mode:
        config = LabelShiftConfig.model_validate({**config.model_dump(), "mode": shift.mode})
    if config.mode == "off" and shift.given is None:
        return predictor.answers(clips, scores), None
    sure = np.array([one.trust == 1 for one in scores.evidence], dtype=bool)
    judged = [clip for clip, is_sure in zip(clips, sure, strict=True) if is_sure]
    asked = (space, version, predictor.package, judged, scores.logits[sure])
    analysis: ShiftAnalysis | GivenAnalysis | NoAnalysis
    if shift.given is not None:
        analysis = correct_for_given(*asked, shift.given, shift.mode)
    else:
        analysis = analyse_predictions(*asked, config)
    if isinstance(analysis, NoAnalysis) or not analysis.applied:
        return predictor.answers(clips, scores), analysis
    corrected = scores.logits.copy()
    corrected[sure] = analysis.corrected
    answers = predictor.answers(clips, scores, corrected)
    if shift.given is not None:
        answers = [
            answer.model_copy(update={"flags": (*answer.flags, PRIORS_GIVEN)}) if is_sure else answer
            for answer, is_sure in zip(answers, sure, strict=True)
        ]
    return answers, analysis


def _submission(
    candidates: Candidates, predictions: Sequence[Prediction], unusable: Sequence[UnusableMedia]
) -> str:
    return submission_table(candidates, predictions, {medium.name: medium.description for medium in unusable})
