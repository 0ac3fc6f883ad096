"""What becomes of dead processes' runs at a real Prefect server: crashed if they ran, and never if they had completed."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from pydantic import SecretStr

from flows.supervision.dead_runs import Observer, Settling
from infra.catalogue import Catalogue, open_catalogue
from infra.catalogue.run_processes import executing_process
from infra.errors import PrefectUnavailable
from infra.machine import ProcessName
from infra.prefect_api import PrefectApi
from infra.services.servers import free_port
from infra.settings import Settings

pytestmark = pytest.mark.slow

ALIVE = executing_process()
DEAD = ALIVE._replace(start=ALIVE.start - 1)


class Server:
    """A real server, and what a flow's process tells it."""

    def __init__(self, url: str, auth: SecretStr) -> None:
        self.url, self.auth, self.api = url, auth, PrefectApi(url, auth=auth)
        self.flow = self.ask("/flows/", {"name": f"flow-{uuid.uuid4().hex[:8]}"})["id"]

    def ask(self, path: str, body: Any) -> Any:
        for _ in range(20):
            with suppress(PrefectUnavailable):
                return self.api._ask("POST", path, body)
            time.sleep(0.2)
        raise AssertionError("the server is too busy")

    def flow_run(self, state: str, **more: Any) -> str:
        body = {"flow_id": self.flow, "state": {"type": "PENDING", "name": "Pending"}, **more}
        run = str(self.ask("/flow_runs/", body)["id"])
        if state != "PENDING":
            assert self.propose(run, "RUNNING") == "ACCEPT"
        if state not in ("PENDING", "RUNNING"):
            assert self.propose(run, state) == "ACCEPT"
        return run

    def propose(self, run: str, state: str) -> str:
        body = {"state": {"type": state, "name": state.capitalize()}, "force": False}
        return str(self.ask(f"/flow_runs/{run}/set_state", body)["status"])

    def task_run(self, flow_run: str, state: str) -> str:
        body = {"flow_run_id": flow_run, "task_key": "task", "dynamic_key": uuid.uuid4().hex, "name": "task"}
        run = str(self.ask("/task_runs/", body)["id"])
        self.ask(
            f"/task_runs/{run}/set_state",
            {"state": {"type": state, "name": state.capitalize()}, "force": True},
        )
        return run

    def state(self, run: str, kind: str = "flow_runs") -> str:
        return str(self.api._ask("GET", f"/{kind}/{run}")["state_type"])

    def history(self, run: str) -> list[str]:
        states = self.api._ask("GET", f"/flow_run_states/?flow_run_id={run}")
        return [str(state["type"]) for state in sorted(states, key=lambda state: state["timestamp"])]


@pytest.fixture
def server(prefect_server: str, prefect_auth: tuple[str, str]) -> Server:
    return Server(f"{prefect_server}/api", SecretStr(":".join(prefect_auth)))


@pytest.fixture
def catalogue(settings: Settings) -> Iterator[Catalogue]:
    with open_catalogue(settings) as opened:
        yield opened


def _settle(settings: Settings, catalogue: Catalogue, server: Server) -> list[str | None]:
    rows = catalogue.run_processes()
    knowing = settings.model_copy(update={"prefect_auth_string": server.auth})
    crashed = Settling(knowing, catalogue).settle(Observer().dead(rows), rows)
    return [row.flow_run for row in crashed]


def _recorded(catalogue: Catalogue, server: Server, run: str, process: ProcessName = DEAD) -> None:
    catalogue.add_run_process(process, server.url, run)


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("PENDING", "CRASHED"),
        ("RUNNING", "CRASHED"),
        ("CANCELLING", "CANCELLED"),
        ("COMPLETED", "COMPLETED"),
        ("FAILED", "FAILED"),
        ("CANCELLED", "CANCELLED"),
        ("PAUSED", "PAUSED"),
    ],
)
def test_a_dead_process_leaves_a_run_that_ended(
    state: str, after: str, settings: Settings, catalogue: Catalogue, server: Server
) -> None:
    run = server.flow_run("RUNNING" if state in ("CANCELLING", "PAUSED") else state)
    if state == "CANCELLING":
        server.ask(
            f"/flow_runs/{run}/set_state", {"state": {"type": state, "name": "Cancelling"}, "force": True}
        )
    if state == "PAUSED":  # suspended: its process ended as it should, and another one goes on later
        server.ask(
            f"/flow_runs/{run}/set_state", {"state": {"type": state, "name": "Suspended"}, "force": True}
        )
    _recorded(catalogue, server, run)
    assert _settle(settings, catalogue, server) == ([run] if after == "CRASHED" else [])
    assert server.state(run) == after
    _settle(settings, catalogue, server)
    assert not catalogue.run_processes(), "nothing is left to do"


