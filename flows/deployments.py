"""Deployments: what `prefect.yaml` says, registered at the server, and a worker that runs it."""

from __future__ import annotations

import os
import subprocess

import yaml

from flows.supervision.local_worker import POOL, PREFECT, ROOT, start_worker, worker_environment
from infra.hidden_secrets import hidden
from infra.settings import load_settings


def deploy_all(worker: bool = True) -> list[str]:
    """Create the work pool, register every deployment, and start a process worker; returns the deployments' names.

    Raises:
        RuntimeError: Prefect refused; the message ends with what it said.
    """
    settings = load_settings()
    environment = worker_environment(settings)
    _run([*PREFECT, "work-pool", "create", POOL, "--type", "process", "--overwrite"], environment)
    _run([*PREFECT, "deploy", "--all"], environment)
    if worker:
        start_worker(settings)
    described = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    return [str(item["name"]) for item in described["deployments"]]


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = hidden(done.stdout + done.stderr)[-2000:]
        raise RuntimeError(f"`{' '.join(command[2:])}` failed: {said}")
