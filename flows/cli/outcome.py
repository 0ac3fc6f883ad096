"""How a command ends: its exit code, and the one message on standard error that says why.

0    done
1    an error that the message alone explains; or a bug, with the file that holds its traceback
2    wrong usage
3    done, but some inputs could not be used; lines or rows of the answer say which
130  interrupted (Ctrl-C)
141  the reader of the output went away (`| head`)
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from infra.errors import InfraError
from infra.shown_address import shown_address
from mer.errors import MerError

FAILED, UNUSABLE_INPUTS, INTERRUPTED = 1, 3, 130
EXIT_CODES = (
    "Exit codes: 0 done; 1 an error, said in one message; 2 wrong usage; 3 done, but some inputs could not be used; "
    "130 interrupted."
)
_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_OF_THE_SYSTEM = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENAMETOOLONG,
    errno.EIO,
    errno.ENOMEM,
    errno.ESTALE,
    errno.ELOOP,
}
_CLIENTS = {"httpx", "httpcore", "websockets"}
"""Packages by which Prefect asks its server."""
_UNREACHED = "Failed to reach API"
"""Begin of the text that Prefect raises as RuntimeError."""


def is_ours(error: BaseException) -> bool:
    """True for an error whose message alone tells the user enough."""
    # KeyError and IndexError are bugs: a LookupError of ours is exactly one
    return isinstance(error, MerError | InfraError) or type(error) is LookupError


def explained(error: BaseException) -> str | None:
    """What an error, or the first of its causes that can be explained, says to a user; None: a bug."""
    for cause in _causes(error):
        if is_ours(cause):
            return str(cause)
        if (said := _of_the_machine(cause)) is not None:
            return said
    return None


def failure(error: BaseException, verbose: bool = False) -> str:
    """The message for an error that ended a command; of a bug the whole traceback is written to a file that it names."""
    if (said := explained(error)) is not None:
        return said
    text = "".join(traceback.format_exception(error))
    if verbose:
        print(text, file=sys.stderr, end="")  # noqa: T201
    first = str(error).strip().splitlines() or [""]
    return (
        f"an unexpected error, which is a bug: {type(error).__name__}: {first[0][:300]}\n"
        f"  its traceback is in {_written(text)}; please report it with that file"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


def _of_the_machine(error: BaseException) -> str | None:
    """The disk, permissions, memory, or a server that does not answer any more."""
    if isinstance(error, OSError) and error.errno is not None:
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in _FULL:
            return f"no space left on the disk{where}: free some and run the same command again, which goes on where it stopped"
        if error.errno in _REFUSED | _OF_THE_SYSTEM:
            return f"{error.strerror}{where}"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "not enough memory: close other programs, or choose a smaller batch, model or MER_TASK_WORKERS, and run it again"
    package = type(error).__module__.partition(".")[0]
    if package in _CLIENTS or (isinstance(error, RuntimeError) and str(error).startswith(_UNREACHED)):
        api = shown_address(os.environ.get("PREFECT_API_URL", ""))
        return (
            f"the Prefect server at {api} does not answer ({type(error).__name__}): `mer status` shows the servers, and the same "
            "command goes on where it stopped"
        )
    return None


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
