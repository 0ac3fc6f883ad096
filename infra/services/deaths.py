"""What is known of services of this home without looking for their processes, and whether one ended without being stopped."""

from __future__ import annotations

from infra.services.process import ServiceProcess
from infra.settings import Settings


def was_started(name: str, settings: Settings) -> bool:
    """True where the service was started last and not stopped since, whether or not it still runs."""
    state = ServiceProcess(name, settings.services_folder).state()
    return state is not None and bool(state.mark)


def address_of(name: str, settings: Settings) -> str | None:
    """Address of a local server that was started and not stopped."""
    state = ServiceProcess(name, settings.services_folder).state()
    return state.address if state is not None and state.mark else None


def is_served_by(name: str, url: str, settings: Settings) -> bool:
    """True where `url` is an address of this home's own server, running or not."""
    state = ServiceProcess(name, settings.services_folder).state()
    return state is not None and bool(state.address) and url.startswith(f"{state.address}/")


def was_not_stopped(name: str, settings: Settings) -> bool:
    """`was_started`, after whoever stops or starts it now has done so: one that is being stopped looks like one that died."""
    with ServiceProcess(name, settings.services_folder).exclusively():
        return was_started(name, settings)


def leader_has_died(name: str, settings: Settings) -> bool:
    """True where the service was started, not stopped, and its first process has ended, whatever lives of its group."""
    return was_started(name, settings) and not ServiceProcess(name, settings.services_folder).leader_lives()


def leader_number(name: str, settings: Settings) -> int | None:
    """Number of the first process of a service that was started and not stopped."""
    state = ServiceProcess(name, settings.services_folder).state()
    return state.pid if state is not None and state.mark else None


def has_died(name: str, settings: Settings) -> bool:
    """True where the service was started, not stopped, and none of its processes lives."""
    return was_started(name, settings) and not ServiceProcess(name, settings.services_folder).members()
