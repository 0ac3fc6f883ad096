"""Scores of the benchmark of joint decoding: paired differences with their intervals, as flat figures and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.command import Figure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mer.examples import Examples
    from mer.posteriors import Posteriors

RESAMPLES = 2000
SCORES = ("combined", "waf", "mse")
CLAIMS = {
    "combined_gain": "joint - separate heads: WAF - .25 MSE",
    "combined_calibrated_gain": "the same, valence of both calibrated",
    "valence_gain": "class means by joint posteriors - joint: MSE",
    "valence_calibrated_gain": "the same, posteriors calibrated first",
    "calibrated_valence_gain": "class means - joint, valence calibrated: MSE",
    "calibrated_valence_calibrated_gain": "the same, posteriors calibrated first",
    "calibrated_valence_predicted_gain": "the same, means of the predicted class",
    "calibrated_valence_separate_gain": "the same, separate models' posteriors",
    "calibration_gain": "joint - joint, valence calibrated: MSE",
    "separate_calibration_gain": "separate - separate, valence calibrated: MSE",
    "ensemble_gain": "ensemble - best member: WAF - .25 MSE",
    "ensemble_waf_gain": "ensemble - best member: WAF",
    "ensemble_uncalibrated_gain": "the same, valence not calibrated: WAF - .25 MSE",
    "ensemble_valence_gain": "class means by the ensemble's posteriors - ensemble: MSE",
}
"""Difference -> what it is; above 0 is what we hope for."""


ARMS = ("joint", "joint calibrated", "separate", "separate calibrated")
CLASS_MEANS = {
    "class_mean_mse": "class mean joint",
    "class_mean_calibrated_mse": "class mean joint calibrated",
    "class_mean_predicted_mse": "class mean joint predicted",
    "class_mean_separate_mse": "class mean separate",
    "class_mean_separate_calibrated_mse": "class mean separate calibrated",
    "class_mean_separate_predicted_mse": "class mean separate predicted",
}
ARM_LABELS = {
    "joint": "joint, uncertainty",
    "joint_calibrated": "joint, valence calibrated",
    "separate": "separate heads, 1:1",
    "separate_calibrated": "separate, valence calibrated",
}
CLASS_MEAN_LABELS = {
    "class_mean_mse": "class means by joint posteriors",
    "class_mean_calibrated_mse": "the same, posteriors calibrated",
    "class_mean_predicted_mse": "the same, predicted class",
    "class_mean_separate_mse": "class means by separate posteriors",
    "class_mean_separate_calibrated_mse": "the same, posteriors calibrated",
    "class_mean_separate_predicted_mse": "the same, predicted class",
    "class_mean_ensemble_mse": "class means by the ensemble",
}
COMBINED_LABELS = {
    "best_member": "member best on validation",
    "ensemble": "ensemble",
    "best_member_uncalibrated": "member best, valence uncalibrated",
    "ensemble_uncalibrated": "ensemble, valence uncalibrated",
}
COMBINED = ("best member", "ensemble", "best member uncalibrated", "ensemble uncalibrated")
PAIRS = (
    ("combined_gain", "joint", "separate", "combined", 1.0),
    ("combined_calibrated_gain", "joint calibrated", "separate calibrated", "combined", 1.0),
    ("valence_gain", "joint", "class mean joint", "mse", -1.0),
    ("valence_calibrated_gain", "joint", "class mean joint calibrated", "mse", -1.0),
    ("calibrated_valence_gain", "joint calibrated", "class mean joint", "mse", -1.0),
    ("calibrated_valence_calibrated_gain", "joint calibrated", "class mean joint calibrated", "mse", -1.0),
    ("calibrated_valence_predicted_gain", "joint calibrated", "class mean joint predicted", "mse", -1.0),
    ("calibrated_valence_separate_gain", "joint calibrated", "class mean separate calibrated", "mse", -1.0),
    ("calibration_gain", "joint calibrated", "joint", "mse", -1.0),
    ("separate_calibration_gain", "separate calibrated", "separate", "mse", -1.0),
    ("ensemble_gain", "ensemble", "best member", "combined", 1.0),
    ("ensemble_waf_gain", "ensemble", "best member", "waf", 1.0),
    ("ensemble_uncalibrated_gain", "ensemble uncalibrated", "best member uncalibrated", "combined", 1.0),
    ("ensemble_valence_gain", "ensemble", "class mean ensemble", "mse", -1.0),
)
"""Difference, the two systems, the score, and the sign that makes above 0 what we hope for."""


@dataclass
class ViewAnswers:
    """What the models of one view and one seed said; goes from a worker process to the one that scores."""

    systems: list[tuple[str, Posteriors]] = field(default_factory=list)
    """Answers to the test clips."""
    validation: list[tuple[str, float]] = field(default_factory=list)
    """Scores on the validation clips, by kind."""
    models: int = 0
    cpu_seconds: float = 0.0


@dataclass
class Answers:
    """Out-of-fold posteriors by system and seed, one part a view."""

    examples: Examples
    systems: dict[str, dict[int, list[Posteriors]]] = field(default_factory=dict)
    validation: dict[str, list[float]] = field(default_factory=dict)
    """`joint`, `separate` -> scores on validation clips, of every view, seed and structure."""
    models: int = 0
    cpu_seconds: float = 0.0
    """Processor time of training and predicting, all models."""

    def add(self, system: str, seed: int, posteriors: Posteriors) -> None:
        """One view's answers."""
        self.systems.setdefault(system, {}).setdefault(seed, []).append(posteriors)

    def take(self, seed: int, found: ViewAnswers) -> None:
        """All that one view and seed gave."""
        for system, posteriors in found.systems:
            self.add(system, seed, posteriors)
        for kind, score in found.validation:
            self.validation.setdefault(kind, []).append(score)
        self.models += found.models
        self.cpu_seconds += found.cpu_seconds


