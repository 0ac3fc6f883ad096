"""Looking for what stages have made, by their real keys, without making anything (`mer describe`).

Inside `looking()` a stage that is not there ends with `NotMade` in place of computing, whichever task asks for it; nothing is
written, and nothing is stamped as used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_looking: ContextVar[bool] = ContextVar("looking", default=False)


class NotMade(LookupError):
    """What was looked for would have to be computed; `kind`: of the stage, or what else."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"{kind} is not made yet")
        self.kind = kind


@contextmanager
def looking() -> Iterator[None]:
    """Within it nothing is computed."""
    token = _looking.set(True)
    try:
        yield
    finally:
        _looking.reset(token)


def is_looking() -> bool:
    """Whether this thread only looks."""
    return _looking.get()


def only_looked_for(kind: str) -> None:
    """To be called before anything is computed.

    Raises:
        NotMade: this thread only looks.
    """
    if is_looking():
        raise NotMade(kind)
