"""How a command ends: its exit code, and the one message on standard error that says why.

0    done
1    an error that the message alone explains; or a bug, with the file that holds its traceback
2    wrong usage
3    done, but some inputs could not be used; lines or rows of the answer say which
130  interrupted (Ctrl-C)
141  the reader of the output went away (`| head`)
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import typer

from flows.explained_errors import explained
from infra.errors import InfraError
from infra.hidden_secrets import hidden, traceback_of

FAILED, WRONG_USAGE, UNUSABLE_INPUTS, INTERRUPTED = 1, 2, 3, 130
EXIT_CODES = (
    "Exit codes: 0 done; 1 an error, said in one message; 2 wrong usage; 3 done, but some inputs could not be used; "
    "130 interrupted."
)


def failure(error: BaseException, verbose: bool = False) -> str:
    """The message for an error that ended a command; of a bug the whole traceback is written to a file that it names."""
    if (said := explained(error)) is not None:
        return said
    text = traceback_of(error)
    if verbose:
        print(text, file=sys.stderr, end="")  # noqa: T201
    first = hidden(str(error)).strip().splitlines() or [""]
    return (
        f"an unexpected error, which is a bug: {type(error).__name__}: {first[0][:300]}\n"
        f"  its traceback is in {_written(text)}; please report it with that file"
    )


def wrong_usage(message: str) -> NoReturn:
    """End the command since what was typed cannot be done: exit code 2."""
    say_failure(message)
    raise typer.Exit(WRONG_USAGE)


def say_failure(message: str) -> None:
    """Print the message of an error on standard error: as text, or as an event where it takes events (MER_LOG_FORMAT=json)."""
    from infra.observing import ERROR, record, shows_events

    record(ERROR, "mer.command", message)
    if not shows_events():
        from flows.terminal import broken

        whole = f"mer: {message}"
        if sys.stderr.isatty():  # broken between words, where a terminal would break anywhere
            width = shutil.get_terminal_size().columns
            whole = "\n".join(part for line in whole.split("\n") for part in broken(line, width))
        print(whole, file=sys.stderr, flush=True)  # noqa: T201


def _written(text: str) -> Path:
    """The file that a traceback was written to: in the home, or where that is not there in the folder of temporary files."""
    from infra.settings import load_settings

    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    try:
        home = load_settings().home
        folder = home / "logs" if home.is_dir() else Path(tempfile.gettempdir())
        folder.mkdir(exist_ok=True)
        path = folder / (name if home.is_dir() else f"mer-{name}")
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except (OSError, InfraError):
        path = Path(tempfile.mkdtemp(prefix="mer-")) / name
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path