def test_a_living_process_and_one_that_took_the_run_over_are_left_alone(
    settings: Settings, catalogue: Catalogue, server: Server
) -> None:
    run, again = server.flow_run("RUNNING"), server.flow_run("RUNNING")
    _recorded(catalogue, server, run, ALIVE)
    _recorded(catalogue, server, again, DEAD)
    _recorded(catalogue, server, again, ALIVE)
    assert _settle(settings, catalogue, server) == []
    assert server.state(run) == server.state(again) == "RUNNING"
    assert [row.process for row in catalogue.run_processes()] == [ALIVE, ALIVE]


def test_a_server_that_is_away_keeps_its_runs_record_and_no_other_runs(
    settings: Settings, catalogue: Catalogue, server: Server
) -> None:
    """A home may report to several servers in turn: each record says to which."""
    catalogue.add_run_process(DEAD, f"http://127.0.0.1:{free_port()}/api", str(uuid.uuid4()))
    run = server.flow_run("RUNNING")
    _recorded(catalogue, server, run)
    with pytest.raises(PrefectUnavailable):
        _settle(settings, catalogue, server)
    assert server.state(run) == "CRASHED"
    with pytest.raises(PrefectUnavailable):
        _settle(settings, catalogue, server)
    assert [row.flow_run for row in catalogue.run_processes()] != [run]


def test_tasks_of_a_dead_run_are_crashed_also_those_that_reach_the_server_later(
    settings: Settings, catalogue: Catalogue, server: Server
) -> None:
    run = server.flow_run("RUNNING")
    running, done = server.task_run(run, "RUNNING"), server.task_run(run, "COMPLETED")
    _recorded(catalogue, server, run)
    _settle(settings, catalogue, server)
    late = server.task_run(run, "RUNNING")
    _settle(settings, catalogue, server)
    states = [server.state(task, "task_runs") for task in (running, late, done)]
    assert states == ["CRASHED", "CRASHED", "COMPLETED"]


def test_tasks_of_a_completed_run_whose_ends_were_not_recorded_are_completed(
    settings: Settings, catalogue: Catalogue, server: Server
) -> None:
    run = server.flow_run("COMPLETED")
    task = server.task_run(run, "RUNNING")
    _recorded(catalogue, server, run)
    assert _settle(settings, catalogue, server) == []
    assert server.state(task, "task_runs") == "COMPLETED" and server.state(run) == "COMPLETED"


@pytest.mark.parametrize(
    "completions",
    [10, pytest.param(1000, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)])],
)
def test_a_run_that_completed_is_never_crashed(
    completions: int, settings: Settings, catalogue: Catalogue, server: Server
) -> None:
    """Another thread proposes all the time that the run crashed while it completes: no end follows an end, whichever is first."""
    draw, runs, done = random.Random(15), list[str](), threading.Event()

    def settle_late() -> None:
        while not done.wait(0.01):
            for run in runs[-2:]:
                with suppress(PrefectUnavailable):  # two at once can be much for SQLite: it says 503 then
                    server.api.propose_flow_state(run, "CRASHED", "a late heartbeat")

    settler = threading.Thread(target=settle_late)
    settler.start()
    try:
        for _ in range(completions):
            run = server.flow_run("RUNNING")
            _recorded(catalogue, server, run)
            if (
                is_before := draw.random() < 0.3
            ):  # proposals begin before the completion, so that some runs do crash
                runs.append(run)
            server.propose(run, "COMPLETED")
            if not is_before:
                runs.append(run)
    finally:
        done.set()
        settler.join()
    _settle(settings, catalogue, server)
    histories = [server.history(run) for run in runs]
    completed = [history for history in histories if "COMPLETED" in history]
    assert len(completed) >= completions / 2 and len(histories) == completions
    for history in completed:
        assert set(history[history.index("COMPLETED") :]) == {"COMPLETED"}, (
            history
        )  # twice where a 503 was asked again


def test_the_next_run_of_a_deployment_limited_to_one_is_not_refused_for_a_dead_one(
    settings: Settings, catalogue: Catalogue, server: Server
) -> None:
    """The deployment `retrain` has `limit: 1, collision_strategy: CANCEL_NEW`: a run that never ends cancels every later one."""
    body = {
        "name": "retrain",
        "flow_id": server.flow,
        "concurrency_limit": 1,
        "concurrency_options": {"collision_strategy": "CANCEL_NEW"},
    }
    deployment = server.ask("/deployments/", body)["id"]

    def scheduled() -> str:
        return str(server.ask(f"/deployments/{deployment}/create_flow_run", {})["id"])

    dead = scheduled()
    assert server.propose(dead, "PENDING") == "ACCEPT" and server.propose(dead, "RUNNING") == "ACCEPT"
    refused = scheduled()
    server.propose(refused, "PENDING")
    assert server.state(refused) == "CANCELLED", "the limit holds while the first is shown as running"
    _recorded(catalogue, server, dead)
    assert _settle(settings, catalogue, server) == [dead]
    tonight = scheduled()
    assert server.propose(tonight, "PENDING") == "ACCEPT" and server.propose(tonight, "RUNNING") == "ACCEPT"
