"""What estimating and correcting label shift gives, in a Gaussian world with the challenges' priors.

    python -m benchmarks.label_shift [--quick] [--json PATH]

For MER2023 (train -> SEMI test) and MER2024 (train -> NOISE test), with as many labelled clips as the challenge has and
20,000 target clips: error of the estimated priors in L1 (EM, BBSE soft and hard), weighted F1 as served, corrected where
the permutation test says shift, and corrected with the true priors; the same without any shift. Classifiers: `bayes` (the
exact posteriors), `trained` (one linear model on finite clips, calibrated on its out-of-fold predictions) and `vote`
(three models, log-posteriors in sum, calibrated as a whole).

JSON keys, with S = mer2023, mer2024 and their no-shift forms S_null, K = bayes, trained, vote: `S_K_l1_em`,
`_l1_bbse_soft`, `_l1_bbse_hard` (means over seeds; `_l1_em_max`), `S_K_waf_served`, `_waf_corrected`, `_waf_always`
(whatever the test says), `_waf_oracle` (points), `S_K_gain`, `_gain_low`, `_gain_high` (points, mean over seeds with its
95 % t-interval), `S_K_gain_share` (of the oracle's gain; shifted scenarios), `S_K_shifted` (share of seeds in which the
test says shift), `S_K_coverage` (of EM's 95 % intervals); `milliseconds_em`, `milliseconds_bbse`,
`milliseconds_calibration`, `milliseconds_test`, `milliseconds_intervals`, `milliseconds_tracked_batch`; `quapy_em`,
`quapy_bbse_soft`, `quapy_bbse_hard`: largest difference from quapy's estimate (left out where it is not installed).
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from benchmarks.label_shift.simulation import MER2023, MER2024, Draw, Scenario, draw
from mer.evaluation.calibration import fit_temperature
from mer.evaluation.metrics import confusion, waf
from mer.label_shift.analysis import ShiftAnalysis, analyse_shift
from mer.label_shift.bbse import confusion_of, estimate_bbse, predictions
from mer.label_shift.calibration import fit_bias_corrected, log_softmax
from mer.label_shift.clip_sets import CalibrationClips, TargetClips
from mer.label_shift.config import LabelShiftConfig
from mer.label_shift.intervals import estimate_priors
from mer.label_shift.likelihood import estimate_em
from mer.label_shift.permutation import permutation_test
from mer.label_shift.tracking import TrackedPriors
from mer.label_shift.vote import pooled, prior_weighted_vote

Floats = NDArray[np.float64]
EMOTIONS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
SCENARIOS = {
    "mer2023": MER2023,
    "mer2024": MER2024,
    "mer2023_null": MER2023.unshifted(),
    "mer2024_null": MER2024.unshifted(),
}
CONFIG = LabelShiftConfig(mode="correct-if-shifted")


@dataclass(frozen=True)
class Outcome:
    """One classifier on one draw."""

    errors: Mapping[str, float]
    """Estimator -> L1 distance of its priors from the true ones."""
    served: float
    """Weighted F1 in points."""
    corrected: float
    """As the test decides."""
    always: float
    """Corrected whatever the test says."""
    oracle: float
    shifted: bool
    covered: float
    """Share of classes whose true prior is in EM's interval."""


def main() -> None:
    """Run the benchmark."""
    chosen = parser(__doc__ or "").parse_args()
    figures: dict[str, Figure] = {"seeds": 3 if chosen.quick else 20, "target_clips": 20_000}
    for name, scenario in SCENARIOS.items():
        outcomes = [judged(scenario, draw(scenario, seed)) for seed in range(int(str(figures["seeds"])))]
        shift = scenario.training != scenario.target
        for kind in outcomes[0]:
            figures |= {
                f"{name}_{kind}_{key}": value
                for key, value in summary([one[kind] for one in outcomes], shift=shift).items()
            }
    figures |= costs(draw(MER2023, 0)) | quapy_differences(draw(MER2023, 0))
    for name, value in figures.items():
        print(f"{name:<36} {value:.4f}" if isinstance(value, float) else f"{name:<36} {value}")
    write_figures(chosen.json, figures)


def judged(scenario: Scenario, drawn: Draw) -> dict[str, Outcome]:
    """Every classifier on a draw, as served and corrected."""
    calibration, target = served_clips(drawn)
    own = analyse_shift(calibration, target, EMOTIONS, CONFIG)
    voters = [served_clips(drawn, model) for model in range(len(drawn.held_out))]
    held_out = pooled([log_softmax(one.logits.astype(np.float64)) for one, _ in voters])
    asked = pooled([log_softmax(one.logits.astype(np.float64)) for _, one in voters])
    voted = analyse_shift(CalibrationClips(held_out, truth=drawn.truth), TargetClips(asked), EMOTIONS, CONFIG)
    assert isinstance(own, ShiftAnalysis) and isinstance(voted, ShiftAnalysis)
    trained = {"trained": outcome(scenario, drawn, own, calibration, target)}
    sets = CalibrationClips(held_out, truth=drawn.truth), TargetClips(asked)
    return trained | {"vote": outcome(scenario, drawn, voted, *sets), "bayes": exact(scenario, drawn)}


def served_clips(drawn: Draw, model: int = 0) -> tuple[CalibrationClips, TargetClips]:
    """Logits of a model at the temperature that fits its out-of-fold predictions."""
    temperature = fit_temperature(drawn.held_out[model], drawn.truth)
    return (
        CalibrationClips(drawn.held_out[model] / temperature, truth=drawn.truth),
        TargetClips(drawn.target[model] / temperature),
    )


