"""Ensemble weights by bagged greedy selection: many selections, each on a draw of speakers and of candidates, averaged.

Known: ensemble selection with replacement from libraries of models, from a sorted start and bagged against overfitting (Caruana,
Niculescu-Mizil, Crew and Ksikes 2004). Reconstruction: speakers instead of clips are resampled, as clips of one speaker succeed
and fail together, and the likelihood of the mixture is what is maximised: accuracy on a few hundred clips moves in steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mer.ensemble.combine import aligned_members
from mer.errors import ConfigError
from mer.evaluation.intervals import resampling_groups
from mer.posteriors import Posteriors

_SMALLEST = 1e-12

Floats = NDArray[np.float64]


class BaggedSelection(BaseModel):
    """Options of the selection of weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bags: int = Field(default=50, ge=1, le=10_000, description="Selections that are averaged.")
    rounds: int = Field(default=15, ge=1, le=1000, description="Members added in each, with replacement.")
    start: int = Field(
        default=2,
        ge=0,
        le=100,
        description="Each starts from that many of the drawn candidates, the best ones.",
    )
    share: float = Field(
        default=0.5, gt=0.0, le=1.0, description="Share of the candidates that a selection may choose from."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the draws.")


def bagged_weights(
    members: Sequence[Posteriors],
    truth: NDArray[np.int64],
    speakers: Sequence[str | None],
    config: BaggedSelection,
) -> Floats:
    """Weights of a mixture of the members' posteriors.

    Args:
        members: M models' posteriors of the same held-out clips.
        truth: (N,) class index of the first member's clips, -1 = unlabelled.
        speakers: (N,) speaker of each clip, None = unknown.
        config: options.

    Returns:
        (M,) not negative, 1 in sum; members that were never chosen have 0.

    Raises:
        ConfigError: no labelled clips, or members that do not fit together.
    """
    aligned = aligned_members(members)
    known = np.flatnonzero(truth >= 0)
    if not len(truth) == len(speakers) == len(aligned[0]) or not known.size:
        raise ConfigError(
            f"bagged selection: expected labels and speakers of {len(aligned[0])} held-out clips, found {known.size} "
            f"labels in {len(truth)} and {len(speakers)} speakers"
        )
    likelihood = np.stack([member.probabilities()[known, truth[known]] for member in aligned])  # (M, N)
    groups = resampling_groups([speakers[i] for i in known.tolist()], known.size)
    generator = np.random.default_rng(config.seed)
    number, drawn = int(groups.max()) + 1, max(1, round(config.share * len(aligned)))
    counts = np.zeros(len(aligned))
    for _ in range(config.bags):
        drawn_members = np.sort(generator.choice(len(aligned), size=drawn, replace=False))
        # whole speakers are drawn: clips of one speaker are no independent evidence
        weight = generator.multinomial(number, np.full(number, 1 / number))[groups].astype(np.float64)
        chosen = _selected(likelihood[drawn_members], weight / weight.sum(), config.start, config.rounds)
        counts[drawn_members] += chosen / chosen.sum()
    return counts / config.bags


def _selected(likelihood: Floats, weight: Floats, start: int, rounds: int) -> Floats:
    """(M,) how often greedy selection by the weighted log-likelihood of the mean adds each of (M, N) members."""
    alone = np.log(np.maximum(likelihood, _SMALLEST)) @ weight
    chosen = np.zeros(len(likelihood))
    chosen[np.argsort(-alone, kind="stable")[:start]] = 1
    summed = chosen @ likelihood
    for _ in range(rounds if chosen.sum() else max(1, rounds)):
        trials = np.log(np.maximum((summed + likelihood) / (chosen.sum() + 1), _SMALLEST)) @ weight
        best = int(np.argmax(trials))
        chosen[best] += 1
        summed += likelihood[best]
    return chosen
