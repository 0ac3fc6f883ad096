"""The worker of this home's deployments, in the background: started by `mer deploy`, and by the supervisor where it died."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flows.supervision.client_retries import RETRIES_VARIABLE, retries
from infra.prefect_api import AUTH_VARIABLE
from infra.services import environment_of, start_command, stop
from infra.services.home_secrets import prefect_auth_string
from infra.settings import Settings

WORKER, POOL = "worker", "mer-cpu"
ROOT = Path(__file__).resolve().parents[2]
PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")


def start_worker(settings: Settings) -> None:
    """Start a process worker in the background, unless it runs."""
    command = [*PREFECT, "worker", "start", "--pool", POOL, "--limit", "1"]
    start_command(WORKER, command, worker_environment(settings), settings)


def renew_worker(settings: Settings) -> bool:
    """Start a running worker anew if its Prefect server refuses it: it was started before the server asked for this password.

    Returns whether it did. Must run after the server's address is in the environment.
    """
    known, right = environment_of(WORKER, settings), worker_environment(settings)
    if (
        known is None
        or known.get("PREFECT_API_URL") != right["PREFECT_API_URL"]
        or known.get(AUTH_VARIABLE) == right.get(AUTH_VARIABLE)
    ):
        return False
    stop(WORKER, settings)
    start_worker(settings)
    return True


def worker_environment(settings: Settings) -> dict[str, str]:
    """What the worker and the processes of its runs get beside what this process has.

    The password too: deployments say the home only (`flows/deploying`), so Prefect's database holds none.
    """
    auth = prefect_auth_string(settings, os.environ["PREFECT_API_URL"])
    return {
        **({} if auth is None else {AUTH_VARIABLE: auth.get_secret_value()}),
        "MER_ROOT": str(ROOT),
        "MER_HOME": str(settings.home),
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": os.environ["PREFECT_API_URL"],
        RETRIES_VARIABLE: retries(settings.prefect_timeout_seconds),
    }
