"""Servers on this machine are asked directly, whatever proxy the environment names for everything else.

A proxy cannot reach the loopback interface of this machine, and most clients (httpx, requests, urllib, obstore, and so Prefect
and MLflow) ask it nevertheless unless `no_proxy` says not to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec

HOSTS = ("localhost", "127.0.0.1", "::1")
_BYPASS = ("no_proxy", "NO_PROXY")
"""Some clients read one of them, some the other: both say the same here."""
_SOCKS = "socksio"
"""What httpx needs for a SOCKS proxy; without it no client of httpx can be made, for hosts that are exempt neither."""


def without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with the loopback hosts among those that are asked directly; other hosts are asked as before."""
    changed = {name: value for name, value in environment.items() if not _unusable(name, value)}
    if not any(name.lower().endswith("_proxy") for name in changed):
        return changed
    listed = [host.strip() for name in _BYPASS for host in changed.get(name, "").split(",") if host.strip()]
    if "*" not in listed:
        hosts = ",".join(dict.fromkeys((*listed, *HOSTS)))
        changed |= dict.fromkeys(_BYPASS, hosts)
    return changed


def ask_loopback_directly() -> None:
    """Let this process and its children ask servers on this machine directly; must run before clients are made."""
    changed = without_proxy(os.environ)
    for name in set(os.environ) - set(changed):
        del os.environ[name]
    os.environ.update(changed)


def _unusable(name: str, value: str) -> bool:
    """A SOCKS proxy that httpx cannot use: Prefect's client would fail before it asked anybody."""
    return (
        name.lower() in ("all_proxy", "http_proxy", "https_proxy")
        and value.lower().startswith("socks")
        and find_spec(_SOCKS) is None
    )
