"""Guards of unattended self-training: what stops a refresh by itself, each with a reason for people (system B, 2).

Before training: the share of every class among the pseudo-labels, the drift of the predicted priors, and sources whose labels a
second opinion contradicts. After it: the canary, true labels that are never trained on. All are reconstructions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.evaluation.metrics import confusion, waf
from mer.label_shift.analysis import NoAnalysis, analyse_shift
from mer.label_shift.clip_sets import CalibrationClips, TargetClips
from mer.label_shift.config import LabelShiftConfig
from mer.selftraining.config import GuardsConfig


@dataclass(frozen=True)
class Finding:
    """Result of one guard."""

    guard: str
    """`class share`, `prior drift`, `source` or `canary`."""
    passed: bool
    value: float | None
    """Measured value; None: it could not be measured."""
    bound: float
    reason: str
    """Found, expected, and what to do where it failed."""
    source: str | None = None
    """The source it is about; None: all clips."""


def stop_reason(findings: Sequence[Finding]) -> str | None:
    """Reasons of all guards that failed, as one text; None: none failed."""
    return "; ".join(finding.reason for finding in findings if not finding.passed) or None


def class_share_guard(
    labelled: NDArray[np.int64], pseudo: NDArray[np.int64], emotions: Sequence[str], config: GuardsConfig
) -> Finding:
    """Compare every class's share of the pseudo-labels with its share of the gold labels; the finding names the worst class.

    Args:
        labelled: (N,) class index of the gold training labels.
        pseudo: (K,) class index of the pseudo-labels.
        emotions: class names in index order.
        config: options.
    """
    if not len(labelled) or not len(pseudo):
        return Finding(
            "class share", True, None, config.largest_share_ratio, "class shares: no labels to compare"
        )
    gold_counts, pseudo_counts = (
        np.bincount(labels, minlength=len(emotions)) for labels in (labelled, pseudo)
    )
    ratios = []
    for kind in range(len(emotions)):
        gold_low, gold_high = _share_interval(int(gold_counts[kind]), len(labelled))
        low, high = _share_interval(int(pseudo_counts[kind]), len(pseudo))
        ratios.append(max(low / gold_high, gold_low / high))  # how far apart at least
    worst = int(np.argmax(ratios))
    passed = ratios[worst] <= config.largest_share_ratio
    shares = (
        f"{pseudo_counts[worst] / len(pseudo):.1%} of the pseudo-labels and "
        f"{gold_counts[worst] / len(labelled):.1%} of the gold labels"
    )
    summary = f"class shares: {emotions[worst]} has {shares}"
    if not passed:
        summary += (
            f", expected at most {config.largest_share_ratio:g} times more or fewer; look at these clips"
        )
    return Finding("class share", passed, float(ratios[worst]), config.largest_share_ratio, summary)


def prior_drift_guard(
    calibration: CalibrationClips, target: TargetClips, emotions: Sequence[str], config: GuardsConfig
) -> Finding:
    """Compare the priors of new clips with those of labelled held-out ones.

    Args:
        calibration: predictions with true labels that the model did not learn.
        target: predictions for the new clips, at the same temperature.
        emotions: class names in index order.
        config: options.
    """
    bound = config.largest_drift
    shift = analyse_shift(calibration, target, emotions, LabelShiftConfig(resamples=100))
    if isinstance(shift, NoAnalysis):
        return Finding("prior drift", True, None, bound, f"prior drift: not measured, {shift.reason}")
    drift = float(np.abs(shift.estimates["em"].prior - shift.training).sum())
    passed = drift <= bound or not shift.shifted
    summary = f"prior drift: the priors of the new clips differ by {drift:.2f} in sum (p = {shift.test.p_value:.4f})"
    if not passed:
        agree = "agree" if shift.consistent else "do not agree: the classes themselves look different"
        summary += f", expected at most {bound:g}; EM and BBSE {agree}; look at where the clips come from"
    return Finding("prior drift", passed, drift, bound, summary)


def canary_guard(
    truth: NDArray[np.int64],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    classes: int,
    config: GuardsConfig,
) -> Finding:
    """Compare weighted F1 before and after a round on true labels that nothing was trained on or chosen by.

    Args:
        truth: (N,) class index.
        before: (N,) predicted class before the round.
        after: (N,) after it.
        classes: number of classes.
        config: options.
    """
    bound = config.largest_canary_drop
    if not len(truth):
        return Finding(
            "canary", True, None, bound, "canary: no clips with `split: canary`, so nothing is watched"
        )
    scores = [float(waf(confusion(truth, predicted, classes))) for predicted in (before, after)]
    drop = scores[0] - scores[1]
    summary = f"canary: weighted F1 {scores[0]:.3f} -> {scores[1]:.3f} on {len(truth)} true labels"
    passed = drop <= bound
    if not passed:
        summary += (
            f", expected to fall by at most {bound:g}; the batch is set aside, look at its pseudo-labels"
        )
    return Finding("canary", passed, drop, bound, summary)


def source_guard(
    sources: Sequence[str | None], agrees: NDArray[np.bool_], config: GuardsConfig
) -> list[Finding]:
    """Sources whose pseudo-labels a second opinion contradicts more often than those of all other sources.

    Args:
        sources: (K,) where each pseudo-labelled clip comes from; None: unknown, counted among the others only.
        agrees: (K,) whether the second opinion gives the same class.
        config: options.

    Returns:
        A finding for every source that failed (exact test of Fisher, Holm's correction over sources), or one that all passed.
    """
    from scipy.stats import fisher_exact

    names = np.array(["" if source is None else source for source in sources])
    large = [
        name
        for name in sorted(set(names.tolist()) - {""})
        if (names == name).sum() >= config.source_clips and (names != name).sum() >= config.source_clips
    ]
    tests = []
    for name in large:
        inside, outside = agrees[names == name], agrees[names != name]
        counts = [[int((~inside).sum()), int(inside.sum())], [int((~outside).sum()), int(outside.sum())]]
        p = float(fisher_exact(counts, alternative="greater").pvalue)
        tests.append(
            (
                p,
                float(outside.mean() - inside.mean()),
                name,
                1 - float(inside.mean()),
                1 - float(outside.mean()),
            )
        )
    failed = []
    for rank, (p, gap, name, rate, other_rate) in enumerate(sorted(tests)):
        # Holm: the smallest p is held against alpha / tests, the next against alpha / (tests - 1), until one passes
        if p > config.source_alpha / (len(tests) - rank):
            break
        if gap > config.source_gap:
            reason = (
                f"source {name}: a second opinion contradicts {rate:.0%} of its pseudo-labels and {other_rate:.0%} of the "
                f"others' (p = {p:.1e}), expected at most {config.source_gap:.0%} more; look at these clips"
            )
            failed.append(Finding("source", False, gap, config.source_gap, reason, source=name))
    if failed:
        return failed
    largest = max((gap for _, gap, *_ in tests), default=None)
    summary = (
        f"sources: {len(tests)} looked at, none stands out"
        if tests
        else "sources: no two large enough to compare"
    )
    return [Finding("source", True, largest, config.source_gap, summary)]


def second_opinion(
    features: Mapping[str, NDArray[np.floating]],
    labels: NDArray[np.int64],
    pseudo: NDArray[np.bool_],
    sources: Sequence[str | None],
    weight: NDArray[np.floating],
    parts: int = 5,
) -> NDArray[np.int64]:
    """(N,) class that a linear probe gives to pseudo-labelled clips when their own source is left out; -1 for other clips.

    Gold labels and the other sources' pseudo-labels teach it; sources are left out in `parts` groups.

    Args:
        features: stream -> (N, D) features; missing ones as zeros.
        labels: (N,) class index, gold or pseudo; -1: not used.
        pseudo: (N,) pseudo-labelled clips.
        sources: (N,) where a clip comes from; None: a source of its own.
        weight: (N,) weight of a clip.
        parts: groups of sources.
    """
    from sklearn.linear_model import LogisticRegression

    names = [f"\0{row}" if source is None else source for row, source in enumerate(sources)]
    ordered = sorted({names[row] for row in np.flatnonzero(pseudo)})
    group_of = {name: position % parts for position, name in enumerate(ordered)}
    group = np.array([group_of.get(name, -1) for name in names])
    joined = np.hstack([_standardised(values, labels >= 0) for values in features.values()])
    opinion = np.full(len(labels), -1, dtype=np.int64)
    for number in sorted({group_of[name] for name in ordered}):
        held_out = pseudo & (group == number)
        learnt = (labels >= 0) & ~held_out
        if len(set(labels[learnt].tolist())) < 2:
            continue
        probe = LogisticRegression(C=0.01, max_iter=500)
        probe.fit(joined[learnt], labels[learnt], sample_weight=weight[learnt])
        opinion[held_out] = probe.predict(joined[held_out])
    return opinion


def _standardised(values: NDArray[np.floating], learnt: NDArray[np.bool_]) -> NDArray[np.float64]:
    features = values.astype(np.float64)
    mean, scale = features[learnt].mean(axis=0), features[learnt].std(axis=0)
    # as a mean over features, so that a wide stream does not outweigh a narrow one
    return np.asarray((features - mean) / np.where(scale > 0, scale, 1.0) / np.sqrt(features.shape[1]) * 10.0)


def _share_interval(count: int, total: int, confidence: float = 0.99) -> tuple[float, float]:
    """Exact interval of a share (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    rest = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(beta.ppf(rest, count, total - count + 1))
    high = 1.0 if count == total else float(beta.ppf(1 - rest, count + 1, total - count))
    return low, high
