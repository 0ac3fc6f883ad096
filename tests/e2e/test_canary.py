"""A planted secret is nowhere: each address and key of a whole installation holds one of its own, and everything is searched.

The environment of processes and the stated secret files (0600) may hold them; nothing else may: standard output and error, logs,
files of the home, rows and files of databases, artifacts, figures, arguments of processes.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg
import pytest
from canaries import VALUES, Search, quoted, watched_arguments
from e2e_installation import Installation
from password_proxy import password_proxy
from psycopg import sql

from infra.services import start, stop_all
from infra.services.home_secrets import USER, secret_file
from infra.settings import Settings, load_settings
from infra.whole_files import write_whole

pytestmark = pytest.mark.slow
SECRET_FILES = tuple(
    f"services/{name}"
    for name in ("postgres.json", "postgres.secret", "s3.secret", "prefect.secret", "mlflow.secret")
)
NOWHERE = "127.0.0.1:1"
STUDY = """
import logging
from infra.settings import load_settings
from infra.studies import dashboard_command, open_study

settings = load_settings()
open_study(settings, "canary").ask()
print(settings, dashboard_command(settings))
"""
BUG = """
import sys
from flows.cli import commands

def status():
    raise RuntimeError(f"{settings.optuna_storage_url.get_secret_value()} of {settings.s3_secret_key.get_secret_value()}")

