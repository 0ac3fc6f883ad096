"""kill -9 at a random time of a deployed run, of its worker, of the Prefect server, of all of them: everything heals itself."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e_installation import Installation
from fault_report import Faults
from invariants import check_invariants, served_weights, within
from prefect_runs import ShownRuns, wait_until
from refresh_corpus import RECIPE, make_corpus

from infra.errors import PrefectUnavailable
from infra.prefect_api import ENDED
from infra.services import stop_all
from infra.services.home_secrets import prefect_auth_string
from infra.services.process import ServiceProcess

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

ROW = "kill -9 at a random time through server and worker"
SECONDS = 120.0
"""No dead run is shown as running for longer (I7)."""
RUN, WORKER, SERVER, ALL = "run", "worker", "server", "all"
VICTIMS = (RUN, WORKER, SERVER, WORKER, ALL)


class Deployed:
    """A home with a Prefect server and a process worker of its own, and its deployment `retrain`."""

    def __init__(self, home: Installation) -> None:
        self.home = home
        home.mer("deploy")
        state = ServiceProcess("prefect", home.settings().services_folder).state()
        assert state is not None
        self.url = f"{state.address}/api"
        self.shown = ShownRuns(home, self.url)
        found = self.shown.api.deployments(["mer-cpu"])
        self.deployment = next(str(item["id"]) for item in found if item["name"] == "retrain")

    def begin(self) -> str:
        """Ask for a run; its id."""
        options = {
            "recipe": str(self.home.home.parent / "recipe.yaml"),
            "corpus": str(self.home.corpus),
            "model": "faulty",
        }
        body = {"parameters": {"options": options}}
        made: list[dict[str, Any]] = []

        def is_made() -> bool:
            with suppress(PrefectUnavailable):  # a server that was killed comes back
                made.append(
                    self.shown.api._ask("POST", f"/deployments/{self.deployment}/create_flow_run", body)
                )
            return bool(made)

        wait_until(is_made, SECONDS)
        return str(made[0]["id"])

    def is_in(self, run: str, states: Collection[str]) -> bool:
        with suppress(PrefectUnavailable):
            return self.shown.state(run) in states
        return False

    def process(self, run: str) -> int | None:
        """Number of the process that executes a run."""
        with self.home.catalogue() as catalogue:
            numbers = [row.process.number for row in catalogue.run_processes() if row.flow_run == run]
        return numbers[-1] if numbers else None

    def kill(self, victim: str, run: str) -> None:
        """kill -9 of whole processes with all that they started."""
        names = {RUN: (), WORKER: ("worker",), SERVER: ("prefect",), ALL: ("supervisor", "worker", "prefect")}
        doomed = [
            member
            for name in names[victim]
            for member in ServiceProcess(name, self.home.settings().services_folder).members()
        ]
        if victim != SERVER and (number := self.process(run)) is not None:
            with suppress(psutil.NoSuchProcess):
                executing = psutil.Process(number)
                doomed += [executing, *executing.children(recursive=True)]
        for process in doomed:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def deployed(tmp_path: Path, server_addresses: dict[str, str]) -> Iterator[Deployed]:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    corpus = make_corpus(tmp_path / "corpus")
    mlflow = {name: value for name, value in server_addresses.items() if "MLFLOW" in name}
    environment = {**mlflow, "PREFECT_WORKER_QUERY_SECONDS": "2"}
    home = Installation(tmp_path / "home", corpus, environment)
    try:
        yield Deployed(home)
    finally:
        stop_all(home.settings())


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.nightly)])
def test_killed_runs_heal(kills: int, deployed: Deployed, tmp_path: Path, faults: Faults) -> None:
    faults.row = ROW
    draw = random.Random(kills)
    for number in range(kills):
        victim = VICTIMS[number % len(VICTIMS)]
        run = deployed.begin()
        wait_until(partial(deployed.is_in, run, ("RUNNING",)), SECONDS, 0.2)
        time.sleep(draw.uniform(0.0, 6.0))
        deployed.kill(victim, run)
        faults.injected += 1
        if victim == ALL:  # nothing is left that could heal itself: any start does it
            deployed.home.mer("up")
        with within(SECONDS / 2):
            ended = ("COMPLETED",) if victim == SERVER else ("COMPLETED", "CRASHED")
            wait_until(partial(deployed.is_in, run, ended), SECONDS)
        check_invariants(deployed.home.settings(), recovered=False, prefect_api=deployed.url)
    run = deployed.begin()
    wait_until(partial(deployed.is_in, run, tuple(ENDED)), 2 * SECONDS)
    assert deployed.is_in(run, ("COMPLETED",)), deployed.shown.api.flow_run(run)
    settings = deployed.home.settings()
    wait_until(lambda: deployed.process(run) is None, 30)
    check_invariants(settings, recovered=True, prefect_api=deployed.url)

    password = prefect_auth_string(settings)
    assert password is not None
    environment = {
        **deployed.home.environment,
        "MER_PREFECT_API_URL": deployed.url,
        "MER_PREFECT_AUTH_STRING": password.get_secret_value(),
    }
    undisturbed = Installation(tmp_path / "undisturbed", deployed.home.corpus, environment)
    undisturbed.mer(
        "run",
        "--recipe",
        str(tmp_path / "recipe.yaml"),
        "--corpus",
        str(deployed.home.corpus),
        "--model",
        "faulty",
    )
    assert served_weights(settings) == served_weights(undisturbed.settings())
