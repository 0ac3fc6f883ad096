"""Label shift on real faces: RAVDESS' action units, test folds subsampled to the priors of MER2023's SEMI test.

    python -m benchmarks.label_shift.ravdess --corpus ../shared/data/ravdess [--quick] [--json PATH]

Logistic regression on the action units (a weak classifier on purpose: speech is left out), six emotions (calm counts as
neutral, fear as worried, disgust is left out). Every published fold is a target in turn; calibration clips are predicted
out of fold by speaker among the other folds, temperature and all. Speakers differ between the sets, which is no label
shift and violates what the estimators suppose.

JSON keys: `waf_served`, `waf_corrected` (where the test says shift and the estimates agree), `waf_em`, `waf_bbse_soft`,
`waf_bbse_hard` (always corrected), `waf_oracle` (true priors), `l1_em`, `l1_bbse_soft`, `l1_bbse_hard`, `detected` (share
of targets), `disagreement` (of EM and BBSE), `corrected` (share of targets); with `_null` for whole folds without shift,
with `_unknown` where speakers are known of neither set.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from benchmarks.label_shift.simulation import MER2023
from mer.emotions import MER_EMOTIONS
from mer.evaluation.calibration import fit_temperature
from mer.evaluation.metrics import confusion, waf
from mer.label_shift.analysis import ShiftAnalysis, analyse_shift
from mer.label_shift.calibration import fit_bias_corrected
from mer.label_shift.clip_sets import CalibrationClips, TargetClips
from mer.label_shift.config import LabelShiftConfig
from mer.label_shift.vote import prior_weighted_vote

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
MAPPED = {"calm": "neutral", "fear": "worried"}
CONFIG = LabelShiftConfig(mode="correct-if-shifted", minimum_clips=50)


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--corpus", type=Path, required=True, help="RAVDESS with labels.csv and features")
    chosen = options.parse_args()
    features, truth, speakers, folds = read(chosen.corpus)
    rows: list[dict[str, float]] = []
    for fold in np.unique(folds):
        calibration, logits = predicted(features, truth, speakers, folds != fold)
        inside = np.flatnonzero(folds == fold)
        unknown = CalibrationClips(calibration.logits, truth=calibration.truth)
        for seed in range(2 if chosen.quick else 10):
            at = subsampled(truth[inside], np.random.default_rng([seed, int(fold)]))
            rows.append(judged(calibration, logits[at], truth[inside][at], speakers[inside][at]))
            rows.append(named(judged(unknown, logits[at], truth[inside][at]), "_unknown"))
        rows.append(named(judged(calibration, logits, truth[inside], speakers[inside]), "_null"))
        rows.append(named(judged(unknown, logits, truth[inside]), "_null_unknown"))
    keys = dict.fromkeys(key for row in rows for key in row)
    figures: dict[str, Figure] = {key: fmean(row[key] for row in rows if key in row) for key in keys}
    for name, value in figures.items():
        print(f"{name:<24} {value:.4f}")
    write_figures(chosen.json, figures)


def named(figures: dict[str, float], ending: str) -> dict[str, float]:
    """The figures under longer names; without speakers, only those that depend on knowing them."""
    depends = ("waf_served", "waf_corrected", "detected", "corrected")
    return {
        f"{key}{ending}": value
        for key, value in figures.items()
        if key in depends or not ending.endswith("_unknown")
    }


def read(corpus: Path) -> tuple[Floats, Labels, NDArray[np.str_], Labels]:
    """Action units (N, 35), class, speaker and fold of the clips whose emotion is one of the six."""
    with (corpus / "labels.csv").open(encoding="utf-8") as file:
        table = [
            (row, MAPPED.get(row["emotion"], row["emotion"]))
            for row in csv.DictReader(file)
            if MAPPED.get(row["emotion"], row["emotion"]) in MER_EMOTIONS
        ]
    units = [np.load(corpus / "features/openface-au-UTT" / f"{row['name']}.npy") for row, _ in table]
    return (
        np.stack(units).astype(np.float64),
        np.array([MER_EMOTIONS.index(emotion) for _, emotion in table]),
        np.array([row["speaker"] for row, _ in table]),
        np.array([int(row["fold"]) for row, _ in table]),
    )


def predicted(
    features: Floats, truth: Labels, speakers: NDArray[np.str_], training: NDArray[np.bool_]
) -> tuple[CalibrationClips, Floats]:
    """Out-of-fold predictions of the training clips, and logits of the others, at the temperature that fits the former."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def logits(fitted: NDArray[np.generic], asked: NDArray[np.generic]) -> Floats:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
        return np.asarray(model.fit(features[fitted], truth[fitted]).decision_function(features[asked]))

    own = np.flatnonzero(training)
    held_out = np.empty((len(own), len(MER_EMOTIONS)))
    for rest, part in GroupKFold(5).split(own, groups=speakers[own]):
        held_out[part] = logits(own[rest], own[part])
    temperature = fit_temperature(held_out, truth[own])
    calibration = CalibrationClips(held_out / temperature, tuple(speakers[own]), truth[own])
    return calibration, logits(own, np.flatnonzero(~training)) / temperature


def subsampled(truth: Labels, generator: np.random.Generator) -> Labels:
    """Rows with the priors of MER2023's SEMI test, as many as there can be."""
    prior = MER2023.priors[1]
    counts = np.bincount(truth, minlength=len(prior))
    wanted = np.round(float((counts / prior).min()) * prior).astype(np.int64)
    return np.concatenate(
        [
            generator.choice(np.flatnonzero(truth == label), size=number, replace=False)
            for label, number in enumerate(np.minimum(wanted, counts).tolist())
        ]
    )


def judged(
    calibration: CalibrationClips,
    logits: Floats,
    truth: Labels,
    speakers: Sequence[str] | NDArray[np.str_] = (),
) -> dict[str, float]:
    """Scores in points, as served and corrected, and errors of the priors."""
    target = TargetClips(logits, tuple(speakers))
    found = analyse_shift(calibration, target, MER_EMOTIONS, CONFIG)
    assert isinstance(found, ShiftAnalysis)
    calibrated = fit_bias_corrected(calibration.logits, calibration.truth).calibrated.log_probabilities(
        logits
    )
    prior = np.bincount(truth, minlength=len(MER_EMOTIONS)) / len(truth)
    scores = {"served": found.served, "corrected": found.answers}
    priors = {name: one.prior for name, one in found.estimates.items()}
    scores |= {
        name: prior_weighted_vote([calibrated], found.training, at)
        for name, at in (*priors.items(), ("oracle", prior))
    }
    figures = {
        f"waf_{name}": 100 * float(waf(confusion(truth, values.argmax(axis=1), len(MER_EMOTIONS))))
        for name, values in scores.items()
    }
    figures |= {f"l1_{name}": float(np.abs(at - prior).sum()) for name, at in priors.items()}
    return figures | {
        "detected": float(found.shifted),
        "disagreement": found.disagreement,
        "corrected": float(found.applied),
    }


if __name__ == "__main__":
    main()
