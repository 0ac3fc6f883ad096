"""Addresses of the settings, whoever prints them: by themselves, in errors of clients, in logs, in tracebacks."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from flows.cli.outcome import failure
from flows.explained_errors import explained
from flows.options import RetrainOptions, checked_options
from flows.predict_options import PredictOptions
from infra import hidden_secrets
from infra.address import Address, request_to, secrets_of, without_user
from infra.catalogue.database import Database, parse_url
from infra.errors import InfraError, SettingsError
from infra.objects.bucket_address import BucketAddress
from infra.services.servers import answers, reachable
from infra.settings import Settings, load_settings
from infra.studies import dashboard_command
from mer.errors import ConfigError

CANARY = "canary/Zk4+9 q"
QUOTED = quote(CANARY, safe="")
FIELDS = ("database_url", "mlflow_tracking_uri", "prefect_api_url", "optuna_storage_url")


@pytest.fixture(autouse=True)
def _forgets_secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    factory = logging.getLogRecordFactory()
    monkeypatch.setattr(hidden_secrets, "_known", ())
    yield
    logging.setLogRecordFactory(factory)


@pytest.mark.parametrize("field", FIELDS)
def test_an_address_of_the_settings_shows_no_secret_however_it_is_printed(field: str) -> None:
    address = getattr(load_settings(**{field: f"http://user:{QUOTED}@host/api"}), field)
    assert QUOTED in address.get_secret_value()
    for shown in (str(address), repr(address), f"{address}", f"{[address]}"):
        assert QUOTED not in shown and "http://***@host/api" in shown


def test_settings_as_a_whole_show_no_secret() -> None:
    url = f"postgresql://db/mer?user=u&password={QUOTED}"
    settings = load_settings(database_url=url, s3_secret_key=CANARY)
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert QUOTED not in shown and CANARY not in shown


def test_a_secret_of_another_type_becomes_an_address() -> None:
    assert load_settings(database_url=SecretStr("sqlite:///x")).database_url == Address("sqlite:///x")


@pytest.mark.parametrize("name", ["object_store_url", "s3_endpoint", "task_cluster"])
@pytest.mark.parametrize("url", ["s3://b?endpoint=http://u:{}@h", "http://u:{}@h", "s3://b?secret_key={}"])
def test_addresses_that_are_stored_may_hold_no_secret(name: str, url: str) -> None:
    with pytest.raises(
        SettingsError, match=f"MER_{name.upper()}: expected an address without user"
    ) as refused:
        load_settings(**{name: url.format("canary99")})
    assert "canary99" not in str(refused.value)


def test_a_bucket_of_clips_may_hold_no_secret_either(settings: Settings) -> None:
    """It is a parameter of the flow, which Prefect stores, before anybody reads it."""
    text = "s3://clips/a?endpoint=http://u:canary99@h"
    with pytest.raises(SettingsError, match="without user, password or key") as refused:
        BucketAddress.parse(text, settings)
    assert "canary99" not in str(refused.value)
    for kind, values in ((RetrainOptions, {"corpus": text}), (PredictOptions, {"paths": (text,)})):
        with pytest.raises(ConfigError) as wrong:
            checked_options(kind, values)
        assert "canary99" not in str(explained(wrong.value))


@pytest.mark.parametrize(
    "url", ["postgresql://db/mer?password={}", "postgresql://u:{}@db/mer", "postgresql://db/mer?user=u&sslpassword={}"]
)  # fmt: skip
def test_databases_and_studies_name_their_address_without_it(settings: Settings, url: str) -> None:
    text = url.format("canary99")
    assert "canary99" not in Database(text, 1).shown_url
    assert "canary99" not in dashboard_command(
        settings.model_copy(update={"optuna_storage_url": Address(text)})
    )


@pytest.mark.parametrize("url", ["postgresql://u@h:canary99/db", "canary99"])
def test_a_database_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_url(url)
    assert "canary99" not in "".join(map(str, [refused.value, refused.value.__cause__]))


@pytest.mark.parametrize(
    ("url", "plain", "user"),
    [
        ("http://h:1/api", "http://h:1/api", None),
        ("http://h/@x?a=@", "http://h/@x?a=@", None),
        (f"http://u:{QUOTED}@h:1/api", "http://h:1/api", f"u:{CANARY}"),
        ("http://u@h", "http://h", "u:"),
    ],
)
def test_user_and_password_are_split_off(url: str, plain: str, user: str | None) -> None:
    assert without_user(url) == (plain, user)
    assert request_to(url).full_url == plain


def test_what_is_secret_in_an_address_is_known() -> None:
    assert {CANARY, QUOTED, f"u:{CANARY}"} <= set(secrets_of(f"http://u:{QUOTED}@h?a=b"))
    assert {CANARY, QUOTED} <= set(secrets_of(f"postgresql://h/db?user=u&password={QUOTED}"))
    assert secrets_of("sqlite:////home/a/catalogue.db") == []


def _forms() -> list[str]:
    credentials = base64.b64encode(f"user:{CANARY}".encode()).decode()
    return [
        CANARY,
        QUOTED,
        json.dumps(CANARY),
        base64.b64encode(CANARY.encode()).decode(),
        f"Basic {credentials}",
    ]


@pytest.mark.parametrize("text", _forms())
def test_a_client_that_logs_a_secret_is_not_heard(text: str) -> None:
    load_settings(mlflow_tracking_uri=f"http://user:{QUOTED}@host")
    heard = io.StringIO()
    logger = logging.getLogger("some.client")
    logger.addHandler(handler := logging.StreamHandler(heard))
    try:
        logger.error("GET %s failed", text)
        try:
            raise ConnectionError(f"no answer: {text}")
        except ConnectionError:
            logger.exception("again")
    finally:
        logger.removeHandler(handler)
    assert "GET" in heard.getvalue() and "Traceback" in heard.getvalue()
    assert all(form.rstrip("=") not in heard.getvalue() for form in _forms())


def test_what_says_nothing_secret_is_logged_as_it_is() -> None:
    load_settings(mlflow_tracking_uri=f"http://user:{QUOTED}@host")
    heard: list[logging.LogRecord] = []
    logger = logging.getLogger("some.client")
    logger.addFilter(keep := lambda record: heard.append(record) or True)
    logger.warning("%d clips of %s", 3, "demo")
    logger.removeFilter(keep)
    assert (heard[0].msg, heard[0].args) == ("%d clips of %s", (3, "demo"))


def test_no_message_and_no_traceback_of_a_failure_shows_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MER_HOME", str(tmp_path))
    monkeypatch.setenv("MER_S3_SECRET_KEY", CANARY)
    settings = load_settings()
    said = failure(RuntimeError(f"PUT {QUOTED}: {CANARY}"), verbose=True)
    (written,) = (settings.home / "logs").iterdir()
    for text in (said, written.read_text(), capsys.readouterr().err):
        assert "RuntimeError: PUT ***: ***" in text
    assert CANARY not in str(explained(InfraError(f"key {CANARY}")))


def test_a_secret_of_a_few_letters_does_not_eat_words() -> None:
    load_settings(database_url="postgresql://mer:mer@db/mer", s3_secret_key="a")
    assert hidden_secrets.hidden("a camera of mer") == "a camera of mer"


class _Guarded(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        expected = f"Basic {base64.b64encode(f'user:{CANARY}'.encode()).decode()}"
        self.send_response(200 if self.headers.get("Authorization") == expected else 401)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def guarded() -> Iterator[str]:
    """Host and port of a server that asks for a password."""
    with HTTPServer(("127.0.0.1", 0), _Guarded) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_is_asked_with_the_password_of_its_address(guarded: str) -> None:
    assert answers(f"http://user:{QUOTED}@{guarded}/health")
    assert not answers(f"http://user:wrong@{guarded}/health")
    assert reachable(f"http://user:{QUOTED}@{guarded}/api/health")


def test_prefect_gets_its_password_apart_from_its_address(guarded: str, tmp_path: object) -> None:
    """Prefect prints the address of its server, with the pages of runs."""
    code = (
        "import os; from flows.servers import ensure_servers; print(ensure_servers());"
        "print(os.environ['PREFECT_API_URL'], os.environ['PREFECT_API_AUTH_STRING'])"
    )
    variables = {
        "MER_HOME": str(tmp_path),
        "MER_PREFECT_API_URL": f"http://user:{QUOTED}@{guarded}/api",
        "MER_MLFLOW_TRACKING_URI": f"http://user:{QUOTED}@{guarded}",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout.splitlines()[1] == f"http://{guarded}/api user:{CANARY}"
