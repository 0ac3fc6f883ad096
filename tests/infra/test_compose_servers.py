"""The Prefect and MLflow commands of docker/compose.yaml, run as they stand there, with secrets in files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from infra.services.process import ServiceProcess, inherited_environment
from infra.services.servers import free_port, status_of
from infra.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

ROOT = Path(__file__).resolve().parents[2]
SERVICES = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))["services"]
GUARDED = {"prefect": "4200", "mlflow": "5000"}
READ = {"prefect": "/api/admin/version", "mlflow": "/version"}
SECRETS = {"postgres_password": "db/pass word", "prefect_password": "secret-p", "mlflow_password": "secret-m"}


@pytest.fixture
def databases(postgres_server: str) -> Iterator[str]:
    """HOST:PORT of a Postgres with the databases of docker/databases.sql."""
    import psycopg

    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(
            f"CREATE ROLE mer LOGIN SUPERUSER PASSWORD '{SECRETS['postgres_password']}'".encode()
        )
        for name in GUARDED:
            connection.execute(f"CREATE DATABASE {name}".encode())
    yield postgres_server.rpartition("@")[2].partition("/")[0]
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        for name in GUARDED:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        connection.execute("DROP ROLE mer")


@pytest.mark.parametrize("name", sorted(GUARDED))
def test_its_servers_refuse_strangers(
    name: str, databases: str, server_home: Settings, tmp_path: Path
) -> None:
    service, port = SERVICES[name], free_port()
    for secret, text in SECRETS.items():
        (tmp_path / secret).write_text(f"{text}\n")

    def here(text: str) -> str:
        text = str(text).replace("/run/secrets", str(tmp_path))
        text = text.replace("@postgres/", f"@{databases}/").replace("0.0.0.0", "127.0.0.1")
        text = re.sub(rf"\b{GUARDED[name]}\b", str(port), text)
        return sys.executable if text == "python" else text.replace("/data", str(server_home.home))

    environment = inherited_environment(without=("MER_", "PREFECT_", "MLFLOW_"))
    environment |= {key: here(value) for key, value in service["environment"].items()}
    environment |= {"MER_HOME": str(server_home.home), "PREFECT_HOME": str(server_home.home / "prefect")}
    environment["PYTHONPATH"] = str(ROOT)
    process = ServiceProcess(name, server_home.services_folder)
    address = f"http://127.0.0.1:{port}"
    health = f"{address}{'/api' if name == 'prefect' else ''}/health"
    assert health.removeprefix(address) in str(service["healthcheck"])
    command = [
        sys.executable,
        "-m",
        "infra.services.secret_files",
        *(here(word) for word in service["command"]),
    ]
    with process.exclusively():
        process.launch(command, environment, server_home.home, address=address)
        process.wait_ready(lambda: status_of(health) == 200, 180)
    auth = ("mer", SECRETS[f"{name}_password"])
    with httpx.Client(base_url=address, timeout=60) as client:
        path = READ[name]
        assert client.get(path).status_code == 401
        assert client.get(path, auth=("admin", "password1234")).status_code == 401
        assert client.get(path, auth=auth).status_code == 200
        assert client.get(path, auth=auth, headers={"Host": f"{name}:{port}"}).status_code == 200
        assert client.get(path, auth=auth, headers={"Host": "evil.example"}).status_code == 403
        assert client.get(path, auth=auth, headers={"Origin": "http://evil.example"}).status_code == 403
        assert client.get("/", auth=auth).status_code == 200, "the page"
