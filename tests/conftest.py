"""Fixtures shared by all tests: an isolated home, and real servers started once a session from wheels."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from infra.services import s3_credentials, start, stop_all
from infra.services.home_secrets import mlflow_credentials, prefect_auth_string
from infra.settings import Settings, load_settings

if TYPE_CHECKING:
    import httpx

_OUTSIDE = ("MER_", "PREFECT_API_", "MLFLOW_TRACKING_")

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # workers fill the cores: threads within each would only wait for each other
    for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_variable, "1")


@pytest.hookimpl(tryfirst=True)  # before -m is looked at
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of long files: `make test` leaves them to `make test-long` (tests/long_files.py)."""
    listed = set((Path(__file__).parent / "long_files.txt").read_text(encoding="utf-8").split())
    for item in items:
        if item.path.relative_to(config.rootpath).as_posix() in listed:
            item.add_marker(pytest.mark.long)


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's password may be a word of another test's messages."""
    monkeypatch.setattr("infra.hidden_secrets._known", ())


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for name in os.environ:
        if name.startswith(_OUTSIDE):
            monkeypatch.delenv(name)
    # the home of who runs the tests may hold anything, a catalogue of a newer version included
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "data"))
    # For clients in the test, and in processes that it starts.
    if "prefect_server" in request.fixturenames:
        auth = prefect_auth_string(request.getfixturevalue("server_settings"))
        assert auth is not None
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", auth.get_secret_value())
    if "mlflow_server" in request.fixturenames:
        known = mlflow_credentials(request.getfixturevalue("server_settings"))
        assert known is not None
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", known[0])
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", known[1].get_secret_value())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a home of this test's own: SQLite and folders."""
    return load_settings(home=tmp_path / "home")


@pytest.fixture(scope="session")
def server_settings() -> Iterator[Settings]:
    """The home of the session's servers, which are stopped at its end.

    Not in pytest's folder: Postgres runs as another user when we are root, and every session that starts closes
    that folder to others again.
    """
    with tempfile.TemporaryDirectory(prefix="mer-servers-") as folder:
        home = load_settings(home=Path(folder))
        yield home
        stop_all(home)


@pytest.fixture(scope="session")
def postgres_server(server_settings: Settings) -> str:
    """Address of a Postgres server."""
    return start("postgres", server_settings)


@pytest.fixture
def fresh_postgres(postgres_server: str) -> Callable[[], str]:
    """Makes an empty Postgres database at every call; returns its URL."""

    def make() -> str:
        import psycopg
        from psycopg import sql

        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"{postgres_server.rpartition('/')[0]}/{name}"

    return make


@pytest.fixture(scope="session")
def s3_server(server_settings: Settings) -> str:
    """`s3://mer?endpoint=...` of an S3 server; its keys: `infra.services.s3_credentials(server_settings)`."""
    return start("s3", server_settings)


@pytest.fixture
def s3_settings(settings: Settings, server_settings: Settings, s3_server: str) -> Settings:
    """This test's home with an S3 object store, below a prefix of its own."""
    access, secret = s3_credentials(server_settings)
    url = s3_server.replace("s3://mer", f"s3://mer/test-{uuid.uuid4().hex[:12]}")
    return settings.model_copy(
        update={"object_store_url": url, "s3_access_key": access, "s3_secret_key": secret}
    )


@pytest.fixture(scope="session")
def prefect_server(server_settings: Settings) -> str:
    """Address of a Prefect server (its API is below `/api`)."""
    return start("prefect", server_settings)


@pytest.fixture(scope="session")
def mlflow_server(server_settings: Settings) -> str:
    """Address of an MLflow server."""
    return start("mlflow", server_settings)


@pytest.fixture(scope="session")
def prefect_auth(server_settings: Settings, prefect_server: str) -> tuple[str, str]:
    """User and password of the session's Prefect server."""
    known = prefect_auth_string(server_settings, prefect_server)
    assert known is not None
    user, _, password = known.get_secret_value().partition(":")
    return user, password


@pytest.fixture(scope="session")
def mlflow_auth(server_settings: Settings, mlflow_server: str) -> tuple[str, str]:
    """User and password of the session's MLflow server."""
    known = mlflow_credentials(server_settings, mlflow_server)
    assert known is not None
    return known[0], known[1].get_secret_value()


@pytest.fixture(scope="session")
def mlflow_address(mlflow_server: str, mlflow_auth: tuple[str, str]) -> str:
    """Address of the session's MLflow server, with the user and password that it asks for."""
    return mlflow_server.replace("http://", f"http://{':'.join(mlflow_auth)}@")


@pytest.fixture
def prefect_api(prefect_server: str, server_settings: Settings) -> Iterator[httpx.Client]:
    """A client of the session's Prefect API."""
    from prefect_client import prefect_client

    with prefect_client(prefect_server, server_settings) as api:
        yield api


@pytest.fixture(scope="session")
def server_addresses(
    prefect_server: str, mlflow_server: str, prefect_auth: tuple[str, str], mlflow_auth: tuple[str, str]
) -> dict[str, str]:
    """Environment that points at the session's servers, with their passwords (they belong to another home)."""
    user, password = mlflow_auth
    return {
        "MER_PREFECT_API_URL": f"{prefect_server}/api",
        "MER_PREFECT_AUTH_STRING": ":".join(prefect_auth),
        "MER_MLFLOW_TRACKING_URI": mlflow_server,
        "MER_MLFLOW_USERNAME": user,
        "MER_MLFLOW_PASSWORD": password,
    }


@pytest.fixture
def mlflow_settings(
    settings: Settings, mlflow_server: str, mlflow_auth: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """This test's home with the session's MLflow server, to which MLflow's client in this process may speak too."""
    user, password = mlflow_auth
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    return settings.model_copy(
        update={
            "mlflow_tracking_uri": SecretStr(mlflow_server),
            "mlflow_username": user,
            "mlflow_password": SecretStr(password),
        }
    )


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real inputs that are too large or not ours to ship: `../shared` beside the checkout, or `MER_SHARED`."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("MER_SHARED", beside))
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared data at {folder}: set MER_SHARED to the folder with data/ and models/")
    return folder
