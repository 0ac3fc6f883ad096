from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.errors import ServiceFailed
from infra.services import guarded
from infra.services.home_secrets import (
    made_up_secret,
    mlflow_credentials,
    prefect_auth_string,
    secret_file,
)
from infra.services.process import ServiceProcess
from infra.services.servers import mlflow_server, prefect_server
from infra.settings import Settings, load_settings


def started(settings: Settings, name: str, address: str) -> None:
    """The state file of a server that was started."""
    process = ServiceProcess(name, settings.services_folder)
    with process.exclusively():
        process.launch(["true"], {}, settings.home, address=address)


def test_a_secret_is_made_once_for_its_owner_only(settings: Settings) -> None:
    secret = made_up_secret(settings, "prefect")
    assert len(secret) == 32
    assert made_up_secret(settings, "prefect") == secret != made_up_secret(settings, "mlflow")
    assert stat.S_IMODE(secret_file(settings, "prefect").stat().st_mode) == 0o600
    names = sorted(path.name for path in settings.services_folder.iterdir())
    assert names == ["mlflow.secret", "prefect.secret"]


def test_starters_at_once_get_one_secret(settings: Settings) -> None:
    """A file that is being written is never read half or empty."""
    seen: list[str] = []
    threads = [
        threading.Thread(target=lambda: seen.append(made_up_secret(settings, "prefect"))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 16
    assert len(set(seen)) == 1 and len(seen[0]) == 32


def test_an_empty_file_is_no_secret(settings: Settings) -> None:
    secret_file(settings, "prefect").parent.mkdir(parents=True)
    secret_file(settings, "prefect").touch()
    with pytest.raises(ServiceFailed, match="expected a secret, found an empty file"):
        made_up_secret(settings, "prefect")


def test_a_file_that_others_may_read_is_closed_to_them(settings: Settings) -> None:
    path = secret_file(settings, "prefect")
    path.parent.mkdir(parents=True)
    path.write_text("0123456789abcdef")
    path.chmod(0o644)
    assert made_up_secret(settings, "prefect") == "0123456789abcdef"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_server_gets_its_own_password_and_no_other_server_gets_ours(tmp_path: Path) -> None:
    settings = load_settings(
        home=tmp_path / "home",
        prefect_auth_string=SecretStr("them:theirs"),
        mlflow_username="them",
        mlflow_password=SecretStr("theirs"),
    )
    started(settings, "prefect", "http://127.0.0.1:4200")
    started(settings, "mlflow", "http://127.0.0.1:5000")
    ours = made_up_secret(settings, "prefect"), made_up_secret(settings, "mlflow")
    for api in (None, "http://127.0.0.1:4200/api", "http://localhost:4200/api"):
        known = prefect_auth_string(settings, api)
        assert known is not None and known.get_secret_value() == f"mer:{ours[0]}"
    for uri in (None, "http://127.0.0.1:5000", "http://localhost:5000/"):
        assert mlflow_credentials(settings, uri) == ("mer", SecretStr(ours[1]))
    for elsewhere in (
        "http://127.0.0.1:4201/api",
        "http://pipeline.example:4200/api",
        "https://h",
        "http://h:x",
    ):
        assert prefect_auth_string(settings, elsewhere) == SecretStr("them:theirs")
        assert mlflow_credentials(settings, elsewhere) == ("them", SecretStr("theirs"))
    assert mlflow_credentials(settings, "sqlite:////tmp/mlflow.db") is None


def test_nothing_is_sent_to_a_server_for_which_nothing_is_set(settings: Settings) -> None:
    assert prefect_auth_string(settings, "http://h/api") is None
    assert mlflow_credentials(settings, "http://h") is None
    assert not settings.services_folder.exists()


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("MER_PREFECT_AUTH_STRING", "prefect_auth_string"),
        ("PREFECT_API_AUTH_STRING", "prefect_auth_string"),
        ("MER_MLFLOW_PASSWORD", "mlflow_password"),
        ("MLFLOW_TRACKING_PASSWORD", "mlflow_password"),
    ],
)
def test_passwords_of_servers_elsewhere_are_settings(
    variable: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "mer:planted")
    settings = load_settings()
    assert getattr(settings, field).get_secret_value() == "mer:planted"
    assert "planted" not in repr(settings)


@pytest.mark.parametrize("name", ["prefect", "mlflow"])
def test_a_server_is_told_its_password_in_the_environment_only(name: str, settings: Settings) -> None:
    make = {"prefect": prefect_server, "mlflow": mlflow_server}[name]
    server, secret = make(settings, 4200), made_up_secret(settings, name)
    assert not [word for word in server.command if secret in word]
    assert server.is_guarded(server.environment)
    assert secret in "".join(server.environment[variable] for variable in server.passwords)
    for variable in server.passwords:
        assert not server.is_guarded({**server.environment, variable: "mer:another"}), "a changed password"
        assert not server.is_guarded({})


def test_the_local_mlflow_server_shows_the_configured_database(settings: Settings) -> None:
    """Its URL may hold a password, so it is no argument."""
    url = "postgresql://mer:planted@h/mlflow"
    server = mlflow_server(settings.model_copy(update={"mlflow_tracking_uri": SecretStr(url)}), 5000)
    assert server.environment["MER_MLFLOW_TRACKING_URI"] == url
    assert not [word for word in server.command if "planted" in word]
    elsewhere = settings.model_copy(update={"mlflow_tracking_uri": SecretStr("http://h:5000")})
    assert mlflow_server(elsewhere, 5000).environment["MER_MLFLOW_TRACKING_URI"].startswith("sqlite:")


@pytest.mark.parametrize("name", ["prefect", "mlflow"])
def test_a_server_without_a_password_does_not_start(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (name, "--host", "127.0.0.1", "--port", "1", "--hosts", "127.0.0.1:1")
    for known in ("", "mer:"):
        monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", known)
        assert guarded.main(arguments) == 1
        assert "PASSWORD" in capsys.readouterr().err
