from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from infra.errors import ServiceFailed
from infra.services import start, start_command, status, stop_all
from infra.services.home_secrets import made_up_secret
from infra.services.process import MARK, ServiceProcess, inherited_environment
from infra.services.servers import answers, free_port, status_of
from infra.settings import Settings

SLEEPER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""
"""A process that starts another one."""


def wait_for(condition: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def process(settings: Settings) -> ServiceProcess:
    return ServiceProcess("sleeper", settings.services_folder)


def launch(process: ServiceProcess, tmp_path: Path, code: str = SLEEPER) -> list[psutil.Process]:
    with process.exclusively():
        process.launch([sys.executable, "-c", code], inherited_environment(), tmp_path)
    wait_for(lambda: len(process.members()) == 2)
    return process.members()


def test_the_whole_group_is_stopped(process: ServiceProcess, tmp_path: Path) -> None:
    members = launch(process, tmp_path)
    assert process.stop() is True
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in members)
    assert process.stop() is False
    assert process.members() == []


@pytest.mark.slow
def test_children_of_a_killed_leader_are_found_and_stopped(process: ServiceProcess, tmp_path: Path) -> None:
    members = launch(process, tmp_path)
    state = process.state()
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    wait_for(lambda: len(process.members()) == 1)
    assert process.stop() is True
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in members)


def test_what_ignores_the_request_is_killed(
    process: ServiceProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.services.process.STOP_SECONDS", 0.3)
    monkeypatch.setattr("infra.services.process.SIGNAL_SECONDS", 0.3)
    launch(process, tmp_path, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER)
    assert process.stop() is True
    assert process.members() == []


@pytest.mark.slow
def test_processes_of_others_are_never_touched(process: ServiceProcess, tmp_path: Path) -> None:
    """Not even if a stale state file names their id."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        launch(process, tmp_path)
        state_file = next(p for p in tmp_path.rglob("sleeper.json"))
        state = process.state()
        assert state is not None
        state_file.write_text(state_file.read_text().replace(str(state.pid), str(other.pid)))
        assert process.stop() is True
        assert other.poll() is None
        other.kill()


@pytest.mark.slow
def test_the_state_is_for_its_owner_only(process: ServiceProcess, tmp_path: Path) -> None:
    launch(process, tmp_path)
    (state_file,) = tmp_path.rglob("sleeper.json")
    assert stat.S_IMODE(state_file.stat().st_mode) == 0o600
    process.stop()


def test_an_early_exit_shows_the_log(process: ServiceProcess, tmp_path: Path) -> None:
    process.log.parent.mkdir(parents=True)
    process.launch(
        [sys.executable, "-c", "raise SystemExit('no such database')"], inherited_environment(), tmp_path
    )
    with pytest.raises(ServiceFailed, match="no such database"):
        process.wait_ready(lambda: False, 20)


@pytest.mark.slow
def test_not_ready_in_time_is_stopped(process: ServiceProcess, tmp_path: Path) -> None:
    launch(process, tmp_path)
    with pytest.raises(ServiceFailed, match="not ready within"):
        process.wait_ready(lambda: False, 0.2)
    assert process.members() == []


def test_a_command_in_the_background_runs_once_and_ends_with_all(settings: Settings) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    assert start_command("worker", command, {"X": "1"}, settings) is True
    assert start_command("worker", command, {"X": "1"}, settings) is False
    assert stop_all(settings) == ["worker"]
    assert stop_all(settings) == []


def test_nothing_runs_in_a_new_home(settings: Settings) -> None:
    assert stop_all(settings) == []
    assert all(service.address is None and service.processes == 0 for service in status(settings))
    with pytest.raises(ServiceFailed, match="prefect"):
        start("unknown", settings)


def test_free_port_prefers_the_one_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    assert free_port(port) == port
    monkeypatch.setattr("infra.services.servers._RELEASE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", port)):
        assert free_port(port) != port


def test_free_port_waits_for_a_server_that_is_ending() -> None:
    """A killed server with many threads counts as dead a moment before its sockets are closed."""
    port = free_port()
    listener = socket.create_server(("127.0.0.1", port))
    closing = threading.Timer(0.5, listener.close)
    closing.start()
    assert free_port(port) == port
    closing.join()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prefect", "mlflow", "s3", "postgres"])
def test_a_real_server_starts_answers_and_leaves_no_process(server_home: Settings, name: str) -> None:
    addresses: list[str] = []
    threads = [threading.Thread(target=lambda: addresses.append(start(name, server_home))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(addresses)) == 1
    assert len(addresses) == 2, "two starters get one server"
    code = f"from infra.services import start; print(start({name!r}))"
    environment = {**os.environ, "MER_HOME": str(server_home.home), "PYTHONPATH": str(Path.cwd())}
    elsewhere = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert elsewhere.stdout.strip() == addresses[0]
    health = {"prefect": "/api/health", "mlflow": "/health"}
    if name in health:
        assert answers(addresses[0] + health[name])
        owner = SecretStr(f"mer:{made_up_secret(server_home, name)}")
        assert status_of(addresses[0] + "/", owner, timeout_seconds=60.0) == 200, "the UI"
    (running,) = [service for service in status(server_home) if service.processes]
    assert running.name == name
    assert "@" not in str(running.address).replace("//***@", "//"), "neither user nor password"
    mark = ServiceProcess(name, server_home.services_folder).state()
    assert mark is not None
    assert stop_all(server_home) == [name]
    assert not [p for p in psutil.process_iter() if _environment(p).get(MARK) == mark.mark]
    assert not answers(addresses[0].partition("endpoint=")[2] or addresses[0].replace("postgresql", "http"))
    assert (server_home.home / "prefect" / "prefect.db").exists() == (name == "prefect")


@pytest.mark.slow
def test_two_installations_may_each_have_an_s3_server(server_home: Settings, s3_server: str) -> None:
    mine = start("s3", server_home)
    assert mine != s3_server
    assert all(answers(address.partition("endpoint=")[2] + "/healthz") for address in (mine, s3_server))
    assert stop_all(server_home) == ["s3"]


@pytest.mark.slow
def test_a_server_killed_while_running_is_started_again_at_its_address(server_home: Settings) -> None:
    address = start("s3", server_home)
    state = ServiceProcess("s3", server_home.services_folder).state()
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    wait_for(lambda: not ServiceProcess("s3", server_home.services_folder).members())
    assert start("s3", server_home) == address
    assert stop_all(server_home) == ["s3"]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}
