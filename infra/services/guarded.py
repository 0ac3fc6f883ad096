"""Prefect's and MLflow's servers behind a guard (`infra.services.guard`), each in one process.

    python -m infra.services.guarded prefect --host 127.0.0.1 --port 4200 --hosts 127.0.0.1:4200,localhost:4200

Passwords come from the environment: `PREFECT_SERVER_API_AUTH_STRING` (USER:PASSWORD), which Prefect asks for itself, and
`MER_MLFLOW_PASSWORD` (and `MER_MLFLOW_USERNAME`). A server without a password does not start. MLflow's own users are not used:
they need another package and a database of their own, and begin with a password that is known.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from infra.errors import InfraError, SettingsError
from infra.mlflow_experiment import remove_empty_default
from infra.services.guard import Application, Guard
from infra.services.home_secrets import USER
from infra.services.trigram_indexes import do_without_trigrams_if_absent
from infra.settings import Settings, load_settings

_WEBSOCKET_PING_SECONDS = 20.0


def guarded_prefect(hosts: Sequence[str], settings: Settings) -> Application:
    """Prefect's API and UI with all background services; what else it is told lies in the environment, as Prefect names it.

    Raises:
        SettingsError: no password.
    """
    del settings
    if not os.environ.get("PREFECT_SERVER_API_AUTH_STRING", "").partition(":")[2]:
        raise SettingsError(
            "PREFECT_SERVER_API_AUTH_STRING: expected USER:PASSWORD, found none; set it for the server, and "
            "PREFECT_API_AUTH_STRING to the same for its clients"
        )
    origins = ",".join(f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts)
    os.environ |= {
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origins,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_UI_API_URL": "/api",  # of the host that the page came from, whichever of them it is
    }
    do_without_trigrams_if_absent(os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL", ""))
    from prefect.server.api.server import create_app

    return Guard(create_app(final=True), hosts)


def guarded_mlflow(hosts: Sequence[str], settings: Settings) -> Application:
    """MLflow's API and UI over the database that `MER_MLFLOW_TRACKING_URI` names; artifacts (figures) lie below the home.

    Raises:
        SettingsError: no password, or no database.
    """
    if settings.mlflow_password is None:
        raise SettingsError("MER_MLFLOW_PASSWORD: expected a password, found none")
    database = settings.mlflow_tracking_uri.get_secret_value()
    if database.startswith("http"):
        raise SettingsError(
            "MER_MLFLOW_TRACKING_URI: expected the server's database, found the address of a server"
        )
    credentials = (settings.mlflow_username or USER, settings.mlflow_password.get_secret_value())
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        os.environ.pop(name, None)
    from mlflow.server import constants

    artifacts = settings.home / "mlflow" / "artifacts"
    os.environ |= {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # otherwise 22 processes and 3 GB
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts),
        constants.BACKEND_STORE_URI_ENV_VAR: database,
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts.as_uri(),
    }
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores
    from mlflow.tracking import MlflowClient

    initialize_backend_stores(database, database, "mlflow-artifacts:/")
    remove_empty_default(MlflowClient(database, database))
    return Guard(app, hosts, credentials=credentials, public=("/health",))


_APPLICATIONS: Mapping[str, Callable[[Sequence[str], Settings], Application]] = MappingProxyType(
    {"prefect": guarded_prefect, "mlflow": guarded_mlflow}
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.services.guarded", description=__doc__)
    parser.add_argument("server", choices=sorted(_APPLICATIONS))
    parser.add_argument("--host", required=True, help="address to listen on")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument(
        "--hosts", required=True, help="names that it is reached by, HOST:PORT, separated by commas"
    )
    chosen = parser.parse_args(arguments)
    hosts = [host for host in chosen.hosts.split(",") if host.strip()]
    try:
        application = _APPLICATIONS[chosen.server](hosts, load_settings())
    except InfraError as error:
        print(f"{chosen.server}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    import uvicorn

    uvicorn.run(
        application,
        host=chosen.host,
        port=chosen.port,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        ws_ping_interval=_WEBSOCKET_PING_SECONDS,
        ws_ping_timeout=_WEBSOCKET_PING_SECONDS,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
