"""Real Prefect and MLflow servers as a stranger finds them (another origin or host, no password), and as their owner does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
import websockets

from infra.services import start
from infra.services.home_secrets import made_up_secret, mlflow_credentials, prefect_auth_string
from infra.services.process import ServiceProcess, inherited_environment
from infra.services.servers import free_port, status_of
from infra.settings import Settings
from infra.sqlite_url import sqlite_url

pytestmark = pytest.mark.slow
FOREIGN = "http://evil.example"
SOCKETS = (
    "events/in",
    "events/out",
    "logs/out",
    "task_runs/subscriptions/scheduled",
    "work_pools/mer-cpu/workers/connect",
)
"""Every websocket of Prefect's API."""
STEP = {"name": "stolen", "flow_id": "0", "pull_steps": [{"prefect.deployments.steps.run_shell_script": {}}]}
READ = {"prefect": "/api/admin/version", "mlflow": "/api/2.0/mlflow/registered-models/search"}
WRITTEN = {"prefect": "/api/deployments/", "mlflow": "/api/2.0/mlflow/experiments/create"}


ALSO_NIGHTLY = ["prefect", pytest.param("mlflow", marks=pytest.mark.nightly)]


@pytest.fixture(params=["prefect", "mlflow"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stranger(name: str, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=request.getfixturevalue(f"{name}_server"), timeout=30) as client:
        yield client


@pytest.fixture
def owner(name: str, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """Somebody whose browser knows the password and sends it along, wherever a request comes from."""
    address, auth = (request.getfixturevalue(f"{name}_{what}") for what in ("server", "auth"))
    with httpx.Client(base_url=address, auth=auth, timeout=30) as client:
        yield client


def test_without_the_password_nothing_is_read_or_written(name: str, stranger: httpx.Client) -> None:
    assert stranger.get(READ[name]).status_code == 401
    assert stranger.post(WRITTEN[name], json=STEP).status_code in (401, 403)
    for user, password in (("mer", ""), ("mer", "0" * 32), ("admin", "password1234"), ("admin", "pass")):
        assert stranger.get(READ[name], auth=(user, password)).status_code == 401


def test_the_owner_reads(name: str, owner: httpx.Client) -> None:
    assert owner.get(READ[name]).status_code == 200
    assert owner.get("/").status_code == 200


@pytest.mark.parametrize("origin", [FOREIGN, "null", "http://localhost:3000"])
def test_a_page_of_another_origin_can_do_nothing_even_with_the_password(
    name: str, owner: httpx.Client, origin: str
) -> None:
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    refused = [
        owner.post(WRITTEN[name], content=json.dumps(STEP), headers=headers),
        owner.get(READ[name], headers=headers),
        owner.options(WRITTEN[name], headers={**headers, "Access-Control-Request-Method": "POST"}),
    ]
    for answer in refused:
        assert answer.status_code == 403
        assert not [header for header in answer.headers if header.startswith("access-control-")]


def test_another_host_is_refused_even_with_the_password(name: str, owner: httpx.Client) -> None:
    port = owner.base_url.port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1"):
        for path in (READ[name], "/", "/health", "/api/health"):
            assert owner.get(path, headers={"Host": host}).status_code == 403
    assert owner.get(READ[name], headers={"Host": f"localhost:{port}"}).status_code == 200


def test_a_form_of_another_page_needs_a_token_of_the_api(prefect_server: str, prefect_auth: Any) -> None:
    answer = httpx.post(f"{prefect_server}/api/flows/", json={"name": "f"}, auth=prefect_auth, timeout=60)
    assert (answer.status_code, answer.json()) == (403, {"detail": "Missing CSRF token."})


@pytest.mark.parametrize("path", SOCKETS)
def test_websockets_are_closed_to_strangers(path: str, prefect_server: str, prefect_auth: Any) -> None:
    url = f"{prefect_server.replace('http', 'ws', 1)}/api/{path}"

    async def spoken(token: str | None = None, protocol: str | None = "prefect", **headers: str) -> str:
        """What the server says first, or how it closes."""
        protocols = None if protocol is None else [protocol]
        try:
            async with websockets.connect(
                url, subprotocols=protocols, additional_headers=headers, proxy=None
            ) as socket:
                await socket.send(json.dumps({"type": "auth", "token": token}))
                return str(json.loads(await asyncio.wait_for(socket.recv(), 10))["type"])
        except websockets.InvalidStatus as error:
            return str(error.response.status_code)
        except websockets.ConnectionClosed as error:
            return str(error.rcvd.code if error.rcvd else None)

    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "prefect",
    }
    elsewhere = httpx.get(
        f"{prefect_server}/api/{path}", headers={**upgrade, "Host": "evil.example"}, timeout=60
    )
    assert elsewhere.status_code == 403
    right = ":".join(prefect_auth)

    async def all_of_them() -> None:
        assert await spoken(right, Origin=FOREIGN) == "403"
        assert await spoken(None) == "1008"
        assert await spoken("mer:wrong") == "1008"
        assert await spoken(None, protocol=None) == "403"
        assert await spoken(right) == "auth_success"
        assert await spoken(right, Origin=prefect_server) == "auth_success"

    asyncio.run(all_of_them())


def test_no_password_stands_on_a_command_line(server_settings: Settings, mlflow_auth: Any) -> None:
    start("prefect", server_settings)
    secrets = [made_up_secret(server_settings, name) for name in ("prefect", "mlflow")]
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert sum("infra.services.guarded" in line for line in lines) >= 2
    assert not [line for line in lines for secret in secrets if secret in line]


def old_server(name: str, settings: Settings, port: int) -> tuple[list[str], dict[str, str]]:
    """Command and environment with which versions before 0.5 started a server: open to everybody."""
    import sys

    home = settings.home / name
    if name == "prefect":
        return [
            sys.executable,
            "-m",
            "prefect",
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ], {
            "PREFECT_HOME": str(home),
            "PREFECT_API_DATABASE_CONNECTION_URL": sqlite_url(home / "prefect.db", "sqlite+aiosqlite"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
    return [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", sqlite_url(home / "mlflow.db"),
        "--artifacts-destination", (home / "artifacts").as_uri(), "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1",
    ], {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # fmt: skip


@pytest.mark.parametrize("name", ALSO_NIGHTLY)
def test_a_server_of_an_older_version_is_closed_at_the_next_start_and_keeps_its_runs(
    name: str, server_home: Settings
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    process = ServiceProcess(name, server_home.services_folder)
    command, environment = old_server(name, server_home, port)
    with process.exclusively():
        process.launch(
            command,
            inherited_environment(without=("PREFECT_", "MLFLOW_")) | environment,
            server_home.home / name,
            address=address,
            port=port,
        )
        health = f"{address}/health" if name == "mlflow" else f"{address}/api/health"
        process.wait_ready(lambda: status_of(health) == 200, 120)
    created = {"prefect": {"name": "before"}, "mlflow": {"name": "before"}}[name]
    path = {"prefect": "/api/flows/", "mlflow": WRITTEN["mlflow"]}[name]
    httpx.post(address + path, json=created, timeout=30).raise_for_status()
    assert start(name, server_home) == address, "a page that is open in a browser stays right"
    assert httpx.get(address + READ[name], timeout=60).status_code == 401
    if name == "prefect":
        known = prefect_auth_string(server_home, f"{address}/api")
        assert known is not None
        auth = tuple(known.get_secret_value().split(":"))
        found = httpx.get(f"{address}/api/flows/name/before", auth=auth, timeout=60)
    else:
        credentials = mlflow_credentials(server_home, address)
        assert credentials is not None
        auth = (credentials[0], credentials[1].get_secret_value())
        found = httpx.get(
            f"{address}/api/2.0/mlflow/experiments/get-by-name",
            params={"experiment_name": "before"},
            auth=auth,
        )
    assert found.status_code == 200
    state = process.state()
    assert start(name, server_home) == address
    assert process.state() == state, "a guarded server goes on"
