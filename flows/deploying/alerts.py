"""Alerts as Prefect automations: what there are, and how they are registered.

Each has a paragraph in docs/observability.md. What one does when it is triggered is a notification, where somebody named a block
of Prefect's for it; else nothing but the event that it was triggered, which `mer status` and the Prefect page show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from flows.noteworthy import DRIFT_EXCEEDED, GATE_REFUSED, ROLLED_BACK, WORKERS_ABSENT
from flows.supervision.local_worker import POOL
from mer.errors import ConfigError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.actions import ActionTypes
    from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger

PREFIX = "mer: "
"""How the names of our automations begin."""
NOBODY = "none"
"""For `--notify`: nobody is told any more."""
QUIET_DAYS = 3.0
"""Days without a completed retraining that are an alert, unless somebody says otherwise: three nights."""
TRAINING = ("retrain", "refresh")
_SUBJECT = "{{ automation.name }}"
_BODY = (
    "{{ automation.description }}"
    "{% if event %}\n{{ event.resource.name or event.resource.id }}: "
    "{{ event.payload.get('reason') or event.event }}{% endif %}\n"
    "What to do: docs/observability.md"
)


@dataclass(frozen=True)
class Alert:
    """Something that a person shall know of."""

    name: str
    description: str
    trigger: EventTrigger


@dataclass(frozen=True)
class RegisteredAlert:
    """An alert as the server has it."""

    alert: Alert
    notifies: str
    """Block that is told; empty: nobody is."""
    paused: bool
    """True: it was switched off in the page, and stays off."""


def standard_alerts(quiet_days: float) -> tuple[Alert, ...]:
    """All alerts; `quiet_days`: without a completed retraining."""
    from prefect.events.schemas.automations import EventTrigger, Posture

    ours = {"prefect.resource.id": "prefect.tag.mer", "prefect.resource.role": "tag"}
    training: dict[str, str | list[str]] = {
        "prefect.resource.name": list(TRAINING),
        "prefect.resource.role": "flow",
    }

    def when(*expected: str, **more: Any) -> EventTrigger:
        return EventTrigger(expect=set(expected), posture=Posture.Reactive, within=timedelta(0), **more)

    runs: dict[str, Any] = {"match": {"prefect.resource.id": "prefect.flow-run.*"}}
    return (
        Alert(
            "run failed",
            "A flow run failed, took longer than its time, or its process died.",
            when(
                *(f"prefect.flow-run.{state}" for state in ("Failed", "TimedOut", "Crashed")),
                match_related=ours,
                **runs,
            ),
        ),
        Alert(
            "no retraining",
            f"No run of {' or '.join(TRAINING)} completed for {quiet_days:g} days.",
            EventTrigger(
                expect={"prefect.flow-run.Completed"},
                posture=Posture.Proactive,
                within=timedelta(days=quiet_days),
                match_related=training,
                **runs,
            ),
        ),
        Alert(
            "run late",
            "A scheduled run was not begun in time.",
            when("prefect.flow-run.Late", match_related=ours, **runs),
        ),
        Alert(
            "no worker",
            "A pool has no worker: of whole flows (Prefect's), or of tasks that wait.",
            when(
                "prefect.work-pool.not-ready",
                WORKERS_ABSENT,
                match={"prefect.resource.name": [POOL, "mer-gpu"]},
            ),
        ),
        Alert("gate refused", "The gate did not promote a new version.", when(GATE_REFUSED)),
        Alert("rolled back", "A model serves an earlier version again.", when(ROLLED_BACK)),
        Alert(
            "drift", "New clips differ from the training clips beyond the thresholds.", when(DRIFT_EXCEEDED)
        ),
    )


def register_alerts(notify: str = "", quiet_days: float | None = None) -> list[RegisteredAlert]:
    """Make the automations at the Prefect server of this process, or bring those up to date that differ.

    Args:
        notify: block that is told, TYPE/NAME (`slack-webhook/ops`); empty: who is told already, `none`: nobody.
        quiet_days: days without a completed retraining; None: as it is registered, `QUIET_DAYS` the first time.

    Raises:
        ConfigError: there is no such block.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        block = _block(client, notify) if notify not in ("", NOBODY) else None
        known = {item.name: item for item in client.read_automations() if item.name.startswith(PREFIX)}
        if quiet_days is None:
            quiet_days = _registered_days(known.get(f"{PREFIX}no retraining"))
        registered = []
        for alert in standard_alerts(quiet_days):
            there = known.get(PREFIX + alert.name)
            actions = _actions(there, notify, block)
            wanted = _automation(alert, actions, enabled=there is None or there.enabled)
            if there is None:
                client.create_automation(wanted)
            elif _core(there) != _core(wanted):
                client.update_automation(there.id, wanted)
            registered.append(RegisteredAlert(alert, _told(client, actions), not wanted.enabled))
    return registered


