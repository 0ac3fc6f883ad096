"""When models are fitted again: by how far labels and clips have grown since they were fitted, not because one clip is new.

A nightly or watched run meets a few new clips each time. Their features are extracted at once; what is fitted (layer studies,
adapters, alignments, fusions) is fitted again when enough of them have come together. Growth is counted since the fit, so that
many small batches add up. Imports no numpy: recipes and forms read the options.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LearntFrom = Literal["pairs", "clips", "labels"]
"""Pairs of streams (alignments), unlabelled clips (pseudo-labels alone), or labels only."""
FIT, FIT_AGAIN = "fit", "fit again"
ALIGNMENTS_STAY = "alignments stay as they are"
NOTHING_FITTED = "nothing is fitted"


class RefitConfig(BaseModel):
    """How far a corpus must have grown before models are fitted again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: int = Field(
        default=10,
        ge=1,
        description="Clips with a label that is new (of new clips, of clips that had none, or changed) from which on everything "
        "is fitted again.",
    )
    labels_share: float = Field(
        default=0.01,
        ge=0.0,
        le=1.0,
        description="The same as a share of the clips that had a label then; the larger of the two numbers counts.",
    )
    pairs_share: float = Field(
        default=0.05,
        ge=0.0,
        le=1.0,
        description="New clips, labelled or not, as a share of those there were, from which on alignments and pseudo-labels are "
        "made again, and with them what reads them. Counts where the recipe aligns streams or learns from pseudo-labels.",
    )

    def labels_needed(self, labelled_before: int) -> int:
        """New labels from which on everything is fitted again, where so many clips had one."""
        return max(self.labels, ceil(self.labels_share * labelled_before))


@dataclass(frozen=True)
class Growth:
    """How a snapshot of a corpus differs from an earlier one; counts of clips."""

    clips_before: int
    labelled_before: int
    """Of these, with a gold emotion."""
    clips_new: int = 0
    """Under names that there were not."""
    labels_new: int = 0
    """Training clips with a gold label that the earlier snapshot does not have: of new clips, of unlabelled ones, changed."""
    changed: int = 0
    """Gone, of another content, speaker, split, fold or transcript, or new in the test or canary part: the earlier snapshot
    cannot stand for the later one."""

    @property
    def clips_share(self) -> float:
        """New clips as a share of those there were."""
        return self.clips_new / self.clips_before if self.clips_before else 1.0


@dataclass(frozen=True)
class RefitDecision:
    """What is fitted again, and why."""

    fits: bool
    """False: the earlier snapshot stands for the present one, on which everything is found."""
    aligns: bool
    """Alignments are fitted again too."""
    lines: tuple[str, ...]
    """For people: what there is of what is needed, and what follows."""

    @property
    def reason(self) -> str:
        """The lines as one."""
        return "; ".join(self.lines)


def fit_because(why: str, what: str = FIT) -> RefitDecision:
    """Everything is fitted, for a reason that is no growth: nothing was fitted before, or what was learnt from is gone."""
    return RefitDecision(True, True, (f"{why} -> {what}",))


def decide(
    since_fit: Growth, since_aligned: Growth, config: RefitConfig, learnt_from: LearntFrom
) -> RefitDecision:
    """Whether models are fitted again.

    Args:
        since_fit: growth since the snapshot of the last fit.
        since_aligned: growth since the snapshot that its alignments were fitted on, which may be an earlier one.
        config: the thresholds.
        learnt_from: what the recipe learns from besides labels.
    """
    needed = config.labels_needed(since_fit.labelled_before)
    labels = f"{since_fit.labels_new} new labelled clips of {needed} needed"
    pairs = f"{percent(since_aligned.clips_share)} new {learnt_from} of {percent(config.pairs_share)} needed"
    enough_labels = since_fit.labels_new >= needed
    counts = learnt_from != "labels"
    enough_pairs = counts and since_aligned.clips_new > 0 and since_aligned.clips_share >= config.pairs_share
    if since_fit.changed or since_aligned.changed:
        changed = max(since_fit.changed, since_aligned.changed)
        what = "1 clip is gone or another one" if changed == 1 else f"{changed} clips are gone or other ones"
        return fit_because(what, FIT_AGAIN)
    if enough_pairs:
        more: tuple[str, ...] = (f"{labels} -> {FIT_AGAIN}",) if enough_labels else ()
        return RefitDecision(True, True, (*more, f"{pairs} -> {FIT_AGAIN}"))
    if enough_labels:
        stay: tuple[str, ...] = (f"{pairs} -> {ALIGNMENTS_STAY}",) if learnt_from == "pairs" else ()
        return RefitDecision(True, False, (f"{labels} -> {FIT_AGAIN}", *stay))
    said: tuple[str, ...] = (labels, pairs) if counts else (labels,)
    return RefitDecision(False, False, (f"{', '.join(said)} -> {NOTHING_FITTED}",))


def percent(share: float) -> str:
    """`5 %`, `.8 %`: rounded down, so that what is not enough does not read as though it were."""
    value = floor(1000 * share + 1e-9) / 10
    text = f"{value:.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")
    return f"{text.removeprefix('0') if text.startswith('0.') else text} %"
