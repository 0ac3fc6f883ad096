"""A fitted posterior ensemble: who takes part, at which temperature, with which weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.combine import entropy_weighted, entropy_weights, log_pooled, tempered, uniform, weighted
from mer.ensemble.config import CombinationConfig, Weighting
from mer.ensemble.pruning import backward_elimination, greedy_selection, mean_log_likelihood
from mer.ensemble.stacking import stacked_weights
from mer.ensemble.valence import ValenceLabels, calibrated, fit_valence_share
from mer.errors import ConfigError
from mer.evaluation.calibration import fit_temperature
from mer.posteriors import Posteriors

COMBINATIONS: Mapping[Weighting, Callable[[Sequence[Posteriors]], Posteriors]] = {
    "uniform": uniform,
    "entropy": entropy_weighted,
    "log_pool": log_pooled,
    "stacked": uniform,  # while members are being chosen; weights are fitted afterwards
}


@dataclass(frozen=True)
class Ensemble:
    """Rule that combines the posteriors of named members; plain values, stored as JSON."""

    weighting: Weighting
    members: tuple[str, ...]
    """Names of the members, in the order of the recipe; a repeated name counts so often."""
    temperatures: Mapping[str, float]
    weights: tuple[float, ...]
    """One per member where they are stacked; empty otherwise."""
    temperature: float = 1.0
    """Of the combined posteriors: a mean of probabilities is less sure than its members."""
    class_valence: tuple[float, ...] = ()
    """(C,) mean valence of every class' training clips; empty: valence is not calibrated (as in records from before it was)."""
    member_valence_share: float = 1.0
    """Share of what a member's valence adds to class-mean decoding that is kept; see `mer.ensemble.valence`."""
    valence_share: float = 1.0
    """The same of the combined valence."""

    def combine(self, posteriors: Mapping[str, Posteriors]) -> Posteriors:
        """The ensemble's posteriors of the clips that its members predicted.

        Raises:
            ConfigError: a member's posteriors are absent, or the members' clips differ.
        """
        if absent := sorted(set(self.members) - set(posteriors)):
            raise ConfigError(
                f"ensemble: expected posteriors of {', '.join(self.members)}, found none of {absent}"
            )
        calibrated = [self.calibrated(name, posteriors[name]) for name in self.members]
        if self.weighting == "stacked":
            mixed = weighted(calibrated, np.array(self.weights))
        else:
            mixed = COMBINATIONS[self.weighting](calibrated)
        return self._calibrated(mixed, self.temperature, self.valence_share)

    def member_weights(self, posteriors: Mapping[str, Posteriors]) -> dict[str, NDArray[np.float64]]:
        """Member -> (N,) its weight for every clip, 1 in sum over the members; of a product of posteriors all count alike.

        Args:
            posteriors: as for `combine`, all of the same clips in the same order.
        """
        calibrated = [self.calibrated(name, posteriors[name]) for name in self.members]
        count = len(calibrated[0])
        if self.weighting == "entropy":
            weights = entropy_weights(np.stack([member.probabilities() for member in calibrated]))
        else:
            fixed = (
                np.array(self.weights)
                if self.weighting == "stacked"
                else np.full(len(calibrated), 1 / len(calibrated))
            )
            weights = np.repeat(fixed[:, None], count, axis=1)
        total = {name: np.zeros(count) for name in self.needed}
        for name, row in zip(self.members, weights, strict=True):  # a member may be named several times
            total[name] = total[name] + row
        return total

    def calibrated(self, member: str, posteriors: Posteriors) -> Posteriors:
        """A member's posteriors at its temperature, and its valence at the members' share."""
        return self._calibrated(posteriors, self.temperatures[member], self.member_valence_share)

    def _calibrated(self, posteriors: Posteriors, temperature: float, share: float) -> Posteriors:
        if not self.class_valence:
            return tempered(posteriors, temperature)
        return calibrated(posteriors, temperature, np.array(self.class_valence), share)

    @property
    def needed(self) -> tuple[str, ...]:
        """The members by name, each once: whose posteriors `combine` reads."""
        return tuple(dict.fromkeys(self.members))

    def to_json(self) -> dict[str, Any]:
        """The ensemble as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Ensemble:
        """The ensemble that `to_json` gave, number for number."""
        lists = {name: tuple(values.get(name, ())) for name in ("members", "weights", "class_valence")}
        return cls(**{**values, **lists})


def fit_ensemble(
    held_out: Mapping[str, Posteriors],
    truth: NDArray[np.int64],
    config: CombinationConfig,
    valence: ValenceLabels | None = None,
) -> Ensemble:
    """Fit temperatures, pruning, weights and the ensemble's own temperature, then the shares of valence, on held-out clips.

    Args:
        held_out: member -> its posteriors of the same clips, in the same order, none of which it was trained on.
        truth: (N,) class index of those clips, -1 = unlabelled. Without any label nothing is fitted: temperatures 1, nobody
            left out, equal weights.
        config: options.
        valence: of those clips, by which valence is calibrated where the options say so; none: it is left as it is.

    Raises:
        ConfigError: members that do not fit together.
    """
    fitted = _fit_posteriors(held_out, truth, config)
    if not config.calibrate_valence or valence is None or not np.isfinite(valence.held_out).any():
        return fitted
    return _with_valence(fitted, held_out, valence)


def _with_valence(fitted: Ensemble, held_out: Mapping[str, Posteriors], labels: ValenceLabels) -> Ensemble:
    """Fit the members' share of valence, then the share of their combination at that share."""
    names = fitted.needed
    share = fit_valence_share(
        [held_out[name] for name in names], [fitted.temperatures[name] for name in names], labels
    )
    means = tuple(float(mean) for mean in labels.class_means)
    with_member_share = replace(fitted, class_valence=means, member_valence_share=share)
    mixed = replace(with_member_share, temperature=1.0).combine(
        held_out
    )  # the ensemble's own share is still 1
    return replace(with_member_share, valence_share=fit_valence_share([mixed], [fitted.temperature], labels))


def _fit_posteriors(
    held_out: Mapping[str, Posteriors], truth: NDArray[np.int64], config: CombinationConfig
) -> Ensemble:
    names = tuple(held_out)
    known = truth >= 0
    temperatures = dict.fromkeys(names, 1.0)
    if config.calibrate and known.any():
        temperatures = {
            name: fit_temperature(member.logits[known], truth[known]) for name, member in held_out.items()
        }
    calibrated = [tempered(held_out[name], temperatures[name]) for name in names]
    selected = tuple(range(len(names)))
    if config.pruning != "none" and known.any():
        prune = greedy_selection if config.pruning == "greedy" else backward_elimination
        combine = COMBINATIONS[config.weighting]
        selected = prune(calibrated, truth, combine=combine, score=mean_log_likelihood)
    if config.weighting == "stacked":  # weights say how much a member counts: naming it twice adds nothing
        selected = tuple(dict.fromkeys(selected))
    weights = (
        tuple(stacked_weights([calibrated[i] for i in selected], truth).tolist())
        if config.weighting == "stacked"
        else ()
    )
    members = tuple(names[i] for i in selected)
    uncalibrated = Ensemble(
        config.weighting, members, {name: temperatures[name] for name in members}, weights
    )
    if not (config.calibrate and known.any()):
        return uncalibrated
    mixed = uncalibrated.combine(held_out)
    return replace(uncalibrated, temperature=fit_temperature(mixed.logits[known], truth[known]))
