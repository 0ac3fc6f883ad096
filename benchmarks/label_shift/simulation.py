"""Clips of a Gaussian world with the challenges' priors, and classifiers as real ones are: trained on finite clips, too sure.

Six classes differ in means and covariances on 12 of 60 features, in two halves (as speech and face would be); the other
features say nothing. A linear classifier cannot represent the posteriors (the covariances differ) and over-fits the empty
features, so its scores are miscalibrated in temperature and by class. As in the pipeline, calibration clips are predicted
out of fold by models of four fifths of the training clips, target clips by a model of all.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.label_shift.calibration import log_softmax

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
INFORMATIVE, FEATURES, FOLDS = 12, 60, 5
VIEWS = (
    slice(0, FEATURES),
    slice(0, INFORMATIVE // 2),
    slice(INFORMATIVE // 2, INFORMATIVE + 20),
)
"""What the three models of the vote see: everything, one half, the other half with empty features."""


@dataclass(frozen=True)
class Scenario:
    """Priors in % (neutral, angry, happy, sad, worried, surprise) of a challenge's training clips and test clips."""

    name: str
    training: tuple[float, ...]
    target: tuple[float, ...]
    training_clips: int
    """As many as the challenge has labelled."""

    @property
    def priors(self) -> tuple[Floats, Floats]:
        """Both as shares that sum to 1 (the published figures are rounded)."""
        first, second = (np.array(values) / sum(values) for values in (self.training, self.target))
        return first, second

    def unshifted(self) -> Scenario:
        """The same with test clips like training clips."""
        return Scenario(f"{self.name}, no shift", self.training, self.training, self.training_clips)


MER2023 = Scenario(
    "MER2023 train -> SEMI test",
    (25.8, 24.4, 20.4, 11.4, 13.7, 4.3),
    (19.9, 21.9, 20.3, 30.8, 5.4, 1.7),
    3373,
)
MER2024 = Scenario(
    "MER2024 train -> NOISE test",
    (24.8, 24.0, 20.6, 14.5, 12.2, 3.8),
    (19.8, 20.2, 19.9, 25.2, 10.2, 4.7),
    5030,
)


@dataclass(frozen=True)
class World:
    """The classes' Gaussians."""

    means: Floats
    """(C, INFORMATIVE)"""
    scales: Floats
    """(C, INFORMATIVE) standard deviations."""

    @classmethod
    def drawn(cls, seed: int, classes: int = 6, distance: float = 0.9) -> World:
        """Means at random with this standard deviation, scales between .75 and 1.35."""
        generator = np.random.default_rng([seed, 1])
        return cls(
            distance * generator.normal(size=(classes, INFORMATIVE)),
            generator.uniform(0.75, 1.35, size=(classes, INFORMATIVE)),
        )

    def clips(self, prior: Floats, count: int, generator: np.random.Generator) -> tuple[Floats, Labels]:
        """(N, FEATURES) features and (N,) labels."""
        labels = generator.choice(len(prior), size=count, p=prior)
        features = generator.normal(size=(count, FEATURES))
        features[:, :INFORMATIVE] = self.means[labels] + self.scales[labels] * features[:, :INFORMATIVE]
        return features, labels

    def posteriors(self, features: Floats, prior: Floats) -> Floats:
        """(N, C) log of the Bayes posteriors under a prior."""
        away = (features[:, None, :INFORMATIVE] - self.means) / self.scales
        return log_softmax(-0.5 * (away**2).sum(axis=2) - np.log(self.scales).sum(axis=1) + np.log(prior))


@dataclass(frozen=True)
class Draw:
    """One draw of a scenario: logits of the trained models and the Bayes posteriors, for both sets of clips."""

    truth: Labels
    """(N,) of the training clips."""
    held_out: tuple[Floats, ...]
    """Per model (N, C) out-of-fold logits."""
    target_truth: Labels
    """(T,) for scoring alone."""
    target: tuple[Floats, ...]
    """Per model (T, C) logits."""
    bayes: Floats
    """(T, C) log-posteriors under the training priors."""


def draw(scenario: Scenario, seed: int, target_clips: int = 20_000, views: Sequence[slice] = VIEWS) -> Draw:
    """Draw a world, clips, and train its classifiers."""
    training, target = scenario.priors
    world, generator = World.drawn(seed), np.random.default_rng([seed, 2])
    features, truth = world.clips(training, scenario.training_clips, generator)
    others, target_truth = world.clips(target, target_clips, generator)
    folds = np.arange(len(truth)) % FOLDS
    held_out, answered = [], []
    for view in views:
        logits = np.empty((len(truth), len(training)))
        for fold in range(FOLDS):
            inside = folds == fold
            logits[inside] = _logits(features[~inside, view], truth[~inside], features[inside, view])
        held_out.append(logits)
        answered.append(_logits(features[:, view], truth, others[:, view]))
    return Draw(truth, tuple(held_out), target_truth, tuple(answered), world.posteriors(others, training))


def _logits(features: Floats, truth: Labels, asked: Floats) -> Floats:
    """Of an almost unregularised linear classifier."""
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stopped early on purpose, as networks are
        model = LogisticRegression(C=10.0, max_iter=100).fit(features, truth)
    return np.asarray(model.decision_function(asked), dtype=np.float64)
