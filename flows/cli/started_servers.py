"""What commands that run flows start first: the home's servers, its workers where it has some, and what watches over them."""

from __future__ import annotations

import typer


def servers() -> dict[str, str]:
    """Start what is not running, and what watches over it; gives the addresses by name."""
    from flows.servers import ensure_servers
    from flows.supervision.client_retries import be_patient
    from flows.supervision.supervisor import ensure_supervisor
    from flows.supervision.task_workers import ensure_task_workers
    from infra.settings import load_settings

    started = ensure_servers()
    settings = load_settings()
    be_patient(settings)
    ensure_task_workers(settings)
    ensure_supervisor(settings)
    return started


def show_addresses(started: dict[str, str]) -> None:
    """Print them, without passwords."""
    from infra.shown_address import shown_address

    for name, address in started.items():
        typer.echo(f"{name:<8} {shown_address(address)}")
