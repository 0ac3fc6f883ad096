"""The worker of this home's deployments, in the background: started by `mer deploy`, and by the supervisor where it died."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flows.supervision.client_retries import RETRIES_VARIABLE, retries
from infra.services import start_command
from infra.settings import Settings

WORKER, POOL = "worker", "mer-cpu"
ROOT = Path(__file__).resolve().parents[2]
PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")


def start_worker(settings: Settings) -> None:
    """Start a process worker in the background, unless it runs."""
    command = [*PREFECT, "worker", "start", "--pool", POOL, "--limit", "1"]
    start_command(WORKER, command, worker_environment(settings), settings)


def worker_environment(settings: Settings) -> dict[str, str]:
    """What the worker and the processes of its runs get beside what this process has."""
    return {
        "MER_ROOT": str(ROOT),
        "MER_HOME": str(settings.home),
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": os.environ["PREFECT_API_URL"],
        RETRIES_VARIABLE: retries(settings.prefect_timeout_seconds),
    }
