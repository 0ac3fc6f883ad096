"""The effect of the correction on clips whose labels are known: with and without, always. For evaluation alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.evaluation.intervals import paired_differences
from mer.label_shift.analysis import NoAnalysis, ShiftAnalysis, analyse_shift
from mer.label_shift.clip_sets import CalibrationClips, TargetClips
from mer.label_shift.config import LabelShiftConfig


def shift_summary(
    calibration: CalibrationClips,
    target: TargetClips,
    emotions: Sequence[str],
    config: LabelShiftConfig,
    truth: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """The summary of a shift analysis as JSON values, with scores where the labels are known.

    Args:
        calibration: out-of-fold predictions with labels.
        target: clips whose priors are estimated; their labels are not read for that.
        emotions: class names in index order.
        config: options.
        truth: (N,) labels of the target clips, to score by afterwards; none: they have none.
    """
    analysis = analyse_shift(calibration, target, emotions, config)
    if isinstance(analysis, NoAnalysis) or truth is None:
        return analysis.to_json()
    return analysis.to_json() | {"scores": _scores(analysis, target, truth)}


def _scores(analysis: ShiftAnalysis, target: TargetClips, truth: NDArray[np.int64]) -> dict[str, float]:
    difference = paired_differences(
        truth,
        analysis.corrected.argmax(axis=1),
        analysis.served.argmax(axis=1),
        target.speakers or (None,) * len(truth),
        len(analysis.emotions),
    )
    low, high = difference.interval(analysis.config.confidence)
    return {
        "waf_served": difference.second,
        "waf_corrected": difference.first,
        "difference": difference.point,
        # of a single speaker or clip nothing is known
        **({"difference_low": low, "difference_high": high} if difference.groups > 1 else {}),
    }
