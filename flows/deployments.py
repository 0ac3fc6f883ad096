"""Deployments: what `prefect.yaml` says, registered at the server, and a worker that runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from infra.hidden_secrets import hidden
from infra.services import environment_of, start_command, stop
from infra.settings import Settings, load_settings

POOL = "mer-cpu"
WORKER = "worker"
"""Name of the background command that runs the deployments."""
_PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")
_AUTH = "PREFECT_API_AUTH_STRING"
ROOT = Path(__file__).resolve().parent.parent


def deploy_all(worker: bool = True) -> None:
    """Create the work pool, register every deployment, and start a process worker in the background.

    Raises:
        RuntimeError: Prefect refused; the message ends with what it said.
    """
    settings = load_settings()
    environment = _environment(settings)
    _run([*_PREFECT, "work-pool", "create", POOL, "--type", "process", "--overwrite"], environment)
    _run([*_PREFECT, "deploy", "--all"], environment)
    if worker:
        _start_worker(settings)


def renew_worker(settings: Settings) -> bool:
    """Start a running worker anew if its Prefect server refuses it: it was started before the server asked for a password.

    Returns whether it did. Must run after the server's address and password are in the environment.
    """
    known = environment_of(WORKER, settings)
    if (
        known is None
        or known.get("PREFECT_API_URL") != os.environ["PREFECT_API_URL"]
        or known.get(_AUTH) == os.environ.get(_AUTH)
    ):
        return False
    stop(WORKER, settings)
    _start_worker(settings)
    return True


def _start_worker(settings: Settings) -> None:
    command = [*_PREFECT, "worker", "start", "--pool", POOL, "--limit", "1"]
    start_command(WORKER, command, _environment(settings), settings)


def _environment(settings: Settings) -> dict[str, str]:
    """What Prefect's commands are given; the password too lies in the environment, which runs of the worker inherit from it.

    Deployments say the home only (`prefect.yaml`): Prefect's database holds no password.
    """
    return {
        "MER_ROOT": str(ROOT),
        "MER_HOME": str(settings.home),
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": os.environ["PREFECT_API_URL"],
        **({_AUTH: os.environ[_AUTH]} if _AUTH in os.environ else {}),
    }


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = hidden(done.stdout + done.stderr)[-2000:]
        raise RuntimeError(f"`{' '.join(command[2:])}` failed: {said}")
