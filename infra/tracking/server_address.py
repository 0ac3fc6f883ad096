"""Where an MLflow server answers for the settings: the one that is configured, or the local one of the home's database."""

from __future__ import annotations

from infra.services import running_address
from infra.settings import Settings
from infra.sqlite_url import sqlite_file


def server_address(settings: Settings) -> str | None:
    """Address with its credentials; None: no server runs, and the settings name a database."""
    uri = settings.mlflow_tracking_uri.get_secret_value()
    if uri.startswith(("http://", "https://")):
        return uri
    shown_by_local = settings.home / "mlflow" / "mlflow.db"
    return running_address("mlflow", settings) if sqlite_file(uri) == shown_by_local else None
