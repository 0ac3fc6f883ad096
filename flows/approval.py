"""Approval in Prefect's page: a small run that waits, suspended, for a person's answer in a typed form.

It holds no worker while it waits. It is a run of its own, not the end of the one that trained the version: a suspended run begins
anew when it goes on, and a retraining that begins anew a day later would train on other clips.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from prefect import suspend_flow_run
from prefect.input import RunInput
from pydantic import BaseModel, ConfigDict, Field

from flows.asking import end_asking
from flows.decisions import evidence_lines
from flows.pipeline_flow import pipeline_flow
from flows.terminal import console
from infra.catalogue import PromotionRow
from infra.catalogue.actor import acting_as
from infra.catalogue.approvals import WAITING
from infra.errors import CatalogueError
from tasks.serve.approval import approve, refuse
from tasks.stage.workspace import workspace

MARGIN_SECONDS = 900
"""By how much Prefect's own time-out, which fails a run, is later than ours, which ends it."""


class ApprovalOptions(BaseModel):
    """The version that is asked about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="Name of the model.")
    version: int = Field(ge=1, description="Version that passed the gate and waits for approval.")


class Decision(RunInput):
    """A person's answer."""

    decision: Literal["approve", "reject"] = Field(
        description="approve: it becomes champion. reject: the champion stays."
    )
    who: str = Field(min_length=1, max_length=200, description="Your name, for the audit.")
    reason: str = Field(default="", max_length=2000, description="Why, for the audit.")


@pipeline_flow("approval")
def approval(options: ApprovalOptions) -> str:
    """Ask, wait, and do what is answered; returns what became of the version."""
    waiting = _standing(options)
    if waiting.action == WAITING:
        for line in evidence_lines(waiting):
            console.say(line)
        answer = suspend_flow_run(
            wait_for_input=Decision.with_initial_data(description=_question(waiting)),
            timeout=_seconds_left(waiting) + MARGIN_SECONDS,
            key="approval",
        )
        with acting_as(f"{answer.who} (Prefect page)"):
            said = _answered(options, answer)
    else:
        said = f"{waiting.action}: {waiting.reason}"
    console.say(f"{options.model} version {options.version}: {said}")
    return said


def _standing(options: ApprovalOptions) -> PromotionRow:
    catalogue = workspace().catalogue
    for row in catalogue.expire_approvals(options.model):
        if row.version != options.version:
            end_asking(row.name, row.version, row.reason)
    standing = catalogue.approval(options.model, options.version)
    if standing is None:
        raise CatalogueError(f"version {options.version} of {options.model} waits for no approval")
    return standing


def _answered(options: ApprovalOptions, answer: Decision) -> str:
    if answer.decision == "approve":
        row, remark = approve(options.model, options.version, answer.reason)
        return f"champion, approved by {row.actor}{f'; {remark}' if remark else ''}"
    row = refuse(options.model, options.version, answer.reason)
    return f"refused by {row.actor}: the champion stays"


def _question(row: PromotionRow) -> str:
    until = f"{row.expires_at:%Y-%m-%d %H:%M} UTC" if row.expires_at is not None else "answered"
    lines = "\n".join(f"- {line}" for line in evidence_lines(row))
    return f"**Shall {row.name} version {row.version} become champion?** It waits until {until}.\n\n{lines}"


def _seconds_left(row: PromotionRow) -> int:
    if row.expires_at is None:
        return 0
    return max(1, int((row.expires_at - datetime.now(UTC)).total_seconds()))
