"""Commands for the local services: their state, starting and stopping them, and task workers."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from infra.settings import Settings


class Profile(StrEnum):
    """What `mer up` makes of a new home."""

    FULL = "full"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (status, up, down, password, metrics):
        app.command()(command)


def status() -> None:
    """Show servers, models, corpora, runs, schedules, unfinished work, task workers, what waits for MLflow, and the disk.

    Starts and changes nothing."""
    from flows.status import show_status

    show_status()


def up(
    profile: Annotated[
        Profile | None,
        typer.Option(
            help="`full`: the home keeps its data in Postgres and S3 servers of its own, and its tasks run on workers of both "
            "pools; only for a new home, which stays so. Left out: what the home is."
        ),
    ] = None,
    cpu_workers: Annotated[
        int | None, typer.Option(min=0, max=1024, help="Workers of pool mer-cpu of a full home; default: 1.")
    ] = None,
    gpu_workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1024,
            help="Workers of pool mer-gpu of a full home; default: one for each GPU, on a machine without one a single one.",
        ),
    ] = None,
) -> None:
    """Start the local servers in the background (`mer down` stops them): Prefect, MLflow, of a full home all it has; watches.

    Those that die are started again. What MLflow refused before is sent once more.
    """
    from flows.profiles import choose_profile

    choose_profile(profile is Profile.FULL, cpu_workers, gpu_workers)
    started = servers()
    show_addresses(started)
    from infra.services import running_address
    from infra.settings import load_settings

    settings = load_settings()
    if (page := start_metrics(settings)) is not None:
        typer.echo(f"{'metrics':<8} {page}")
    if (address := running_address("serve", settings)) is not None:
        typer.echo(f"{'clips':<8} {address}")
    typer.echo("their pages ask for a password once: `mer password` shows it")
    from flows.upkeep import put_right
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


def metrics() -> None:
    """Print the metrics of the home once, as Prometheus reads them (`mer up` serves them; `mer status` says where).

    Starts and changes nothing."""
    from infra.metrics import metrics_page
    from infra.metrics.gathering import Gatherer
    from infra.settings import load_settings

    gatherer = Gatherer(load_settings())
    try:
        typer.echo(metrics_page(gatherer).decode(), nl=False)
    finally:
        gatherer.close()


def servers() -> dict[str, str]:
    """Start what is not running, and what watches over it; gives the addresses by name."""
    from flows.servers import ensure_servers
    from flows.supervision.client_retries import be_patient
    from flows.supervision.supervisor import ensure_supervisor
    from flows.supervision.task_workers import ensure_task_workers
    from infra.observing import observe
    from infra.profile import full_profile
    from infra.settings import load_settings

    started = ensure_servers()
    settings = load_settings()
    observe(settings, _command())
    be_patient(settings)
    ensure_task_workers(settings)
    ensure_supervisor(settings)
    if full_profile(settings.home) is not None:
        start_metrics(settings)
        start_service(settings)
    return started


def start_metrics(settings: Settings) -> str | None:
    """Start the page of metrics, unless it runs; returns its address, None (and a warning) where it did not start."""
    from infra.errors import ServiceFailed
    from infra.services import start

    try:
        return f"{start('metrics', settings)}/metrics"
    except ServiceFailed as error:  # no run waits for it
        typer.echo(f"there is no page of metrics: {error}", err=True)
        return None


def start_service(settings: Settings) -> None:
    """Start the service that answers for clips, unless it runs; a warning where it did not start."""
    from infra.errors import ServiceFailed
    from infra.services import start

    try:
        start("serve", settings)
    except ServiceFailed as error:  # no run waits for it
        typer.echo(f"nothing answers for clips: {error}", err=True)


def _command() -> str:
    """Name of the command that this process is, for its events."""
    named = next((item for item in sys.argv[1:] if not item.startswith("-")), "")
    return named if named.replace("-", "").isalpha() else "run"


def show_addresses(started: dict[str, str]) -> None:
    """Print them, without passwords; of MLflow the page of our runs, once there are any."""
    from infra.settings import load_settings
    from infra.shown_address import shown_address
    from infra.tracking import Tracker

    pages = {"MLflow": Tracker(load_settings()).experiment_page()}
    for name, address in started.items():
        typer.echo(f"{name:<8} {pages.get(name) or shown_address(address)}")
