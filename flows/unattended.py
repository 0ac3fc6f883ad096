"""A run that a worker started and nobody watches: what may pass is tried again, and a run that never ends is ended.

At the command line a person reads the error and gives the command again; a nightly run that met a server in its restart would be
a night lost. Stages that were done are found, so that a further attempt costs what was missing.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from flows.supervision.presence import end_process
from flows.terminal import console
from infra.errors import InfraError
from infra.settings import Settings

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 60.0
"""Before the second attempt; twice as long before each further one."""
JITTER = 0.5
"""Pauses are longer by up to this share, drawn anew: runs that failed together do not come back together."""
GRACE_SECONDS = 120.0
"""What a run that is past its time gets to end by itself before its process is ended."""

Result = TypeVar("Result")


def with_retries(
    work: Callable[[], Result],
    retries: int,
    sleep: Callable[[float], None] = time.sleep,
    seed: int | None = None,
) -> Result:
    """Result of `work`, tried again up to `retries` times where it ends by an error that may pass (`InfraError.transient`)."""
    draw = random.Random(seed)
    for attempt in range(retries):
        try:
            return work()
        except InfraError as error:
            if not error.transient:
                raise
            pause = FIRST_PAUSE_SECONDS * 2**attempt * (1 + JITTER * draw.random())
            console.say(
                f"attempt {attempt + 1} of {retries + 1} ended, the next one begins in {pause:.0f} s: {error}"
            )
            sleep(pause)
    return work()


@contextmanager
def ended_in_time(settings: Settings) -> Iterator[None]:
    """End this process where the block goes on long after the run's time: a computation may not notice that it is over."""
    seconds = settings.run_timeout_hours * 3600 + GRACE_SECONDS
    message = (
        f"the run went on for {GRACE_SECONDS:.0f} s after its time (MER_RUN_TIMEOUT_HOURS), and was ended"
    )
    timer = threading.Timer(seconds, end_process, (message,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
