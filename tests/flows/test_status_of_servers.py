"""`mer status` says of each server where it is, or that it does not run; addresses are shown without passwords."""

from __future__ import annotations

import pytest

from flows.status.servers import servers
from infra.services import start_command, stop
from infra.settings import Settings, load_settings


def test_servers_that_do_not_run(settings: Settings) -> None:
    assert list(servers(settings)) == [
        "  prefect: does not run (`mer up` starts it, and so does a run)",
        "  mlflow: does not run (`mer up` starts it, and so does a run)",
    ]


def test_servers_elsewhere(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MER_PREFECT_API_URL", "http://mer:hidden1@prefect.example:4200/api")
    monkeypatch.setenv("MER_MLFLOW_TRACKING_URI", "http://mer:hidden2@mlflow.example")
    assert list(servers(load_settings(home=settings.home))) == [
        "  prefect: http://***@prefect.example:4200/api (MER_PREFECT_API_URL)",
        "  mlflow: http://***@mlflow.example (MER_MLFLOW_TRACKING_URI)",
    ]


def test_the_worker_of_the_deployments(settings: Settings) -> None:
    start_command("worker", ["sleep", "60"], {}, settings)
    try:
        assert list(servers(settings))[-1] == "  worker of the deployments: runs (`mer deploy` started it)"
    finally:
        stop("worker", settings)
    assert len(list(servers(settings))) == 2
