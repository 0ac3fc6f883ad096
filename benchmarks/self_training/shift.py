"""Label shift on top of self-training: each test fold subsampled to a challenge's priors, and what corrections make of it.

Called by `benchmarks.self_training` with the logits of the supervised model (keys with the prefix `supervised_`) and of the
self-trained one at the round chosen inside.

*The shift.* The priors are those of MER2023's SEMI test (systems.md), mapped as in `benchmarks.label_shift.ravdess`: neutral and
calm together get the share of neutral, fearful that of worried, angry, happy, sad and surprised their own, and disgust, which
the challenges do not have, is left out. A fold keeps as many clips as there can be (129, or 105 of the fold of four
speakers), `DRAWS` times. The models know all eight classes, so disgust is a class that has vanished: part of any gain is to
learn that. Endings of keys tell the other targets: `_disgust` keeps disgust at its share in the fold (the other seven share
the rest by the mapped priors), `_null` is the whole fold, without any shift (RAVDESS has equal shares in each fold).

*Calibration clips* are those of the fold's four labelled speakers, each predicted by the model whose rounds of self-training
never saw its labels; true labels, all of the training side. So these models learned from three labelled speakers and the
served one from four. Tests, priors and corrections are made fold by fold: a speaker labelled in one fold is a test speaker of
another, so estimates pooled over folds would use labels of test speakers. Scores are pooled over folds, draws and subsamples.
True labels of test clips make the subsample, the oracle and the scores, and nothing else.

JSON keys (each with the endings above): `shift_uncorrected`, `shift_calibrated` (biases fitted, training priors kept),
`shift_em`, `shift_bbse` (posteriors, not classes), `shift_oracle` (true priors of the subsample), each always applied;
`shift_oracle_served` (true priors, without the biases: biases of four speakers may not hold for others);
`shift_decided` (what `analyse_shift` answers by itself in the mode correct-if-shifted) and `shift_decided_unknown` (the same
where speakers are known of neither set): accuracy, as in the rest of the benchmark. The same with `_waf` behind them: WAF.
`shift_l1_em`, `shift_l1_bbse`, `shift_l1_training` (priors left as they were): mean L1 error of a target's priors;
`shift_detected`, `shift_detected_unknown`, `shift_corrected`, `shift_corrected_unknown`: shares of targets;
`shift_disagreement`: mean L1 distance between EM and BBSE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from benchmarks.label_shift.ravdess import subsampled
from mer.emotions import MER_EMOTIONS
from mer.evaluation.calibration import fit_temperature
from mer.evaluation.metrics import accuracy, confusion, waf
from mer.examples import Examples
from mer.label_shift.analysis import NoAnalysis, analyse_shift
from mer.label_shift.calibration import fit_bias_corrected
from mer.label_shift.clip_sets import CalibrationClips, TargetClips
from mer.label_shift.config import LabelShiftConfig
from mer.label_shift.permutation import permutation_test
from mer.label_shift.vote import prior_weighted_vote

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

MAPPED = {"calm": "neutral", "fearful": "worried", "surprised": "surprise"}
"""RAVDESS class -> challenge class; the others keep their names, and disgust has none."""
DISGUST = "disgust"
DRAWS = 10
CONFIG = LabelShiftConfig(mode="correct-if-shifted", minimum_clips=20, minimum_per_class=2, resamples=100)
"""As by default, but for the least numbers of clips, which only the quick form falls short of, and for the number of
resamples: intervals of the priors are not read."""


@dataclass(frozen=True)
class ShiftCase:
    """One model on one test fold."""

    calibration: CalibrationClips
    """Labelled speakers left out in turn, at the temperature that fits them."""
    logits: Floats
    """(N, C) of the whole test fold, at the same temperature."""
    truth: Labels
    """(N,) for the subsample, the oracle and the scores."""
    speakers: tuple[str | None, ...]


@dataclass
class _Answers:
    """Truth and answers of all targets of a kind, and what was found on each."""

    truth: list[Labels] = field(default_factory=list)
    answers: dict[str, list[Labels]] = field(default_factory=dict)
    """By way of correcting."""
    found: dict[str, list[float]] = field(default_factory=dict)

    def figures(self, classes: int) -> dict[str, float]:
        """Pooled scores, and means over targets."""
        known = np.concatenate(self.truth)
        result: dict[str, float] = {}
        for name, answers in self.answers.items():
            counts = confusion(known, np.concatenate(answers), classes)
            result[name] = float(accuracy(counts))
            result[f"{name}_waf"] = float(waf(counts))
        return result | {name: fmean(values) for name, values in self.found.items()}


def shift_case(
    examples: Examples,
    held: Labels,
    held_logits: NDArray[np.float32],
    asked: Labels,
    logits: NDArray[np.float32],
) -> ShiftCase:
    """A case from rows and logits: (held, C) of labelled training clips when left out, (asked, C) of the test fold."""
    truth = examples.emotion[held]
    temperature = fit_temperature(held_logits, truth)
    return ShiftCase(
        CalibrationClips(
            held_logits.astype(np.float64) / temperature, tuple(examples.speaker[i] for i in held), truth
        ),
        logits.astype(np.float64) / temperature,
        examples.emotion[asked],
        tuple(examples.speaker[i] for i in asked),
    )


def shift_figures(cases: Sequence[ShiftCase], classes: Sequence[str], draws: int = DRAWS) -> dict[str, float]:
    """All figures of one kind of model over folds and choices of labelled speakers."""
    targets = {"": _Answers(), "_disgust": _Answers(), "_null": _Answers()}
    for number, case in enumerate(cases):
        _judge(case, np.arange(len(case.truth)), classes, targets["_null"])
        for draw in range(draws):
            for ending, disgust in (("", False), ("_disgust", True)):
                generator = np.random.default_rng([draw, number])
                rows = shifted_rows(case.truth, classes, generator, disgust=disgust)
                _judge(case, rows, classes, targets[ending])
    return {
        f"shift_{name}{ending}": value
        for ending, answers in targets.items()
        for name, value in answers.figures(len(classes)).items()
    }


def shifted_rows(
    truth: Labels, classes: Sequence[str], generator: np.random.Generator, *, disgust: bool = False
) -> Labels:
    """Rows of a fold with the mapped priors, as many as there can be; with disgust at its share in the fold, or without."""
    place = np.array(
        [
            MER_EMOTIONS.index(name) if (name := MAPPED.get(kind, kind)) in MER_EMOTIONS else -1
            for kind in classes
        ]
    )
    mapped = place[truth]
    inside = np.flatnonzero(mapped >= 0)
    rows = inside[subsampled(mapped[inside], generator)]
    if disgust:
        others = np.flatnonzero(truth == list(classes).index(DISGUST))
        wanted = round(len(rows) * len(others) / len(inside))
        rows = np.concatenate([rows, generator.choice(others, size=wanted, replace=False)])
    return np.asarray(np.sort(rows))


def _judge(case: ShiftCase, rows: Labels, classes: Sequence[str], into: _Answers) -> None:
    """Correct a target's answers in all ways, and keep them beside its true labels."""
    truth, calibration = case.truth[rows], case.calibration
    target = TargetClips(case.logits[rows], tuple(case.speakers[i] for i in rows))
    analysis = analyse_shift(calibration, target, classes, CONFIG)
    if isinstance(analysis, NoAnalysis):
        raise ValueError(f"label shift of a fold: {analysis.reason}")
    priors = {
        "calibrated": analysis.training,
        "em": analysis.estimates["em"].prior,
        "bbse": analysis.estimates["bbse_soft"].prior,
        "oracle": np.bincount(truth, minlength=len(classes)) / len(truth),
    }
    calibrated = fit_bias_corrected(calibration.logits, calibration.truth).calibrated
    logs = calibrated.log_probabilities(target.logits)
    answers = {"uncorrected": analysis.served} | {
        name: prior_weighted_vote([logs], analysis.training, prior) for name, prior in priors.items()
    }
    answers["oracle_served"] = prior_weighted_vote([analysis.served], analysis.training, priors["oracle"])
    found = {
        f"l1_{'training' if name == 'calibrated' else name}": float(np.abs(prior - priors["oracle"]).sum())
        for name, prior in priors.items()
        if name != "oracle"
    }
    # without speakers, estimates and agreement are the same, and the test is another
    nameless = CalibrationClips(calibration.logits, truth=calibration.truth), TargetClips(target.logits)
    unknown = permutation_test(*nameless, CONFIG.permutations, CONFIG.seed)
    applied = unknown.shifted(CONFIG.alpha) and analysis.consistent
    answers |= {
        "decided": analysis.answers,
        "decided_unknown": analysis.corrected if applied else analysis.served,
    }
    found |= {"detected": float(analysis.shifted), "detected_unknown": float(unknown.shifted(CONFIG.alpha))}
    found |= {"corrected": float(analysis.applied), "corrected_unknown": float(applied)}
    into.truth.append(truth)
    for name, values in answers.items():
        into.answers.setdefault(name, []).append(values.argmax(axis=1).astype(np.int64))
    for name, value in (found | {"disagreement": analysis.disagreement}).items():
        into.found.setdefault(name, []).append(value)
