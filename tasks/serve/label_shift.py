"""Label shift of what a version predicts: its out-of-fold predictions are the calibration set, the clips asked for the target."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infra.catalogue import ModelVersionRow
from infra.errors import ArtifactMissing
from infra.modes import as_the_user_writes
from mer.clips import Clip
from mer.errors import ConfigError
from mer.label_shift.config import LabelShiftConfig
from mer.predictor.package import ModelPackage
from mer.whole_files import write_whole
from tasks.data.old_ids import named_posteriors
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mer.label_shift.analysis import NoAnalysis, ShiftAnalysis
    from mer.label_shift.clip_sets import CalibrationClips
    from mer.label_shift.given import GivenAnalysis


def analyse_predictions(
    space: Workspace,
    version: ModelVersionRow,
    package: ModelPackage,
    clips: Sequence[Clip],
    logits: NDArray[np.float64],
    config: LabelShiftConfig,
) -> ShiftAnalysis | NoAnalysis:
    """Priors of the clips that were predicted, and their answers corrected, if the version's evaluation allows it."""
    from mer.label_shift.analysis import NoAnalysis, analyse_shift, too_few
    from mer.label_shift.clip_sets import TargetClips

    if (reason := too_few("target", len(clips), config)) is not None:  # before anything is read for it
        return NoAnalysis(reason)
    calibration = _calibration_clips(space, version, package)
    if calibration is None:
        return NoAnalysis("the version has no out-of-fold predictions of labelled clips")
    speakers = _speakers(space, [clip.content for clip in clips])
    target = TargetClips(logits, tuple(speakers.get(clip.content) for clip in clips))
    return analyse_shift(calibration, target, package.recipe.emotions, config)


def correct_for_given(
    space: Workspace,
    version: ModelVersionRow,
    package: ModelPackage,
    clips: Sequence[Clip],
    logits: NDArray[np.float64],
    given: NDArray[np.float64],
    mode: str,
) -> GivenAnalysis:
    """The answers under class priors that were given; with mode `report` only what they would change.

    Raises:
        ConfigError: the version has no labelled out-of-fold predictions, which training priors and calibration come from.
    """
    from mer.label_shift.clip_sets import TargetClips
    from mer.label_shift.given import analyse_given

    calibration = _calibration_clips(space, version, package)
    if calibration is None or not len(calibration.truth):
        raise ConfigError(
            "priors: expected a version with out-of-fold predictions of labelled clips, which say what its training priors were; "
            f"version {version.version} has none: leave --priors out, or train one on labels (mer run)"
        )
    config = package.recipe.label_shift
    estimated = analyse_predictions(space, version, package, clips, logits, config)
    applied = mode != "report"
    emotions = package.recipe.emotions
    return analyse_given(calibration, TargetClips(logits), given, estimated, emotions, applied=applied)


def write_summary(analysis: ShiftAnalysis | GivenAnalysis | NoAnalysis, out: Path | None) -> str:
    """Write `<out>.label_shift.json` and `.html` beside the table, with or without correction; returns the summary's line.

    Where nothing could be estimated, no files are left, not even of an earlier prediction. Without a table there are none.
    """
    from mer.label_shift.analysis import NoAnalysis
    from mer.label_shift.page import shift_line, shift_page

    summary = analysis.to_json()
    if out is None:
        return shift_line(summary)
    data, page = (out.with_suffix(f".label_shift{suffix}") for suffix in (".json", ".html"))
    if isinstance(analysis, NoAnalysis):
        data.unlink(missing_ok=True)
        page.unlink(missing_ok=True)
        return shift_line(summary)
    with as_the_user_writes():
        write_whole(data, (json.dumps(summary, indent=1) + "\n").encode(), sweep=True)
        write_whole(page, shift_page(summary, f"Label shift of {out.name}").encode(), sweep=True)
    return f"{shift_line(summary)}; see {page}"


def _calibration_clips(
    space: Workspace, version: ModelVersionRow, package: ModelPackage
) -> CalibrationClips | None:
    """Out-of-fold predictions at the temperature that is served, with the labels they were evaluated by."""
    import numpy as np

    from mer.evaluation.comparison import labelled
    from mer.label_shift.clip_sets import CalibrationClips
    from mer.posteriors import Posteriors
    from tasks.serve.evaluation_files import OUT_OF_FOLD

    if version.evaluation is None or version.snapshot_id is None:
        return None
    try:
        posteriors = Posteriors.from_parquet(space.artifacts.read(version.evaluation, OUT_OF_FOLD))
    except ArtifactMissing:
        return None
    members = space.catalogue.snapshot_members(version.snapshot_id)
    posteriors = named_posteriors(posteriors, members)
    truth = labelled(
        [member.name for member in members],
        [member.emotion for member in members],
        package.recipe.emotions,
    )
    speaker = {member.name: member.speaker for member in members}
    known = posteriors.restricted([clip_id for clip_id in posteriors.clip_ids if clip_id in truth])
    return CalibrationClips(
        logits=known.logits.astype(np.float64) / package.temperature,
        speakers=tuple(speaker[clip_id] for clip_id in known.clip_ids),
        truth=np.array([truth[clip_id] for clip_id in known.clip_ids], dtype=np.int64),
    )


def _speakers(space: Workspace, contents: Sequence[str]) -> Mapping[str, str | None]:
    """Speaker of these contents, where they are catalogued; where clips of equal content disagree, the first that is known."""
    speakers: dict[str, str | None] = {}
    for _, row in space.catalogue.clips_lying_at((), contents):
        speakers[row.content] = speakers.get(row.content) or row.speaker
    return speakers