def alert_lines(registered: Sequence[RegisteredAlert]) -> list[str]:
    """What people are told of them, at most 80 columns a line."""
    off = [item.alert.name for item in registered if item.paused]
    told = sorted({item.notifies for item in registered if item.notifies})
    lines = [f"registered {len(registered)} alerts:"]
    lines += wrap(
        ", ".join(item.alert.name for item in registered), 76, initial_indent="  ", subsequent_indent="  "
    )
    shown = "`mer status` and the Prefect page show them; --notify BLOCK tells somebody"
    lines.append(f"  they notify {', '.join(told)}" if told else f"  {shown}")
    return lines + ([f"  switched off in the Prefect page: {', '.join(off)}"] if off else [])


def _automation(alert: Alert, actions: Sequence[ActionTypes], *, enabled: bool) -> AutomationCore:
    from prefect.events.schemas.automations import AutomationCore

    return AutomationCore(
        name=PREFIX + alert.name,
        description=alert.description,
        enabled=enabled,
        tags=["mer"],
        trigger=alert.trigger,
        actions=list(actions),
    )


def _actions(there: Automation | None, notify: str, block: Any) -> list[ActionTypes]:
    from prefect.events.actions import DoNothing, SendNotification

    if block is not None:
        return [SendNotification(block_document_id=block.id, subject=_SUBJECT, body=_BODY)]
    if there is not None and not notify:
        return list(there.actions)  # whatever somebody chose in the page stays
    return [DoNothing()]


def _block(client: SyncPrefectClient, notify: str) -> Any:
    from prefect.exceptions import ObjectNotFound

    kind, _, name = notify.partition("/")
    if kind and name:
        try:
            return client.read_block_document_by_name(name, kind)
        except ObjectNotFound:
            pass
    raise ConfigError(
        f"--notify: expected a notification block of the Prefect server, TYPE/NAME (e.g. slack-webhook/ops; the page Blocks "
        f"makes one), or {NOBODY}; found {notify!r}"
    )


def _told(client: SyncPrefectClient, actions: Sequence[ActionTypes]) -> str:
    from prefect.events.actions import SendNotification
    from prefect.exceptions import ObjectNotFound

    for action in actions:
        if isinstance(action, SendNotification):
            try:
                document = client.read_block_document(action.block_document_id)
            except ObjectNotFound:
                return "a block that is gone"
            return f"{document.block_type.slug if document.block_type else '?'}/{document.name}"
    return ""


def _registered_days(there: Automation | None) -> float:
    within = getattr(there.trigger, "within", None) if there is not None else None
    return within / timedelta(days=1) if isinstance(within, timedelta) else QUIET_DAYS


def _core(automation: AutomationCore) -> dict[str, Any]:
    """What of an automation is ours to say."""
    return automation.model_dump(
        mode="json", include={"name", "description", "enabled", "tags", "trigger", "actions"}
    )
