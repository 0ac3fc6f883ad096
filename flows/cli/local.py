"""Commands for the local services: their state, starting and stopping them, and task workers."""

from __future__ import annotations

import typer

from flows.cli.worker import worker


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (status, up, down, password, worker):
        app.command()(command)


def status() -> None:
    """Show servers, models, corpora, runs, schedules, unfinished work, task workers, what waits for MLflow, and the disk.

    Starts and changes nothing."""
    from flows.status import show_status

    show_status()


def up() -> None:
    """Start the local Prefect and MLflow servers, and watches of folders, in the background (`mer down` stops them).

    What MLflow refused before is sent once more.
    """
    started = servers()
    show_addresses(started)
    typer.echo("their pages ask for a password once: `mer password` shows it")
    from flows.upkeep import put_right
    from infra.settings import load_settings
    from infra.tracking import Tracker

    Tracker(load_settings()).retry_refused()

    from flows.watching.background import start_watches

    for line in (*put_right(), *start_watches(load_settings())):
        typer.echo(line)


def down() -> None:
    """Stop the local servers and workers."""
    from infra.services import stop_all
    from infra.settings import load_settings

    stopped = stop_all(load_settings())
    typer.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


def password() -> None:
    """Show user and password of the local Prefect and MLflow pages, on a terminal only."""
    from flows.passwords import show_passwords

    show_passwords()


def servers() -> dict[str, str]:
    """Start what is not running, and what watches over it; gives the addresses by name."""
    from flows.servers import ensure_servers
    from flows.supervision.client_retries import be_patient
    from flows.supervision.supervisor import ensure_supervisor
    from infra.settings import load_settings

    started = ensure_servers()
    be_patient(load_settings())
    ensure_supervisor(load_settings())
    return started


def show_addresses(started: dict[str, str]) -> None:
    """Print them, without passwords; of MLflow the page of our runs, once there are any."""
    from infra.settings import load_settings
    from infra.shown_address import shown_address
    from infra.tracking import Tracker

    pages = {"MLflow": Tracker(load_settings()).experiment_page()}
    for name, address in started.items():
        typer.echo(f"{name:<8} {pages.get(name) or shown_address(address)}")
