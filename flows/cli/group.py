"""The command line as a whole: options that every command has, before or behind its name, and how an interruption ends it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.cli.outcome import INTERRUPTED

ANYWHERE = ("--quiet", "--verbose", "--version")
PATIENCE_SECONDS = 3.0
"""What a computation gets to end after Ctrl-C: every stage goes on from its checkpoint, so nothing is lost by ending it."""

_verbose = False


class Commands(TyperGroup):
    """A group whose own options may stand anywhere; Ctrl-C ends it with a line and a code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the options of the group before the command's name, but for those that the command has itself (`--version 3`)."""
        end = args.index("--") if "--" in args else len(args)
        command = next((self.commands[item] for item in args[:end] if item in self.commands), None)
        its_options = {name for parameter in (command.params if command else ()) for name in parameter.opts}
        anywhere = set(ANYWHERE) - its_options
        ours = [item for item in args[:end] if item in anywhere]
        others = [item for item in args[:end] if item not in anywhere]
        return super().parse_args(ctx, [*ours, *others, *args[end:]])

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if not _interrupted.is_set():
                print("mer: interrupted", file=sys.stderr, flush=True)  # noqa: T201
            raise typer.Exit(INTERRUPTED) from None


_interrupted = threading.Event()


def _show_version(wanted: bool) -> None:
    if wanted:
        import mer

        typer.echo(f"mer {mer.__version__}")
        raise typer.Exit


def everywhere(
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors and the last line only.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print what servers and tasks log, and tracebacks of errors.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Options of all commands, which may also stand behind their names."""
    global _verbose
    _verbose = verbose
    if quiet:
        from flows.terminal import show_last_line_only

        show_last_line_only()
    if verbose:
        import logging

        os.environ["PREFECT_LOGGING_LEVEL"] = "INFO"
        os.environ.setdefault("PREFECT_INTERNAL_LOGGING_LEVEL", "ERROR")
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
        for name in ("mer", "infra", "tasks", "flows"):
            logging.getLogger(name).setLevel(logging.INFO)


def is_verbose() -> bool:
    """True where logs and tracebacks are wanted."""
    return _verbose


def interruptible() -> None:
    """Let Ctrl-C end a flow at once with a line of its own, and for good soon after: threads that compute are not waited for."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _interrupted.is_set():
        _interrupted.set()
        sys.stderr.write(
            "mer: interrupted; the same command goes on where it stopped, and local servers go on (`mer down` stops them)\n"
        )
        sys.stderr.flush()
        end = threading.Timer(PATIENCE_SECONDS, os._exit, (INTERRUPTED,))
        end.daemon = True
        end.start()
    raise KeyboardInterrupt
