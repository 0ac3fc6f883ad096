"""Voters that must agree, and thresholds set by what held-out true labels say of their precision (system B, 2).

Known: high-confidence predictions become pseudo-labels. Reconstruction: several voters (unimodal ones beside the multimodal one),
of which at least K must name the class, and a threshold for every class: the lowest confidence from which on the predictions on
held-out, truly labelled clips were right often enough. A class that never is gets no pseudo-labels: where labels are few, that
bends the priors more than wrong labels do, and a share of each class is better (known: Zou et al. 2018, CBST).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mer.ensemble.combine import aligned_members, log_pooled
from mer.ensemble.posteriors import Posteriors
from mer.errors import ConfigError


class AgreementConfig(BaseModel):
    """When a vote is trusted as a label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreeing: int = Field(default=2, ge=1, description="Voters that must name the class (K of M).")
    precision: float = Field(
        default=0.85, gt=0.0, le=1.0, description="Share of right ones a class's threshold has to reach."
    )
    share: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="Take this share of the agreed votes for each class, the most confident ones, in place of thresholds "
        "(class-balanced self-training): a class whose precision cannot be reached is then not left out.",
    )
    least_clips: int = Field(
        default=5, ge=1, description="Held-out clips of a class above its threshold; fewer say nothing."
    )
    cap_ratio: float | None = Field(
        default=3.0,
        gt=0.0,
        description="Most clips of a class relative to the rarest that was selected; none: no limit.",
    )


@dataclass(frozen=True)
class Vote:
    """What M voters say of N clips."""

    clip_ids: tuple[str, ...]
    emotion: NDArray[np.int64]
    """(N,) class of the product of their posteriors."""
    confidence: NDArray[np.float64]
    """(N,) probability of that class, by the mean of the log-posteriors."""
    agreeing: NDArray[np.int64]
    """(N,) voters whose own class it is."""


def vote(voters: Sequence[Posteriors], leading: int = 0) -> Vote:
    """Count votes for the class of the leading voter.

    Args:
        voters: M posteriors of the same clips, in any order.
        leading: the voter whose class and confidence count; the others agree or do not. -1: the product of all.

    Raises:
        ConfigError: no voters, or voters of different clips or classes.
    """
    aligned = aligned_members(voters)
    leader = log_pooled(aligned) if leading < 0 else aligned[leading]
    probabilities = leader.probabilities(float(len(aligned)) if leading < 0 else 1.0)
    emotion = probabilities.argmax(axis=1).astype(np.int64)
    agreeing = np.sum([voter.predicted == emotion for voter in aligned], axis=0)
    return Vote(leader.clip_ids, emotion, probabilities.max(axis=1), agreeing.astype(np.int64))


def thresholds_by_precision(
    held_out: Vote, truth: NDArray[np.int64], classes: int, config: AgreementConfig
) -> NDArray[np.float64]:
    """(C,) lowest confidence from which on agreed votes for a class were right with the wanted precision; inf: never.

    Args:
        held_out: votes on clips with true labels that no voter was trained on.
        truth: (N,) class index.
        classes: number of classes C.
        config: options.

    Raises:
        ConfigError: lengths differ, or a clip has no label.
    """
    if len(truth) != len(held_out.clip_ids) or (truth < 0).any():
        raise ConfigError(
            f"thresholds: expected a true label for each of {len(held_out.clip_ids)} held-out clips, found "
            f"{int((truth >= 0).sum())}"
        )
    thresholds = np.full(classes, np.inf)
    agreed = held_out.agreeing >= config.agreeing
    for kind in range(classes):
        rows = np.flatnonzero(agreed & (held_out.emotion == kind))
        rows = rows[np.argsort(-held_out.confidence[rows], kind="stable")]
        right = np.cumsum(truth[rows] == kind)
        counts = np.arange(1, len(rows) + 1)
        confidence = held_out.confidence[rows]
        last_of_ties = np.append(confidence[1:] != confidence[:-1], True) if len(rows) else np.zeros(0, bool)
        enough = (right / counts >= config.precision) & (counts >= config.least_clips) & last_of_ties
        if enough.any():
            thresholds[kind] = confidence[np.flatnonzero(enough)[-1]]
    return thresholds


def selected(
    votes: Vote, thresholds: NDArray[np.float64], config: AgreementConfig, excluded: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Rows that become pseudo-labels, ascending: agreed, confident enough, within the caps, never an excluded clip.

    Args:
        votes: on clips, unlabelled ones among them.
        thresholds: (C,) least confidence by class; not read where `config.share` is given.
        config: options.
        excluded: (N,) clips that must never be selected: labelled, validation and test clips, and all of test speakers.
    """
    if excluded.shape != votes.emotion.shape:
        raise ConfigError(
            f"pseudo-labels: expected {votes.emotion.shape} flags of excluded clips, found {excluded.shape}"
        )
    trusted = ~excluded & (votes.agreeing >= config.agreeing)
    if config.share is None:
        trusted &= votes.confidence >= thresholds[votes.emotion]
    counts = np.bincount(votes.emotion[trusted], minlength=len(thresholds))
    present = counts[counts > 0]
    cap = len(trusted) if config.cap_ratio is None or not len(present) else config.cap_ratio * present.min()
    chosen = []
    for kind in range(len(thresholds)):
        rows = np.flatnonzero(trusted & (votes.emotion == kind))
        names = np.array([votes.clip_ids[row] for row in rows])
        order = np.lexsort((names, -votes.confidence[rows]))  # equal ones by name, not by place
        own = len(rows) if config.share is None else int(np.ceil(config.share * len(rows)))
        chosen.append(rows[order][: min(own, max(1, int(cap)))])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)
