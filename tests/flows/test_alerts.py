"""Alerts: what there are, that a real Prefect server takes them once, and that what they wait for triggers them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flows import noteworthy
from flows.deploying.alerts import (
    NOBODY,
    PREFIX,
    Alert,
    RegisteredAlert,
    alert_lines,
    register_alerts,
    standard_alerts,
)
from flows.noteworthy import DRIFT_EXCEEDED, GATE_REFUSED, ROLLED_BACK, WORKERS_ABSENT
from flows.status.alerts import PREFIX as STATUS_PREFIX
from flows.status.alerts import alerts
from infra.settings import Settings, load_settings
from mer.errors import ConfigError

DOC = (Path(__file__).resolve().parents[2] / "docs" / "observability.md").read_text(encoding="utf-8")


def test_every_alert_has_a_paragraph_that_says_what_to_do() -> None:
    paragraphs = dict(re.findall(r"^\*\*([a-z ]+)\*\* \([^)]*\)\. (.+(?:\n.+)*)", DOC, re.MULTILINE))
    assert set(paragraphs) == {alert.name for alert in standard_alerts(3)}
    assert all(len(text.split()) > 40 for text in paragraphs.values())
    assert PREFIX == STATUS_PREFIX and f"`{PREFIX.strip()} `" in DOC


def test_our_events_are_what_alerts_wait_for() -> None:
    expected = {event for alert in standard_alerts(3) for event in alert.trigger.expect}
    assert {GATE_REFUSED, ROLLED_BACK, DRIFT_EXCEEDED, WORKERS_ABSENT} <= expected
    assert {
        "prefect.flow-run.Failed",
        "prefect.flow-run.Crashed",
        "prefect.flow-run.TimedOut",
        "prefect.flow-run.Late",
    } <= expected
    quiet = next(alert for alert in standard_alerts(8) if alert.name == "no retraining")
    assert (quiet.trigger.posture.value, quiet.trigger.within.days) == ("Proactive", 8)


def test_people_are_told_in_80_columns() -> None:
    def told(notifies: str, paused: bool) -> list[str]:
        return alert_lines([RegisteredAlert(alert, notifies, paused) for alert in standard_alerts(3)])

    lines = told("", False)
    assert lines[0] == "registered 7 alerts:" and "--notify BLOCK" in lines[-1]
    assert "switched off in the Prefect page: run failed" in told("", True)[-1]
    assert told("slack-webhook/ops", False)[-1] == "  they notify slack-webhook/ops"
    assert max(map(len, lines)) <= 80


class Server:
    """Stands for a Prefect server: keeps what it is sent, or refuses as the real one does when it is away."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.error = error

    def send_event(self, *event: Any) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(event)


def test_what_the_gate_refuses_is_an_event_and_what_it_promotes_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server()
    monkeypatch.setattr(noteworthy, "events_api", lambda _: server)
    version = cast(Any, SimpleNamespace(name="demo", version=4))
    for decision in ("promoted", "deferred", "waiting", "kept", "rejected"):
        noteworthy.gate_decided(
            version, cast(Any, SimpleNamespace(decision=decision, reason="2 points worse", champion=3))
        )
    noteworthy.gate_decided(version, None)
    ((event, resource, payload, _),) = server.sent
    assert (event, resource["prefect.resource.id"]) == (GATE_REFUSED, "mer.gate.demo")
    assert payload == {"model": "demo", "version": 4, "reason": "2 points worse", "champion": 3}


def test_drift_within_the_thresholds_is_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    monkeypatch.setattr(noteworthy, "events_api", lambda _: server)
    found = {"model": "demo", "version": 1, "clips": 30, "action": "suggest", "reason": "faces are darker"}
    for finding in ("no drift", "cannot tell", "drift"):
        noteworthy.drift_looked_at(
            cast(Any, SimpleNamespace(**found, finding=finding, tests=({"effect": 0.4},)))
        )
    assert [event[0] for event in server.sent] == [DRIFT_EXCEEDED]