def outcome(
    scenario: Scenario,
    drawn: Draw,
    found: ShiftAnalysis,
    calibration: CalibrationClips,
    target: TargetClips,
) -> Outcome:
    """Scores of a trained classifier; the oracle knows the target priors and nothing else."""
    truth = scenario.priors[1]
    calibrated = fit_bias_corrected(calibration.logits, calibration.truth).calibrated
    oracle = prior_weighted_vote([calibrated.log_probabilities(target.logits)], found.training, truth)
    em = found.estimates["em"]
    return Outcome(
        errors={name: float(np.abs(one.prior - truth).sum()) for name, one in found.estimates.items()},
        served=points(drawn, found.served),
        corrected=points(drawn, found.answers),
        always=points(drawn, found.corrected),
        oracle=points(drawn, oracle),
        shifted=found.shifted,
        covered=float(((em.low <= truth) & (truth <= em.high)).mean()),
    )


def exact(scenario: Scenario, drawn: Draw) -> Outcome:
    """The Bayes posteriors, whose training priors are known exactly: EM alone, always corrected."""
    training, target = scenario.priors
    estimated = estimate_em(drawn.bayes, training).prior
    corrected = points(drawn, prior_weighted_vote([drawn.bayes], training, estimated))
    return Outcome(
        errors={"em": float(np.abs(estimated - target).sum())},
        served=points(drawn, drawn.bayes),
        corrected=corrected,
        always=corrected,
        oracle=points(drawn, prior_weighted_vote([drawn.bayes], training, target)),
        shifted=True,
        covered=float("nan"),
    )


def points(drawn: Draw, scores: Floats) -> float:
    """Weighted F1 in points."""
    counts = confusion(drawn.target_truth, scores.argmax(axis=1), scores.shape[1])
    return 100 * float(waf(counts))


def summary(outcomes: Sequence[Outcome], *, shift: bool) -> dict[str, float]:
    """Means over seeds, and the share of the oracle's gain (ratio of the mean gains)."""
    from scipy.stats import t

    served, corrected, oracle = (
        np.array([getattr(one, name) for one in outcomes]) for name in ("served", "corrected", "oracle")
    )
    gains = corrected - served
    reach = float(t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains)))
    figures = {
        f"l1_{name}": float(np.mean([one.errors[name] for one in outcomes])) for name in outcomes[0].errors
    }
    figures |= {
        "l1_em_max": max(one.errors["em"] for one in outcomes),
        "waf_served": float(served.mean()),
        "waf_corrected": float(corrected.mean()),
        "waf_always": float(np.mean([one.always for one in outcomes])),
        "waf_oracle": float(oracle.mean()),
        "gain": float(gains.mean()),
        "gain_low": float(gains.mean()) - reach,
        "gain_high": float(gains.mean()) + reach,
        "shifted": float(np.mean([one.shifted for one in outcomes])),
    }
    if shift:
        figures["gain_share"] = float(gains.mean() / (oracle - served).mean())
    covered = float(np.mean([one.covered for one in outcomes]))
    return figures | ({"coverage": covered} if np.isfinite(covered) else {})


def costs(drawn: Draw) -> dict[str, Figure]:
    """Milliseconds of every part, the fastest of five, on 20,000 target clips of six classes."""
    calibration, target = served_clips(drawn)
    fit = fit_bias_corrected(calibration.logits, calibration.truth)
    own, other = (fit.calibrated.log_probabilities(part.logits) for part in (calibration, target))
    prior = calibration.shares
    state = TrackedPriors.start(prior).update(other)
    work: dict[str, Callable[[], object]] = {
        "calibration": lambda: fit_bias_corrected(calibration.logits, calibration.truth),
        "em": lambda: estimate_em(other, prior),
        "bbse": lambda: estimate_bbse(
            confusion_of(predictions(own, "soft"), calibration.truth), predictions(other, "soft").mean(axis=0)
        ),
        "test": lambda: permutation_test(calibration, target),
        "intervals": lambda: estimate_priors(calibration, target, fit),
        "tracked_batch": lambda: state.update(other[:500]),
    }
    return {f"milliseconds_{name}": min(timed(piece) for _ in range(5)) for name, piece in work.items()}


def timed(piece: Callable[[], object]) -> float:
    """Milliseconds a piece of work takes."""
    started = time.perf_counter()
    piece()
    return 1000 * (time.perf_counter() - started)


def quapy_differences(drawn: Draw) -> dict[str, Figure]:
    """Largest difference of any prior from quapy's, by estimator, on the same posteriors."""
    if importlib.util.find_spec("quapy") is None:
        return {}
    from quapy.method.aggregative import ACC, EMQ, PACC

    calibration, target = served_clips(drawn)
    fit = fit_bias_corrected(calibration.logits, calibration.truth).calibrated
    own, other = (np.exp(fit.log_probabilities(part.logits)) for part in (calibration, target))
    prior, classes = calibration.shares, np.arange(len(EMOTIONS))
    theirs: dict[str, Floats] = {"em": EMQ.EM(prior, other, epsilon=1e-9)[0]}
    ours: dict[str, Floats] = {"em": estimate_em(np.log(other), prior).prior}
    for kind in ("soft", "hard"):
        here, there = (predictions(np.log(part), kind) for part in (own, other))
        if kind == "soft":
            rates = PACC.getPteCondEstim(classes, calibration.truth, here)
        else:
            rates = ACC.getPteCondEstim(classes, calibration.truth, here.argmax(axis=1))
        theirs[f"bbse_{kind}"] = ACC.solve_adjustment(
            rates, there.mean(axis=0), method="inversion", solver="exact-raise"
        )
        ours[f"bbse_{kind}"] = estimate_bbse(confusion_of(here, calibration.truth), there.mean(axis=0))
    return {f"quapy_{name}": float(np.abs(ours[name] - theirs[name]).max()) for name in ours}


if __name__ == "__main__":
    main()
