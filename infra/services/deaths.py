"""Services of this home that ended without having been stopped."""

from __future__ import annotations

from infra.services.process import ServiceProcess
from infra.settings import Settings


def was_started(name: str, settings: Settings) -> bool:
    """True where the service was started last and not stopped since, whether or not it still runs."""
    state = ServiceProcess(name, settings.services_folder).state()
    return state is not None and bool(state.mark)


def is_served_by(name: str, url: str, settings: Settings) -> bool:
    """True where `url` is an address of this home's own server, running or not."""
    state = ServiceProcess(name, settings.services_folder).state()
    return state is not None and bool(state.address) and url.startswith(f"{state.address}/")


def has_died(name: str, settings: Settings) -> bool:
    """True where the service was started, not stopped, and none of its processes lives."""
    return was_started(name, settings) and not ServiceProcess(name, settings.services_folder).members()
