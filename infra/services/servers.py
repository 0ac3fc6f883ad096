"""How each local server is started and asked whether it is ready. All listen on loopback only."""

from __future__ import annotations

import base64
import http.client
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from pydantic import SecretStr

from infra.address import request_to
from infra.profile import own_stores
from infra.services import home_secrets
from infra.services.process import inherited_environment
from infra.services.retention import prefect_retention
from infra.settings import OWN_ACCESS_KEY, Settings
from infra.sqlite_url import sqlite_url

LOOPBACK = "127.0.0.1"
_LISTENING = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections: a stopped server finds its own free when it is started again."""
_DRAWS = 20
_RELEASE_SECONDS = 10.0
"""How long the port of an ended server may stay taken: a killed process with many threads closes its sockets a little late."""


@dataclass(frozen=True)
class Server:
    """A server about to be started."""

    command: tuple[str, ...]
    port: int
    address: str
    ready: Callable[[], bool]
    folder: Path
    """Its working and data folder."""
    environment: Mapping[str, str]
    user: str | None = None
    """System user to run as; None: this process'."""
    start_seconds: float = 120.0
    stop_signal: int = signal.SIGTERM
    """What makes its first process end all of them in good order."""
    passwords: tuple[str, ...] = ()
    """Variables of `environment` by which it is told whom to let in."""

    def is_guarded(self, running: Mapping[str, str]) -> bool:
        """True if a server with the environment `running` asks for the passwords that this one would ask for."""
        return all(running.get(name) == self.environment[name] for name in self.passwords)


