"""`mer logs`: what the processes of a home said, by run, stage, clip and worker."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from infra.observing.reading import Event

RunOption = Annotated[
    str,
    typer.Option(
        "--run", metavar="ID|NAME", help="Of a run: the beginning of its id, or a part of its name."
    ),
]
StageOption = Annotated[
    str, typer.Option("--stage", help="Of a stage: its kind (fusion), or a part of what it is for (fold2).")
]
ClipOption = Annotated[str, typer.Option("--clip", help="Of a clip, by its name.")]
WorkerOption = Annotated[str, typer.Option("--worker", help="Of a task worker: a part of HOST:PROCESS.")]
ProcessOption = Annotated[
    str, typer.Option("--process", help="Of processes of a kind: run, worker, flow, supervisor, watch, ...")
]
LevelOption = Annotated[
    Literal["debug", "info", "warning", "error"],
    typer.Option("--level", help="Of this level or a graver one."),
]
SinceOption = Annotated[
    str,
    typer.Option("--since", metavar="2h|30m|7d|TIME", help="Not older than that, or than a time (ISO)."),
]
LinesOption = Annotated[int, typer.Option("--lines", min=0, help="The last so many events; 0: all.")]
FollowOption = Annotated[bool, typer.Option("--follow", help="Go on with what comes, until Ctrl-C.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The events as they are stored: JSON lines.")]
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DRAWN = re.compile(r"(?<=\()[^()]*(?=\)$)")
"""What Prefect drew at the end of a run's name: enough to tell runs apart."""
_SHOWN = ("stage", "shard", "worker")
"""Fields that a line for people ends with, where they say more than its message."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def logs(
        run: RunOption = "",
        stage: StageOption = "",
        clip: ClipOption = "",
        worker: WorkerOption = "",
        process: ProcessOption = "",
        level: LevelOption = "info",
        since: SinceOption = "",
        lines: LinesOption = 50,
        follow: FollowOption = False,
        as_json: JsonOption = False,
    ) -> None:
        """Show what runs, workers, watches and the supervisor said: newest last, of all machines that share the home.

        Everything that they write is in JSON lines below `logs/events` of the home; --json prints them as they are.
        """
        from flows.terminal import console
        from infra.observing.event_file import event_folder
        from infra.observing.reading import EventQuery, follow_events, read_events
        from infra.settings import load_settings

        settings = load_settings()
        query = EventQuery(run, stage, clip, worker, process, level, _moment(since))
        coming = (
            follow_events(settings, query) if follow else iter(())
        )  # from now on: nothing falls between the two
        known = read_events(settings, query, lines or None)
        if not known and not follow:
            typer.echo(f"no such events below {event_folder(settings)}: runs write them", err=True)
        for event in chain(known, coming):
            if as_json:
                typer.echo(json.dumps(event, ensure_ascii=False))
            else:
                console.say(line_of(event))


def line_of(event: Event) -> str:
    """An event for people: local time, run or process, level unless it is no news, message, where; tables as they were."""
    at = datetime.fromisoformat(str(event["time"])).astimezone()
    level = event.get("level", "info")
    message = str(event.get("message", "")).strip("\n")
    where = [f"{name} {event[name]}" for name in _SHOWN if name in event and str(event[name]) not in message]
    run = str(event.get("flow_run_name", ""))
    who = (_DRAWN.search(run) or [run])[0] or str(event.get("process", ""))
    begin = f"{at:%m-%d %H:%M:%S} {who} {'' if level == 'info' else f'{level}: '}"
    if "\n" in message:
        message = "\n  " + message.replace("\n", "\n  ")
    return f"{begin}{message}" + (f"  [{', '.join(where)}]" if where else "")


def _moment(since: str) -> datetime | None:
    """The moment that `--since` names."""
    if not since:
        return None
    if (ago := _AGO.fullmatch(since)) is not None:
        return datetime.now(UTC) - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
    try:
        moment = datetime.fromisoformat(since)
    except ValueError as error:
        raise typer.BadParameter(
            f"--since: expected 90s, 30m, 2h, 7d or a time as 2026-11-30T09:00, found {since!r}"
        ) from error
    return moment.astimezone(UTC)
