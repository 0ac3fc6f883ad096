"""What Prefect's clients are told of the server: its address without a password, and the password apart.

Prefect prints its address, with the pages of runs, and writes it to logs and errors; what it keeps as a secret it does not print.
"""

from __future__ import annotations

import base64
import json
import os
import sys

from pydantic import SecretStr

_HEADERS = "PREFECT_CLIENT_CUSTOM_HEADERS"


def tell_prefect(url: str, auth: SecretStr | None) -> None:
    """Let this process, and those it starts, ask the server at `url` (without user) with `auth`, `USER:PASSWORD`.

    Prefect reads its settings when it is imported: `renew_prefect_settings` follows where that may have been before.
    """
    os.environ["PREFECT_API_URL"] = url
    if auth is not None:
        user = auth.get_secret_value()
        os.environ["PREFECT_API_AUTH_STRING"] = user
        token = base64.b64encode(user.encode()).decode("ascii")
        others = json.loads(os.environ.get(_HEADERS) or "{}")
        # a proxy asks for it where Prefect's server would not: at the beginning of a stream of events
        os.environ[_HEADERS] = json.dumps({**others, "Authorization": f"Basic {token}"})


def renew_prefect_settings() -> None:
    """Let Prefect read the environment again if it was imported already; it would start a server of its own otherwise."""
    if "prefect.context" not in sys.modules:
        return
    from prefect.context import refresh_global_settings_context
    from prefect.logging.configuration import setup_logging

    refresh_global_settings_context()
    setup_logging()
