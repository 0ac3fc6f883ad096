"""Who changes a model: noted with every row of the audit."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_actor: ContextVar[str | None] = ContextVar("actor", default=None)


def actor() -> str:
    """Who acts here: what `acting_as` says, else the user of this process and its machine."""
    return _actor.get() or f"{_user()}@{socket.gethostname()}"


@contextmanager
def acting_as(who: str) -> Iterator[None]:
    """Inside the block changes are made in the name of `who`: the gate in a run, or somebody who answered a form."""
    token = _actor.set(who)
    try:
        yield
    finally:
        _actor.reset(token)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return f"user {os.getuid()}"
