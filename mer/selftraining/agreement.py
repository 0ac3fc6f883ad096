"""Voters that must agree, and thresholds set by what held-out true labels say of their precision (system B, 2).

Known: high-confidence predictions become pseudo-labels. Reconstruction: several voters (unimodal ones beside the multimodal one),
of which at least K must name the class, and a threshold for every class: the lowest confidence from which on the predictions on
held-out, truly labelled clips were right often enough. A class that never is gets no pseudo-labels: where labels are few, that
bends the priors more than wrong labels do, and a share of each class is better (known: Zou et al. 2018, CBST).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mer.ensemble.combine import aligned_members, log_pooled
from mer.errors import ConfigError
from mer.posteriors import Posteriors
from mer.selftraining.config import AgreementConfig


@dataclass(frozen=True)
class Vote:
    """Votes of M voters on N clips."""

    clip_ids: tuple[str, ...]
    emotion: NDArray[np.int64]
    """(N,) class of the product of their posteriors."""
    confidence: NDArray[np.float64]
    """(N,) probability of that class, by the mean of the log-posteriors."""
    agreeing: NDArray[np.int64]
    """(N,) voters whose class it is, and who have a stream of the clip."""
    probabilities: NDArray[np.float64]
    """(N, C) distribution that the class is the likeliest of."""
    voters: int = 1
    """Number of voters M."""

    @classmethod
    def joined(cls, votes: Sequence[Vote]) -> Vote:
        """Votes on different clips, one after the other.

        Raises:
            ConfigError: no parts, or parts of different numbers of voters.
        """
        if not votes or len({vote.voters for vote in votes}) > 1:
            raise ConfigError("votes: expected at least one part, all by the same number of voters")
        return cls(
            clip_ids=tuple(clip_id for vote in votes for clip_id in vote.clip_ids),
            emotion=np.concatenate([vote.emotion for vote in votes]),
            confidence=np.concatenate([vote.confidence for vote in votes]),
            agreeing=np.concatenate([vote.agreeing for vote in votes]),
            probabilities=np.concatenate([vote.probabilities for vote in votes]),
            voters=votes[0].voters,
        )

    def agreed(self, config: AgreementConfig) -> NDArray[np.bool_]:
        """(N,) whether enough voters name the class: `config.agreeing`, or all where there are fewer voters."""
        return np.asarray(self.agreeing >= min(config.agreeing, self.voters))


def vote(
    voters: Sequence[Posteriors],
    leading: int = 0,
    temperature: float = 1.0,
    absent: Sequence[Collection[str]] = (),
) -> Vote:
    """Count votes for the class of the leading voter.

    Args:
        voters: M posteriors of the same clips, in any order.
        leading: the voter whose class and confidence count; the others agree or do not. -1: the product of all.
        temperature: the leader's logits are divided by this, so that its confidence is a probability of being right.
        absent: for each voter the clips of which it has no stream: it answers them by the frequency of the classes, which agrees
            with nobody. Empty: every voter has a stream of every clip.

    Raises:
        ConfigError: no voters, or voters of different clips or classes.
    """
    aligned = aligned_members(voters)
    leader = log_pooled(aligned) if leading < 0 else aligned[leading]
    probabilities = leader.probabilities(temperature * (len(aligned) if leading < 0 else 1))
    emotion = probabilities.argmax(axis=1).astype(np.int64)
    if absent and len(absent) != len(aligned):
        raise ConfigError(
            f"vote: expected absent clips of {len(aligned)} voters, found those of {len(absent)}"
        )
    agrees = np.array([voter.predicted == emotion for voter in aligned])
    for row, clips in enumerate(absent):
        agrees[row] &= ~np.array([clip_id in clips for clip_id in leader.clip_ids], dtype=bool)
    agreeing = agrees.sum(axis=0)
    return Vote(
        clip_ids=leader.clip_ids,
        emotion=emotion,
        confidence=probabilities.max(axis=1),
        agreeing=agreeing.astype(np.int64),
        probabilities=probabilities,
        voters=len(aligned),
    )


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
        ConfigError: lengths differ, a clip has no label, or `config` names no precision.
    """
    if config.precision is None:
        raise ConfigError("thresholds by precision: expected `precision`, found none")
    if len(truth) != len(held_out.clip_ids) or (truth < 0).any():
        raise ConfigError(
            f"thresholds: expected a true label for each of {len(held_out.clip_ids)} held-out clips, found "
            f"{int((truth >= 0).sum())}"
        )
    thresholds = np.full(classes, np.inf)
    agreed = held_out.agreed(config)
    for kind in range(classes):
        rows = np.flatnonzero(agreed & (held_out.emotion == kind))
        rows = rows[np.argsort(-held_out.confidence[rows], kind="stable")]
        right = np.cumsum(truth[rows] == kind)
        counts = np.arange(1, len(rows) + 1)
        confidence = held_out.confidence[rows]
        # a threshold admits all clips of equal confidence: it may only end at the last of them
        last_of_ties = np.append(confidence[1:] != confidence[:-1], True) if len(rows) else np.zeros(0, bool)
        enough = (right / counts >= config.precision) & (counts >= config.least_clips) & last_of_ties
        if enough.any():
            thresholds[kind] = confidence[np.flatnonzero(enough)[-1]]
    return thresholds


def selected(
    votes: Vote,
    thresholds: NDArray[np.float64],
    config: AgreementConfig,
    excluded: NDArray[np.bool_],
    cap: int | None = None,
    shares: NDArray[np.floating] | None = None,
) -> NDArray[np.int64]:
    """Rows that become pseudo-labels, ascending: agreed, confident enough, within the caps, never an excluded clip.

    Args:
        votes: on clips, unlabelled ones among them.
        thresholds: (C,) least confidence by class; not read where `config.share` is given.
        config: options.
        excluded: (N,) clips that must never be selected: labelled, validation and test clips, and all of test speakers.
        cap: most clips of a class, whatever the others have; none: no such limit.
        shares: (C,) of the classes among the gold labels, positive where there are any: a class that is twice as frequent may be
            selected twice as often before the ratio of the caps counts. None: all classes alike.
    """
    if excluded.shape != votes.emotion.shape:
        raise ConfigError(
            f"pseudo-labels: expected {votes.emotion.shape} flags of excluded clips, found {excluded.shape}"
        )
    trusted = ~excluded & votes.agreed(config)
    if config.share is None:
        trusted &= votes.confidence >= thresholds[votes.emotion]
    ranked = []
    for kind in range(len(thresholds)):
        rows = np.flatnonzero(trusted & (votes.emotion == kind))
        names = np.array([votes.clip_ids[row] for row in rows])
        order = np.lexsort((names, -votes.confidence[rows]))  # equal ones by name, not by place
        count = len(rows) if config.share is None else int(np.ceil(config.share * len(rows)))
        ranked.append(rows[order][: count if cap is None else min(count, cap)])
    usual = np.ones(len(ranked)) if shares is None else np.asarray(shares, np.float64)
    relative = [len(rows) / usual[kind] for kind, rows in enumerate(ranked) if len(rows) and usual[kind] > 0]
    most = np.full(len(ranked), len(trusted))
    if config.cap_ratio is not None and relative:
        most = np.maximum(1, np.floor(config.cap_ratio * min(relative) * usual + 1e-9).astype(np.int64))
    chosen = [rows[:limit] for rows, limit in zip(ranked, most.tolist(), strict=True)]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)
