"""Limits of this process' memory and processor time, for processes that read files of unknown origin (Linux)."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path


def limit_memory(extra_bytes: int) -> None:
    """Let this process map `extra_bytes` beyond what it has now (Linux), and write no core files."""
    if sys.platform == "linux":
        import resource

        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + extra_bytes, mapped + extra_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_processor_time(seconds: float) -> None:
    """End this process (SIGXCPU) after twice as much more processor time: for a codec that never comes back to be asked."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        soft = math.ceil(time.process_time() + 2 * seconds) + 1
        if hard == resource.RLIM_INFINITY or soft < hard:
            resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
