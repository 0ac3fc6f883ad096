"""Clients of Prefect wait for a server that is away, from their first request on.

Prefect's clients try again where a connection breaks, but one whose first connection fails gives up at once, and Prefect makes
new ones in mid-run (for concurrency limits, logs, events). Before a run begins the server has answered: whoever cannot reach it
later waits for it like everybody else, as often as `PREFECT_CLIENT_MAX_RETRIES` says.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

_MARK = "_mer_is_patient"


def be_patient_from_the_start() -> None:
    """Let every client of this process count as one that was connected before; nothing where Prefect is not in use."""
    if "prefect" not in sys.modules:
        return
    from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient

    for client in (PrefectHttpxAsyncClient, PrefectHttpxSyncClient):
        if not hasattr(client, _MARK):
            setattr(client, _MARK, True)
            _count_as_connected(client)


def _count_as_connected(client: type[Any]) -> None:
    make = client.__init__

    @functools.wraps(make)
    def made(self: Any, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options)
        self._has_connected = True

    client.__init__ = made
