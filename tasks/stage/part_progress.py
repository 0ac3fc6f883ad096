"""How far a stage is while it computes, told to whoever listens in this process; elsewhere nobody does, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, int, int], None]
"""Called with (what is computed, steps done, steps in all), from the thread that computes."""

_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell `listener` of the stages that compute during the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def told_as(what: str) -> Callable[[int, int], None]:
    """Progress of a fit that is told under this name."""

    def tell(done: int, total: int) -> None:
        for listener in tuple(_listeners):
            listener(what, done, total)

    return tell
