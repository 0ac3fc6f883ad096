"""Approval by a person: a version that passed the gate waits, is approved or refused once, or its time ends.

The catalogue alone says where a version stands (`infra.catalogue.approvals`); a form in Prefect's page and the command line are
two ways to answer, and whoever answers first decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.catalogue import PromotionRow
from infra.catalogue.approvals import EXPIRED, REFUSED, WAITING
from tasks.serve.complete_versions import require_complete
from tasks.serve.registry import mirror_after_change, mirror_soon
from tasks.stage.references import ModelVersion, Promotion
from tasks.stage.workspace import Workspace, reading_workspace

if TYPE_CHECKING:
    from mer.evaluation.gate import GateDecision

CHALLENGER = "challenger"


def wait_for_approval(
    space: Workspace,
    challenger: ModelVersion,
    decision: GateDecision,
    hours: float,
    fencing_token: int | None,
) -> Promotion:
    """Let a version that passed the gate wait for a person; it is challenger meanwhile."""
    evidence, better = decision.to_json(), decision.reason.removeprefix("promoted: ")
    waiting = space.catalogue.request_approval(
        challenger.name, challenger.version, better, evidence, hours, fencing_token
    )
    reason = f"passed the gate, and waits for approval: {better}"
    space.catalogue.set_alias(
        challenger.name,
        CHALLENGER,
        challenger.version,
        reason,
        evidence=evidence,
        fencing_token=fencing_token,
    )
    mirror_after_change(space)
    return _waiting(waiting)


def standing_approval(space: Workspace, challenger: ModelVersion, champion: int | None) -> Promotion | None:
    """What was asked and answered about this version against this champion; None: nothing, the gate decides."""
    space.catalogue.expire_approvals(challenger.name)
    row = space.catalogue.approval(challenger.name, challenger.version)
    if row is None or row.champion_version != champion:
        return None
    if row.action == WAITING:
        return _waiting(row)
    if row.action in (REFUSED, EXPIRED):
        by = f" by {row.actor}" if row.action == REFUSED else ""
        return Promotion(decision="rejected", reason=f"{row.action}{by}: {row.reason}", champion=champion)
    taken_back = f"approved by {row.actor} on {row.created_at:%Y-%m-%d %H:%M} UTC, and rolled back since"
    return Promotion(decision="rejected", reason=taken_back, champion=champion)


def approve(model: str, version: int, reason: str = "") -> tuple[PromotionRow, str]:
    """Make a waiting version champion; returns its row of the audit, and a remark on what MLflow does not know yet.

    Raises:
        CatalogueError: it does not wait for approval (any more), or something of it is gone or damaged.
    """
    space = reading_workspace()
    row = space.catalogue.approval(model, version)
    if row is not None and row.action == WAITING:
        require_complete(space, space.catalogue.model_version(model, version))
    return space.catalogue.approve(model, version, reason), mirror_soon(space)


def refuse(model: str, version: int, reason: str = "") -> PromotionRow:
    """Say no to a waiting version; the champion stays.

    Raises:
        CatalogueError: it does not wait for approval (any more).
    """
    return reading_workspace().catalogue.refuse(model, version, reason)


def _waiting(row: PromotionRow) -> Promotion:
    until = f"{row.expires_at:%Y-%m-%d %H:%M} UTC" if row.expires_at is not None else "somebody answers"
    how = f"`mer models {row.name} --approve {row.version}`, or `--reject {row.version} --reason WHY`"
    return Promotion(
        decision=WAITING,
        reason=f"waiting until {until} for a person: {how}; {row.reason}",
        champion=row.champion_version,
    )
