"""The servers a run talks to: those that are configured, or local ones started in the background."""

from __future__ import annotations

import os

from infra.services import start_all
from infra.settings import load_settings


def ensure_servers() -> dict[str, str]:
    """Start local Prefect and MLflow servers unless others are configured; returns the addresses of their UIs.

    Must run before `prefect` is imported: Prefect reads its settings once.
    """
    settings = load_settings()
    settings.home.mkdir(parents=True, exist_ok=True)  # Prefect makes its own folder below it, but not it
    api = settings.prefect_api_url
    tracking = settings.mlflow_tracking_uri.get_secret_value()
    to_start = [
        name
        for name, needed in (("prefect", api is None), ("mlflow", not tracking.startswith("http")))
        if needed
    ]
    started = start_all(to_start, settings)
    api = api or f"{started['prefect']}/api"
    os.environ["PREFECT_API_URL"] = api
    os.environ.setdefault("PREFECT_HOME", str(settings.home / "prefect"))
    os.environ.setdefault(
        "PREFECT_LOGGING_LEVEL", "WARNING"
    )  # our tables say what happened; errors still show
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    return {"Prefect": api.removesuffix("/api"), "MLflow": started.get("mlflow", tracking)}