@dataclass(frozen=True)
class Resamples:
    """Scores of one system: of every seed, and of every seed in every resample of speakers."""

    point: dict[str, NDArray[np.float64]]
    """Score -> (S,)."""
    samples: dict[str, NDArray[np.float64]]
    """Score -> (B, S)."""
    groups: int
    """Speakers (or clips, where speakers are unknown)."""


def score_of(
    posteriors: Posteriors, emotion: NDArray[np.int64], valence: NDArray[np.floating]
) -> dict[str, float]:
    """WAF, squared error of valence, and WAF - .25 MSE."""
    from mer.evaluation.metrics import combined_score, confusion, valence_mse, waf

    weighted = float(waf(confusion(emotion, posteriors.predicted, posteriors.logits.shape[1])))
    error = valence_mse(valence, posteriors.valence)
    return {"waf": weighted, "mse": error, "combined": combined_score(weighted, error)}


def resampled(answers: Answers, system: str) -> Resamples:
    """Scores of a system under resampling of speakers; resample b draws the same speakers for every system."""
    import numpy as np

    from mer.evaluation.intervals import (
        group_confusions,
        resample_weights,
        resampled_scores,
        resampling_groups,
    )
    from mer.evaluation.metrics import VALENCE_PENALTY, waf
    from mer.posteriors import Posteriors

    point: dict[str, list[float]] = {score: [] for score in SCORES}
    samples: dict[str, list[NDArray[np.float64]]] = {score: [] for score in SCORES}
    position = {clip_id: row for row, clip_id in enumerate(answers.examples.clip_ids)}
    number = 0
    for parts in answers.systems[system].values():
        joined = Posteriors.joined(parts)
        posteriors = joined.restricted(sorted(joined.clip_ids))
        rows = np.array([position[clip_id] for clip_id in posteriors.clip_ids], dtype=np.int64)
        emotion, valence = answers.examples.emotion[rows], answers.examples.valence[rows]
        for name, value in score_of(posteriors, emotion, valence).items():
            point[name].append(value)
        groups = resampling_groups([answers.examples.speaker[i] for i in rows], len(rows))
        counts = group_confusions(emotion, posteriors.predicted, groups, posteriors.logits.shape[1])
        number = len(counts)
        weights = resample_weights(number, RESAMPLES, seed=0)
        squares = (posteriors.valence.astype(np.float64) - valence) ** 2
        known = ~np.isnan(squares)
        total = np.bincount(groups, np.where(known, squares, 0.0), minlength=number)
        drawn = resampled_scores(counts, weights, waf)
        error = (weights @ total) / (weights @ np.bincount(groups, known, minlength=number))
        samples["waf"].append(drawn)
        samples["mse"].append(error)
        samples["combined"].append(drawn - VALENCE_PENALTY * error)
    return Resamples(
        {name: np.array(values) for name, values in point.items()},
        {name: np.stack(values, axis=1) for name, values in samples.items()},
        number,
    )


def difference(
    name: str, first: Sequence[Resamples], second: Sequence[Resamples], score: str, sign: float
) -> dict[str, Figure]:
    """`sign` * (first - second), averaged over the pairs, with 95 % intervals: seeds alone, and seeds and speakers.

    Few seeds and few speakers make a percentile interval too narrow: deviations are stretched as in
    `mer.evaluation.intervals`, by the smaller of the two numbers where both are drawn.
    """
    import numpy as np

    from mer.evaluation.intervals import widened

    pairs = list(zip(first, second, strict=True))
    point = sign * np.mean([a.point[score] - b.point[score] for a, b in pairs], axis=0)  # (S,)
    both = sign * np.mean([a.samples[score] - b.samples[score] for a, b in pairs], axis=0)  # (B, S)
    seeds = len(point)
    draws = np.random.default_rng(1).multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds
    fewest = min(seeds, pairs[0][0].groups) if seeds > 1 else pairs[0][0].groups
    low, high = np.quantile(widened((both * draws).sum(axis=1), fewest), [0.025, 0.975])
    seeds_low, seeds_high = np.quantile(widened(draws @ point, seeds), [0.025, 0.975])
    return {
        name: float(point.mean()),
        f"{name}_low": float(low),
        f"{name}_high": float(high),
        f"{name}_seeds_low": float(seeds_low),
        f"{name}_seeds_high": float(seeds_high),
        f"{name}_by_seed": [round(float(value), 4) for value in point],
    }


