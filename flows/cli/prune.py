"""`mer prune`: removes what nobody used for long, or says what that would be."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tasks.prune.report import Cleanup

OlderThan = Annotated[
    float | None,
    typer.Option(
        "--older-than",
        min=1,
        metavar="DAYS",
        help="Remove what was not used for so many days before the last run; left out: MER_RETENTION_DAYS (30).",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count what would be removed.")]
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask where less is kept than the settings say.")
]


def prune(older_than: OlderThan = None, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Remove what nobody used for long: artifacts, copies, unfinished work of old code, logs, old runs (docs/upkeep.md).

    Served versions, those a rollback reaches, the audit, and whatever the next equal run needs stay. Safe beside running flows.
    """
    from infra.catalogue import has_catalogue
    from infra.settings import load_settings

    settings = load_settings()
    if not has_catalogue(settings):
        typer.echo(f"nothing is in the home {settings.home} yet")
        return
    _reach_running_servers()
    from flows.cleaning import clean

    shorter = older_than is not None and (not settings.retention_days or older_than < settings.retention_days)
    if shorter and not (yes or dry_run):
        _ask(clean(older_than, dry_run=True))
    _show(clean(older_than, dry_run=dry_run), dry_run)


def _reach_running_servers() -> None:
    """Take the addresses of servers that run or are configured; none is started for this."""
    from infra.services import status
    from infra.settings import load_settings

    settings = load_settings()
    runs = any(service.name == "prefect" and service.address for service in status(settings))
    if runs or settings.prefect_api_url is not None:
        from flows.servers import ensure_servers

        ensure_servers()


def _ask(would: Cleanup) -> None:
    _show(would, dry_run=True)
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            "expected --yes: fewer days than MER_RETENTION_DAYS, and nobody to ask at this terminal",
            param_hint="--older-than",
        )
    typer.confirm("Remove these?", abort=True)


def _show(cleanup: Cleanup, dry_run: bool) -> None:
    for item in cleanup.removed:
        if item.count:
            size = "" if item.bytes is None else f"{item.bytes / 1e6:10.1f} MB"
            typer.echo(f"{item.count:8d}  {item.kind:<36}{size}".rstrip())
    for note in cleanup.notes:
        typer.echo(f"  {note}")
    if not cleanup.total:
        typer.echo("nothing to remove: everything is in use, or was used too recently")
        return
    verb = "would be removed" if dry_run else "removed"
    typer.echo(f"{cleanup.total} things, {cleanup.total_bytes / 1e6:.1f} MB {verb}")