import flows.status
from infra.settings import load_settings
settings = load_settings()
flows.status.show_status = status
sys.argv = ["mer", "--verbose", "status"]
commands.main()
"""


@dataclass(frozen=True)
class Planted:
    """An installation with a secret of its own in every address, and what was seen of it."""

    installation: Installation
    search: Search

    def mer(self, *arguments: str, code: int = 0, **changed: str) -> str:
        """Run a command, with some addresses changed; searches and returns what it printed."""
        other = replace(self.installation, environment={**self.installation.environment, **changed})
        return self._seen(subprocess.run(
            other.command(*arguments), env=other.variables(), capture_output=True, text=True, timeout=1500, check=False
        ), code)  # fmt: skip

    def python(self, program: str, code: int = 0) -> str:
        variables = self.installation.variables()
        command = [sys.executable, "-c", program]
        return self._seen(
            subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False),
            code,
        )

    def _seen(self, done: subprocess.CompletedProcess[str], code: int) -> str:
        self.search.text(f"output of {done.args}", done.stdout + done.stderr)
        assert done.returncode == code, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout + done.stderr


def _databases(postgres: str) -> dict[str, str]:
    """URLs, one of each form, of two databases of two users with planted passwords."""
    host = postgres.rpartition("@")[2].rpartition("/")[0]
    with psycopg.connect(postgres, autocommit=True) as connection:
        for name in ("catalogue", "optuna"):
            user = sql.Identifier(f"canary_{name}")
            for statement in ("DROP DATABASE IF EXISTS {}", "DROP ROLE IF EXISTS {}"):
                connection.execute(sql.SQL(statement).format(user))
            password = sql.Literal(VALUES[name])
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(user, password))
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(user, user))
    return {
        "MER_DATABASE_URL": f"postgresql://{host}/canary_catalogue?user=canary_catalogue&password={quoted('catalogue')}",
        "MER_OPTUNA_STORAGE_URL": f"postgresql+psycopg://canary_optuna:{quoted('optuna')}@{host}/canary_optuna",
    }


@pytest.fixture
def stores(tmp_path: Path, postgres_server: str) -> Iterator[Planted]:
    """Databases and an object store with planted passwords and keys; addresses of Prefect and MLflow that lead nowhere."""
    keys = {"MER_S3_ACCESS_KEY": VALUES["s3key"], "MER_S3_SECRET_KEY": VALUES["s3secret"]}
    s3_home = load_settings(
        home=tmp_path / "s3", s3_access_key=VALUES["s3key"], s3_secret_key=VALUES["s3secret"]
    )
    search = Search()
    with ExitStack() as stack:
        stack.callback(stop_all, s3_home)
        stack.callback(stop_all, load_settings(home=tmp_path / "home"))
        stack.enter_context(watched_arguments(search))
        environment = {
            **keys,
            **_databases(postgres_server),
            "MER_OBJECT_STORE_URL": start("s3", s3_home),
            "MER_PREFECT_API_URL": f"http://canary:{quoted('prefect')}@{NOWHERE}/api",
            "MER_MLFLOW_TRACKING_URI": f"http://canary:{quoted('mlflow')}@{NOWHERE}",
        }
        yield Planted(Installation(tmp_path / "home", tmp_path / "none", environment), search)


@pytest.fixture
def planted(
    stores: Planted, tmp_path: Path, demo_corpus: Path, mlflow_server: str, server_settings: Settings
) -> Iterator[Planted]:
    """With a Prefect server whose password is planted, and MLflow behind a proxy that asks for the planted one.

    (A proxy's password would do for Prefect's requests, not for its events: the server compares what clients say inside of them.)
    """
    prefect_home = load_settings(home=tmp_path / "prefect")
    write_whole(secret_file(prefect_home, "prefect"), VALUES["prefect"].encode(), mode=0o600)
    address = start("prefect", prefect_home)
    known = _credentials(server_settings, "mlflow")
    with ExitStack() as stack:
        stack.callback(stop_all, prefect_home)
        mlflow = stack.enter_context(password_proxy(mlflow_server, "canary", VALUES["mlflow"], known))
        environment = {
            **stores.installation.environment,
            "MER_PREFECT_API_URL": f"http://{USER}:{quoted('prefect')}@{address.removeprefix('http://')}/api",
            "MER_MLFLOW_TRACKING_URI": f"http://canary:{quoted('mlflow')}@127.0.0.1:{mlflow}",
        }
        yield Planted(Installation(stores.installation.home, demo_corpus, environment), stores.search)


def _credentials(settings: Settings, server: str) -> str | None:
    """USER:PASSWORD that a local server asks for itself."""
    file = settings.services_folder / f"{server}.secret"
    return f"mer:{file.read_text(encoding='ascii').strip()}" if file.exists() else None


def _search_everywhere(planted: Planted, s3_home: Path, servers: Path, postgres: str) -> None:
    search = planted.search
    search.folder(planted.installation.home, SECRET_FILES)
    search.folder(s3_home, SECRET_FILES)
    for name in ("prefect", "mlflow", "services"):
        if name != "services" or (servers / name).is_dir():
            search.folder(servers / name, [file.removeprefix("services/") for file in SECRET_FILES])
    search.folder(s3_home.with_name("prefect"), SECRET_FILES)
    for name in ("canary_catalogue", "canary_optuna"):
        search.database(f"{postgres.rpartition('/')[0]}/{name}")


def test_the_search_finds_secrets_in_any_form(tmp_path: Path) -> None:
    secret = VALUES["mlflow"]
    for number, form in enumerate(
        (
            secret,
            quoted("mlflow"),
            quote(quoted("mlflow"), safe=""),
            json.dumps({"a": secret}).replace("/", "\\/"),
            base64.b64encode(f"u:{secret}".encode()).decode(),
            base64.b64encode(f"user:{secret}@h".encode()).decode(),
            base64.b64encode(f"canary:{secret}".encode()).decode(),
            secret.encode().hex(),
        )
    ):
        search = Search()
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "file").write_text(f"before {form} behind")
        search.folder(tmp_path / str(number))
        assert search.hits and all(hit.startswith("mlflow in") for hit in search.hits), form


def test_no_secret_is_said_of_servers_that_fail(stores: Planted) -> None:
    """Every address in turn leads nowhere, refuses, or is refused."""
    options = ["--verbose"]
    stores.mer(*options, "status")
    stores.python(STUDY)
    assert "***" in stores.python(BUG, 1)
    for name, value in (
        ("MER_DATABASE_URL", f"postgresql://{NOWHERE}/x?user=u&password={quoted('catalogue')}"),
        ("MER_DATABASE_URL", f"postgresql://u@h:{quoted('catalogue')}/x"),
        (
            "MER_DATABASE_URL",
            stores.installation.environment["MER_OPTUNA_STORAGE_URL"].replace("optuna:", "x:"),
        ),
        ("MER_OBJECT_STORE_URL", f"s3://mer?endpoint=http://u:{quoted('s3secret')}@h"),
        ("MER_OBJECT_STORE_URL", f"s3://mer?endpoint=http://{NOWHERE}&secret_key={quoted('s3secret')}"),
        ("MER_S3_ENDPOINT", f"http://{quoted('s3key')}:{quoted('s3secret')}@{NOWHERE}"),
    ):
        stores.mer(*options, "status" if "STORE" not in name else "models", code=1, **{name: value})
    bucket = f"s3://clips/x?endpoint=http://u:{quoted('s3secret')}@{NOWHERE}"
    stores.mer(*options, "ingest", "--corpus", bucket, code=1)
    assert "***@127.0.0.1:1/api does not answer" in stores.mer(*options, "up", code=1)
    stores.search.folder(stores.installation.home, SECRET_FILES)
    assert stores.search.hits == []


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_planted_secret_is_nowhere_after_a_whole_run(
    planted: Planted, tmp_path: Path, server_settings: Settings, postgres_server: str
) -> None:
    recipe = Path(__file__).parent / "tiny.yaml"
    corpus = str(planted.installation.corpus)
    run = ("run", "--recipe", str(recipe), "--corpus", corpus, "--name", "canary")
    planted.mer("--verbose", *run)
    planted.mer("status")
    planted.mer("models")
    planted.mer(
        *run,
        code=1,
        MER_OBJECT_STORE_URL="s3://mer?endpoint=http://127.0.0.1:1",
        MER_STORE_TIMEOUT_SECONDS="1",
    )
    planted.mer("--verbose", "features", "--corpus", corpus, "--name", "again", "--recipe", str(recipe),
                MER_MLFLOW_TRACKING_URI=f"http://canary:{quoted('mlflow')}@127.0.0.1:1")  # fmt: skip
    planted.mer("search", "--recipe", str(recipe), "--corpus", corpus, "--name", "canary", "--trials", "2")
    try:
        planted.mer("deploy")
        _run_deployed(planted.installation.environment["MER_PREFECT_API_URL"], corpus)
    finally:
        planted.mer("down")
    assert not list((planted.installation.home / "spool").glob("*.json")), "MLflow was not reached"
    _search_everywhere(planted, tmp_path / "s3", server_settings.home, postgres_server)
    assert planted.search.searched_bytes > 1 << 20
    # SeaweedFS writes into its own log (0600) which user sends requests, by the access key: its name, not its secret
    named = ("s3key in", "/s3/services/s3.log:")
    assert [hit for hit in planted.search.hits if not all(part in hit for part in named)] == []


def _run_deployed(api_url: str, corpus: str) -> None:
    """An ingest run by the worker that `mer deploy` started."""
    name = uuid.uuid4().hex
    with httpx.Client(base_url=api_url, timeout=30) as api:
        token = api.get("/csrf-token", params={"client": name}).raise_for_status().json()["token"]
        api.headers.update({"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": name})
        named = api.post("/deployments/filter", json={}).raise_for_status().json()
        (ingest,) = [item["id"] for item in named if item["name"] == "ingest"]
        options = {"recipe": "demo", "corpus": corpus, "corpus_name": "deployed"}
        body = {"parameters": {"options": options}}
        created = api.post(f"/deployments/{ingest}/create_flow_run", json=body).raise_for_status().json()
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            state = api.get(f"/flow_runs/{created['id']}").raise_for_status().json()["state"]
            if state["type"] in ("COMPLETED", "FAILED", "CRASHED"):
                break
            time.sleep(1)
        assert state["type"] == "COMPLETED", state
