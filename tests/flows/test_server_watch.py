"""A run's eye on its server: how long it has been silent, when a local one is started again, and what is said in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows.supervision.server_watch import HANGS_SECONDS, ServerWatch
from infra.services.servers import free_port
from infra.settings import Settings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    serving = HTTPServer(("127.0.0.1", 0), Healthy)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield serving
    serving.shutdown()
    serving.server_close()
    thread.join()


def _state(settings: Settings, address: str, mark: str) -> None:
    settings.services_folder.mkdir(parents=True)
    state = {
        "name": "prefect",
        "address": address,
        "port": 1,
        "pid": 0,
        "mark": mark,
        "started": 0.0,
        "stop_signal": 15,
    }
    (settings.services_folder / "prefect.json").write_text(json.dumps(state))


def test_silence_is_counted_from_its_beginning_and_ends_with_an_answer(
    settings: Settings, server: HTTPServer
) -> None:
    clock, port = Clock(), server.server_address[1]
    watch = ServerWatch(settings, f"http://127.0.0.1:{port}/api", clock)
    assert watch.look() == 0.0 and not watch.was_away
    server.shutdown()
    server.server_close()
    clock.now = 5.0
    assert watch.look() == 0.0, "it may have died this moment"
    clock.now = 65.0
    assert watch.look() == 60.0 and watch.was_away
    again = HTTPServer(("127.0.0.1", port), Healthy)
    thread = threading.Thread(target=again.serve_forever)
    thread.start()
    assert watch.look() == 0.0 and watch.was_away, "what it missed is still to be looked over"
    again.shutdown()
    again.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("is_its_own", "mark", "starts"),
    [(True, "mark", True), (True, "", False), (False, "mark", False)],
    ids=["died", "stopped by mer down", "another server"],
)
def test_only_the_homes_own_server_is_started_again_and_only_if_it_was_not_stopped(
    is_its_own: bool, mark: str, starts: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    _state(settings, address, mark)
    started: list[str] = []
    begun = threading.Event()

    def start(name: str, _settings: Settings) -> str:
        started.append(name)
        begun.set()
        return address

    monkeypatch.setattr("flows.supervision.server_watch.start", start)
    clock = Clock()
    watch = ServerWatch(settings, f"{address if is_its_own else 'http://127.0.0.1:9'}/api", clock)
    watch.look()
    clock.now = HANGS_SECONDS + 1
    watch.look()
    assert begun.wait(2.0 if starts else 0.1) == starts
    assert ("`mer up` starts it" in watch.gone(60)) == is_its_own


def test_what_is_said_in_the_end_shows_no_password(settings: Settings) -> None:
    said = ServerWatch(settings, "http://ann:secret@example.invalid/api").gone(90.2)
    assert (
        "has not answered for 90 s" in said and "example.invalid/api" in said and len(said.splitlines()) == 1
    )
    assert "secret" not in said and "the same command goes on where it stopped" in said


PATIENT = """
import httpx, os, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer
import prefect
from tasks.stage.patient_client import be_patient_from_the_start
if sys.argv[2] == "patient":
    be_patient_from_the_start()
from prefect.client.orchestration import get_client

class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"true")
    def log_message(self, *_): pass

def serve():
    time.sleep(8.0)
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy).serve_forever()

client = get_client(sync_client=True, httpx_settings={})
threading.Thread(target=serve, daemon=True).start()
try:
    print(client._client.get("/health").status_code)
except httpx.ConnectError:
    print("gave up")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("how", "outcome"), [("patient", "200"), ("as it is", "gave up")])
def test_a_client_made_while_the_server_is_away_waits_for_it(how: str, outcome: str) -> None:
    """The second case is Prefect's own behaviour: once it waits by itself, `tasks.stage.patient_client` can go."""
    port = str(free_port())
    environment = {
        **os.environ,
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_CLIENT_MAX_RETRIES": "5",
    }
    environment["PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED"] = "false"
    done = subprocess.run(
        [sys.executable, "-c", PATIENT, port, how],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == outcome, done.stderr[-2000:]
