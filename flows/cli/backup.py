"""Commands that keep the catalogue safe, and bring it back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Anyway = Annotated[bool, typer.Option("--anyway", help="Do it although something speaks against it.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (backup, restore, rebuild, adopt):
        app.command()(command)


def backup(
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; left out: backups of the home.")
    ] = None,
    with_objects: Annotated[
        bool,
        typer.Option("--with-objects", help="Copy the object store into `objects` beside the backup, too."),
    ] = False,
) -> None:
    """Write a backup of the catalogue: models, audit, data sets, labels, where features are; while others use it."""
    from infra.settings import load_settings
    from tasks.stage.backup import OBJECTS, back_up_home

    done = back_up_home(load_settings(), out, with_objects=with_objects)
    typer.echo(f"backup {done.path}: it refers to {done.artifacts} artifacts of the object store")
    if done.missing:
        typer.echo(f"  {len(done.missing)} of them are not there any more, first {done.missing[0]}")
    if done.objects is not None:
        typer.echo(f"  {done.objects} objects copied to {done.path.parent / OBJECTS}")


def restore(
    file: Annotated[
        Path | None, typer.Argument(help="A backup; left out: the newest one of the home that is whole.")
    ] = None,
    anyway: Anyway = False,
) -> None:
    """Put a backup in the place of the catalogue; a damaged one is set aside, a good one only replaced with --anyway."""
    from infra.settings import load_settings
    from tasks.stage.backup import restore_home

    done = restore_home(load_settings(), file, anyway=anyway)
    for line in done.skipped:
        typer.echo(line)
    if done.set_aside is not None:
        typer.echo(f"the damaged catalogue is {done.set_aside} now")
    if done.before is not None:
        typer.echo(f"what was there is in {done.before}")
    typer.echo(f"restored {done.rows} rows of {done.path}")
    if done.remark:
        typer.echo(done.remark)


def rebuild() -> None:
    """Make the catalogue anew from the object store (or bring in what it lacks of it): versions, champions, audit, features."""
    from infra.settings import load_settings
    from tasks.stage.adoption import rebuild_home

    done = rebuild_home(load_settings())
    if done.set_aside is not None:
        typer.echo(f"the damaged catalogue is {done.set_aside} now")
    counts = ", ".join(f"{number} {name}" for name, number in sorted(done.rebuilt.counts.items()) if number)
    typer.echo(f"brought back: {counts or 'nothing that the catalogue lacked'}")
    for champion in done.champions:
        typer.echo(f"champion: {champion}")
    for line in done.rebuilt.losses:
        typer.echo(f"not brought back: {line}")


def adopt(anyway: Anyway = False) -> None:
    """Make the object store of the settings this catalogue's, after it was copied or moved there on purpose."""
    from infra.settings import load_settings
    from tasks.stage.adoption import adopt_store

    done = adopt_store(load_settings(), anyway=anyway)
    lacking = (
        f"; {done.missing} are missing and will be computed again" if done.missing else ", all of them there"
    )
    typer.echo(f"the object store at {done.address} is this catalogue's: {done.artifacts} artifacts{lacking}")
