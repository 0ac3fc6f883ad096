"""Where an MLflow server answers for the settings: the one that is configured, or the local one of the home's database."""

from __future__ import annotations

from urllib.parse import quote

from infra.address import without_user
from infra.services import running_address
from infra.services.home_secrets import mlflow_credentials
from infra.settings import Settings
from infra.sqlite_url import sqlite_file


def server_address(settings: Settings) -> str | None:
    """Address with its credentials; None: no server runs, and the settings name a database."""
    uri = settings.mlflow_tracking_uri.get_secret_value()
    if uri.startswith(("http://", "https://")):
        return _with_credentials(uri, settings)
    shown_by_local = settings.home / "mlflow" / "mlflow.db"
    local = running_address("mlflow", settings) if sqlite_file(uri) == shown_by_local else None
    return None if local is None else _with_credentials(local, settings)


def _with_credentials(uri: str, settings: Settings) -> str:
    known = mlflow_credentials(settings, uri)
    if known is None:
        return uri
    user, password = (quote(part, safe="") for part in (known[0], known[1].get_secret_value()))
    scheme, _, rest = without_user(uri)[0].partition("://")
    return f"{scheme}://{user}:{password}@{rest}"
