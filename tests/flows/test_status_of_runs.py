"""`mer status` names runs at work and dead ones, and when deployments run next; it waits for no server and starts none."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr

from flows.status.runs import runs
from flows.status.schedules import schedules
from infra.address import Address
from infra.catalogue import Catalogue, open_catalogue
from infra.catalogue.run_processes import executing_process
from infra.locking import locked
from infra.prefect_api import PrefectApi
from infra.settings import Settings

SERVER = "http://127.0.0.1:4200/api"


@pytest.fixture
def catalogue(settings: Settings) -> Iterator[Catalogue]:
    with open_catalogue(settings) as opened:
        yield opened


def test_runs_at_work_and_dead_ones(settings: Settings, catalogue: Catalogue) -> None:
    space = cast(Any, SimpleNamespace(settings=settings, catalogue=catalogue))
    assert list(runs(space)) == []
    here = executing_process()
    catalogue.set_flow_run(catalogue.add_run_process(here, SERVER), "retrain", "one")
    catalogue.set_flow_run(
        catalogue.add_run_process(here._replace(start=here.start - 1), SERVER), "ingest", "two"
    )
    at_work, dead, advice = list(runs(space))
    assert at_work.startswith("at work: run of retrain since ") and f"process {here.number} on " in at_work
    assert dead.startswith("dead: run of ingest since ")
    assert "`mer up`" in advice
    settings.services_folder.mkdir(parents=True)
    with locked(settings.services_folder / "supervisor.running"):
        assert len(list(runs(space))) == 2, "the supervisor marks it in a moment"


def test_a_server_that_does_not_answer_costs_no_time(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        space = cast(
            Any, SimpleNamespace(settings=settings.model_copy(update={"prefect_api_url": Address(url)}))
        )
        began = time.monotonic()
        assert list(schedules(space)) == []
        assert time.monotonic() - began < 2.0


def test_no_server_is_started_or_asked_where_none_runs(settings: Settings) -> None:
    space = cast(Any, SimpleNamespace(settings=settings))
    assert list(schedules(space)) == [] and not settings.services_folder.exists()
    settings.services_folder.mkdir(parents=True)
    state = {
        "name": "prefect",
        "address": "http://127.0.0.1:1",
        "port": 1,
        "pid": 0,
        "mark": "",
        "started": 0.0,
    }
    (settings.services_folder / "prefect.json").write_text(json.dumps(state))
    assert list(schedules(space)) == []


@pytest.mark.slow
def test_the_next_run_of_each_deployment_is_shown(
    settings: Settings, prefect_server: str, prefect_auth: tuple[str, str]
) -> None:
    url, auth = f"{prefect_server}/api", SecretStr(":".join(prefect_auth))
    api = PrefectApi(url, auth=auth)
    api._ask("POST", "/work_pools/", {"name": "mer-cpu", "type": "process"})
    flow = api._ask("POST", "/flows/", {"name": "shown"})["id"]
    deployment = {"name": "shown-nightly", "flow_id": flow, "work_pool_name": "mer-cpu"}
    made = api._ask("POST", "/deployments/", deployment)["id"]
    for scheduled_time in ("2099-01-02T03:04:00+00:00", "2099-01-03T03:04:00+00:00"):
        state = {
            "type": "SCHEDULED",
            "name": "Scheduled",
            "state_details": {"scheduled_time": scheduled_time},
        }
        api._ask("POST", f"/deployments/{made}/create_flow_run", {"state": state})
    changed = {"prefect_api_url": Address(url), "prefect_auth_string": auth}
    space = cast(Any, SimpleNamespace(settings=settings.model_copy(update=changed)))
    deadline = time.monotonic() + 30
    while not (lines := [line for line in schedules(space) if "shown-nightly" in line]):
        assert time.monotonic() < deadline  # a busy server may need longer than status waits
    assert len(lines) == 1 and lines[0].startswith("next shown-nightly: 2099-01-02 ")
