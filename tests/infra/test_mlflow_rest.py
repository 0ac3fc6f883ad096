"""MLflow asked without its client: who asks, for how long at most, and what an answer that is none becomes."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from infra.settings import Settings
from infra.tracking import Tracker
from infra.tracking.mlflow_rest import MlflowAnswer, MlflowRest
from infra.tracking.registry import RegistryModel
from infra.tracking.spool import TrackingDown


class Server:
    """Answers every request with one status and body, and remembers who asked."""

    def __init__(self) -> None:
        self.status, self.body, self.seconds = 200, "{}", 0.0
        self.authorizations: list[str | None] = []
        self.address = ""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.authorizations.append(self.headers.get("Authorization"))
            time.sleep(made.seconds)
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(made.body)))
            self.end_headers()
            self.wfile.write(made.body.encode())

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.address = f"127.0.0.1:{listening.server_address[1]}"
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield made
    listening.shutdown()
    listening.server_close()


def basic(user: str) -> str:
    return f"Basic {base64.b64encode(user.encode()).decode()}"


def test_the_password_is_that_of_the_caller_the_address_or_mlflows_variables(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "outer")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "word")
    MlflowRest(f"http://{server.address}").get("x")
    MlflowRest(f"http://in%40ner:pass@{server.address}/").get("x")
    MlflowRest(f"http://{server.address}", credentials=("home", SecretStr("its"))).get("x")
    assert server.authorizations == [basic("outer:word"), basic("in@ner:pass"), basic("home:its")]


def test_a_wrong_request_is_refused_and_anything_else_may_be_well_later(server: Server) -> None:
    rest = MlflowRest(f"http://{server.address}")
    server.status, server.body = 400, json.dumps({"error_code": "INVALID_PARAMETER_VALUE", "message": "bad"})
    with pytest.raises(MlflowAnswer, match="bad") as refused:
        rest.get("x")
    assert refused.value.code == "INVALID_PARAMETER_VALUE"
    for status, body in ((401, "who?"), (500, server.body), (404, "no page"), (200, "<html>")):
        server.status, server.body = status, body
        with pytest.raises(TrackingDown):
            rest.get("x")


def test_all_requests_together_take_no_longer_than_they_may(server: Server) -> None:
    server.seconds = 0.4
    rest, started = MlflowRest(f"http://{server.address}", seconds=1.0), time.monotonic()
    with pytest.raises(TrackingDown):
        for _ in range(10):
            rest.get("x")
    assert time.monotonic() - started < 2


def test_another_program_at_the_address_stops_no_run(server: Server, settings: Settings) -> None:
    server.body = json.dumps({"registered_models": [{"nothing": "of it"}]})
    uri = SecretStr(f"http://{server.address}")
    tracker = Tracker(settings.model_copy(update={"mlflow_tracking_uri": uri}))
    done = tracker.mirror(lambda: [RegistryModel("m", (), {})])
    assert "expected answers of MLflow's" in done.failed
    with pytest.raises(TrackingDown, match="expected answers of MLflow's"):
        tracker.mirrored()
