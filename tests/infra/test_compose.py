"""What docker/compose.yaml says about who may talk to its servers; its Prefect and MLflow commands, run as they stand there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from infra.services.process import ServiceProcess, inherited_environment
from infra.services.servers import free_port, status_of
from infra.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = re.compile(r"\$\{(\w+)[^}]*\}")
GUARDED = {"prefect": "4200", "mlflow": "5000"}
READ = {"prefect": "/api/admin/version", "mlflow": "/version"}


def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))
    return read


SERVICES: Mapping[str, Mapping[str, Any]] = compose()["services"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_secret_stands_on_a_command_line(name: str) -> None:
    """`ps` of the host shows arguments to every user."""
    for key in ("command", "entrypoint", "healthcheck"):
        assert not VARIABLE.findall(str(SERVICES[name].get(key, "")))


def test_nothing_starts_without_passwords() -> None:
    text = (ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8")
    named = set(VARIABLE.findall(text)) - {"CLIPS"}
    demanded = set(re.findall(r"\$\{(\w+):\?", text))
    assert named == demanded >= {"PREFECT_PASSWORD", "MLFLOW_PASSWORD"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_open_on_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


def test_the_worker_knows_the_passwords_and_the_servers_only_their_own() -> None:
    worker = SERVICES["worker"]["environment"]
    assert (
        worker["PREFECT_API_AUTH_STRING"]
        == SERVICES["prefect"]["environment"]["PREFECT_SERVER_API_AUTH_STRING"]
    )
    assert "${MLFLOW_PASSWORD" in worker["MER_MLFLOW_PASSWORD"]
    for name, other in (("prefect", "MLFLOW_PASSWORD"), ("mlflow", "PREFECT_PASSWORD")):
        assert other not in str(SERVICES[name]["environment"])


@pytest.fixture
def databases(postgres_server: str) -> Iterator[str]:
    """USER:PASSWORD@HOST:PORT of a Postgres with the databases of docker/databases.sql."""
    import psycopg

    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("CREATE ROLE mer LOGIN SUPERUSER PASSWORD 'dbpassword'")
        for name in GUARDED:
            connection.execute(f"CREATE DATABASE {name}".encode())
    yield "mer:dbpassword@" + postgres_server.rpartition("@")[2].partition("/")[0]
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for name in GUARDED:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        connection.execute("DROP ROLE mer")


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(GUARDED))
def test_its_servers_refuse_strangers(name: str, databases: str, server_home: Settings) -> None:
    service, port = SERVICES[name], free_port()
    values = {
        "POSTGRES_PASSWORD": "dbpassword",
        "PREFECT_PASSWORD": "secret-p",
        "MLFLOW_PASSWORD": "secret-m",
    }

    def here(text: str) -> str:
        text = VARIABLE.sub(lambda match: values[match.group(1)], str(text))
        text = text.replace("mer:dbpassword@postgres", databases).replace("0.0.0.0", "127.0.0.1")
        text = re.sub(rf"\b{GUARDED[name]}\b", str(port), text)
        return sys.executable if text == "python" else text.replace("/data", str(server_home.home))

    environment = inherited_environment(without=("MER_", "PREFECT_", "MLFLOW_"))
    environment |= {key: here(value) for key, value in service["environment"].items()}
    environment |= {"MER_HOME": str(server_home.home), "PREFECT_HOME": str(server_home.home / "prefect")}
    environment["PYTHONPATH"] = str(ROOT)
    if name == "prefect":  # the Postgres in the wheel lacks pg_trgm, which Prefect needs
        environment["PREFECT_API_DATABASE_CONNECTION_URL"] = "sqlite+aiosqlite:///prefect.db"
    process = ServiceProcess(name, server_home.services_folder)
    address = f"http://127.0.0.1:{port}"
    health = f"{address}{'/api' if name == 'prefect' else ''}/health"
    assert health.removeprefix(address) in str(service["healthcheck"])
    with process.exclusively():
        process.launch(
            [here(word) for word in service["entrypoint"]], environment, server_home.home, address=address
        )
        process.wait_ready(lambda: status_of(health) == 200, 180)
    auth = ("mer", values[f"{name.upper()}_PASSWORD"])
    with httpx.Client(base_url=address, timeout=60) as client:
        path = READ[name]
        assert client.get(path).status_code == 401
        assert client.get(path, auth=("admin", "password1234")).status_code == 401
        assert client.get(path, auth=auth).status_code == 200
        assert client.get(path, auth=auth, headers={"Host": f"{name}:{port}"}).status_code == 200
        assert client.get(path, auth=auth, headers={"Host": "evil.example"}).status_code == 403
        assert client.get(path, auth=auth, headers={"Origin": "http://evil.example"}).status_code == 403
        assert client.get("/", auth=auth).status_code == 200, "the page"
