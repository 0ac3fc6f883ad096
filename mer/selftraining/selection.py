"""From votes to pseudo-labels: who leads, how sure is sure enough, and how often such labels are right (system B, 2).

Known: high-confidence predictions on unlabelled data become pseudo-labels. Reconstruction: voters of single streams beside
the multimodal one, thresholds by class, fixed or by held-out precision, or a share of each class, and class-balanced caps.
Confidence is calibrated on the held-out clips, so a threshold means the same for every model that leads.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.combine import aligned_members, log_pooled
from mer.errors import ConfigError
from mer.evaluation.calibration import fit_temperature
from mer.posteriors import Posteriors
from mer.selftraining.agreement import Vote, selected, thresholds_by_precision, vote
from mer.selftraining.config import SelfTrainingConfig
from mer.selftraining.pseudo_labels import PseudoLabels

LEAST_CALIBRATED = 20
"""Fewer held-out clips calibrate nothing: the leading voter's own confidence is taken."""


@dataclass(frozen=True)
class HeldOut:
    """Predictions for clips with true labels by voters that were not trained on them: the same ones, or such as were fitted alike
    without these clips."""

    voters: Sequence[Posteriors]
    """As many as vote, in the same order."""
    truth: NDArray[np.int64]
    """(N,) class index by the first voter's clips; no -1."""


def select_pseudo_labels(
    voters: Sequence[Posteriors],
    classes: Sequence[str],
    config: SelfTrainingConfig,
    excluded: Collection[str] = (),
    held_out: HeldOut | None = None,
    absent: Sequence[Collection[str]] = (),
    shares: NDArray[np.floating] | None = None,
) -> PseudoLabels:
    """Vote on clips and select those with enough agreement and confidence, at most the caps per class.

    Args:
        voters: predictions on the same clips; the first leads.
        classes: C class names in index order.
        config: policy and caps.
        excluded: clip ids that must never be selected (labelled, validation and test clips; invariant I10).
        held_out: true labels to calibrate by and to estimate precision with; needed by a policy of precision.
        absent: for each voter the clips, of both kinds, that it has no stream of (see `vote`).
        shares: (C,) of the classes among the gold labels, for the caps; None: all alike.

    Raises:
        ConfigError: a threshold names a class that does not exist, logits of another number of classes, or a policy of
            precision without held-out clips.
    """
    _check(voters, classes, config, held_out)
    leading = -1 if config.lead == "product" else 0
    temperature = 1.0
    if held_out is not None and len(held_out.truth) >= LEAST_CALIBRATED:
        temperature = _temperature(held_out, leading)
    votes = vote(voters, leading, temperature, absent)
    known = vote(held_out.voters, leading, temperature, absent) if held_out is not None else None
    thresholds = _thresholds(known, held_out, classes, config)
    barred = set(excluded)
    out = np.array([clip_id in barred for clip_id in votes.clip_ids], dtype=bool)
    rows = selected(votes, thresholds, config, out, config.cap_per_class, shares)
    if config.share is not None:
        thresholds = _reached(votes, rows, len(classes))
    leader = log_pooled(voters) if leading < 0 else aligned_members(voters)[0]
    names = np.array(votes.clip_ids)
    # names decide among equals, so that the order of the voters' clips changes nothing
    order = np.lexsort((names[rows], -votes.confidence[rows], votes.emotion[rows]))
    rows = rows[order]
    return PseudoLabels(
        clip_ids=tuple(votes.clip_ids[row] for row in rows),
        emotion=votes.emotion[rows],
        confidence=votes.confidence[rows].astype(np.float32),
        valence=leader.valence[rows].astype(np.float32),
        probabilities=votes.probabilities[rows].astype(np.float32),
        agreeing=votes.agreeing[rows],
        classes=tuple(classes),
        thresholds=dict(zip(classes, thresholds.tolist(), strict=True)),
        precision=_precision(known, held_out, thresholds, classes, config),
    )


def _temperature(held_out: HeldOut, leading: int) -> float:
    """Temperature of the leader's logits, or of the mean log-posteriors of all."""
    if leading < 0:
        return fit_temperature(log_pooled(held_out.voters).logits / len(held_out.voters), held_out.truth)
    return fit_temperature(held_out.voters[0].logits, held_out.truth)


def _thresholds(
    known: Vote | None, held_out: HeldOut | None, classes: Sequence[str], config: SelfTrainingConfig
) -> NDArray[np.float64]:
    if config.share is not None:
        return np.full(len(classes), np.inf)  # not read
    if config.precision is not None:
        assert known is not None and held_out is not None  # checked
        return thresholds_by_precision(known, held_out.truth, len(classes), config)
    return np.array([config.fixed_threshold(name) for name in classes])


def _reached(votes: Vote, rows: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """(C,) least confidence among the selected clips of a class; infinite where none was selected."""
    thresholds = np.full(classes, np.inf)
    np.minimum.at(thresholds, votes.emotion[rows], votes.confidence[rows])
    return thresholds


def _precision(
    known: Vote | None,
    held_out: HeldOut | None,
    thresholds: NDArray[np.float64],
    classes: Sequence[str],
    config: SelfTrainingConfig,
) -> dict[str, tuple[int, int]]:
    if known is None or held_out is None:
        return {}
    taken = known.agreed(config) & (known.confidence >= thresholds[known.emotion])
    right = known.emotion == held_out.truth
    return {
        name: (
            int((taken & right & (known.emotion == index)).sum()),
            int((taken & (known.emotion == index)).sum()),
        )
        for index, name in enumerate(classes)
    }


def _check(
    voters: Sequence[Posteriors],
    classes: Sequence[str],
    config: SelfTrainingConfig,
    held_out: HeldOut | None,
) -> None:
    if unknown := sorted(set(config.class_thresholds) - set(classes)):
        raise ConfigError(
            f"pseudo-labels: thresholds for unknown classes {unknown}: expected {list(classes)}"
        )
    for posteriors in (*voters, *(held_out.voters if held_out is not None else ())):
        if posteriors.logits.shape[1] != len(classes):
            raise ConfigError(
                f"pseudo-labels: expected logits of {len(classes)} classes, found {posteriors.logits.shape[1]}"
            )
    if held_out is not None and len(held_out.voters) != len(voters):
        raise ConfigError(
            f"pseudo-labels: expected the same {len(voters)} voters on held-out clips, found {len(held_out.voters)}"
        )
    if config.precision is not None and (held_out is None or not len(held_out.truth)):
        raise ConfigError("pseudo-labels: thresholds by precision need held-out clips with true labels")
