"""How a watch has a run executed: by a process of its own, or by a deployment's worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from infra.catalogue import WatchBatchRow
from infra.machine import ProcessName, has_ended, process_name
from infra.prefect_deployments import DeploymentApi
from mer.errors import ConfigError

State = Literal["runs", "done", "failed", "lost"]
"""`lost`: nobody executes it any more, and whether it was done is not known: it is started again."""


class Starter(Protocol):
    """Executes batches."""

    def start(self, batch: WatchBatchRow) -> str:
        """Have the run of a batch executed; returns who does it."""

    def state(self, batch: WatchBatchRow) -> State:
        """What has become of it."""

    def stop(self) -> None:
        """Whoever watches ends: what it started for itself ends too."""


@dataclass
class ProcessStarter:
    """A process for each run, child of the one that watches; it notes its end in the catalogue itself, whoever lives then."""

    flow: str
    """`module:function`."""
    options: Mapping[str, Any]
    process: subprocess.Popen[bytes] | None = None

    def start(self, batch: WatchBatchRow) -> str:
        """See `Starter`."""
        asked = json.dumps(
            {"flow": self.flow, "options": dict(self.options), "watch": batch.watch, "number": batch.number}
        )
        command = [sys.executable, "-m", "flows.cli.executing", asked]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=dict(os.environ))
        name = process_name(self.process.pid)
        return str(self.process.pid) if name is None else str(name)

    def state(self, batch: WatchBatchRow) -> State:
        """See `Starter`; that it was done the process has noted before."""
        if self.process is not None and batch.run is not None and _number(batch.run) == self.process.pid:
            code = self.process.poll()
            return "runs" if code is None else "failed"
        name = ProcessName.parse(batch.run or "")
        return "runs" if name is not None and not has_ended(name) else "lost"

    def stop(self) -> None:
        """See `Starter`; a run that is ended goes on where it was the next time."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


@dataclass(frozen=True)
class DeploymentStarter:
    """A run of a deployment; the same batch and attempt is the same run, however often it is asked for."""

    api: DeploymentApi
    deployment: str
    """Its id."""
    options: Mapping[str, Any]

    @classmethod
    def named(
        cls, api: DeploymentApi, pools: tuple[str, ...], name: str, corpus: Mapping[str, Any]
    ) -> DeploymentStarter:
        """Of the deployment of this name, over the corpus that is watched.

        Raises:
            ConfigError: there is none; the message names those there are.
        """
        known = {str(item["name"]): item for item in api.deployments(pools)}
        if name not in known:
            raise ConfigError(
                f"--deployment: expected one of {', '.join(sorted(known)) or 'none yet: `mer deploy` makes them'}; found {name!r}"
            )
        options = dict(known[name]["parameters"].get("options", {}))
        return cls(api, str(known[name]["id"]), {**options, **corpus})

    def start(self, batch: WatchBatchRow) -> str:
        """See `Starter`."""
        key = f"watch/{batch.watch}/{batch.number}/{batch.attempts}"
        return self.api.start_deployment(
            self.deployment, {"options": dict(self.options)}, key, ("mer", "watch")
        )

    def state(self, batch: WatchBatchRow) -> State:
        """See `Starter`; a run that was cancelled, or dropped since another one was at work, is started again."""
        found = None if batch.run is None else self.api.flow_run(batch.run)
        if found is None:
            return "lost"
        kind = str(found["state_type"])
        if kind == "CANCELLED":
            return "lost"
        return "done" if kind == "COMPLETED" else "failed" if kind in ("FAILED", "CRASHED") else "runs"

    def stop(self) -> None:
        """See `Starter`: workers go on."""


def _number(run: str) -> int:
    name = ProcessName.parse(run)
    return name.number if name is not None else int(run) if run.isdecimal() else -1
