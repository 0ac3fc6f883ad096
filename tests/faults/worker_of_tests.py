"""A real task worker that serves two functions of this file: `python worker_of_tests.py`."""

from __future__ import annotations

import ctypes
import time
from types import SimpleNamespace
from typing import Any, cast


def hold_everything(seconds: float) -> float:
    """Compute in a library that lets no other thread of this process run (`PyDLL` keeps Python's lock)."""
    sleep = ctypes.PyDLL(None).usleep
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        sleep(ctypes.c_uint(min(900_000, int(left * 1e6) + 1)))
    return seconds


def answer(number: int) -> int:
    """Ready at once."""
    return number + 1


if __name__ == "__main__":
    from flows.workers import serve

    served = [SimpleNamespace(fn=function) for function in (hold_everything, answer)]
    serve.all_tasks = lambda: cast(Any, served)
    serve.serve(print)
