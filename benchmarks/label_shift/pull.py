"""What a Dirichlet pull of EM toward the training priors gives and costs, by the number of clips that are predicted.

    python -m benchmarks.label_shift.pull [--quick] [--json PATH]

The Gaussian world of `benchmarks.label_shift` with the challenges' priors, one linear classifier: a strong one (`strong`, about
86 points) and a weak one (`weak`, about 46: a text's), each on clips like the training clips and on noisier ones (`_noisy`), with
the shift of MER2023 and MER2024 and without any. Answers are always corrected, whatever a test says. Pulls are counts of clips of
known classes. JSON keys, with W = strong, weak, strong_noisy, weak_noisy, S = mer2023, mer2024, null, N target clips, P pull:
`W_S_N_pullP` (gain in weighted F1, points, over the answers as served, mean over seeds), `_l1` (error of the priors), and
`W_S_N_oracle` (gain with the true priors).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from benchmarks.label_shift.simulation import FOLDS, MER2023, MER2024, Scenario, World
from mer.evaluation.calibration import fit_temperature
from mer.evaluation.metrics import confusion, waf
from mer.label_shift.calibration import fit_bias_corrected, log_softmax
from mer.label_shift.likelihood import estimate_em
from mer.label_shift.vote import prior_weighted_vote

Floats = NDArray[np.float64]
WORLDS = {"strong": (0.9, 0.0), "weak": (0.35, 0.0), "strong_noisy": (0.9, 0.7), "weak_noisy": (0.35, 0.7)}
"""Distance of the classes, and noise on the target clips that the training clips do not have."""
SCENARIOS = {"mer2023": MER2023, "mer2024": MER2024, "null": MER2023.unshifted()}
COUNTS = (100, 300, 1000, 4000)
PULLS = (0, 10, 30, 100, 300, 1000)
DRAWS = 4
"""Sets of target clips of each size below 1,000, of every seed."""


@dataclass(frozen=True)
class Answered:
    """Calibrated and served log-posteriors of a world's target clips."""

    training: Floats
    """(C,) priors of the labelled clips."""
    target: Floats
    """(C,) true priors of the target clips."""
    truth: NDArray[np.int64]
    served: Floats
    calibrated: Floats

    def gain(self, rows: NDArray[np.int64], prior: Floats) -> float:
        """Points of weighted F1 that a correction to `prior` gives."""
        corrected = prior_weighted_vote([self.calibrated[rows]], self.training, prior)
        return self._points(rows, corrected) - self._points(rows, self.served[rows])

    def _points(self, rows: NDArray[np.int64], scores: Floats) -> float:
        return 100 * float(waf(confusion(self.truth[rows], scores.argmax(axis=1), len(self.training))))


def main() -> None:
    """Run the benchmark."""
    chosen = parser(__doc__ or "").parse_args()
    figures: dict[str, Figure] = {}
    for world, (distance, noise) in WORLDS.items():
        for name, scenario in SCENARIOS.items():
            found: dict[str, list[float]] = {}
            for seed in range(1 if chosen.quick else 10):
                for key, value in measured(answered(scenario, seed, distance, noise), seed):
                    found.setdefault(f"{world}_{name}_{key}", []).append(value)
            means = {key: float(np.mean(values)) for key, values in found.items()}
            for count in COUNTS:
                gains = [f"{pull}: {means[f'{world}_{name}_{count}_pull{pull}']:+.2f}" for pull in PULLS]
                oracle = means[f"{world}_{name}_{count}_oracle"]
                print(
                    f"{world:<13} {name:<8} {count:>5} clips  oracle {oracle:+.2f}  pull {'  '.join(gains)}",
                    flush=True,
                )
            figures |= means
    write_figures(chosen.json, figures)


def measured(world: Answered, seed: int) -> Iterator[tuple[str, float]]:
    """Gains and errors, by number of clips and pull."""
    generator = np.random.default_rng([seed, 9])
    for count in COUNTS:
        for _ in range(DRAWS if count < 1000 else 1):
            rows = generator.choice(len(world.truth), count, replace=False)
            yield f"{count}_oracle", world.gain(rows, world.target)
            for pull in PULLS:
                prior = estimate_em(world.calibrated[rows], world.training, 1e-7, pull).prior
                yield f"{count}_pull{pull}", world.gain(rows, prior)
                yield f"{count}_pull{pull}_l1", float(np.abs(prior - world.target).sum())


def answered(scenario: Scenario, seed: int, distance: float, noise: float) -> Answered:
    """Draw a world, train its classifier, and answer its target clips."""
    from sklearn.linear_model import LogisticRegression

    training, target = scenario.priors
    world, generator = World.drawn(seed, distance=distance), np.random.default_rng([seed, 2])
    features, truth = world.clips(training, scenario.training_clips, generator)
    others, other_truth = world.clips(target, max(COUNTS), generator)
    others += noise * generator.normal(size=others.shape)
    folds, held_out = np.arange(len(truth)) % FOLDS, np.empty((len(truth), len(training)))

    def logits(inside: NDArray[np.bool_], asked: Floats) -> Floats:
        model = LogisticRegression(C=10.0, max_iter=60).fit(features[inside], truth[inside])
        return np.asarray(model.decision_function(asked), dtype=np.float64)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stopped early on purpose, as networks are
        for fold in range(FOLDS):
            held_out[folds == fold] = logits(folds != fold, features[folds == fold])
        asked = logits(folds >= 0, others)
    temperature = fit_temperature(held_out, truth)
    fit = fit_bias_corrected(held_out / temperature, truth)
    return Answered(
        training=np.bincount(truth, minlength=len(training)) / len(truth),
        target=target,
        truth=other_truth,
        served=log_softmax(asked / temperature),
        calibrated=fit.calibrated.log_probabilities(asked / temperature),
    )


if __name__ == "__main__":
    main()
