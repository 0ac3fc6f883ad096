"""Runs that an earlier version left running at the home's server are crashed once; others are left alone."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

import pytest
from pydantic import SecretStr

from flows.supervision.earlier_runs import end_earlier_runs
from infra.prefect_api import PrefectApi
from infra.services.home_secrets import secret_file
from infra.settings import Settings, load_settings

pytestmark = pytest.mark.slow


def _home(folder: Path, password: SecretStr, made: float) -> Settings:
    settings = load_settings(home=folder, prefect_auth_string=password)
    secret = secret_file(settings, "prefect")
    secret.parent.mkdir(parents=True)
    secret.write_text("secret")
    os.utime(secret, (made, made))
    return settings


def test_only_what_began_before_the_password(
    tmp_path: Path, prefect_server: str, prefect_auth: tuple[str, str]
) -> None:
    password, url = SecretStr(":".join(prefect_auth)), f"{prefect_server}/api"
    api = PrefectApi(url, auth=password)
    flow = api._ask("POST", "/flows/", {"name": f"flow-{uuid.uuid4().hex[:8]}"})["id"]

    def run(*states: str) -> str:
        body = {"flow_id": flow, "state": {"type": "PENDING", "name": "Pending"}}
        made = str(api._ask("POST", "/flow_runs/", body)["id"])
        for state in states:
            assert api.propose_flow_state(made, state, "")
        return made

    def state(made: str) -> str:
        found = api.flow_run(made)
        assert found is not None
        return str(found["state_type"])

    at_work, completed = run("RUNNING"), run("RUNNING", "COMPLETED")
    assert end_earlier_runs(_home(tmp_path / "new", password, time.time() - 86_400), url) == 0
    assert state(at_work) == "RUNNING", "it began after the password was made"
    migrated = _home(tmp_path / "migrated", password, time.time() + 5)
    assert end_earlier_runs(migrated, url) >= 1
    assert (state(at_work), state(completed)) == ("CRASHED", "COMPLETED")
    later = run("RUNNING")
    assert end_earlier_runs(migrated, url) == 0
    assert state(later) == "RUNNING", "once a home"
