"""`mer predict`: answers to a file, to standard output, and for people."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.buckets import local_paths_with_bar, progress_bar
from flows.cli.options import (
    AnswersFileOption,
    CandidatesOption,
    CoverageOption,
    JsonLinesOption,
    JsonOption,
    LabelShiftOption,
    ModelOption,
    NoAnswerOption,
    PriorsOption,
    RiskOption,
    SpeakerClipsOption,
    TranscriptsOption,
)
from flows.cli.outcome import UNUSABLE_INPUTS, wrong_usage

if TYPE_CHECKING:
    from tasks.serve.prediction import Answers

DEFAULT_FILE, STANDARD_OUTPUT = "predictions.csv", "-"
_SHOWN = 10
_OBJECTS = 50_000
"""New objects before cycles are looked for: with Python's 700, importing torch alone walks over everything some hundred times."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def predict(
        paths: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="[PATHS]...",
                help="Media files, or folders of them, also in a bucket (s3://BUCKET/PREFIX?endpoint=URL).",
            ),
        ] = None,
        out: AnswersFileOption = "",
        as_json: JsonOption = False,
        as_json_lines: JsonLinesOption = False,
        model: ModelOption = "",
        version: Annotated[int | None, typer.Option(help="Version; left out: the champion.")] = None,
        transcripts: TranscriptsOption = None,
        candidates: CandidatesOption = None,
        name: Annotated[
            str, typer.Option("--name", help="Corpus that candidates are clips of, where no PATHS are given.")
        ] = "",
        label_shift: LabelShiftOption = "",
        priors: PriorsOption = "",
        speaker_clips: SpeakerClipsOption = None,
        coverage: CoverageOption = None,
        abstain_above_risk: RiskOption = None,
        no_answer_on: NoAnswerOption = None,
    ) -> None:
        """Predict emotion and valence of clips with the champion: all class probabilities, what was read, what is odd.

        With --candidates: a submission to a MER challenge, name,discrete[,valence]. Exit code 3: some files have no answer, their
        rows say why.
        """
        from infra.objects.bucket_address import is_bucket_address

        piped = _on_standard_output(out, as_json, as_json_lines)
        files = [
            *(Path(path) for path in paths or [] if not is_bucket_address(path)),
            *([candidates] if candidates else []),
            *([transcripts] if transcripts else []),
            *(Path(path) for path in speaker_clips or [] if not is_bucket_address(path)),
        ]
        if not paths and candidates is None:
            wrong_usage("expected PATHS of clips, or --candidates; found neither")
        if candidates is not None and piped not in ("", ".csv"):
            wrong_usage("expected --out FILE.csv or --out - with --candidates: a submission is a table")
        if missing := [_shown(path) for path in files if not _is_there(path)]:
            wrong_usage(f"no such file or folder: {', '.join(missing)}")
        gc.set_threshold(_OBJECTS, 20, 20)
        file = "" if out == STANDARD_OUTPUT else out or ("" if piped else DEFAULT_FILE)
        from mer.conformal.policy import AnswerPolicy
        from mer.label_shift.given import parse_priors
        from tasks.serve.prediction import PredictionRequest, answer

        plain = [path if is_bucket_address(path) else str(Path(path)) for path in paths or []]
        clips = local_paths_with_bar(plain)
        speakers = [path if is_bucket_address(path) else str(Path(path)) for path in speaker_clips or []]
        request = PredictionRequest(
            paths=clips,
            out=file,
            model=model,
            version=version,
            candidates=str(candidates or ""),
            corpus=name,
            label_shift=label_shift,
            priors=parse_priors(priors),
            speaker_clips=local_paths_with_bar(speakers),
            transcripts=str(transcripts or ""),
            policy=AnswerPolicy(
                coverage=coverage,
                abstain_above_risk=abstain_above_risk,
                no_answer_on=tuple(no_answer_on or ()),
            ),
            alone=True,
        )
        with progress_bar("predicting") as progress:
            answers = answer(request, progress)
        _show(answers, piped)
        if answers.report.unusable:
            raise typer.Exit(UNUSABLE_INPUTS)


def _on_standard_output(out: str, as_json: bool, as_json_lines: bool) -> str:
    """Suffix of what is written to standard output; empty: nothing is."""
    if as_json and as_json_lines:
        wrong_usage("expected --json or --jsonl, found both")
    if as_json or as_json_lines:
        return ".json" if as_json else ".jsonl"
    return ".csv" if out == STANDARD_OUTPUT else ""


def _show(answers: Answers, piped: str) -> None:
    """Answers on standard output, everything else beside them on standard error; without these, people's lines there."""
    report = answers.report
    if piped:
        from flows.terminal import data_output

        stream = data_output()
        stream.write(answers.text(piped).encode("utf-8"))
        stream.flush()
    elif len(answers.rows) == 1 and answers.submission is None:
        from flows.cli.one_answer import answer_lines

        typer.echo("\n".join(answer_lines(answers.rows[0])) + "\n")
    typer.echo(report.summary, err=bool(piped))
    for note in report.notes:
        typer.echo(f"note: {note}", err=True)
    for path, reason in report.unusable[:_SHOWN]:
        typer.echo(f"not predicted: {path}: {reason}", err=True)
    if (more := len(report.unusable) - _SHOWN) > 0:
        where = f"see {report.out}" if report.out else "see their rows"
        typer.echo(f"not predicted: and {more} more, {where}", err=True)


def _is_there(path: Path) -> bool:
    """Whether anything has this name, a broken link included: what it is, its row says."""
    try:
        return path.exists() or path.is_symlink()
    except (OSError, ValueError):
        return False


def _shown(path: Path) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")