def prefect_server(settings: Settings, port: int) -> Server:
    """Prefect's API and UI over a database of its own: SQLite, or a full home's Postgres."""
    stores = own_stores(settings.home)
    home = settings.home / "prefect"
    auth = home_secrets.prefect_auth_string(settings) or SecretStr("")
    environment = _own_modules(inherited_environment(without=("PREFECT_",))) | {
        "MER_HOME": str(settings.home),
        "PREFECT_HOME": str(home),
        "PREFECT_API_DATABASE_CONNECTION_URL": stores.database("prefect", "postgresql+asyncpg")
        if stores
        else sqlite_url(home / "prefect.db", "sqlite+aiosqlite"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_API_HOST": LOOPBACK,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_API_AUTH_STRING": auth.get_secret_value(),
    }
    environment |= prefect_retention(settings)
    address = f"http://{LOOPBACK}:{port}"
    return Server(
        _guarded("prefect", port),
        port,
        address,
        lambda: answers(f"{address}/api/health"),
        home,
        environment,
        passwords=("PREFECT_SERVER_API_AUTH_STRING",),
    )


def mlflow_server(settings: Settings, port: int) -> Server:
    """MLflow's API and UI over the configured database (SQLite below the home); what it serves as artifacts is figures only."""
    home = settings.home / "mlflow"
    database, stores = settings.mlflow_tracking_uri.get_secret_value(), own_stores(settings.home)
    if stores is not None:
        database = stores.database("mlflow", "postgresql+psycopg")
    elif database.startswith("http"):
        database = sqlite_url(home / "mlflow.db")
    user, password = home_secrets.mlflow_credentials(settings) or ("", SecretStr(""))
    environment = _own_modules(inherited_environment(without=("MLFLOW_",))) | {
        "MER_HOME": str(settings.home),
        "MER_MLFLOW_TRACKING_URI": database,
        "MER_MLFLOW_USERNAME": user,
        "MER_MLFLOW_PASSWORD": password.get_secret_value(),
    }
    address = f"http://{LOOPBACK}:{port}"
    return Server(
        _guarded("mlflow", port),
        port,
        address,
        lambda: answers(f"{address}/health"),
        home,
        environment,
        passwords=("MER_MLFLOW_USERNAME", "MER_MLFLOW_PASSWORD"),
    )


def metrics_server(settings: Settings, port: int) -> Server:
    """The page of metrics, for Prometheus."""
    password = home_secrets.made_up_secret(settings, "metrics")
    environment = _own_modules(inherited_environment()) | {
        "MER_HOME": str(settings.home),
        "MER_METRICS_PASSWORD": password,
    }
    address = f"http://{LOOPBACK}:{port}"
    return Server(
        (sys.executable, "-m", "infra.metrics", "--port", str(port)),
        port,
        address,
        lambda: answers(f"{address}/health"),
        settings.services_folder,
        environment,
        passwords=("MER_METRICS_PASSWORD",),
    )


def serve_server(settings: Settings, port: int) -> Server:
    """The service that answers for clips, with its pages; it is up before a model is loaded, and without one."""
    environment = _own_modules(inherited_environment()) | {"MER_HOME": str(settings.home)}
    if settings.serve_token is not None:
        environment |= {"MER_SERVE_TOKEN": settings.serve_token.get_secret_value()}
    address = f"http://{LOOPBACK}:{port}"
    return Server(
        (sys.executable, "-m", "flows.service", "--port", str(port)),
        port,
        address,
        lambda: answers(f"{address}/health"),
        settings.services_folder,
        environment,
        passwords=("MER_SERVE_TOKEN",) if settings.serve_token is not None else (),
    )


def _guarded(name: str, port: int) -> tuple[str, ...]:
    hosts = f"{LOOPBACK}:{port},localhost:{port}"
    return (
        sys.executable, "-m", "infra.services.guarded", name,
        "--host", LOOPBACK, "--port", str(port), "--hosts", hosts,
    )  # fmt: skip


def _own_modules(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child in another working directory, which must find these modules too."""
    root = Path(__file__).resolve().parents[2]
    if root.name in ("site-packages", "dist-packages"):
        return dict(environment)
    known = [folder for folder in environment.get("PYTHONPATH", "").split(os.pathsep) if folder]
    return {**environment, "PYTHONPATH": os.pathsep.join([*known, str(root)])}


def s3_server(settings: Settings, port: int) -> Server:
    """SeaweedFS: an S3 server that honours conditional creation. Its keys: `s3_credentials`."""
    home = settings.services_folder / "s3"
    access, secret = s3_credentials(settings)
    environment = inherited_environment(without=("AWS_", "WEED_")) | {
        "AWS_ACCESS_KEY_ID": access.get_secret_value(),
        "AWS_SECRET_ACCESS_KEY": secret.get_secret_value(),
    }
    inner = [
        f"-{component}.port{kind}={free_port()}"
        for component in ("master", "volume", "filer")
        for kind in ("", ".grpc")
    ]
    command = (
        str(Path(sys.executable).parent / "weed"), "server", f"-dir={home}", f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}", "-master.volumeSizeLimitMB=1024", "-volume.max=100", "-volume.preStopSeconds=0", "-filer", "-s3",
        f"-s3.port={port}", f"-s3.port.grpc={free_port()}", "-s3.iam=false",
        "-s3.port.iceberg=0", "-s3.port.lance=0", *inner,  # at fixed ports: a second server here would die of them
    )  # fmt: skip
    endpoint = f"http://{LOOPBACK}:{port}"
    ready = f"{endpoint}/healthz"
    return Server(command, port, f"s3://mer?endpoint={endpoint}", lambda: answers(ready), home, environment)


def s3_credentials(settings: Settings) -> tuple[SecretStr, SecretStr]:
    """Access and secret key of the local S3 server: those of the settings, or made up once."""
    if settings.s3_access_key is not None and settings.s3_secret_key is not None:
        return settings.s3_access_key, settings.s3_secret_key
    return SecretStr(OWN_ACCESS_KEY), SecretStr(home_secrets.made_up_secret(settings, "s3"))


def free_port(preferred: int | None = None) -> int:
    """A port nobody listens on: `preferred` (an address one may have open in a browser), else one of `_LISTENING`.

    `preferred` is waited for: its last server may only just have ended.
    """
    if preferred is not None:
        deadline = time.monotonic() + _RELEASE_SECONDS
        while (port := _bound(preferred)) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        if port is not None:
            return port
    drawn = (_LISTENING.start + secrets.randbelow(len(_LISTENING)) for _ in range(_DRAWS))
    for candidate in (*drawn, 0):
        if (port := _bound(candidate)) is not None:
            return port
    raise OSError("no free port on the loopback interface")


def _bound(port: int) -> int | None:
    """`port` (0: one that the system chooses) if nobody listens on it, else None."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return None
        return int(probe.getsockname()[1])


def answers(url: str, timeout_seconds: float = 2.0) -> bool:
    """True if a GET of `url` succeeds; proxies of the environment are not used."""
    status = status_of(url, timeout_seconds=timeout_seconds)
    return status is not None and 200 <= status < 300


def status_of(url: str, credentials: SecretStr | None = None, *, timeout_seconds: float = 2.0) -> int | None:
    """HTTP status of a GET of `url` with USER:PASSWORD, asked directly; None: no answer."""
    request = request_to(url)
    if credentials is not None:
        token = base64.b64encode(credentials.get_secret_value().encode()).decode("ascii")
        request.add_unredirected_header("Authorization", f"Basic {token}")
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=timeout_seconds) as response:
            return int(response.status)
    except HTTPError as error:
        with error:
            return error.code
    except (URLError, OSError, http.client.HTTPException):
        return None


def reachable(url: str, timeout_seconds: float = 10.0) -> bool:
    """True if anything answers a GET of `url`, a refusal too; asked as clients do, through a proxy where one is set."""
    try:
        with build_opener().open(request_to(url), timeout=timeout_seconds):
            return True
    except HTTPError:
        return True
    except (URLError, OSError, http.client.HTTPException, ValueError):
        return False