def test_a_server_that_is_away_delays_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    began = time.monotonic()
    noteworthy.rolled_back("demo", 1)
    assert time.monotonic() - began < 5


def test_status_without_a_server_says_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    space = cast(Any, SimpleNamespace(settings=settings))
    assert list(alerts(space)) == []
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert list(alerts(space)) == []


@pytest.fixture
def server(
    prefect_server: str, prefect_auth: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """The session's server, without automations of ours before and after."""
    monkeypatch.setenv("PREFECT_API_URL", f"{prefect_server}/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", ":".join(prefect_auth))
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    with temporary_settings(
        {PREFECT_API_URL: f"{prefect_server}/api", PREFECT_API_AUTH_STRING: ":".join(prefect_auth)}
    ):
        _remove()
        yield load_settings()
        _remove()


def _client() -> Any:
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)


def _remove() -> None:
    with _client() as client:
        for item in client.read_automations():
            if item.name.startswith(PREFIX):
                client.delete_automation(item.id)


def _there() -> dict[str, Any]:
    with _client() as client:
        return {
            item.name.removeprefix(PREFIX): item
            for item in client.read_automations()
            if item.name.startswith(PREFIX)
        }


def _wait(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.3)
    return found


@pytest.mark.slow
def test_a_real_server_takes_them_once_and_a_refusal_triggers_one(server: Settings) -> None:
    register_alerts(quiet_days=5.0)
    first = _there()
    assert set(first) == {alert.name for alert in standard_alerts(3)}
    with _client() as client:
        client.pause_automation(first["drift"].id)
    registered = register_alerts()
    again = _there()
    assert {name: item.id for name, item in again.items()} == {name: item.id for name, item in first.items()}
    assert again["no retraining"].trigger.within.days == 5, "as it was asked for before"
    assert [item.alert.name for item in registered if item.paused] == ["drift"]
    with pytest.raises(ConfigError, match=r"expected a notification block.*found 'slack-webhook/nobody'"):
        register_alerts("slack-webhook/nobody")
    assert register_alerts(NOBODY)[0].notifies == ""
    noteworthy._tell(GATE_REFUSED, "demo", {"reason": "2 points worse"})
    space = cast(Any, SimpleNamespace(settings=server))
    (line,) = _wait(lambda: [line for line in alerts(space) if "gate refused" in line])
    assert re.fullmatch(r"\[yellow\]alert\[/\] gate refused: [\d :-]+ \(docs/observability\.md\)", line)


@pytest.mark.slow
@pytest.mark.nightly
def test_runs_that_fail_and_a_retraining_that_does_not_come_trigger_theirs(server: Settings) -> None:
    from prefect import flow
    from prefect import tags as tagged

    register_alerts(quiet_days=10 / 86400)
    space = cast(Any, SimpleNamespace(settings=server))

    @flow(name="retrain")
    def fails() -> None:
        raise ValueError("as planned")

    with tagged("mer"):
        assert fails(return_state=True).is_failed()
    _wait(lambda: any("run failed" in line for line in alerts(space)), 120)
    _wait(lambda: any("no retraining" in line for line in alerts(space)), 120)


@pytest.mark.slow
@pytest.mark.nightly
def test_whoever_is_named_is_told(server: Settings) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    heard: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Listener) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{listener.server_port}/alerts"
        block = CustomWebhookNotificationBlock(
            name="ops", url=url, json_data={"text": "{{subject}}|{{body}}"}
        )
        block.save("ops", overwrite=True)
        assert {item.notifies for item in register_alerts("custom-webhook/ops")} == {"custom-webhook/ops"}
        assert {item.notifies for item in register_alerts()} == {"custom-webhook/ops"}, (
            "whoever is told stays told"
        )
        noteworthy.workers_absent("mer-gpu", 3)
        _wait(lambda: heard)
        listener.shutdown()
    assert "mer: no worker" in heard[0] and "3 tasks wait for a worker of mer-gpu" in heard[0]
    assert isinstance(standard_alerts(3)[0], Alert)
