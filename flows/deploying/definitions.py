"""The deployments there are: one for every flow, and those that people make of a flow, a recipe and a corpus.

Nothing here asks a server: the definitions are data, of which `payload` makes what the server is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from flows.supervision.local_worker import POOL, ROOT
from infra.settings import Settings
from mer.errors import ConfigError
from mer.names import check_name

Priority = Literal["high", "default", "low"]
PRIORITIES: Mapping[Priority, int] = MappingProxyType({"high": 1, "default": 2, "low": 3})
"""Queues of the work pool: a worker takes what waits in the first one first."""
INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class DeployedFlow:
    """A flow that can be deployed."""

    module: str
    function: str
    description: str
    """What a run of it does, for people."""
    priority: Priority = "default"
    timeout_hours: float = 24.0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Options of the standard deployment that differ from the flow's own defaults."""

    @property
    def entrypoint(self) -> str:
        """As Prefect imports it: a module, so that an installed package needs no checkout."""
        return f"{self.module}.{self.function}"


FLOWS: Mapping[str, DeployedFlow] = MappingProxyType(
    {
        "retrain": DeployedFlow(
            "flows.retrain",
            "retrain",
            "Retrain once enough is new; a new champion only if the gate lets it pass.",
            parameters={"refit": "grown"},
        ),
        "ingest": DeployedFlow(
            "flows.ingest", "ingest", "Read new clips into the catalogue.", "high", timeout_hours=6.0
        ),
        "features": DeployedFlow(
            "flows.features", "features", "Extract the features of clips that lack them."
        ),
        "pretrain": DeployedFlow("flows.pretrain", "pretrain", "Layer study, adaptation, alignment."),
        "layers": DeployedFlow(
            "flows.layers",
            "layers",
            "Which layers of a stream's encoder carry emotion, studied alone.",
            "low",
            parameters={"stream": "acoustic"},
        ),
        "adapt": DeployedFlow(
            "flows.pretrain", "adapt", "PEFT of the chosen layers of the streams' encoders.", "low"
        ),
        "align": DeployedFlow(
            "flows.align",
            "align",
            "Alignment, studied on held-out speakers against controls on shuffled pairs.",
            "low",
        ),
        "train": DeployedFlow(
            "flows.train", "train", "Train and score the fusion, supervised only, registering nothing.", "low"
        ),
        "refresh": DeployedFlow(
            "flows.refresh",
            "refresh",
            "Self-training on new unlabelled clips, with guards; registers a candidate.",
        ),
        "drift": DeployedFlow(
            "flows.drift",
            "drift",
            "Compare new clips with the training snapshot of what is served.",
            "high",
            timeout_hours=6.0,
        ),
        "search": DeployedFlow(
            "flows.search",
            "search",
            "Search layers and fusion hyper-parameters on training folds.",
            "low",
            timeout_hours=72.0,
            parameters={"trials": 20},
        ),
        "predict": DeployedFlow(
            "flows.predict",
            "predict",
            "Predict clips with the champion.",
            "high",
            timeout_hours=6.0,
            parameters={"paths": ["."]},
        ),
        "approval": DeployedFlow(
            "flows.approval",
            "approval",
            "Ask a person whether a version that passed the gate becomes champion; started by the run that trained it.",
            "high",
            timeout_hours=1.0,
        ),
        "prune": DeployedFlow(
            "flows.prune",
            "prune",
            "Remove what nobody used within the retention window.",
            "high",
            timeout_hours=6.0,
        ),
    }
)
"""Name -> flow, in the order in which people meet them."""
OVER_CORPUS = tuple(name for name in FLOWS if name not in ("predict", "approval", "prune"))
"""Flows that take a recipe and a corpus."""
TRAINING = ("retrain", "refresh")
"""Flows that register a version."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A flow with parameters, registered under a name."""

    name: str
    flow: str
    """A name of `FLOWS`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the flow that differ from its defaults."""
    cron: str = ""
    """When it starts by itself; empty: never."""
    timezone: str = "UTC"
    tags: Sequence[str] = ("mer",)
    priority: Priority | None = None
    """None: the flow's."""
    limit: int | None = 1
    """Most runs at a time; None: any number."""
    retries: int = 2
    timeout_hours: float | None = None
    """None: the flow's."""

    @property
    def when_busy(self) -> str:
        """What becomes of a run beyond the limit: of a schedule it is dropped (the next one does its work), else it waits."""
        return "CANCEL_NEW" if self.cron else "ENQUEUE"

    def payload(self, settings: Settings) -> dict[str, Any]:
        """What Prefect's server is sent, but for the flow's id and form."""
        flow = FLOWS[self.flow]
        variables = {
            "MER_HOME": str(settings.home),
            "MER_RUN_RETRIES": str(self.retries),
            "MER_RUN_TIMEOUT_HOURS": f"{self.timeout_hours or flow.timeout_hours:g}",
        }
        if ROOT.name not in INSTALLED:
            variables["PYTHONPATH"] = str(ROOT)
        return {
            "name": self.name,
            "description": flow.description,
            "tags": list(self.tags),
            "entrypoint": flow.entrypoint,
            "path": None,
            "pull_steps": [],
            "parameters": {"options": dict(self.options)},
            "enforce_parameter_schema": True,
            "work_pool_name": POOL,
            "work_queue_name": self.priority or flow.priority,
            "job_variables": {"env": variables, "working_dir": str(working_folder(settings))},
            "concurrency_limit": self.limit,
            "concurrency_options": {"collision_strategy": self.when_busy} if self.limit is not None else None,
            "schedules": [
                {
                    "schedule": {"cron": self.cron, "timezone": self.timezone},
                    "slug": "schedule",
                    "active": True,
                }
            ]
            if self.cron
            else [],
        }


def standard_deployments() -> tuple[Deployment, ...]:
    """One for every flow, on the demo corpus where nothing else is said in its form; retraining and cleaning up every night."""
    nightly = {"retrain": "0 3 * * *", "prune": "30 5 * * *"}
    return tuple(
        Deployment(
            name=name,
            flow=name,
            options=flow.parameters,
            cron=nightly.get(name, ""),
            tags=("mer", "main") if name in nightly else ("mer",),
            limit=None if name == "approval" else 1,
            retries=0 if name == "approval" else 2,
        )
        for name, flow in FLOWS.items()
    )


def housekeeping() -> tuple[Deployment, ...]:
    """What a home needs beside deployments of its own: clean-up every night, and where people approve."""
    return tuple(item for item in standard_deployments() if item.name in ("prune", "approval"))


def working_folder(settings: Settings) -> Path:
    """Where a worker's runs start, which relative paths in a form begin at: the checkout, else the home."""
    return settings.home if ROOT.name in INSTALLED else ROOT


def check_deployment_name(name: str) -> str:
    """The name itself. Raises ConfigError: it cannot be one."""
    try:
        return check_name(name, "name of the deployment")
    except ValueError as error:
        raise ConfigError(str(error)) from error
