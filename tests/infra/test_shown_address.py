"""No message holds the password of an address."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from flows.cli.local import show_addresses
from flows.servers import ensure_servers
from infra.errors import InfraError, ServiceFailed, SettingsError
from infra.objects import open_store
from infra.objects.bucket_address import BucketAddress
from infra.settings import Settings, load_settings
from infra.shown_address import shown_address

PASSWORD = "hunter2"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://h:5000/x?a=b#c", "http://h:5000/x?a=b#c"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("file:///home/me@work/objects", "file:///home/me@work/objects"),
        ("s3://data/a@b/c?endpoint=http://h:1&region=eu", "s3://data/a@b/c?endpoint=http://h:1&region=eu"),
        ("s3://b?endpoint=http%3A%2F%2Fh%3A1", "s3://b?endpoint=http%3A%2F%2Fh%3A1"),
        ("http://u:hunter2@h:5000/x", "http://***@h:5000/x"),
        ("http://hunter2@h", "http://***@h"),
        ("http://u:hun@hunter2@h", "http://***@h"),
        ("http://u:hun/hunter2@h", "http://***@h"),
        ("http://u:hun#hunter2@h", "http://***@h"),
        ("u:hunter2@h:4200/api", "***@h:4200/api"),
        ("found 'u:hunter2@h:4200/api'", "found '***@h:4200/api'"),
        ("postgresql://mer:hunter2@db/mer", "postgresql://***@db/mer"),
        ("http://h?a=b&password=hunter2&c=d", "http://h?a=b&password=***&c=d"),
        ("http://h/x?X-Amz-Signature=hunter2", "http://h/x?X-Amz-Signature=***"),
        ("http://h/x?api%5Fkey=hunter2", "http://h/x?api%5Fkey=***"),
        ("s3://b/p?endpoint=http://u:hunter2@h:1&region=eu", "s3://b/p?endpoint=http://***@h:1&region=eu"),
        ("s3://b?endpoint=http%3A%2F%2Fu%3Ahunter2%40h", "s3://b?endpoint=***"),
        ("no answer from http://u:hunter2@h and http://v:hunter2@i.", "no answer from http://***@h and http://***@i."),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    assert shown_address(address) == shown


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MER_PREFECT_API_URL", f"ftp://u:{PASSWORD}@h/api"),
        ("MER_PREFECT_API_URL", f"u:{PASSWORD}@h:4200/api"),
        ("PREFECT_API_URL", f"ftp://h/api?password={PASSWORD}"),
        ("MER_TASK_RUNNER", f"dask://u:{PASSWORD}@h"),
    ],
)
def test_a_refused_setting_shows_no_password(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable) as refused:
        load_settings()
    assert PASSWORD not in str(refused.value) and "***" in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://b?endpoint=http://u:{PASSWORD}@127.0.0.1:1",
        f"s3://bucket?endpoint=http://u:{PASSWORD}@127.0.0.1:1",
        f"s3://bucket?endpoint=http://127.0.0.1:1&secret_key={PASSWORD}&region=\n",
        f"s3://bucket?endpoint=http://u:{PASSWORD}/x@127.0.0.1:1",
        f"s3://?endpoint=http://u:{PASSWORD}@h",
        f"s3://u:{PASSWORD}@bucket",
        f"s3://bucket?endpoint=u:{PASSWORD}@h",
    ],
)
def test_a_refused_store_shows_no_password(settings: Settings, url: str) -> None:
    keys = {
        "s3_access_key": SecretStr("a"),
        "s3_secret_key": SecretStr("b" * 8),
        "store_timeout_seconds": 0.1,
    }
    with pytest.raises(InfraError) as refused:
        open_store(settings.model_copy(update={"object_store_url": url, **keys}))
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        f"s3://data/../x?endpoint=http://u:{PASSWORD}@h",
        f"s3:///x?endpoint=http://u:{PASSWORD}@h",
        f"s3://data/x?endpoint=ftp://u:{PASSWORD}@h",
        f"s3://data/../x?secret_key={PASSWORD}",
    ],
)
def test_a_refused_bucket_shows_no_password(settings: Settings, text: str) -> None:
    with pytest.raises(SettingsError, match="expected") as refused:
        BucketAddress.parse(text, settings)
    assert PASSWORD not in str(refused.value)


def test_a_silent_prefect_server_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MER_PREFECT_API_URL", f"http://u:{PASSWORD}@127.0.0.1:1/api")
    with pytest.raises(ServiceFailed, match=r"http://\*\*\*@127.0.0.1:1/api does not answer"):
        ensure_servers()


def test_addresses_of_servers_are_listed_without_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    show_addresses({"MLflow": f"http://u:{PASSWORD}@h:5000"})
    assert capsys.readouterr().out == "MLflow   http://***@h:5000\n"
