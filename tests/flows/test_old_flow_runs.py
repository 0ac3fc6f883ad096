"""Old flow runs go, with their task runs and logs: those that ended, of our flows alone; the local server does it by itself."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.services import start, stop_all
from infra.services.home_secrets import prefect_auth_string
from infra.settings import Settings, load_settings

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
YEAR_AGO = "-365 days"


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(home=tmp_path_factory.mktemp("old-runs"), retention_days=30)


def test_old_runs_go_by_the_api_and_then_by_the_server_itself(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow, task
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
    from prefect.states import Completed, Running

    from tasks.prune.flow_runs import at_work, sweep_flow_runs
    from tasks.prune.report import Cleanup
    from tasks.prune.window import Window

    @task(name="one step")
    def step() -> int:
        return 1

    @flow(name="retrain")
    def ours() -> int:
        return step()

    @flow(name="somebody else's")
    def other() -> int:
        return 2

    database = home.home / "prefect" / "prefect.db"
    month_ago = datetime.now(UTC) - timedelta(days=30)
    window = Window(used_before=month_ago, written_before=time.time())
    try:
        address = start("prefect", home)
        api = f"{address}/api"
        auth = prefect_auth_string(home, api)
        assert auth is not None
        monkeypatch.setenv("PREFECT_API_URL", api)
        known = {PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: auth.get_secret_value()}
        with temporary_settings(known), get_client(sync_client=True) as client:
            ours()
            other()
            client.create_flow_run(ours, name="still at work", state=Running())
            time.sleep(3)  # the server records task runs a little later
            _age(database)
            client.create_flow_run(ours, name="of today", state=Completed())
            assert at_work()
            counted = Cleanup(dry_run=True)
            sweep_flow_runs(("retrain",), window, counted)
            assert counted.total == 1
            cleanup = Cleanup(dry_run=False)
            sweep_flow_runs(("retrain",), window, cleanup)
            assert cleanup.total == 1
            names = {run.name for run in client.read_flow_runs()}
            assert {"still at work", "of today"} < names
            assert len(names) == 3, "the run of another flow stays"
            _wait(lambda: _count(database, "task_run") == 0, 30)
            ours()
            time.sleep(3)
            _age(database)
        stop_all(home)
        assert _count(database, "flow_run") == 4
        start("prefect", home)
        _wait(lambda: _count(database, "flow_run") == 1, 90)  # what is at work stays, however old
        assert _count(database, "task_run") == 0
    finally:
        stop_all(home)


def _age(database: Path) -> None:
    """Let everything that is recorded be a year older."""
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        for column in ("start_time", "end_time", "expected_start_time", "created"):
            connection.execute(
                f"UPDATE flow_run SET {column} = strftime('%Y-%m-%d %H:%M:%f', {column}, ?) WHERE {column} IS NOT NULL",
                (YEAR_AGO,),
            )


def _count(database: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.5)
