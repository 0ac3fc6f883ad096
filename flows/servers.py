"""The servers a run talks to: those that are configured, or local ones started in the background."""

from __future__ import annotations

import os

from flows.prefect_address import renew_prefect_settings, tell_prefect
from flows.supervision.local_worker import renew_worker
from infra.address import without_user
from infra.errors import ServiceFailed
from infra.home import prepare_home
from infra.loopback import ask_loopback_directly
from infra.services import start_all
from infra.services.deaths import is_served_by
from infra.services.home_secrets import prefect_auth_string
from infra.services.servers import reachable, status_of
from infra.services.stores import start_stores
from infra.settings import Settings, load_settings


def ensure_servers() -> dict[str, str]:
    """Start local Prefect and MLflow servers unless others are configured; returns the addresses of their UIs.

    Best run before `prefect` is imported, which reads its settings then; if it was, it reads them again.

    Raises:
        SettingsError, HomeUnusable: a setting or the home cannot be used.
        ServiceFailed: a local server did not start, or the configured Prefect server does not answer or refuses the password.
    """
    settings = load_settings()
    prepare_home(settings.home)
    start_stores(settings)
    settings = load_settings()  # as the stores of a full home were started now
    ask_loopback_directly()
    os.environ["MER_HOME"] = str(settings.home)  # processes started elsewhere take the same one
    api = settings.prefect_api_url
    tracking = settings.mlflow_tracking_uri.get_secret_value()
    if api is not None and not reachable(f"{api.get_secret_value().rstrip('/')}/health"):
        raise ServiceFailed(
            f"the Prefect server at {api} does not answer: start it, or unset MER_PREFECT_API_URL (and "
            "PREFECT_API_URL) for a local one"
        )
    to_start = [
        name
        for name, needed in (
            ("prefect", api is None),
            ("mlflow", not tracking.startswith("http") or is_served_by("mlflow", f"{tracking}/", settings)),
        )
        if needed
    ]
    started = start_all(to_start, settings)
    url = _log_in(settings, api.get_secret_value() if api is not None else f"{started['prefect']}/api")
    renew_worker(settings)
    os.environ.setdefault("PREFECT_HOME", str(settings.home / "prefect"))
    os.environ.setdefault(
        "PREFECT_LOGGING_LEVEL", "WARNING"
    )  # our tables say what happened; errors still show
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    renew_prefect_settings()
    return {"Prefect": url.removesuffix("/api"), "MLflow": started.get("mlflow", tracking)}


def _log_in(settings: Settings, api: str) -> str:
    """Give this process, and those it starts, address and password of the Prefect server; returns the address without user.

    Raises:
        ServiceFailed: the server refuses the password, or asks for one that is not known.
    """
    url, _ = without_user(api)
    auth = prefect_auth_string(settings, api)
    tell_prefect(url, auth)
    if status_of(f"{url.rstrip('/')}/admin/version", auth, timeout_seconds=10.0) in (401, 403):
        found = "none" if auth is None else "one that it refuses"
        raise ServiceFailed(
            f"the Prefect server at {url} asks for a password, found {found}: set MER_PREFECT_AUTH_STRING (or "
            "PREFECT_API_AUTH_STRING) to USER:PASSWORD"
        )
    return url
