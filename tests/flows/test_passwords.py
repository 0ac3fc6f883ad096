"""`mer password` shows passwords to a person at a terminal, and to nothing else; servers elsewhere that ask for one say so."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from flows.servers import ensure_servers
from flows.supervision import local_worker
from infra.errors import ServiceFailed
from infra.services import environment_of, start_command, stop_all
from infra.services.home_secrets import made_up_secret
from infra.settings import Settings


def mer(home: Path, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MER_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_passwords_are_printed_to_a_terminal_only(settings: Settings) -> None:
    passwords = {name: made_up_secret(settings, name) for name in ("prefect", "mlflow")}
    piped = mer(settings.home, "password")
    assert (piped.returncode, piped.stdout) == (1, "")
    assert "a terminal only" in piped.stderr and len(piped.stderr.splitlines()) == 1
    assert str(settings.services_folder / "prefect.secret") in piped.stderr
    assert not [password for password in passwords.values() if password in piped.stderr]
    ours, its = pty.openpty()
    try:
        shown = mer(settings.home, "password", stdout=its)
    finally:
        os.close(its)
    text = b""
    while b"password" not in text or passwords["mlflow"].encode() not in text:
        text += os.read(ours, 4096)
    os.close(ours)
    assert shown.returncode == 0
    assert f"enter    mer:{passwords['prefect']}" in text.decode()
    assert "user     mer" in text.decode()


@pytest.mark.slow
def test_without_servers_there_is_no_password(settings: Settings) -> None:
    done = mer(settings.home, "password")
    assert done.returncode == 1
    assert "`mer up` makes servers and passwords" in done.stderr
    assert not settings.services_folder.exists()


class Asking(BaseHTTPRequestHandler):
    """A Prefect server elsewhere that asks for a password."""

    def do_GET(self) -> None:
        health = self.path == "/api/health"
        right = self.headers.get("Authorization") == "Basic dGhlbTp0aGVpcnM="  # them:theirs
        self.send_response(200 if health or right else 401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of its API, configured with an MLflow elsewhere."""
    with HTTPServer(("127.0.0.1", 0), Asking) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
        api = f"http://127.0.0.1:{server.server_port}/api"
        monkeypatch.setenv("MER_PREFECT_API_URL", api)
        for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_HOME"):
            monkeypatch.setenv(name, "")
        yield api
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["MER_PREFECT_AUTH_STRING", "PREFECT_API_AUTH_STRING"])
def test_a_server_elsewhere_gets_the_configured_password(
    name: str, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "them:theirs")
    assert ensure_servers()["Prefect"] == elsewhere.removesuffix("/api")
    assert os.environ["PREFECT_API_AUTH_STRING"] == "them:theirs"


def test_a_server_elsewhere_gets_the_password_of_its_address(
    elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_PREFECT_API_URL", elsewhere.replace("://", "://them:theirs@"))
    ensure_servers()
    assert os.environ["PREFECT_API_AUTH_STRING"] == "them:theirs"
    assert os.environ["PREFECT_API_URL"] == elsewhere


@pytest.mark.parametrize(
    ("known", "found"),
    [("", "found none: set"), ("them:wrong", "one that it refuses")],
)
def test_a_server_that_refuses_says_which_setting_is_missing(
    known: str, found: str, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MER_PREFECT_AUTH_STRING", known)
    with pytest.raises(ServiceFailed, match=found):
        ensure_servers()


def test_a_worker_from_before_there_was_a_password_is_started_anew(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = "http://127.0.0.1:4200/api"
    monkeypatch.setenv("PREFECT_API_URL", api)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "")
    settings = settings.model_copy(update={"prefect_auth_string": SecretStr("mer:secret")})
    sleeping = (sys.executable, "-c", "import time; time.sleep(600)")
    monkeypatch.setattr(local_worker, "PREFECT", sleeping)
    try:
        assert not local_worker.renew_worker(settings), "none runs"
        assert start_command(local_worker.WORKER, sleeping, {"PREFECT_API_URL": api}, settings)
        assert local_worker.renew_worker(settings)
        started = environment_of(local_worker.WORKER, settings)
        assert started is not None and started["PREFECT_API_AUTH_STRING"] == "mer:secret"
        assert started["MER_HOME"] == str(settings.home)
        assert not local_worker.renew_worker(settings), "it knows the password"
        monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
        assert not local_worker.renew_worker(settings), "a worker of another server goes on"
    finally:
        stop_all(settings)
