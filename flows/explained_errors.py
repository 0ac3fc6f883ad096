"""What an error says to a user in one message; an error that nothing here explains is a bug."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from infra.errors import InfraError
from infra.hidden_secrets import hidden
from infra.shown_address import shown_address
from mer.errors import MerError

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
_UNAUTHENTICATED = {401, 403}
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
            return hidden(str(cause))
        if (said := _of_the_machine(cause)) is not None:
            return hidden(said)
    return None


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
    if package in {*_CLIENTS, "prefect"} and _status(error) in _UNAUTHENTICATED:
        api = shown_address(os.environ.get("PREFECT_API_URL", ""))
        return (
            f"the Prefect server at {api} refuses the password: the same command asks with the present one and goes on where it "
            "stopped; for a server elsewhere set MER_PREFECT_AUTH_STRING to USER:PASSWORD"
        )
    if package in _CLIENTS or (isinstance(error, RuntimeError) and str(error).startswith(_UNREACHED)):
        api = shown_address(os.environ.get("PREFECT_API_URL", ""))
        return (
            f"the Prefect server at {api} does not answer ({type(error).__name__}): `mer status` shows the servers, and the same "
            "command goes on where it stopped"
        )
    return None


def _status(error: BaseException) -> int | None:
    """Status of the answer that a client's error is about."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None
