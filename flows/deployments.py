"""Deployments: what `prefect.yaml` says, registered at the server, and a worker that runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from infra.hidden_secrets import hidden
from infra.services import start_command
from infra.settings import load_settings

POOL = "mer-cpu"
ROOT = Path(__file__).resolve().parent.parent


def deploy_all(worker: bool = True) -> None:
    """Create the work pool, register every deployment, and start a process worker in the background.

    Raises:
        RuntimeError: Prefect refused; the message ends with what it said.
    """
    settings = load_settings()
    environment = {
        "MER_ROOT": str(ROOT),
        "MER_HOME": str(settings.home),
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": os.environ["PREFECT_API_URL"],
    }
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    _run([*prefect, "work-pool", "create", POOL, "--type", "process", "--overwrite"], environment)
    _run([*prefect, "deploy", "--all"], environment)
    if worker:
        start_command(
            "worker", [*prefect, "worker", "start", "--pool", POOL, "--limit", "1"], environment, settings
        )


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = hidden(done.stdout + done.stderr)[-2000:]
        raise RuntimeError(f"`{' '.join(command[2:])}` failed: {said}")
