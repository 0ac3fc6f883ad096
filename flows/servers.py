"""The servers a run talks to: those that are configured, or local ones started in the background."""

from __future__ import annotations

import os

from flows.prefect_address import tell_prefect
from infra.errors import ServiceFailed
from infra.home import prepare_home
from infra.loopback import ask_loopback_directly
from infra.services import start_all
from infra.services.servers import reachable
from infra.settings import load_settings


def ensure_servers() -> dict[str, str]:
    """Start local Prefect and MLflow servers unless others are configured; returns the addresses of their UIs.

    Must run before `prefect` is imported: Prefect reads its settings once.

    Raises:
        SettingsError, HomeUnusable: a setting or the home cannot be used.
        ServiceFailed: a local server did not start, or the configured Prefect server does not answer.
    """
    settings = load_settings()
    prepare_home(settings.home)
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
        for name, needed in (("prefect", api is None), ("mlflow", not tracking.startswith("http")))
        if needed
    ]
    started = start_all(to_start, settings)
    url = tell_prefect(api.get_secret_value() if api is not None else f"{started['prefect']}/api")
    os.environ.setdefault("PREFECT_HOME", str(settings.home / "prefect"))
    os.environ.setdefault(
        "PREFECT_LOGGING_LEVEL", "WARNING"
    )  # our tables say what happened; errors still show
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    return {"Prefect": url.removesuffix("/api"), "MLflow": started.get("mlflow", tracking)}
