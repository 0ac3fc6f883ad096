"""Secrets of a home: made up once for each local server, in files that only the home's owner may read.

A secret is handed to a server and to its clients in the environment, never in arguments, which every user can list.
"""

from __future__ import annotations

import secrets
import stat
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from infra.address import without_user
from infra.errors import ServiceFailed
from infra.hidden_secrets import hide
from infra.services.process import ServiceProcess
from infra.settings import Settings
from infra.whole_files import write_whole

USER = "mer"
"""The one user of the local servers."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_BYTES = 16
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def secret_file(settings: Settings, name: str) -> Path:
    """File of the secret of the local server `name`."""
    return settings.services_folder / f"{name}.secret"


def made_up_secret(settings: Settings, name: str) -> str:
    """A random secret of this home, the same at every call; its file is for its owner only.

    Raises:
        ServiceFailed: the file is there, and holds no secret.
    """
    path = secret_file(settings, name)
    if not path.exists():
        write_whole(path, secrets.token_hex(_BYTES).encode(), mode=0o600, if_absent=True)
    secret = path.read_text(encoding="ascii").strip()
    if not secret:
        raise ServiceFailed(f"{path}: expected a secret, found an empty file; remove it and run again")
    if path.stat().st_mode & _OTHERS:
        path.chmod(0o600)
    hide([secret])
    return secret


def prefect_auth_string(settings: Settings, api: str | None = None) -> SecretStr | None:
    """USER:PASSWORD for the Prefect server whose API is at `api` (None: the local one).

    The local server of this home takes the home's; any other what its address or the settings say, None where both say nothing.
    """
    url, user = (None, None) if api is None else without_user(api)
    if url is None or _is_local(settings, "prefect", url):
        return SecretStr(f"{USER}:{made_up_secret(settings, 'prefect')}")
    return settings.prefect_auth_string if user is None else SecretStr(user)


def mlflow_credentials(settings: Settings, uri: str | None = None) -> tuple[str, SecretStr] | None:
    """User and password for the MLflow server at `uri` (None: the local one).

    None: none are known, the address says them itself, or `uri` is no server.
    """
    url, user = (None, None) if uri is None else without_user(uri)
    if url is None or _is_local(settings, "mlflow", url):
        return USER, SecretStr(made_up_secret(settings, "mlflow"))
    if user is None and url.startswith("http") and settings.mlflow_password is not None:
        return settings.mlflow_username or USER, settings.mlflow_password
    return None


def _is_local(settings: Settings, name: str, address: str) -> bool:
    """True where `address` is that of this home's server `name`, running or stopped."""
    state = ServiceProcess(name, settings.services_folder).state()
    return state is not None and _place(address) is not None and _place(address) == _place(state.address)


def _place(address: str) -> int | None:
    """Port of an address on this machine; None for any other, and for no address."""
    try:
        parts = urlsplit(address)
        return parts.port if parts.hostname in _LOOPBACK else None
    except ValueError:
        return None
