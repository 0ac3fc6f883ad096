"""One round of self-training, as it is passed on: its labels, what they trained, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.stage.references import FusedView, View
from tasks.stage.run import StageResult


@dataclass(frozen=True)
class HeldOutVoters:
    """Voters that have learnt from no label of the validation speakers of a view, or of a part of one."""

    view: View
    voters: tuple[FusedView, ...]
    """The leading one first."""


@dataclass(frozen=True)
class JudgedPair:
    """A system before and after a round, and the view, or part of one, whose held-out speakers compare them."""

    view: View
    before: FusedView
    after: FusedView


@dataclass(frozen=True)
class Round:
    """One round's labels and what true labels say of the models they trained."""

    number: int
    """1 for labels by the models of before the refresh, 2 for labels by what round 1 trained, ..."""
    selected: Mapping[str, StageResult]
    """View -> its selection of pseudo-labels; once judged, of the views that learn from theirs."""
    voters: Sequence[FusedView]
    """Of the served view, the leading one first."""
    findings: Sequence[Mapping[str, Any]]
    """What the guards measured."""
    systems: Sequence[FusedView] = ()
    """What the labels trained."""
    state: str = "rejected"
    """`live`, `rejected` or `stopped`."""
    reason: str = ""