def figures_of(answers: Answers, members: Sequence[str], seeds: int) -> dict[str, Figure]:
    """Flat figures; the module of the benchmark lists their keys."""
    import numpy as np

    scored = {system: resampled(answers, system) for system in answers.systems}

    def of(kind: str) -> list[Resamples]:
        return [scored[f"{kind}/{name}"] for name in members]

    def mean(kind: str, score: str) -> float:
        return float(np.mean([own.point[score].mean() for own in of(kind)]))

    figures: dict[str, Figure] = {
        "clips": sum(len(part) for part in next(iter(answers.systems["ensemble"].values()))),
        "speakers": scored["ensemble"].groups,
        "seeds": seeds,
        "models_trained": answers.models,
        "cpu_seconds_per_model": answers.cpu_seconds / max(answers.models, 1),
    }
    for key, kind in CLASS_MEANS.items():
        figures[key] = mean(kind, "mse")
    for kind in ARMS:
        name = kind.replace(" ", "_")
        figures |= {f"{name}_combined": mean(kind, "combined"), f"{name}_waf": mean(kind, "waf")}
        figures[f"{name}_valence_mse"] = mean(kind, "mse")
    for kind in ("joint", "separate"):
        figures[f"{kind}_validation_combined"] = float(np.mean(answers.validation[kind]))
    for system in COMBINED:
        for score in SCORES:
            figures[f"{system.replace(' ', '_')}_{score}"] = float(scored[system].point[score].mean())
    figures["class_mean_ensemble_mse"] = float(scored["class mean ensemble"].point["mse"].mean())
    for system, found in scored.items():
        kind, _, member = system.partition("/")
        name = (f"{member}_{kind}" if member else system).replace(" ", "_")
        if kind in ARMS or kind.startswith("ablation"):
            figures |= {f"{name}_{score}": float(found.point[score].mean()) for score in SCORES}
    for name, first, second, score, sign in PAIRS:
        one, other = ([scored[kind]] if kind in scored else of(kind) for kind in (first, second))
        figures |= difference(name, one, other, score, sign)
    return figures


def show(figures: Mapping[str, Figure], members: Sequence[str]) -> None:
    """The figures as tables for people."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    def number(key: str) -> str:
        value = figures[key]
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    title = (
        f"{figures['clips']} clips of {figures['speakers']} speakers out of fold, mean of {figures['seeds']} seeds; "
        f"{figures['models_trained']} models, {number('cpu_seconds_per_model')} processor seconds each"
    )
    scores = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    scores.add_column("system", no_wrap=True)
    for column in ("WAF - .25 MSE", "WAF", "MSE of valence"):
        scores.add_column(column, justify="right")
    for kind, label in ARM_LABELS.items():
        scores.add_row(
            f"{label}, mean", number(f"{kind}_combined"), number(f"{kind}_waf"), number(f"{kind}_valence_mse")
        )
        for name in members:
            scores.add_row(f"  {name}", *(number(f"{name}_{kind}_{score}") for score in SCORES))
    for key, label in CLASS_MEAN_LABELS.items():
        scores.add_row(label, "", "", number(key))
    for key, label in COMBINED_LABELS.items():
        scores.add_row(label, *(number(f"{key}_{score}") for score in SCORES))
    for key in figures:
        if key.startswith("ablation") and key.endswith("combined"):
            own = key.removesuffix("combined")
            scores.add_row(own.replace("_", " ").strip(), *(number(own + score) for score in SCORES))

    gains = Table(title="Differences; above 0 is what we hope for", title_justify="left", box=SIMPLE_HEAD)
    gains.add_column("difference")
    for column in ("mean", "95 %, seeds", "95 %, seeds and speakers"):
        gains.add_column(column, justify="right", no_wrap=True)
    for name, what in CLAIMS.items():
        gains.add_row(
            what,
            f"{figures[name]:+.3f}",
            f"{figures[f'{name}_seeds_low']:+.3f} to {figures[f'{name}_seeds_high']:+.3f}",
            f"{figures[f'{name}_low']:+.3f} to {figures[f'{name}_high']:+.3f}",
        )
    console = Console(highlight=False)
    console.print(scores)
    console.print(gains)
